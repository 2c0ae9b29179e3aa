"""Records of former features: delete-records."""

from contextlib import closing
from typing import Annotated

import typer

from commands.flags import with_settings
from commands.options import OFFBOARDING, AsJson, UseCase, examples
from commands.terminal import show_json, staged
from pipeline.stores.settings import RedisSettings

app = typer.Typer()


@app.command(epilog=examples("riskstream delete-records 0123456789abcdef"))
@with_settings
def delete_records(
    fingerprint: Annotated[
        str,
        typer.Argument(metavar="FINGERPRINT", help="The fingerprint of features that no job uses any more."),
    ],
    redis: RedisSettings,
    use_case: UseCase = OFFBOARDING,
    as_json: AsJson = False,
) -> None:
    """Delete the records of former features from Redis.

    Another version of a use case with other features has records of its own; `riskstream status` lists the
    fingerprints of all that are there.
    """
    from features.usecase import load
    from pipeline.batch.backfill import drop
    from pipeline.stores.connect import store_of
    from pipeline.stores.readiness import Readiness

    loaded = load(use_case)
    with closing(store_of(redis)) as store, staged() as progress:
        deleted = drop(store.reach, Readiness(store, redis.prefix, loaded.name), fingerprint, progress)
    if as_json:
        show_json({"fingerprint": fingerprint, "records": deleted})
    else:
        typer.echo(f"{deleted:,} records deleted")

"""Bundles: bundle show."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from commands.models import interval, use_case_name
from commands.options import BUNDLES, OFFBOARDING, AsJson, BundleRoot, UseCase, examples
from commands.terminal import show_json, table
from commands.verbs import Group

if TYPE_CHECKING:
    from export.distributions.reference import Bins

app = typer.Typer()
bundle = typer.Typer(cls=Group, help="Look at a bundle.", no_args_is_help=True)
app.add_typer(bundle, name="bundle", epilog=examples("riskstream bundle show build/bundles"))


@bundle.command(
    epilog=examples(
        "riskstream bundle show build/bundles",
        "riskstream bundle show offboarding-20260301T000000Z-1a2b3c4d --json | jq .thresholds",
    )
)
def show(
    wanted: Annotated[str, typer.Argument(metavar="PATH_OR_ID", help="A bundle's folder or id, or a root.")],
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    as_json: AsJson = False,
) -> None:
    """Show what a bundle says of its model: origin, thresholds, metrics, features, reference distributions.

    Of a root it shows the bundle that the use case uses. All files are verified against the manifest's sha256.
    """
    import msgspec

    from export import bundle as bundles
    from export.registry.runs import flat, numbers

    shown = bundles.load(bundles.path_of(bundle, wanted, use_case_name(use_case)))
    if as_json:
        reference = msgspec.to_builtins(shown.reference)
        show_json(msgspec.structs.asdict(shown.manifest) | {"reference": reference})
        return
    manifest = shown.manifest
    origin = {"use case": manifest.use_case, "fingerprint": manifest.fingerprint, "created": manifest.created_at,
              "seed": manifest.seed, **flat(manifest.training)}  # fmt: skip
    bins = [("score", shown.reference.score), *shown.reference.features.items()]
    parts = (
        table(("bundle", manifest.id), [(name, str(value)) for name, value in origin.items()]),
        table(("level", "from"), [(name, f"{value:.4f}") for name, value in manifest.thresholds.items()]),
        table(("metric", "value [95 % interval]"), figures(numbers(manifest.metrics))),
        table(("column", "missing", "least", "median", "most"), [spread(name, one) for name, one in bins]),
        table(("library", "version"), list(manifest.versions.items())),
        table(("file", "sha256"), list(manifest.files.items())),
    )
    typer.echo("\n\n".join(parts))


def figures(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """Each by its name, those with an interval as one."""
    overall = {
        name.removesuffix(".value") for name in metrics if f"{name.removesuffix('.value')}.low" in metrics
    }
    rows = {name: f"{value:.4g}" for name, value in metrics.items() if name.rpartition(".")[0] not in overall}
    return [(name, interval(metrics, name)) for name in sorted(overall)] + list(rows.items())


def spread(name: str, bins: "Bins") -> tuple[str, ...]:
    """A column of the training data: the share missing, and the least, middle and greatest edge of its bins."""
    edges = bins.edges
    shown = (edges[0], edges[len(edges) // 2], edges[-1]) if edges else ()
    return (name, f"{bins.missing:.1%}", *(f"{edge:.4g}" for edge in shown), *("-",) * (3 - len(shown)))

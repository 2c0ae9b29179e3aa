"""Registered models and the one in use: models, promote, approve, rollback."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.options import BUNDLES, OFFBOARDING, AsJson, BundleRoot, UseCase, examples
from commands.terminal import show_json, table

if TYPE_CHECKING:
    from export.registry.promotion import Approval
    from export.registry.versions import ModelVersion, Registry

app = typer.Typer()
MAIN_METRICS = ("average_precision", "roc_auc")  # in the table, each with its interval; --json has all
LEVEL_FIRST = ("customers", "assessments")  # whose of these figures is shown, the first that is there

Wanted = Annotated[str, typer.Argument(metavar="BUNDLE_OR_VERSION", help="A bundle's id, or a version.")]


class ModelRole(StrEnum):
    champion = "champion"
    challenger = "challenger"


AcceptedGates = Annotated[
    list[str],
    typer.Option(
        "--accept-gate",
        metavar="GATE",
        help="A gate that it failed and that you accept; once for each failed gate.",
    ),
]
As = Annotated[
    ModelRole, typer.Option("--as", help="In use, or scored in shadow and waiting for `riskstream approve`.")
]


@app.command(
    epilog=examples(
        "riskstream models",
        "riskstream models --bundle gs://bucket/bundles --json | jq -r '.versions[] | .bundle'",
    )
)
def models(use_case: UseCase = OFFBOARDING, bundle: BundleRoot = BUNDLES, as_json: AsJson = False) -> None:
    """Show every registered model of a use case: figures, champion and challenger, who approved it.

    The exit code is 1 if the registry and the pointers that jobs follow disagree; what to do is on stderr.
    """
    from export.registry.promotion import standing

    registry = registry_of(use_case, bundle)
    state = standing(registry)
    rows = [facts(version, registry.metrics(version)) for version in state.versions]
    if as_json:
        pointers = {"current": state.current, "challenger": state.challenger}
        show_json({"use_case": registry.name, "registry": registry.uri, "pointers": pointers, "versions": rows,
                   "disagreements": state.disagreements})  # fmt: skip
    else:
        typer.echo(listed(rows) if rows else f"{registry.name}: no model is registered in {registry.uri}")
    for line in state.disagreements:
        typer.echo(f"riskstream: {line}", err=True)
    raise typer.Exit(1 if state.disagreements else 0)


@app.command(
    epilog=examples(
        "riskstream promote 3",
        "riskstream promote offboarding-20260301T000000Z-1a2b3c4d --as challenger",
        "riskstream promote 3 --accept-gate drift --approver 'Ann Author' --reason 'Prices rose in May, see minute 9'",
    )
)
def promote(
    wanted: Wanted,
    role: As = ModelRole.champion,
    accept_gate: AcceptedGates = [],  # noqa: B006
    approver: Annotated[str, typer.Option(help="Who decides; needed with --accept-gate.")] = "",
    reason: Annotated[str, typer.Option(help="Why; kept with the version. Needed with --accept-gate.")] = "",
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    as_json: AsJson = False,
) -> None:
    """Make a model the champion, which running jobs load within seconds, or the challenger.

    A bundle that is not registered yet is registered first. A model that failed gates becomes champion only with
    `--accept-gate` for each of them, and the name and the reason of whoever decides. In shadow it decides nothing, so
    there it needs none.
    """
    from export.registry import promotion

    approval = approval_of(approver, reason, accept_gate) if accept_gate or approver or reason else None
    if role is ModelRole.challenger and approval:
        raise typer.BadParameter(
            "a challenger decides nothing; give it when it is approved", param_hint="--accept-gate"
        )
    registry, now = registry_of(use_case, bundle), datetime.now(UTC)
    if role is ModelRole.challenger:
        show_version(promotion.challenge(registry, wanted, now), as_json)
    else:
        show_version(promotion.promote(registry, wanted, now, approval), as_json)


@app.command(
    epilog=examples(
        "riskstream approve 4 --approver 'Ann Author' --reason 'Committee of 2026-11-24, minute 7'",
        "riskstream approve 4 --accept-gate fairness --approver 'Ann Author' --reason 'Base rates, minute 8'",
    )
)
def approve(
    wanted: Wanted,
    approver: Annotated[str, typer.Option(help="Who approves.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the version.")],
    accept_gate: AcceptedGates = [],  # noqa: B006
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    as_json: AsJson = False,
) -> None:
    """Make the challenger that waits for approval the champion.

    Whoever approves a model that failed gates names each of them with `--accept-gate`. Name, reason and accepted gates
    are kept with the version.
    """
    from export.registry import promotion

    registry, approval = registry_of(use_case, bundle), approval_of(approver, reason, accept_gate)
    show_version(promotion.approve(registry, wanted, approval, datetime.now(UTC)), as_json)


def approval_of(approver: str, reason: str, accept_gate: list[str]) -> "Approval":
    from export.registry.promotion import Approval

    return Approval(said("--approver", approver), said("--reason", reason), tuple(dict.fromkeys(accept_gate)))


def said(option: str, text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("found nothing, expected some words", param_hint=option)
    return text.strip()


@app.command(
    epilog=examples("riskstream rollback", "riskstream rollback --bundle gs://bucket/bundles --json")
)
def rollback(use_case: UseCase = OFFBOARDING, bundle: BundleRoot = BUNDLES, as_json: AsJson = False) -> None:
    """Go back to the champion before the present one; once more, and it goes further back."""
    from export.registry import promotion

    before, version = promotion.rollback(registry_of(use_case, bundle), datetime.now(UTC))
    if as_json:
        show_json({"from": before, "to": version.bundle_id, "version": version.number})
        return
    typer.echo(f"rolled back from {before} to {version.bundle_id}, version {version.number}")


def use_case_name(use_case: Path) -> str:
    """The name of a use case file's use case."""
    from features.usecase import load

    return load(use_case).name


def registry_of(use_case: Path, root: str, new: bool = False) -> "Registry":
    from export.registry.versions import Registry

    return Registry(root, use_case_name(use_case), new)


def show_version(version: "ModelVersion", as_json: bool) -> None:
    """Show the version and its new status."""
    if as_json:
        show_json(facts(version, {}))
        return
    typer.echo(f"version {version.number}, {version.bundle_id}: {version.status}")


def facts(version: "ModelVersion", metrics: Mapping[str, float]) -> dict[str, Any]:
    found = {
        "version": version.number,
        "bundle": version.bundle_id,
        "created_at": version.created_at,
        "aliases": version.aliases,
        "status": version.status,
        "approved_by": version.tags.get("approved_by"),
        "approved_because": version.tags.get("approved_because"),
        "approved_at": version.tags.get("approved_at"),
        "failed_gates": dict(version.failed_gates),
        "accepted_gates": list(version.accepted_gates),
        "fingerprint": version.fingerprint,
        "data_sha256": version.data_sha256,
        "run": version.run_id,
    }
    return found | ({"metrics": metrics} if metrics else {})


def listed(rows: list[dict[str, Any]]) -> str:
    titles = ("version", "bundle", "created", *MAIN_METRICS, "alias", "status", "failed gates", "approved by")
    return table(
        titles,
        [
            (
                str(row["version"]), row["bundle"], row["created_at"],
                *(with_interval(row.get("metrics", {}), name) for name in MAIN_METRICS),
                ", ".join(row["aliases"]) or "-", row["status"], gates_of(row), row["approved_by"] or "-",
            )
            for row in rows
        ],
    )  # fmt: skip


def gates_of(row: Mapping[str, Any]) -> str:
    """`fairness (accepted), drift`"""
    accepted = row["accepted_gates"]
    return (
        ", ".join(f"{name} (accepted)" if name in accepted else name for name in row["failed_gates"]) or "-"
    )


def with_interval(metrics: Mapping[str, float], name: str) -> str:
    """`0.71 [0.62, 0.80]`, of customers if there is such a figure."""
    for level in LEVEL_FIRST:
        if f"{level}.{name}.low" in metrics:
            return interval(metrics, f"{level}.{name}")
    return "-"


def interval(metrics: Mapping[str, float], name: str) -> str:
    value, low, high = (metrics[f"{name}.{part}"] for part in ("value", "low", "high"))
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"

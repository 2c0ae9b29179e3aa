"""The bundle in use and the one in shadow: aliases in the registry, and the pointers that a job reads.

A version that failed gates becomes champion, by whatever command, only over an approval that names each of them.

The use case's pointers (export.pointers) are what counts. They are written last: whatever a job uses, the
registry has been told about. A crash in between leaves the job with the model it had and the registry ahead
of it; `standing` then says so, and promoting again, either one, makes both agree.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from export import bundle as bundles
from export import storage
from export.manifest import BundleMismatch
from export.pointers import POINTER, SHADOW
from export.registry.versions import CHALLENGER, CHAMPION, DESPITE, ModelVersion, Registry, UnknownVersion
from features.errors import BadInput

POINTERS = {CHAMPION: POINTER, CHALLENGER: SHADOW}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegistryState:
    """The pointers, all versions, and in what registry and pointers disagree (empty if they agree)."""

    current: str | None
    challenger: str | None
    versions: tuple[ModelVersion, ...]  # the latest first
    disagreements: tuple[str, ...]


@dataclass(frozen=True)
class Approval:
    """The approval of a champion: its author, the reason, and the failed gates that were accepted."""

    by: str
    because: str
    despite: tuple[str, ...] = ()  # names of gates


class GateFailed(BadInput):
    """The version failed gates that no approval names, or an approval names gates that it did not fail."""


def promote(registry: Registry, wanted: str, now: datetime, approval: Approval | None = None) -> ModelVersion:
    """Makes a version (its number, or its bundle's id) the champion: running jobs load it within seconds.

    A bundle of this root that nobody registered is registered first. Raises BundleMismatch if it is damaged,
    UnknownVersion, RegistryUnavailable, GateFailed unless `approval` names the gates that the version failed and
    nobody has accepted before; then nothing has changed.
    """
    version = registered(registry, wanted)
    check_gates(version, approval)
    line = champions(registry)
    if line[-1:] != [version.bundle_id]:
        line = [*line, version.bundle_id]
    tags = {"promoted_at": _moment(now)}
    if approval:
        tags |= _approved(version, approval, now)
    registry.tag(version, **tags)
    _crown(registry, version, line, "retired")
    return registry.find(version.bundle_id)


def challenge(registry: Registry, wanted: str, now: datetime) -> ModelVersion:
    """Makes a version the challenger: scored in shadow by running jobs, waiting for `approve`.

    Raises as `promote` does; UnknownVersion also for the champion itself.
    """
    version = registered(registry, wanted)
    if version.bundle_id == pointed(registry):
        raise UnknownVersion(
            f"version {version.number} ({version.bundle_id}) is the champion, expected another: "
            "a model is not compared with itself"
        )
    before = registry.holder(CHALLENGER)
    if before and before.number != version.number:
        registry.tag(before, outcome="superseded")
    registry.tag(version, challenged_at=_moment(now))
    registry.give(CHALLENGER, version)
    bundles.promote(registry.root, version.bundle_id, SHADOW)
    return registry.find(version.bundle_id)


def approve(registry: Registry, wanted: str, approval: Approval, now: datetime) -> ModelVersion:
    """Makes the challenger that waits the champion.

    Raises as `promote` does; UnknownVersion also for one that does not wait.
    """
    _waiting(registry, wanted)
    return promote(registry, wanted, now, approval)


def reject(registry: Registry, wanted: str, because: str, now: datetime) -> ModelVersion:
    """A version that is not to be promoted; if it is the challenger, it no longer runs in shadow.

    Failed gates that somebody accepted before are accepted no longer.
    """
    version = registry.find(wanted)
    if version.bundle_id == pointed(registry):
        raise UnknownVersion(
            f"version {version.number} ({version.bundle_id}) is in use, expected one that is not: "
            "run `riskstream rollback` or promote another"
        )
    accepted = {DESPITE: ""} if version.accepted_gates else {}
    registry.tag(version, outcome="rejected", rejected_because=because, rejected_at=_moment(now), **accepted)
    _end_shadow(registry, version)
    return registry.find(version.bundle_id)


def rollback(registry: Registry, now: datetime) -> tuple[str, ModelVersion]:
    """Back to the champion before the present one; again, and it goes further back.

    Returns the id of the bundle that was in use and the version that is. Raises as `promote` does, GateFailed too if
    the earlier champion was rejected since; UnknownVersion also where there was no champion before.
    """
    line = champions(registry)
    if len(line) < 2:
        present = line[-1] if line else "none"
        raise UnknownVersion(
            f"the champion is {present} and there was none before it: "
            "promote another with `riskstream promote`, `riskstream models` shows which there are"
        )
    version = registered(registry, line[-2])
    check_gates(version)
    registry.tag(registered(registry, line[-1]), rolled_back_at=_moment(now))
    _crown(registry, version, line[:-1], "rolled back")
    return line[-1], registry.find(version.bundle_id)


def check_gates(version: ModelVersion, approval: Approval | None = None) -> None:
    """Raises GateFailed unless every gate that the version failed is accepted, now or before, and no other is named."""
    despite = approval.despite if approval else ()
    unknown = [name for name in despite if name not in version.failed_gates]
    if unknown:
        failed = ", ".join(version.failed_gates) or "none"
        raise GateFailed(
            f"version {version.number} ({version.bundle_id}) did not fail {', '.join(unknown)}; "
            f"the gates that it failed: {failed}"
        )
    missing = [name for name in version.failed_gates if name not in (*version.accepted_gates, *despite)]
    if missing:
        reasons = "; ".join(f"{name}: {version.failed_gates[name]}" for name in missing)
        flags = " ".join(f"--accept-gate {name}" for name in missing)
        raise GateFailed(
            f"version {version.number} ({version.bundle_id}) failed {len(missing)} "
            f"{'gate' if len(missing) == 1 else 'gates'} that nobody has accepted ({reasons}); to use it all the same, "
            f"name each of them and say who decides and why: {flags} --approver NAME --reason REASON"
        )


def _approved(version: ModelVersion, approval: Approval, now: datetime) -> dict[str, str]:
    """The tags of an approval. Gates accepted before stay accepted."""
    tags = {"approved_by": approval.by, "approved_because": approval.because, "approved_at": _moment(now)}
    accepted = dict.fromkeys((*version.accepted_gates, *approval.despite))
    return tags | ({DESPITE: ", ".join(accepted)} if accepted else {})


def registered(registry: Registry, wanted: str) -> ModelVersion:
    """A version by number or bundle id whose bundle is whole; a bundle of this root is registered if need be.

    Raises UnknownVersion; BundleMismatch if the bundle is damaged or of another use case.
    """
    try:
        version = registry.find(wanted)
    except UnknownVersion:
        if not bundles.is_bundle(storage.join(registry.root, wanted)):
            raise
        return registry.record(bundles.load(storage.join(registry.root, wanted)))
    loaded = bundles.load(storage.join(registry.root, version.bundle_id))
    bundles.check_use_case(loaded, registry.name)
    return version


def pointed(registry: Registry, pointer: str = POINTER) -> str | None:
    """The bundle that the use case's pointer names; None for a pointer that cannot be read: promoting mends it."""
    try:
        return bundles.read_pointer(registry.root, registry.name, pointer)
    except BundleMismatch as error:
        logger.warning("%s", error)
        return None


def champions(registry: Registry) -> list[str]:
    """The line of champions' bundle ids as the pointer has it: the present one is the last."""
    line, present = registry.line(), pointed(registry)
    if present is None:
        return line
    while line and present in line and line[-1] != present:  # a promotion that did not come to its end
        line.pop()
    return line if present in line else [*line, present]


def standing(registry: Registry) -> RegistryState:
    """Read the registry and the pointers. Raises RegistryUnavailable."""
    versions = tuple(registry.versions())
    current, challenger = (pointed(registry, name) for name in (POINTER, SHADOW))
    named = {CHAMPION: current, CHALLENGER: challenger}
    disagreements = tuple(line for alias in named for line in _disagreement(versions, alias, named))
    return RegistryState(current, challenger, versions, disagreements)


def _crown(registry: Registry, version: ModelVersion, line: list[str], outcome: str) -> None:
    """The book first, the pointers last."""
    before = registry.holder(CHAMPION)
    if before and before.number != version.number:
        registry.tag(before, outcome=outcome)
    registry.set_line(line)
    registry.give(CHAMPION, version)
    bundles.promote(registry.root, version.bundle_id)
    _end_shadow(registry, version)


def _end_shadow(registry: Registry, version: ModelVersion) -> None:
    """End the shadow of this version, if it runs in one."""
    challenger = registry.holder(CHALLENGER)
    if challenger and challenger.number == version.number:
        registry.take(CHALLENGER)
    if pointed(registry, SHADOW) == version.bundle_id:
        bundles.withdraw(registry.root, registry.name)


def _waiting(registry: Registry, wanted: str) -> None:
    version, challenger = registry.find(wanted), registry.holder(CHALLENGER)
    if challenger is None or challenger.number != version.number:
        waits = f"{challenger.number} ({challenger.bundle_id})" if challenger else "none"
        raise UnknownVersion(
            f"version {version.number} ({version.bundle_id}) is {version.status}, expected one that waits for "
            f"approval: {waits}; `riskstream promote --as challenger` makes one wait"
        )


def _disagreement(
    versions: tuple[ModelVersion, ...], alias: str, named: Mapping[str, str | None]
) -> Iterator[str]:
    """Describe a pointer that names another bundle than the registry does; which of them counts, and what to do."""
    held, current = _held(versions, alias), named[CHAMPION]
    is_both = alias == CHALLENGER and current is not None and current in (held, named[alias])
    if held == named[alias] and not is_both:
        return
    as_alias = " --as challenger" if alias == CHALLENGER and not is_both else ""
    wanted = [current] if is_both else [one for one in (named[alias], held) if one]
    commands = " or ".join(f"`riskstream promote {one}{as_alias}`" for one in wanted)
    yield (
        f"{alias}: the pointer {POINTERS[alias]} names {named[alias] or 'no bundle'}, the registry "
        f"{held or 'no version'}{', but that is the champion' * is_both}; jobs follow the pointers; "
        f"run {commands}, then both agree"
    )


def _held(versions: tuple[ModelVersion, ...], alias: str) -> str | None:
    return next((one.bundle_id for one in versions if alias in one.aliases), None)


def _moment(now: datetime) -> str:
    return f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

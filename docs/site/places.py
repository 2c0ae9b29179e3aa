"""Walks through the code by file and function, and where things are.

A place is a dotted name, such as `features.kernel.ring.evict`. It is looked up in the source, so a place that moved or
was renamed is an error here and not a wrong line on a page.
"""

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

from docs.site.markdown import code, notice, table

ROOT = Path(__file__).parents[2]


class Step(NamedTuple):
    """One step of a walk. `place` may be empty where a library does it."""

    place: str
    does: str


class Question(NamedTuple):
    """Something that a reader looks for, with the places that answer it, the first one first."""

    where: str
    places: tuple[str, ...]
    note: str = ""


def file_of(place: str) -> tuple[str, str]:
    """Return the file that defines a place, and the name within it; imports are followed.

    Raises LookupError if there is none.
    """
    names = place.split(".")
    for k in range(len(names), 0, -1):
        stem = ROOT.joinpath(*names[:k])
        for file in (stem.with_suffix(".py"), stem / "__init__.py"):
            if file.is_file():
                return _found(place, file, names[k:])
    raise LookupError(f"{place} is in no file of the code")


def _found(place: str, file: Path, names: list[str]) -> tuple[str, str]:
    """Return where a module has the names, each within the one before it."""
    body = _body(file)
    for k, name in enumerate(names):
        if k == 0 and (origin := _imported(body).get(name)):
            return file_of(".".join((origin, *names[1:])))
        if name not in (defined := _defined(body)):
            raise LookupError(f"{place}: {file.relative_to(ROOT)} has no {'.'.join(names)}")
        body = getattr(defined[name], "body", [])
    return str(file.relative_to(ROOT)), ".".join(names)


@cache
def _body(file: Path) -> list[ast.stmt]:
    return ast.parse(file.read_text()).body


def _imported(body: list[ast.stmt]) -> dict[str, str]:
    """Return the dotted name from which each imported name comes."""
    return {
        each.asname or each.name: f"{node.module}.{each.name}"
        for node in body
        if isinstance(node, ast.ImportFrom) and node.module
        for each in node.names
    }


def _defined(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Return the functions, classes and values that statements define."""
    definitions: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            definitions[node.name] = node
        elif isinstance(node, ast.Assign):
            definitions |= {each.id: node for each in node.targets if isinstance(each, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            definitions[node.target.id] = node
    return definitions


def page() -> str:
    """Return docs/walks.md."""
    return notice("docs/site/places.py") + TEXT.format(
        message=_walk(MESSAGE), row=_walk(ROW), request=_walk(REQUEST), questions=_questions()
    )


def _walk(steps: tuple[Step, ...]) -> str:
    rows = []
    for number, step in enumerate(steps, 1):
        file, name = file_of(step.place) if step.place else ("", "")
        rows.append((str(number), code(file), code(name), step.does))
    return table(("", "file", "function", "what happens"), rows)


def _questions() -> str:
    rows = []
    for each in QUESTIONS:
        places = (file_of(place) for place in each.places)
        where = "; ".join(f"`{file}`: `{name}`" if name else f"`{file}`" for file, name in places)
        rows.append((each.where, where, each.note))
    return table(("where is ...", "file: function", ""), rows)


MESSAGE = (
    Step("pipeline.job.graph.stream", "The Beam graph is one expression: messages, decode, assess, send."),
    Step(
        "pipeline.job.source.PullMessages",
        "Pulls a batch from the subscription and gives it a ticket, by which it is acknowledged. On Dataflow "
        "Beam's own reader and `Gather` do this.",
    ),
    Step(
        "pipeline.job.translate.decode",
        "Turns bodies into typed events; a message that gives none is a reject.",
    ),
    Step(
        "features.events.decode_all", "Decodes all bodies of an event type at once, by the use case's schema."
    ),
    Step(
        "features.events.make_batch",
        "Lays the events out as arrays, with the record that each one belongs to.",
    ),
    Step(
        "pipeline.engine.assess.assess",
        "Reads, advances, scores, decides and commits; repeats what lost a race.",
    ),
    Step(
        "pipeline.engine.unit_of_work.UnitOfWork.read", "Reads the records of all entities in one round trip."
    ),
    Step(
        "features.advance.advance_subject",
        "Advances the subject's records first, since they say which events are new.",
    ),
    Step(
        "pipeline.owners.asking.RecordOwners.ask",
        "Has other workers fold the events of merchants or devices whose records they own, if there are such workers.",
    ),
    Step("features.kernel.advance", "Folds each event into its record and reads its raw features, compiled."),
    Step("features.vector.vectors", "Combines raw features by the declared formulas into float32 vectors."),
    Step("export.onnx.Scorer.score", "Scores the new events in one call of ONNX Runtime."),
    Step("export.policy.decide", "Walks the state machine: level, recommendation, override."),
    Step(
        "pipeline.engine.unit_of_work.UnitOfWork.commit",
        "Writes the records by compare-and-set, the subjects last.",
    ),
    Step("pipeline.job.translate.encode", "Makes rows, alerts and dead letters of the assessments."),
    Step(
        "pipeline.job.sinks.Sinks.send",
        "Begins to append rows to BigQuery and to publish alerts and dead letters; none waits for another.",
    ),
    Step(
        "pipeline.job.deliveries.Deliveries.follow",
        "Acknowledges the batch once all of that is delivered, whatever other batches wait for.",
    ),
)
ROW = (
    Step(
        "training.data.files.read_all",
        "Reads CSV, JSONL, Parquet or BigQuery through the use case's decoder, in event-time order.",
    ),
    Step("training.data.cleaning.clean", "Leaves out the rows that the use case declares, and counts them."),
    Step(
        "training.train.train",
        "Runs the rest for `riskstream train` and `riskstream demo`: bundle, report, registry.",
    ),
    Step("training.steps.check_sections", "Refuses a wrong `model` or `policy` before the long part."),
    Step("features.replay.replay", "Runs the history through the stream's kernel, in event-time order."),
    Step(
        "training.data.labelled_rows.collect", "Keeps the scored events whose label is known, each one once."
    ),
    Step(
        "training.build_bundle.build_bundle", "Splits, selects, converts and measures a model; saves nothing."
    ),
    Step("training.data.splits.split_rows", "Sets customers and the latest period apart."),
    Step(
        "training.models.selection.select_model",
        "Compares the learners by cross-validation over customers, fits the best one, calibrates it.",
    ),
    Step("export.onnx.convert", "Converts the fitted model to ONNX."),
    Step("export.onnx.parity", "Refuses a converted model that differs from the fitted one."),
    Step(
        "training.policy.thresholds.choose", "Chooses the thresholds of the levels by the declared targets."
    ),
    Step(
        "training.evaluation.evaluate.evaluate", "Measures on customers that the model has not learned from."
    ),
    Step("training.champion.gates.judge", "Checks the gates on what was measured."),
    Step("training.report.page.page", "Draws the report as one HTML file."),
    Step("export.bundle.save", "Writes the bundle's folder: model, manifest, reference distributions."),
    Step("training.steps.register", "Records bundle, report, figures, trials and failed gates in MLflow."),
    Step("training.steps.apply_verdict", "Promotes the version, or rejects it with the reason."),
    Step("export.bundle.promote", "Moves the pointer, so that jobs and services load the bundle."),
)
REQUEST = (
    Step("serving.http.middleware.Observed", "Counts the request and bounds how many are in flight."),
    Step("serving.http.audited.Audited", "Opens the record of the audit trail."),
    Step("serving.http.guard.AccessGuard", "Checks token and role before the body is used."),
    Step("serving.api.event_in", "Decodes the event in the request's body."),
    Step(
        "serving.service.Service.publish",
        "Publishes the event to the job's topic and waits until Pub/Sub has it.",
    ),
    Step("serving.batching.Batcher", "Collects requests that wait at the same time into one batch."),
    Step("serving.service.Service.assess", "Calls the job's engine."),
    Step("pipeline.engine.assess.assess", "As for a message: read, advance, score, decide, commit."),
    Step("serving.responses.assessment", "Makes the answer: score, level, transition, reasons."),
)
QUESTIONS = (
    Question(
        "an event evicted from the ring, or a window's far end cut off",
        ("features.kernel.ring.evict", "features.kernel.buckets.expired"),
        "`evict` moves the oldest events into tiles; `expired` says which tiles no window reaches any more. The rule "
        "is in [semantics](semantics.md#which-events-a-window-counts).",
    ),
    Question(
        "an alert's body built",
        ("pipeline.outputs.publications.alerts", "pipeline.outputs.publications.Alert"),
    ),
    Question("a dead letter built", ("pipeline.outputs.publications.dead_letter",)),
    Question("a row of `assessments` built", ("pipeline.outputs.rows.assessment_rows",)),
    Question("a column of a table declared", ("pipeline.bigquery.schemas",), "[Tables](reference/tables.md)"),
    Question("a duplicate recognised", ("features.kernel.ring.find",)),
    Question(
        "an event called too late",
        ("features.kernel.ring.is_too_late", "features.kernel.forgetting.is_too_old"),
    ),
    Question(
        "a record forgotten", ("features.kernel.forgetting.is_over", "features.usecase.expiry.expiries_ms")
    ),
    Question("the layout of a record", ("features.kernel.header", "features.kernel.codec")),
    Question(
        "a statistic computed", ("features.kernel.statistics",), "[How to add one](extend/statistic.md)"
    ),
    Question("a ratio or difference computed", ("features.vector.vectors",)),
    Question("a use case parsed", ("features.usecase.file", "features.usecase.aggregates")),
    Question("a field's type", ("features.usecase.schema.Kind",), "[How to add one](extend/field-type.md)"),
    Question("the compare-and-set script", ("pipeline.stores.redis_scripts",)),
    Question("a damaged store noticed", ("pipeline.stores.guard", "pipeline.stores.readiness")),
    Question("a level raised or lowered", ("export.policy.rules", "export.policy.tables.LEVELS")),
    Question("a reason for a score made", ("export.reasons.reasons",)),
    Question("a new model loaded by a running job", ("pipeline.engine.live_model",)),
    Question("a metric named", ("pipeline.runtime.metrics.METRICS",), "[Metrics](reference/metrics.md)"),
    Question("an error's meaning", ("features.errors",), "The whole family stands in one docstring."),
    Question("an exit code", ("commands.errors.EXITS",), "[Command line](reference/cli.md)"),
    Question("a role of the REST service", ("serving.auth.roles",)),
    Question("the log rebuilt and compared", ("pipeline.reconciliation.reconcile.reconcile",)),
    Question("a gate for a new model", ("training.champion.gates",)),
)
TEXT = """# Walks through the code

Three walks by file and function, and a list of where things are. Search this page, or the site, for a word.

## One message

![The walk of one message](pictures/message.svg)

{message}
Steps 2 to 16 follow one another for each batch. The batch is acknowledged, step 17, when its last row, alert and dead
letter is delivered; meanwhile the next batches go on ([decision 0034](decisions/0034-nothing-waits-for-rows.md)). While
full batches wait that share few customers, the next one is already read and scored while this one is committed
([decision 0040](decisions/0040-a-batch-is-prepared-while-the-one-before-it-is-committed.md)). A
crash before the commit repeats the work; a crash after it finds the events counted, returns the original outcomes and
sends rows and alerts again
([semantics](semantics.md#once-however-often-it-comes)).

## One training row

![The walk of one training row](pictures/row.svg)

{row}
## One request

![The walk of one request](pictures/request.svg)

{request}
The job receives the published event too, finds it counted, and writes its row and its alert.

## Where is it?

{questions}"""

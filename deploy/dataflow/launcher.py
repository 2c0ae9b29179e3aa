"""The program of a Flex Template's image that builds the graph: `FLEX_TEMPLATE_PYTHON_PY_FILE` names this file.

Dataflow hands over the template's parameters (metadata.json) and Beam's own options, all as --name=value. Looks at
everything first, as `riskstream launch` does: here from inside of the network, so Redis is looked at too.
"""

import sys
from collections.abc import Sequence

import apache_beam as beam

from deploy.dataflow.template import PARAMETERS
from export import storage
from pipeline.dataflow.plan import job_of, own_labels
from pipeline.dataflow.settings import FORMER_KEYS, TemplateSettings
from pipeline.job.beam_options import DATAFLOW, beam_options
from pipeline.job.graph import stream
from pipeline.job.preflight import check, note_start
from pipeline.runtime.errors import BadSettings
from pipeline.runtime.settings import Declared, declared

TRUTH = {"true": True, "false": False}


def launch(arguments: Sequence[str]) -> None:
    """Builds the graph and hands it to the runner. Raises BadSettings, BadUseCase, CannotStart."""
    settings, beam_args = parted(arguments)
    job = job_of(TemplateSettings.resolved(settings, None))
    check(job)
    note_start(job)
    labels = [f"--labels={key}={value}" for key, value in own_labels(job.use_case).items()]
    storage.without_credentials()
    pipeline = beam.Pipeline(options=beam_options([f"--runner={DATAFLOW}", *beam_args, *labels]))
    stream(pipeline, job, DATAFLOW)
    pipeline.run()


def parted(arguments: Sequence[str]) -> tuple[dict[str, object], list[str]]:
    """The template's own parameters, and what is Beam's; the project is told to both. Raises BadSettings."""
    known = {each.name: each for each in declared(TemplateSettings)}
    settings: dict[str, object] = {}
    beam_args = []
    for argument in arguments:
        name, _, value = argument.removeprefix("--").partition("=")
        if now := FORMER_KEYS.get(name):
            raise BadSettings(f"{name} is now {now}")
        if name in known and value:
            settings[name] = typed(known[name], value)
        if name not in {each.name for each in PARAMETERS}:
            beam_args.append(argument)
    return settings, beam_args


def typed(parameter: Declared, text: str) -> object:
    """Parameters of a template are text."""
    try:
        if parameter.kind is bool:
            return TRUTH[text.lower()]
        return int(text) if parameter.kind is int else text
    except (KeyError, ValueError):
        wanted = "true or false" if parameter.kind is bool else "a number"
        raise BadSettings(f"{parameter.name}: found {text!r}, expected {wanted}") from None


if __name__ == "__main__":
    launch(sys.argv[1:])

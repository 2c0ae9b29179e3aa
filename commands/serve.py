"""The REST service: serve."""

import typer

from commands.flags import with_settings
from commands.options import OFFBOARDING, UseCase, examples
from serving.settings import AccessSettings, ServiceSettings

app = typer.Typer()


@app.command(
    epilog=examples(
        "riskstream serve",
        "riskstream serve --port 8000 --metrics-port 9464",
        "riskstream serve --host 0.0.0.0 --root-path /ai --issuer https://accounts.google.com "
        "--audience https://bank.example/ai/ --caller-emails payments@bank.example=scorer,ann@bank.example=analyst",
    )
)
@with_settings
def serve(settings: ServiceSettings, access: AccessSettings, use_case: UseCase = OFFBOARDING) -> None:
    """Answer over HTTP: assess an event, score one without storing it, show a customer.

    An event is first published to the topic and then assessed in Redis, as the streaming job does it; the job finds it
    counted, and writes its row and its alert. So run a job beside the service. An event that is sent twice is counted
    once. The service ends on SIGTERM and Ctrl-C, once all requests in flight are answered.

    \b
    POST /v1/events/transaction   assess an event
    POST /v1/scores/transaction   score an event, store nothing
    GET  /v1/customers/ID         show a customer's level, score and reasons
    GET  /docs                    all routes and their fields
    GET  /health/ready, /health/parts   the state of the service and its parts
    """
    from features.usecase import load
    from serving.auth.access import Access
    from serving.configuration import Configuration
    from serving.server import run

    configuration = Configuration(
        use_case=load(use_case), access=Access.from_settings(access), **vars(settings)
    )
    configuration.demand_protection()
    run(configuration)

"""Pictures of the whole: the three programs, the way to a job on Google Cloud, and the way of a release."""

from docs.site.flow import Arrow, Grid, Node, flow

SYSTEM = "system"


def programs() -> str:
    """Return docs/pictures/programs.svg: the job, training and the REST service, and what passes between them."""
    nodes = {
        "bank": Node("the bank's systems", 0, 0, SYSTEM),
        "events": Node("Pub/Sub:\nevents", 1.1, 0, SYSTEM),
        "job": Node("job\nriskstream run", 2.5, 0),
        "log": Node("BigQuery: log,\ndead letters", 3.7, 0, SYSTEM),
        "alerts": Node("Pub/Sub: alerts,\ndead letters", 3.7, 1.2, SYSTEM),
        "records": Node("Redis:\nrecords", 2.1, 1.2, SYSTEM),
        "callers": Node("services that wait,\nanalysts", 0, 2.4, SYSTEM),
        "service": Node("REST service\nriskstream serve", 1.1, 2.4),
        "history": Node("history", 0, 3.6, SYSTEM),
        "training": Node("training\nriskstream train", 1.1, 3.6),
        "bundles": Node("bundles: model,\nthresholds", 3.2, 2.4, SYSTEM),
    }
    arrows = (
        Arrow("bank", "events"),
        Arrow("events", "job", "acknowledge last", both_ways=True),
        Arrow("job", "records", "compare and set", both_ways=True),
        Arrow("job", "log"),
        Arrow("job", "alerts"),
        Arrow("callers", "service", both_ways=True),
        Arrow("service", "events", "each event, first"),
        Arrow("service", "records", "the same engine", both_ways=True),
        Arrow("history", "training"),
        Arrow("training", "bundles", "replay, learn, judge"),
        Arrow("bundles", "service", "hot swap"),
        Arrow("bundles", "job", "hot swap"),
    )
    return flow("The three programs of riskstream", nodes, arrows, Grid(column=200, row=66))


def deploy() -> str:
    """Return docs/pictures/deploy.svg: what a launch on Dataflow is made of."""
    nodes = {
        "terraform": Node("terraform", 0, 0),
        "image": Node("worker image", 0, 1),
        "history": Node("history", 0, 2, SYSTEM),
        "environment": Node("environment file", 1, 0.5, SYSTEM),
        "bundle": Node("gs:// bundles", 1, 1.5, SYSTEM),
        "redis": Node("Memorystore", 1.5, 2.9, SYSTEM),
        "launch": Node("riskstream launch:\nchecks, plan, submit", 2.1, 1),
        "job": Node("job on Dataflow", 3.2, 1),
        "service": Node("REST service:\npods of GKE Autopilot", 3.2, 2.9),
    }
    arrows = (
        Arrow("terraform", "environment", "outputs"),
        Arrow("image", "environment"),
        Arrow("history", "bundle", "train"),
        Arrow("history", "redis", "backfill"),
        Arrow("environment", "launch"),
        Arrow("bundle", "launch"),
        Arrow("launch", "job", "or update"),
        Arrow("job", "redis", both_ways=True),
        Arrow("service", "redis", both_ways=True),
        Arrow("service", "job", "events"),
    )
    return flow("From an empty project to a running job", nodes, arrows, Grid(column=210, row=70))


def release() -> str:
    """Return docs/pictures/release.svg: the stages of a release, and where it stops by itself."""
    nodes = {
        "change": Node("change: lint, tests,\nimages built and scanned", 0, 0),
        "build": Node("build once, by digest:\nSBOM, provenance, push", 1, 0),
        "dev": Node("dev: update job and\nservice; signs of life", 2, 0),
        "staging": Node("staging: update,\nreplay traffic", 3, 0),
        "reconcile": Node("log, records, vectors:\nequal to the bit?", 3, 1),
        "approve": Node("a person approves", 2, 1, SYSTEM),
        "stop": Node("stopped", 3, 2, SYSTEM),
        "update": Node("production:\nupdate the job in place", 1, 1),
        "parallel": Node("production: second job\nbeside it, then take over", 1, 2),
        "canary": Node("REST service: a tenth\nfor 10 minutes", 0, 1),
        "running": Node("running", 0, 2, SYSTEM),
        "rollback": Node("rollback: model, job\nor service", 0, 3),
    }
    arrows = (
        Arrow("change", "build"),
        Arrow("build", "dev"),
        Arrow("dev", "staging"),
        Arrow("staging", "reconcile"),
        Arrow("reconcile", "approve", "yes"),
        Arrow("reconcile", "stop", "no"),
        Arrow("approve", "update"),
        Arrow("approve", "parallel"),
        Arrow("update", "canary"),
        Arrow("canary", "running", "no worse"),
        Arrow("parallel", "running"),
        Arrow("running", "rollback"),
    )
    return flow("The way of a release", nodes, arrows, Grid(column=222, row=84, width=176, height=48))

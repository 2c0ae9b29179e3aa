"""metadata.json, made from the settings of a job, and the commands that build and run the template: `make template`."""

import json
from pathlib import Path
from typing import Any

from pipeline.dataflow.settings import TemplateSettings
from pipeline.runtime.settings import Declared, declared

METADATA = Path(__file__).with_name("metadata.json")
TYPES: dict[object, str] = {bool: "BOOLEAN", int: "NUMBER", str: "TEXT"}
SPECIAL_TYPES = {
    "subscription": "PUBSUB_SUBSCRIPTION",
    "alerts_topic": "PUBSUB_TOPIC",
    "dead_letters_topic": "PUBSUB_TOPIC",
    "bundle": "GCS_READ_FOLDER",
}
# Dataflow itself passes the project on.
PARAMETERS = tuple(each for each in declared(TemplateSettings) if each.name != "project")
BUILD = """gcloud dataflow flex-template build gs://BUCKET/templates/riskstream.json \\
  --image REGION-docker.pkg.dev/PROJECT/riskstream/worker:VERSION --sdk-language PYTHON \\
  --metadata-file deploy/dataflow/metadata.json"""
RUN = """gcloud dataflow flex-template run riskstream-offboarding \\
  --template-file-gcs-location gs://BUCKET/templates/riskstream.json --project PROJECT --region REGION \\
  --service-account-email WORKER --subnetwork regions/REGION/subnetworks/SUBNETWORK --disable-public-ips \\
  --worker-machine-type n2-standard-4 --num-workers 2 --max-workers 20 --enable-streaming-engine \\
  --staging-location gs://BUCKET/dataflow/staging --temp-location gs://BUCKET/dataflow/temp \\
  --additional-experiments streaming_mode_at_least_once \\
  --parameters sdk_container_image=REGION-docker.pkg.dev/PROJECT/riskstream/worker:VERSION,bundle=gs://BUCKET/bundles \\
  --parameters redis_url=rediss://HOST:PORT,redis_secret=projects/PROJECT/secrets/NAME"""


def metadata() -> dict[str, Any]:
    """Return the metadata that Dataflow shows and checks before it starts the launcher."""
    return {
        "name": "riskstream",
        "description": "Scores a bank's events from Pub/Sub: features in Memorystore, assessments to BigQuery, alerts "
        "to Pub/Sub.",
        "streaming": True,
        "supportsAtLeastOnce": True,
        "supportsExactlyOnce": True,
        "defaultStreamingMode": "AT_LEAST_ONCE",
        "parameters": [*map(parameter, PARAMETERS), IMAGE],
    }


IMAGE = {
    "name": "sdk_container_image",
    "label": "sdk container image",
    "helpText": "The worker image; the one that the template itself runs in will do.",
    "isOptional": False,
    "paramType": "TEXT",
}


def parameter(each: Declared) -> dict[str, Any]:
    """Return the entry of a setting in metadata.json."""
    entry = {
        "name": each.name,
        "label": each.name.replace("_", " "),
        "helpText": each.setting.help + (f" Default: {each.setting.usual}." if each.setting.usual else ""),
        "isOptional": not each.is_required,
        "paramType": SPECIAL_TYPES.get(each.name) or TYPES[each.kind],
    }
    if each.setting.pattern:
        optional = "" if each.is_required or each.default else "?"
        entry["regexes"] = [f"^(?:{each.setting.pattern}){optional}$"]
    if not each.is_required and each.default != "":
        entry["defaultValue"] = str(each.default).lower() if each.kind is bool else str(each.default)
    return entry


def text() -> str:
    return json.dumps(metadata(), indent=2) + "\n"


def main() -> None:
    METADATA.write_text(text())
    print(f"# wrote {METADATA}; with an image of deploy/images in the registry:\n{BUILD}\n{RUN}")


if __name__ == "__main__":
    main()

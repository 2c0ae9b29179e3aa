"""metadata.json, made from the settings of a job, and the commands that build and run the template: `make template`."""

import json
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from pipeline.dataflow.settings import JobSettings, is_required

METADATA = Path(__file__).with_name("metadata.json")
TYPES = {bool: "BOOLEAN", int: "NUMBER", str: "TEXT"}
SPECIAL_TYPES = {
    "subscription": "PUBSUB_SUBSCRIPTION",
    "alerts_topic": "PUBSUB_TOPIC",
    "dead_letters_topic": "PUBSUB_TOPIC",
    "bundle": "GCS_READ_FOLDER",
}
PARAMETERS = tuple(
    each for each in fields(JobSettings) if each.name != "project"
)  # Dataflow tells the project itself
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


def parameter(each: Field[Any]) -> dict[str, Any]:
    told = {
        "name": each.name,
        "label": each.name.replace("_", " "),
        "helpText": each.metadata["help"],
        "isOptional": not is_required(each),
        "paramType": SPECIAL_TYPES.get(each.name) or TYPES[each.type],
    }
    if each.metadata["pattern"]:
        told["regexes"] = [f"^(?:{each.metadata['pattern']})$"]
    if not is_required(each) and each.default != "":
        told["defaultValue"] = str(each.default).lower() if each.type is bool else str(each.default)
    return told


def text() -> str:
    return json.dumps(metadata(), indent=2) + "\n"


def main() -> None:
    METADATA.write_text(text())
    print(f"# wrote {METADATA}; with an image of deploy/images in the registry:\n{BUILD}\n{RUN}")


if __name__ == "__main__":
    main()

"""Terraform's files say what the code says: topics, tables, settings of a job, and who may do what."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest
from google.cloud import bigquery
from hcl2 import SerializationOptions

from deploy.terraform import FOLDER, declarations
from pipeline.bigquery import differences, schemas
from pipeline.pubsub import topics
from tests.deploy import manifests as cluster
from tests.test_readme import parse

ROOT = Path(__file__).parent.parent.parent
PLAIN = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)
LOCALS = re.compile(r"^locals \{\n.*?^\}\n", re.MULTILINE | re.DOTALL)
ROLE_ROW = re.compile(r"^\| `(\w+)` \| [^|]* \| `([\w.]+)` \|", re.MULTILINE)
needs_terraform = pytest.mark.skipif(not shutil.which("terraform"), reason="terraform is not installed")


def read(name: str) -> dict[str, Any]:
    with (FOLDER / name).open() as file:
        return hcl2.load(file, serialization_options=PLAIN)


def blocks(kind: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Type, name and body of each resource or data source, of all files."""
    for file in sorted(FOLDER.glob("*.tf")):
        for block in read(file.name).get(kind, []):
            for type, named in block.items():
                for name, body in named.items():
                    yield type, name, body


RESOURCES = {f"{type}.{name}": body for type, name, body in blocks("resource")}


def of_type(type: str) -> dict[str, dict[str, Any]]:
    return {name: body for name, body in RESOURCES.items() if name.startswith(f"{type}.")}


def block_of(file: str, head: str) -> str:
    """The text of one block, which begins with `head`."""
    return (FOLDER / file).read_text().partition(head)[2].partition("\n}\n")[0]


def local(file: str, name: str) -> Any:
    return next(block[name] for block in read(file)["locals"] if name in block)


@pytest.mark.parametrize("name", declarations())
def test_declarations_are_those_of_the_code(name: str) -> None:
    assert (FOLDER / name).read_text() == declarations()[name], f"{name} is behind: make declarations"


def test_tables_of_terraform_are_tables_that_a_job_accepts() -> None:
    declared = json.loads((FOLDER / "tables.json").read_text())["tables"]
    resource = RESOURCES["google_bigquery_table.tables"]
    assert resource["schema"] == "${jsonencode(each.value.schema)}"
    assert resource["clustering"] == "${each.value.clustered_by}"
    assert resource["time_partitioning"][0]["type"] == "DAY"
    assert resource["time_partitioning"][0]["field"] == "${each.value.day_of}"
    for name, table in schemas.TABLES.items():
        made = bigquery.Table(f"p.d.{name}", schema=declared[name]["schema"])
        made.time_partitioning = bigquery.TimePartitioning(field=declared[name]["day_of"])
        made.clustering_fields = declared[name]["clustered_by"]
        assert differences.missing_columns(made, differences.declaration(f"p.d.{name}", table), {}) == []


def test_every_table_has_its_retention() -> None:
    text = block_of("variables.tf", 'variable "retention_days"')
    assert set(re.findall(r"^    (\w+) += optional\(number", text, re.MULTILINE)) == set(schemas.TABLES)


def test_views_are_made_after_what_they_read() -> None:
    assert RESOURCES["google_bigquery_table.views"]["depends_on"] == ["${google_bigquery_table.tables}"]
    assert RESOURCES["google_bigquery_table.reports"]["depends_on"] == ["${google_bigquery_table.views}"]


@needs_terraform
def test_files_are_formatted() -> None:
    subprocess.run(["terraform", "fmt", "-check", "-diff", FOLDER], check=True, capture_output=True)


@needs_terraform
def test_topics_and_subscriptions_have_the_names_of_the_code(tmp_path: Path) -> None:
    """Terraform itself works the names out; what needs Google's provider is left out."""
    use_cases = ["offboarding", "card_fraud"]
    for name in ("variables.tf", "topics.json", "tables.json"):
        shutil.copy(FOLDER / name, tmp_path)
    found = [
        text for name in ("versions.tf", "pubsub.tf") for text in LOCALS.findall((FOLDER / name).read_text())
    ]
    output = 'output "streams" {\n  value = local.streams\n}\n'
    (tmp_path / "main.tf").write_text("\n".join([*found, output]))
    given = ["-var=project=p", "-var=environment=dev", f"-var=use_cases={json.dumps(use_cases)}"]
    for words in (["init", "-input=false"], ["apply", "-input=false", "-auto-approve", *given]):
        subprocess.run(["terraform", *words], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    told = subprocess.run(
        ["terraform", "output", "-json", "streams"], cwd=tmp_path, check=True, capture_output=True
    ).stdout
    expected = {}
    for names in (topics.Names("p", use_case) for use_case in use_cases):
        for topic in names.topics:
            expected[topics.short(topic)] = topics.short(names.reader(topic))
    assert {topic: each["subscription"] for topic, each in json.loads(told).items()} == expected


@needs_terraform
@pytest.mark.parametrize(("environment", "verbs"), [("production", {"retrain", "drift"}), ("dev", set())])
def test_jobs_by_the_clock_run_commands_that_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str, verbs: set[str]
) -> None:
    """Terraform itself works the words out of the example's values."""
    (declared,) = [
        text for text in LOCALS.findall((FOLDER / "batch.tf").read_text()) if "batch_jobs =" in text
    ]
    output = "value = { for verb, job in local.scheduled : verb => job.words }"
    (tmp_path / "main.tf").write_text(f'{declared}output "words" {{\n  {output}\n}}\n')
    shutil.copy(FOLDER / "variables.tf", tmp_path)
    given = f"-var-file={FOLDER / environment}.tfvars.example"
    for words in (["init", "-input=false"], ["apply", "-input=false", "-auto-approve", given]):
        subprocess.run(["terraform", *words], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    words = ["terraform", "output", "-json", "words"]
    told = json.loads(subprocess.run(words, cwd=tmp_path, check=True, capture_output=True).stdout)
    assert {verb: words[0] for verb, words in told.items()} == {verb: verb for verb in verbs}
    for words in told.values():
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")  # as in batch_environment
        monkeypatch.chdir(ROOT)
        parse(words)
    image = RESOURCES["google_cloud_run_v2_job.scheduled"]["template"][0]["template"][0]["containers"][0]
    assert image["args"] == "${each.value.words}"


def test_subscriptions_keep_what_nobody_has_read() -> None:
    for name, body in of_type("google_pubsub_subscription").items():
        assert body["expiration_policy"][0]["ttl"] == "", name
        assert body["message_retention_duration"] == "${local.retention}", name
        assert body["ack_deadline_seconds"] == "${local.topics.ack_deadline_s}", name
    assert local("pubsub.tf", "retention") == "${local.topics.retention_s}s"


def test_subscriptions_of_events_keep_order_where_that_is_asked_for() -> None:
    """Subscriptions are those of `riskstream topics --ordered`; alerts and dead letters have no ordering keys."""
    assert RESOURCES["google_pubsub_subscription.streams"]["enable_message_ordering"] == (
        '${var.keep_order && each.value.role == "events"}'
    )
    assert RESOURCES["google_pubsub_subscription.next"]["enable_message_ordering"] == "${var.keep_order}"
    assert "default     = false" in block_of("variables.tf", 'variable "keep_order"')


def test_only_alerts_are_given_up_after_too_many_deliveries() -> None:
    """Events wait for Redis as long as it takes."""
    policies = RESOURCES["google_pubsub_subscription.streams"]["dynamic"]
    found = next(each["dead_letter_policy"] for each in policies if "dead_letter_policy" in each)
    assert 'each.value.role == "alerts"' in found["for_each"]


def test_redis_forgets_nobody_and_lets_nobody_in() -> None:
    redis = RESOURCES["google_redis_instance.records"]
    assert redis["tier"] == "STANDARD_HA"
    assert redis["auth_enabled"] is True
    assert redis["transit_encryption_mode"] == "SERVER_AUTHENTICATION"
    assert redis["redis_configs"] == {"maxmemory-policy": "noeviction"}
    assert "google_monitoring_alert_policy.redis_memory" in RESOURCES


def test_buckets_are_closed() -> None:
    buckets = of_type("google_storage_bucket")
    assert buckets
    for name, body in buckets.items():
        assert body["public_access_prevention"] == "enforced", name
        assert body["uniform_bucket_level_access"] is True, name
        assert body["force_destroy"] is False, name


def granted() -> set[tuple[str, str]]:
    """Account and role: of the tables of accounts.tf, and of the grants written out one by one."""
    listed = {
        (account, role)
        for name, roles in read_locals("accounts.tf").items()
        if name.endswith("_roles")
        for account, each in roles.items()
        for role in each
    }
    alone = {
        (account[1], body["role"])
        for name, body in RESOURCES.items()
        if "iam_member" in name
        and (account := re.search(r'accounts\["(\w+)"\]\.member', body["member"]))
        and body["role"].startswith("roles/")
    }
    return listed | alone


def read_locals(file: str) -> dict[str, Any]:
    return {name: value for block in read(file)["locals"] for name, value in block.items()}


def test_the_documents_say_who_may_do_what() -> None:
    text = (ROOT / "docs/infrastructure.md").read_text()
    assert {(account, f"roles/{role}") for account, role in ROLE_ROW.findall(text)} == granted()


def test_nobody_has_a_key_or_a_whole_project() -> None:
    assert {role for _, role in granted()} & {"roles/owner", "roles/editor", "roles/viewer"} == set()
    assert not of_type("google_service_account_key")
    accounts = set(local("accounts.tf", "accounts"))
    assert {account for account, _ in granted()} <= accounts


def test_what_a_job_is_told_are_settings_of_a_job() -> None:
    settings = pytest.importorskip("pipeline.dataflow.settings", reason="there is no launch yet")
    from dataclasses import fields

    known = {each.name for each in fields(settings.DataflowSettings)}
    text = block_of("outputs.tf", 'output "job_environments"')
    told = set(re.findall(r"^      (\w+) +=", text, re.MULTILINE))
    assert {"project", "region", "bundle", "redis_url", "service_account", "subnetwork"} <= told <= known


SERVING = {
    name: body for name, body in RESOURCES.items() if body.get("for_each") == "${local.serves}"
}  # what there is only with a REST service


def test_the_cluster_is_private_and_pods_have_identities_of_their_own() -> None:
    made = RESOURCES["google_container_cluster.riskstream"]
    assert made["enable_autopilot"] is True
    assert made["deletion_protection"] is True
    assert made["private_cluster_config"][0]["enable_private_nodes"] is True
    assert made["control_plane_endpoints_config"][0]["ip_endpoints_config"][0]["enabled"] is False
    assert made["release_channel"][0]["channel"] == "REGULAR"
    assert made["gateway_api_config"][0]["channel"] == "CHANNEL_STANDARD"
    (nodes,) = made["cluster_autoscaling"][0]["auto_provisioning_defaults"]
    assert nodes["service_account"] == '${google_service_account.accounts["nodes"].email}'


@pytest.mark.parametrize("overlay", cluster.OVERLAYS)
def test_the_pods_of_the_service_are_who_terraform_lets_them_be(overlay: str) -> None:
    account = cluster.only(overlay, "ServiceAccount")["metadata"]
    bound = RESOURCES["google_service_account_iam_member.serving"]
    assert bound["member"].endswith(f".svc.id.goog[{account['namespace']}/{account['name']}]")
    assert bound["role"] == "roles/iam.workloadIdentityUser"
    name = account["annotations"]["iam.gke.io/gcp-service-account"].partition("@")[0]
    assert (
        bound["service_account_id"]
        == f'${{google_service_account.accounts["{name[len("riskstream-") :]}"].name}}'
    )


def test_what_the_gateway_names_is_made() -> None:
    overlay = "production"
    gateway = cluster.only(overlay, "Gateway")
    (address,) = gateway["spec"]["addresses"]
    policy = cluster.of_track(overlay, "GCPBackendPolicy", "stable")["spec"]["default"]
    tls = cluster.only(overlay, "GCPGatewayPolicy")["spec"]["default"]
    named = {
        "google_compute_global_address": address["value"],
        "google_certificate_manager_certificate_map": gateway["metadata"]["annotations"][
            "networking.gke.io/certmap"
        ],
        "google_compute_security_policy": policy["securityPolicy"],
        "google_compute_ssl_policy": tls["sslPolicy"],
    }
    assert {kind: SERVING[f"{kind}.serving"]["name"] for kind in named} == named
    example = (FOLDER / f"{overlay}.tfvars.example").read_text()
    (host,) = cluster.only(overlay, "HTTPRoute")["spec"]["hostnames"]
    assert f'host = "{host}"' in example


def test_nobody_asks_without_end_and_health_is_not_for_everybody() -> None:
    rules = {rule["action"]: rule for rule in RESOURCES["google_compute_security_policy.serving"]["rule"]}
    (limit,) = rules["throttle"]["rate_limit_options"]
    assert (limit["enforce_on_key"], limit["exceed_action"]) == ("IP", "deny(429)")
    (prefix,) = cluster.only("production", "HTTPRoute")["spec"]["rules"][0]["matches"]
    expression = rules["deny(404)"]["match"][0]["expr"][0]["expression"]
    assert f"'{prefix['path']['value']}/health'" in expression
    assert rules["deny(404)"]["priority"] < rules["throttle"]["priority"] < rules["allow"]["priority"]


def test_the_service_publishes_events_appends_its_audit_trail_and_reads_bundles_and_nothing_else() -> None:
    assert {role for account, role in granted() if account == "serving"} == {
        "roles/bigquery.dataEditor",
        "roles/pubsub.publisher",
        "roles/pubsub.viewer",
        "roles/storage.objectViewer",
        "roles/secretmanager.secretAccessor",
    }
    for name in ("serving", "looks"):
        body = RESOURCES[f"google_pubsub_topic_iam_member.{name}"]
        assert body["for_each"] == '${var.serving == null ? {} : local.of_role["events"]}'
    assert RESOURCES["google_bigquery_table_iam_member.audit"]["table_id"].endswith('["audit"].table_id}')


def test_what_the_service_is_told_is_what_its_pods_read() -> None:
    text = block_of("outputs.tf", 'output "serving_environments"')
    told = set(re.findall(r"^      ([A-Z_]+) +=", text, re.MULTILINE))
    by_hand = {"RISKSTREAM_ISSUER", "RISKSTREAM_AUDIENCE", "RISKSTREAM_CALLER_EMAILS"}
    for overlay in cluster.OVERLAYS:
        assert set(cluster.settings(overlay)) == told | by_hand

"""The REST service in Kubernetes: pods may do little, names, ports and paths exist, stages agree with their jobs.

kubernetes-validate has the schemas of Kubernetes itself; of what Google and the Gateway API add, only references are
followed here.
"""

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from pipeline.runtime.metrics import IN_FLIGHT
from serving.http.problems import DEADLINE_S
from serving.server import END_S, KEEP_ALIVE_S
from tests.deploy.manifests import (
    OVERLAYS,
    ROOT,
    SERVING,
    TRACKS,
    container,
    flags,
    of_track,
    only,
    rendered,
    settings,
)
from tests.deploy.test_batch_jobs import VERSION, named, pods
from tests.test_readme import parse

FOREIGN = ("gateway.networking.k8s.io/", "networking.gke.io/", "monitoring.googleapis.com/")
FRONT_ENDS = {"35.191.0.0/16", "130.211.0.0/22"}  # Google's proxies and health checks


@pytest.mark.parametrize("folder", sorted(path.parent for path in SERVING.glob("*/kustomization.yaml")))
def test_every_file_is_used(folder: Path) -> None:
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    used = {name for name in told["resources"] + told.get("configurations", []) if name.endswith(".yaml")}
    assert {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"} == used


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_applied_fits_the_schemas(overlay: str) -> None:
    own = [each for each in rendered(overlay) if not each["apiVersion"].startswith(FOREIGN)]
    assert {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"} <= {
        each["kind"] for each in own
    }
    for manifest in own:
        kubernetes_validate.validate(manifest, VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_may_do_little(overlay: str) -> None:
    (user,) = re.findall(
        r"^ARG USER_ID=(\d+)$", (ROOT / "deploy/images/Dockerfile").read_text(), re.MULTILINE
    )
    found = list(pods(rendered(overlay)))
    assert len(found) == len(TRACKS)
    for _, pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == int(user)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for each in pod["containers"]:
            assert each["securityContext"] == {
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {mount["mountPath"] for mount in each["volumeMounts"]} == {"/tmp"}
            assert {"requests", "limits"} <= set(each["resources"])
    labels = only(overlay, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_a_pod_runs_is_understood_and_listens_where_it_is_asked(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    values = settings(overlay)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    for deployment in named(rendered(overlay), "Deployment"):
        run = container(deployment)
        words = [values[word[2:-1]] if word.startswith("$(") else word for word in run["args"]]
        parse(words)
        told, ports = flags(words), {port["name"]: port["containerPort"] for port in run["ports"]}
        assert (int(told["--port"]), int(told["--metrics-port"])) == (ports["http"], ports["metrics"])
        assert told["--host"] == told["--metrics-host"] == "0.0.0.0"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_named_callers_are_let_in_by_the_address_of_the_gateway(overlay: str) -> None:
    (host,) = only(overlay, "HTTPRoute")["spec"]["hostnames"]
    values = settings(overlay)
    assert values["RISKSTREAM_AUDIENCE"] == f"https://{host}/ai/"
    assert values["RISKSTREAM_ISSUER"].startswith("https://")
    roles = {
        name.partition("@")[0]: role
        for name, _, role in (
            entry.rpartition("=") for entry in values["RISKSTREAM_CALLER_EMAILS"].split(",")
        )
    }
    assert roles == {"payments": "scorer", "riskstream-launcher": "viewer"}, "none has more than it needs"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_what_the_service_answers(overlay: str) -> None:
    routes = (ROOT / "serving/api.py").read_text()
    for deployment in named(rendered(overlay), "Deployment"):
        run = container(deployment)
        asked = {name: run[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
        assert {name: each["path"] for name, each in asked.items()} == {
            "startupProbe": "/health/live",
            "readinessProbe": "/health/ready",
            "livenessProbe": "/health/live",
        }
        assert {each["port"] for each in asked.values()} == {"http"}
    assert 'prefix="/health"' in routes and '"/live"' in routes and '"/ready"' in routes


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_that_ends_answers_what_it_has_been_asked(overlay: str) -> None:
    policy = of_track(overlay, "HealthCheckPolicy", "stable")["spec"]["default"]
    until_unseen = policy["checkIntervalSec"] * policy["unhealthyThreshold"]
    for _, pod in pods(rendered(overlay)):
        sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert sleep > until_unseen
        assert pod["terminationGracePeriodSeconds"] > sleep + END_S


def test_an_idle_connection_is_closed_by_the_gateway_first() -> None:
    """It keeps them for 600 s; a request on one that we have just closed would be answered with 502."""
    assert KEEP_ALIVE_S > 600


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("track", TRACKS)
def test_a_service_and_its_policies_are_of_one_track(overlay: str, track: str) -> None:
    deployment, service = of_track(overlay, "Deployment", track), of_track(overlay, "Service", track)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["selector"]["track"] == track
    (port,) = service["spec"]["ports"]
    ports = {each["name"]: each["containerPort"] for each in container(deployment)["ports"]}
    for spread in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
    for kind in ("HealthCheckPolicy", "GCPBackendPolicy"):
        target = of_track(overlay, kind, track)["spec"]["targetRef"]
        assert (target["kind"], target["name"]) == ("Service", service["metadata"]["name"])
    health = of_track(overlay, "HealthCheckPolicy", track)["spec"]["default"]
    assert health["config"]["httpHealthCheck"]["port"] == ports[port["targetPort"]]
    assert health["timeoutSec"] <= health["checkIntervalSec"], "Google refuses it otherwise"
    default = of_track(overlay, "GCPBackendPolicy", track)["spec"]["default"]
    assert default["timeoutSec"] > DEADLINE_S, (
        "the service tells more about what went wrong than the gateway does"
    )
    assert default["logging"] == {"enabled": False}, "paths name customers"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_gateway_takes_its_prefix_off_and_sends_everything_to_the_stable_track(overlay: str) -> None:
    gateway, route = only(overlay, "Gateway"), only(overlay, "HTTPRoute")["spec"]
    listeners = {each["name"]: each for each in gateway["spec"]["listeners"]}
    (parent,) = route["parentRefs"]
    assert parent["name"] == gateway["metadata"]["name"]
    assert listeners[parent["sectionName"]]["protocol"] == "HTTPS"
    assert len(listeners) == 1, "nothing listens without TLS"
    (rule,) = route["rules"]
    (match,) = rule["matches"]
    prefix = flags(container(of_track(overlay, "Deployment", "stable"))["args"])["--root-path"]
    assert match == {"path": {"type": "PathPrefix", "value": prefix}}
    rewritten = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
    assert rule["filters"] == [{"type": "URLRewrite", "urlRewrite": rewritten}]
    services = {track: of_track(overlay, "Service", track) for track in TRACKS}
    sent = {each["name"]: (each["port"], each["weight"]) for each in rule["backendRefs"]}
    assert sent == {
        services["stable"]["metadata"]["name"]: (services["stable"]["spec"]["ports"][0]["port"], 100),
        services["canary"]["metadata"]["name"]: (services["canary"]["spec"]["ports"][0]["port"], 0),
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_autoscaler_counts_requests_in_flight(overlay: str) -> None:
    scaler, budget = (
        only(overlay, "HorizontalPodAutoscaler")["spec"],
        only(overlay, "PodDisruptionBudget")["spec"],
    )
    stable, canary = (of_track(overlay, "Deployment", track) for track in TRACKS)
    assert scaler["scaleTargetRef"]["name"] == stable["metadata"]["name"]
    assert "replicas" not in stable["spec"], "applied again, it would undo what the autoscaler did"
    assert canary["spec"]["replicas"] == 0
    by_pods = [each["pods"]["metric"]["name"] for each in scaler["metrics"] if each["type"] == "Pods"]
    assert by_pods == [f"prometheus.googleapis.com|{IN_FLIGHT.prometheus}|gauge"]
    assert 1 <= scaler["minReplicas"] <= scaler["maxReplicas"]
    labels = stable["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert budget["selector"]["matchLabels"]["track"] == "stable"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_metrics_are_collected_with_the_track_they_are_of(overlay: str) -> None:
    monitoring = only(overlay, "PodMonitoring")["spec"]
    for metadata, pod in pods(rendered(overlay)):
        assert monitoring["selector"]["matchLabels"].items() <= metadata["labels"].items()
        ports = {each["name"] for each in pod["containers"][0]["ports"]}
        assert {each["port"] for each in monitoring["endpoints"]} <= ports
    assert {"from": "track", "to": "track"} in monitoring["targetLabels"]["fromPod"]
    assert "pod" in monitoring["targetLabels"]["metadata"], "the autoscaler's adapter tells pods apart by it"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_the_gateway_and_the_collectors_get_in(overlay: str) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in named(rendered(overlay), "NetworkPolicy")}
    for metadata, _ in pods(rendered(overlay)):
        for policy in policies.values():
            assert policy["podSelector"]["matchLabels"].items() <= metadata["labels"].items()
    gateway, collectors = policies["serving"]["ingress"]
    assert {each["ipBlock"]["cidr"] for each in gateway["from"]} == FRONT_ENDS
    assert [each["port"] for each in gateway["ports"]] == [8080]
    (source,) = collectors["from"]
    assert set(source["namespaceSelector"]["matchExpressions"][0]["values"]) == {
        "gmp-system",
        "gke-gmp-system",
    }
    assert [each["port"] for each in collectors["ports"]] == [9464]
    assert all({"to", "ports"} <= set(rule) for policy in policies.values() for rule in policy["egress"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_redis_is_where_the_network_lets_it_be(overlay: str) -> None:
    address = urlsplit(settings(overlay)["REDIS_URL"])
    policy = next(p for p in named(rendered(overlay), "NetworkPolicy") if p["metadata"]["name"] == "redis")
    (rule,) = policy["spec"]["egress"]
    (place,) = rule["to"]
    assert ip_address(address.hostname or "") in ip_network(place["ipBlock"]["cidr"])
    assert [each["port"] for each in rule["ports"]] == [address.port]
    assert address.scheme == "rediss" and not address.password


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_stage_serves_what_its_job_assesses(overlay: str) -> None:
    job = yaml.safe_load((ROOT / f"deploy/env/{overlay}.yaml").read_text())
    values = settings(overlay)
    told = {
        "project": values["GOOGLE_CLOUD_PROJECT"],
        "use_case": values["RISKSTREAM_USE_CASE"],
        "bundle": values["RISKSTREAM_BUNDLE"],
        "redis_url": values["REDIS_URL"],
        "redis_secret": values["RISKSTREAM_REDIS_SECRET"],
        "redis_ca_file": values["REDIS_CA_FILE"],
    }
    if overlay == "dev":  # its job's file is for a first try, on a Redis without TLS
        told = {name: told[name] for name in ("project", "use_case", "bundle")}
    assert {name: job[name] for name in told} == told
    for deployment in named(rendered(overlay), "Deployment"):
        assert ("--allow-empty-store" in container(deployment)["args"]) == job.get("allow_empty_store", False)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_identity_is_one_of_this_project(overlay: str) -> None:
    account = only(overlay, "ServiceAccount")
    project = settings(overlay)["GOOGLE_CLOUD_PROJECT"]
    name = account["metadata"]["name"]
    annotation = account["metadata"]["annotations"]["iam.gke.io/gcp-service-account"]
    assert annotation == f"{name}@{project}.iam.gserviceaccount.com"
    assert {pod["serviceAccountName"] for _, pod in pods(rendered(overlay))} == {name}
    images = {container(each)["image"] for each in named(rendered(overlay), "Deployment")}
    assert all(re.fullmatch(rf"\S+/{project}/riskstream/serving:\d\S+", image) for image in images)


@pytest.mark.parametrize(
    "file", ["docs/runbook.md", "docs/deploy.md", "deploy/ci/canary", "deploy/ci/serving"]
)
def test_what_people_and_scripts_ask_the_cluster_for_is_there(file: str) -> None:
    """KIND NAME and KIND/NAME after the namespace, as kubectl takes them."""
    made = {(each["kind"].lower(), each["metadata"]["name"]) for each in rendered("production")}
    text = (ROOT / file).read_text()
    lines = [line for line in text.splitlines() if re.search(r"kubectl --namespace|^\t?\$in_cluster", line)]
    found = re.findall(
        r"\b(deployment|httproute|horizontalpodautoscaler|gateway)[ /]([a-z][\w-]+)", "\n".join(lines)
    )
    assert lines and set(found) <= made
    assert set(re.findall(r"--namespace[ =](\S+?)[ \"]", "\n".join(lines))) <= {
        "riskstream-serving",
        "riskstream",
    }

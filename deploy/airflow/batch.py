"""Retraining and a look at drift in Airflow 3, instead of the CronJobs: a pod works, its exit code says what is next.

Exit codes of `riskstream retrain`: 0 promoted, 10 waits for approval, 11 rejected; of `riskstream drift`: 0 no drift,
12 drift. None of these is a failure and trying again would end the same, so the pod hands them on as its result; every
other code fails the task. Copy this file into the folder of DAGs and set the variables that it names.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.smtp.operators.smtp import EmailOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag, task
from kubernetes.client import models as k8s

CONFIGURATION = {  # environment of the pod, by Airflow variable
    "GOOGLE_CLOUD_PROJECT": "{{ var.value.riskstream_project }}",
    "RISKSTREAM_USE_CASE": "usecases/offboarding.yaml",
    "RISKSTREAM_BUNDLE": "{{ var.value.riskstream_bundle }}",
    "MLFLOW_TRACKING_URI": "{{ var.value.riskstream_mlflow_uri }}",
}
HISTORY = ["{{ var.value.riskstream_customers }}", "{{ var.value.riskstream_transactions }}"]
RETRAIN = ["retrain", *HISTORY, "--notify", "{{ var.value.riskstream_notify_url }}", "--json"]
DRIFT = ["drift", "--notify", "{{ var.value.riskstream_notify_url }}", "--json"]
RETRAINED = {0: "promoted", 10: "ask_for_approval", 11: "rejected"}  # task by exit code
LOOKED = {0: "steady", 12: "drifted"}
# Runs what follows, and hands on the codes that are no failures where Airflow looks for a pod's result.
KEEP_CODE = """
start riskstream "$@"; code=$?
case $code in 0|10|11|12) echo $code > /airflow/xcom/return.json; exit 0;; *) exit $code;; esac
"""
CAREFUL = k8s.V1SecurityContext(
    allow_privilege_escalation=False,
    read_only_root_filesystem=True,
    capabilities=k8s.V1Capabilities(drop=["ALL"]),
)
TEMPORARY = k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource(size_limit="4Gi"))


def pod(task_id: str, words: list[str], cpu: str, memory: str, longest: timedelta) -> KubernetesPodOperator:
    """A task that runs a verb of riskstream; its output is the exit code."""
    return KubernetesPodOperator(
        task_id=task_id,
        namespace="riskstream",
        name=words[0],
        image="{{ var.value.riskstream_training_image }}",
        cmds=["sh", "-c", KEEP_CODE, words[0]],
        arguments=words,
        env_vars=CONFIGURATION,
        service_account_name="riskstream-training",
        automount_service_account_token=False,
        labels={"app.kubernetes.io/component": "batch"},  # which the network policy is about
        container_resources=k8s.V1ResourceRequirements(
            requests={"cpu": cpu, "memory": memory}, limits={"memory": memory}
        ),
        security_context=k8s.V1PodSecurityContext(
            run_as_non_root=True, run_as_user=10001, run_as_group=10001, fs_group=10001,
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        container_security_context=CAREFUL,
        xcom_sidecar_container_security_context=CAREFUL,  # the namespace refuses pods without
        volumes=[TEMPORARY],
        volume_mounts=[k8s.V1VolumeMount(name="tmp", mount_path="/tmp")],
        do_xcom_push=True,
        get_logs=True,
        execution_timeout=longest,
        retries=1,  # for a service that could not be reached
        retry_delay=timedelta(minutes=30),
    )  # fmt: skip


def mail(task_id: str, subject: str, text: str) -> EmailOperator:
    return EmailOperator(
        task_id=task_id, to="{{ var.value.riskstream_approvers }}", subject=subject, html_content=text
    )


@dag(
    dag_id="riskstream_retrain",
    schedule="0 3 * * 1",
    start_date=datetime(2026, 1, 5, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
)
def retrain() -> None:
    """Train, then say what became of it."""
    train = pod("train", RETRAIN, "4", "16Gi", timedelta(hours=6))

    @task.branch
    def what_next(code: int) -> str:
        return RETRAINED[int(code)]

    ask = mail(
        task_id="ask_for_approval",
        subject="riskstream: a challenger waits for approval",
        text="It runs in shadow. <code>riskstream models</code> shows it, "
        "<code>riskstream approve</code> makes it the champion, with <code>--accept-gate</code> for each gate "
        "that it failed.",
    )
    decided = what_next(train.output)
    decided >> [EmptyOperator(task_id="promoted"), ask, EmptyOperator(task_id="rejected")]


@dag(
    dag_id="riskstream_drift",
    schedule="0 5 * * *",
    start_date=datetime(2026, 1, 5, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
)
def drift() -> None:
    """Compare the last week with what the model has learned from, then say whether it has drifted."""
    look = pod("look", DRIFT, "1", "2Gi", timedelta(hours=1))

    @task.branch
    def what_next(code: int) -> str:
        return LOOKED[int(code)]

    tell = mail(
        task_id="drifted",
        subject="riskstream: scores or features have drifted",
        text="The log of the task <code>look</code> has the figures; the runbook, under ScoreDrift, what to do.",
    )
    what_next(look.output) >> [EmptyOperator(task_id="steady"), tell]


retrain()
drift()

"""The signs of life that a release asks for, asked of a real service."""

import subprocess
import sys
from pathlib import Path

from serving.auth.access import Access
from serving.auth.roles import Role
from tests.pipeline.servers import free_port
from tests.serving.conftest import Serving
from tests.serving.test_access import AUDIENCE, CALLER, Provider, provider  # noqa: F401

ROOT = Path(__file__).parents[2]


def smoke(url: str, token: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.ci.smoke", url],
        cwd=ROOT, env={"SERVING_TOKEN": token}, capture_output=True, text=True,
    )  # fmt: skip


def test_a_service_that_answers_has_passed(serving: Serving, provider: Provider) -> None:  # noqa: F811
    with serving(access=Access(provider.issuer, AUDIENCE, {CALLER: Role.VIEWER}), root_path="/ai") as served:
        ended = smoke(served.url, provider.token())
        assert ended.returncode == 0, ended.stderr
        assert served.service.model_in_use().model in ended.stdout
        assert served.service.customer_status("smoke-test-nobody") is None, "nothing is kept"


def test_one_that_lets_everybody_in_or_nobody_has_not(serving: Serving, provider: Provider) -> None:  # noqa: F811
    with serving() as served:
        ended = smoke(served.url, "any")
        assert ended.returncode == 1
        assert "without a token: found 200, expected 401" in ended.stderr
    access = Access(provider.issuer, AUDIENCE, {"somebody@else.example": Role.ADMIN})
    with serving(access=access, port=free_port()) as served:
        ended = smoke(served.url, provider.token())
        assert ended.returncode == 1
        assert "GET /openapi.json: found 403, expected 200" in ended.stderr
    access = Access(provider.issuer, AUDIENCE, {CALLER: Role.ADMIN})
    with serving(access=access, port=free_port()) as served:
        ended = smoke(served.url, provider.token())
        assert ended.returncode == 1
        assert "by a viewer: found 422, expected 403" in ended.stderr, (
            "its account may do more than it should"
        )


def test_nobody_at_the_address_is_told_in_a_line() -> None:
    ended = smoke(f"http://127.0.0.1:{free_port()}", "any")
    assert ended.returncode == 1
    assert ended.stderr.startswith("smoke: ") and len(ended.stderr.splitlines()) == 1

"""A smoke test of a REST service at its public address: gateway, tokens, model, Redis. It stores nothing.

python3 -m deploy.ci.smoke https://prod.deblock.com/ai, with the bearer token of a viewer in SERVING_TOKEN. Ends in 1 if
it does not.
"""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TIMEOUT_S = 10.0
NOBODY = "smoke-test-nobody"  # no customer is called so


def ask(url: str, token: str = "", body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Status and JSON body. Raises OSError when nobody answers, ValueError when it is not JSON."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, headers), timeout=TIMEOUT_S) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def faults(url: str, token: str) -> Iterator[str]:
    """Return the faults: what was asked, what came, and what should have come."""
    status, document = ask(f"{url}/openapi.json", token)
    if status != 200:
        yield f"GET /openapi.json: found {status}, expected 200"
        return
    scored = next(path for path in document["paths"] if path.startswith("/v1/scores/"))
    model = ask(f"{url}/v1/model", token)
    asked = {
        "GET /v1/model without a token": (ask(f"{url}/v1/model")[0], 401),
        "GET /v1/model": (model[0], 200),
        f"GET /v1/customers/{NOBODY}, which reads Redis": (
            ask(f"{url}/v1/customers/{NOBODY}", token)[0],
            404,
        ),
        f"POST {scored} by a viewer": (ask(f"{url}{scored}", token, {})[0], 403),
    }
    print(json.dumps(model[1]))
    yield from (f"{what}: found {got}, expected {due}" for what, (got, due) in asked.items() if got != due)


if __name__ == "__main__":
    try:
        found = list(faults(sys.argv[1].rstrip("/"), os.environ["SERVING_TOKEN"]))
    except (OSError, ValueError) as error:
        found = [str(error)]
    sys.exit("\n".join(f"smoke: {each}" for each in found) or None)

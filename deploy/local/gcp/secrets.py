"""Secret Manager: secrets with one version each, read by name."""

import base64

from deploy.local.gcp.web import Answer, HttpRequest, RequestRefused, Route, as_json


class Secrets:
    """Secret values by projects/PROJECT/secrets/NAME."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        path = "/v1/projects/{project}/secrets/{name}/versions/{version}:access"
        self.routes = [Route("GET", path, self._access)]

    def _access(self, request: HttpRequest) -> Answer:
        name = f"projects/{request.path['project']}/secrets/{request.path['name']}"
        if name not in self.values or request.path["version"] not in ("latest", "1"):
            raise RequestRefused("NOT_FOUND", f"Secret [{name}] not found or has no versions.")
        data = base64.b64encode(self.values[name].encode()).decode()
        return as_json({"name": f"{name}/versions/1", "payload": {"data": data}})

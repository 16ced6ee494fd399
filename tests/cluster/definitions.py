"""CustomResourceDefinitions in a control plane, and requests to it about objects of their kinds."""

import json
import re
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPSConnection
from typing import Any

from appliance.api.kind import Kind
from appliance.api.schema import custom_resource_definition, served_kinds
from tests.cluster.control_plane import START_SECONDS, ControlPlane

Content = dict[str, Any]

NAMESPACE = "default"
APPLY = "application/apply-patch+yaml"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server answered, with its warnings."""

    status: int
    content: Content
    warnings: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[tuple[str, str], ...]:
        """Each field that is wrong, and why, without the value that was sent."""
        causes = self.content.get("details", {}).get("causes", ())
        return tuple((cause.get("field", ""), _without_value(cause.get("message", ""))) for cause in causes)


def _without_value(message: str) -> str:
    return re.sub(r'^Invalid value: ("(\\.|[^"\\])*": )?', "", message)


class Api:
    """Requests of an administrator, one after the other over one connection."""

    def __init__(self, control_plane: ControlPlane) -> None:
        user = json.loads(control_plane.kubeconfig.read_text())["users"][0]["user"]
        context = ssl.create_default_context(cafile=str(control_plane.certificate_authority))
        context.load_cert_chain(user["client-certificate"], user["client-key"])
        self.control_plane = control_plane
        self._connection = HTTPSConnection("127.0.0.1", control_plane.port, context=context, timeout=START_SECONDS)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def request(self, method: str, path: str, content: object = None, form: str = "application/json") -> Answer:
        """One request; `path` may have a query."""
        body = None if content is None else json.dumps(content).encode()
        self._connection.request(method, path, body, {"Content-Type": form, "Accept": "application/json"})
        with self._connection.getresponse() as response:
            text = response.read()
            read = json.loads(text) if text.startswith(b"{") else {"message": text.decode()}
            return Answer(response.status, read, tuple(response.headers.get_all("Warning", ())))

    def create(self, kind: Kind, content: Mapping[str, object], query: str = "fieldValidation=Strict") -> Answer:
        """Create an object; with `dryRun=All` it is only looked at."""
        return self.request("POST", f"{collection(kind)}?{query}", content)

    def status(self, kind: Kind, content: Mapping[str, Any], query: str = "fieldValidation=Strict") -> Answer:
        """Replace an object's status, whatever version it has."""
        return self.request("PUT", f"{place(kind, content['metadata']['name'])}/status?{query}", content)

    def apply(self, kind: Kind, content: Mapping[str, Any], manager: str, part: str = "") -> Answer:
        """Apply an object, or a part of it such as `/status`, as a field manager does."""
        path = f"{place(kind, content['metadata']['name'])}{part}?fieldManager={manager}&force=true"
        return self.request("PATCH", path, content, APPLY)

    def get(self, kind: Kind, name: str) -> Content:
        """An object as the server has it."""
        return self.request("GET", place(kind, name)).content

    def install(self, definitions: Iterable[Content] | None = None) -> None:
        """Create definitions, all of ours by default, and wait until their kinds are served."""
        made = [custom_resource_definition(kind) for kind in served_kinds()] if definitions is None else definitions
        for definition in made:
            self.create_definition(definition)

    def create_definition(self, definition: Content, *versions: str) -> None:
        """Create a definition and wait until it is served, in some versions or in all."""
        answer = self.request("POST", _DEFINITIONS, definition)
        assert answer.status == 201, answer.content.get("message")
        spec = definition["spec"]
        for version in versions or [version["name"] for version in spec["versions"]]:
            self._await(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}")

    def await_version(self, kind: Kind, version: str) -> None:
        """Wait until the objects of a kind can be had in a version."""
        self._await(collection(kind, version))

    def definition(self, name: str) -> Content:
        """A definition as the server has it."""
        return self.request("GET", f"{_DEFINITIONS}/{name}").content

    def _await(self, path: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.request("GET", f"{path}?limit=1").status != 200:
            assert time.monotonic() < deadline, f"{path} is not served"
            time.sleep(_POLL_SECONDS)


def collection(kind: Kind, version: str = "") -> str:
    """Where the objects of a kind are."""
    namespace = f"namespaces/{NAMESPACE}/" if kind.namespaced else ""
    return f"/apis/{kind.group}/{version or kind.api_version.partition('/')[2]}/{namespace}{kind.plural}"


def place(kind: Kind, name: str, version: str = "") -> str:
    """Where one object is."""
    return f"{collection(kind, version)}/{name}"

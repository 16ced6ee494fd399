"""What a host shows an API server and may do there by its own name, as text and manifests."""

import base64
from dataclasses import dataclass

import yaml

from appliance.api.pierhead import HOSTS_NAMESPACE

RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Place:
    """Where hosts reach the API server, and the certificates (PEM) its own is signed with; "" = public ones."""

    server: str
    authority: str


def host_access(name: str) -> tuple[dict[str, object], ...]:
    """The ServiceAccount of a host, and its right to the Secret and to the tokens of its own name."""
    metadata = {"name": name, "namespace": HOSTS_NAMESPACE}
    account: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
        "automountServiceAccountToken": False,
    }
    role: dict[str, object] = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "Role",
        "metadata": metadata,
        "rules": [
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": [name], "verbs": ["create"]},
        ],
    }
    binding: dict[str, object] = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": HOSTS_NAMESPACE}],
    }
    return account, role, binding


def host_kubeconfig(name: str, place: Place, token: str) -> str:
    """A kubeconfig that needs no other file."""
    cluster = {"server": place.server}
    if place.authority:
        cluster["certificate-authority-data"] = base64.b64encode(place.authority.encode()).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "pierhead", "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": "pierhead", "user": name, "namespace": HOSTS_NAMESPACE}}],
        "current-context": name,
    }
    return yaml.safe_dump(content, sort_keys=False, width=4096)

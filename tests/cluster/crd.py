"""The kinds of a site on an API server: the chart's definitions."""

import time
from pathlib import Path

from appliance.api.kind import Kind
from tests.cluster.control_plane import START_SECONDS, ControlPlane, ControlPlaneError

CRDS = Path(__file__).parents[2] / "charts" / "pierhead" / "files" / "crds"


def install(control_plane: ControlPlane) -> None:
    """Apply the chart's definitions, and wait until the server serves their kinds."""
    control_plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    wait_until_served(control_plane)


def install_open(control_plane: ControlPlane, *kinds: Kind) -> None:
    """Apply definitions that take everything, for tests of objects that no one could read."""
    control_plane.apply(*map(_open, kinds))
    wait_until_served(control_plane)


def wait_until_served(control_plane: ControlPlane) -> None:
    """Wait until the server serves every kind that is defined; kubectl fails where one has no status yet."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            control_plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=120s")
            return
        except ControlPlaneError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _open(kind: Kind) -> dict[str, object]:
    """A definition that takes everything."""
    group, _, version = kind.api_version.partition("/")
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {"plural": kind.plural, "singular": kind.title.lower(), "kind": kind.title},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }

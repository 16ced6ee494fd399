"""The kinds of a site on an API server: the chart's definitions."""

from pathlib import Path

from appliance.api.kind import Kind
from tests.cluster.control_plane import ControlPlane

CRDS = Path(__file__).parents[2] / "charts" / "pierhead" / "crds"


def install(control_plane: ControlPlane) -> None:
    """Apply the definitions and wait until the server serves their kinds."""
    if CRDS.is_dir():
        control_plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    else:
        control_plane.apply(*map(_open, (kind for kind in Kind if kind.api_version.endswith(_GROUPS))))
    control_plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


_GROUPS = ("metallb.io/v1beta1", "metallb.io/v1beta2", "pierhead.io/v1alpha1")


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

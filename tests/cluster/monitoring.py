"""The Prometheus operator's kinds as far as the chart writes them: a field that is not here is refused."""

from collections.abc import Mapping

_TEXT: dict[str, object] = {"type": "string"}
_TEXTS: dict[str, object] = {"type": "object", "additionalProperties": _TEXT}


def _list(items: Mapping[str, object]) -> dict[str, object]:
    return {"type": "array", "items": items}


def _object(**fields: Mapping[str, object]) -> dict[str, object]:
    return {"type": "object", "properties": fields}


_RELABELINGS = _list(
    _object(
        action=_TEXT,
        modulus={"type": "integer"},
        regex=_TEXT,
        replacement=_TEXT,
        separator=_TEXT,
        sourceLabels=_list(_TEXT),
        targetLabel=_TEXT,
    )
)
_ENDPOINTS = _list(
    _object(port=_TEXT, path=_TEXT, interval=_TEXT, metricRelabelings=_RELABELINGS, relabelings=_RELABELINGS)
)
_SELECTION = {
    "jobLabel": _TEXT,
    "namespaceSelector": _object(matchNames=_list(_TEXT)),
    "selector": _object(matchLabels=_TEXTS),
}
_RULE = _object(**{"alert": _TEXT, "expr": _TEXT, "for": _TEXT, "labels": _TEXTS, "annotations": _TEXTS})
_SCRAPE = _object(
    jobName=_TEXT,
    metricsPath=_TEXT,
    scrapeInterval=_TEXT,
    staticConfigs=_list(_object(targets=_list(_TEXT), labels=_TEXTS)),
    kubernetesSDConfigs=_list(_object(role=_TEXT, selectors=_list(_object(role=_TEXT, label=_TEXT)))),
    relabelings=_RELABELINGS,
    metricRelabelings=_RELABELINGS,
)


def _definition(kind: str, version: str, spec: Mapping[str, object]) -> dict[str, object]:
    plural = f"{kind.lower()}s"
    schema = {"openAPIV3Schema": _object(spec=spec)}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.monitoring.coreos.com",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


MONITORING = (
    _definition("PodMonitor", "v1", _object(**_SELECTION, podMetricsEndpoints=_ENDPOINTS)),
    _definition("ServiceMonitor", "v1", _object(**_SELECTION, endpoints=_ENDPOINTS)),
    _definition("PrometheusRule", "v1", _object(groups=_list(_object(name=_TEXT, rules=_list(_RULE))))),
    _definition("ScrapeConfig", "v1alpha1", _SCRAPE),
)

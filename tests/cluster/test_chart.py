"""What the chart makes of its values, and what it refuses."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.cluster.chart import CHART, ROOT, WRITTEN, HelmError, Manifest, documented_values, helm, template
from tests.cluster.control_plane import ControlPlane
from tests.cluster.monitoring import MONITORING

pytestmark = pytest.mark.usefixtures("helm_program")

PROMETHEUS: dict[str, object] = {
    "prometheus.podMonitor.enabled": True,
    "prometheus.serviceAccount": "scraper",
    "prometheus.namespace": "scraping",
}
# What must be on for a value to show, by the beginning of its path.
NEEDED: dict[str, dict[str, object]] = {
    "prometheus.podMonitor": {"prometheus.podMonitor.enabled": True, "prometheus.rbacPrometheus": False},
    "prometheus.serviceMonitor": {"prometheus.serviceMonitor.enabled": True, "prometheus.rbacPrometheus": False},
    "prometheus.prometheusRule": {"prometheus.prometheusRule.enabled": True},
    "prometheus.rbacPrometheus": PROMETHEUS,
    "prometheus.serviceAccount": PROMETHEUS,
    "prometheus.namespace": PROMETHEUS,
    "hosts.scrapeConfig": {"hosts.scrapeConfig.enabled": True, "hosts.scrapeConfig.targets": ["node-a"]},
    "hosts.scrapeConfig.nodeSelector": {"hosts.scrapeConfig.enabled": True, "hosts.scrapeConfig.nodes": True},
    "grafana.dashboard": {"grafana.dashboard.enabled": True},
}
RELABELING = [{"sourceLabels": ["pod"], "targetLabel": "allocator"}]
# Another value than the default, for each leaf of values.yaml.
CHANGED: dict[str, object] = {
    "imagePullSecrets": [{"name": "registry"}],
    "nameOverride": "lb",
    "fullnameOverride": "lb",
    "loadBalancerClass": "example.com/lb",
    "rbac.create": False,
    "crds.enabled": False,
    "allocator.replicas": 3,
    "allocator.logLevel": "debug",
    "allocator.logFormat": "logfmt",
    "allocator.configurationNamespaces": ["pools"],
    "allocator.serviceNetworks": ["10.96.0.0/12", "fd00::/108"],
    "allocator.candidateOrder": "hash",
    "allocator.ignoreExcludeLabel": True,
    "allocator.writes": 32,
    "allocator.image.repository": "registry.example/pierhead",
    "allocator.image.tag": "edge",
    "allocator.image.pullPolicy": "Always",
    "allocator.strategy.type": "Recreate",
    "allocator.strategy.rollingUpdate.maxSurge": 2,
    "allocator.strategy.rollingUpdate.maxUnavailable": "50%",
    "allocator.serviceAccount.create": False,
    "allocator.serviceAccount.name": "given",
    "allocator.serviceAccount.annotations": {"example.com/a": "b"},
    "allocator.securityContext.runAsNonRoot": False,
    "allocator.securityContext.runAsUser": 1000,
    "allocator.securityContext.runAsGroup": 1000,
    "allocator.securityContext.fsGroup": 1000,
    "allocator.securityContext.seccompProfile.type": "Unconfined",
    "allocator.resources.requests.cpu": "1",
    "allocator.resources.requests.memory": "64Mi",
    "allocator.resources.limits.memory": "2Gi",
    "allocator.nodeSelector.kubernetes.io/os": "plan9",
    "allocator.tolerations": [{"operator": "Exists"}],
    "allocator.affinity": {"podAntiAffinity": {}},
    "allocator.topologySpreadConstraints": [
        {"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    ],
    "allocator.priorityClassName": "",
    "allocator.runtimeClassName": "gvisor",
    "allocator.podAnnotations": {"example.com/a": "b"},
    "allocator.labels": {"example.com/a": "b"},
    "allocator.terminationGracePeriodSeconds": 60,
    "allocator.podDisruptionBudget.enabled": False,
    "allocator.podDisruptionBudget.maxUnavailable": "50%",
    "allocator.livenessProbe.enabled": False,
    "allocator.livenessProbe.failureThreshold": 6,
    "allocator.livenessProbe.initialDelaySeconds": 60,
    "allocator.livenessProbe.periodSeconds": 60,
    "allocator.livenessProbe.timeoutSeconds": 50,
    "allocator.readinessProbe.enabled": False,
    "allocator.readinessProbe.failureThreshold": 6,
    "allocator.readinessProbe.initialDelaySeconds": 60,
    "allocator.readinessProbe.periodSeconds": 60,
    "allocator.readinessProbe.timeoutSeconds": 50,
    "allocator.extraEnv": [{"name": "TZ", "value": "UTC"}],
    "allocator.extraContainers": [{"name": "beside", "image": "beside"}],
    "networkPolicies.enabled": False,
    "networkPolicies.defaultDeny": True,
    "networkPolicies.apiPorts": [8443],
    "networkPolicies.apiNetworks": ["192.0.2.0/24"],
    "prometheus.scrapeAnnotations": True,
    "prometheus.metricsPort": 9120,
    "prometheus.rbacPrometheus": False,
    "prometheus.serviceAccount": "prometheus",
    "prometheus.namespace": "monitoring",
    "prometheus.podMonitor.enabled": False,
    "prometheus.podMonitor.additionalLabels": {"release": "monitoring"},
    "prometheus.podMonitor.annotations": {"example.com/a": "b"},
    "prometheus.podMonitor.jobLabel": "app",
    "prometheus.podMonitor.interval": "1m30s",
    "prometheus.podMonitor.metricRelabelings": RELABELING,
    "prometheus.podMonitor.relabelings": RELABELING,
    "prometheus.serviceMonitor.enabled": False,
    "prometheus.serviceMonitor.jobLabel": "app",
    "prometheus.serviceMonitor.interval": "15s",
    "prometheus.serviceMonitor.metricRelabelings": RELABELING,
    "prometheus.serviceMonitor.relabelings": RELABELING,
    "prometheus.serviceMonitor.allocator.additionalLabels": {"release": "monitoring"},
    "prometheus.serviceMonitor.allocator.annotations": {"example.com/a": "b"},
    "prometheus.prometheusRule.enabled": False,
    "prometheus.prometheusRule.additionalLabels": {"release": "monitoring"},
    "prometheus.prometheusRule.annotations": {"example.com/a": "b"},
    "prometheus.prometheusRule.runbookBase": "https://example.com/runbook",
    **{
        f"prometheus.prometheusRule.{alert}.{field}": value
        for alert in (
            "staleConfig",
            "configNotLoaded",
            "addressPoolExhausted",
            "bgpSessionDown",
            "addressConflict",
            "splitBrain",
            "hostLost",
            "bgpWithoutBFD",
            "feedStale",
            "noLeader",
        )
        for field, value in (("enabled", False), ("labels.severity", "page"))
    },
    "prometheus.prometheusRule.addressPoolExhausted.excludePools": "lab-.*",
    "prometheus.prometheusRule.addressPoolUsage.enabled": False,
    "prometheus.prometheusRule.addressPoolUsage.thresholds": [{"percent": 50}],
    "prometheus.prometheusRule.addressPoolUsage.excludePools": "lab-.*",
    "prometheus.prometheusRule.feedStale.seconds": 60,
    "prometheus.prometheusRule.extraAlerts": [{"alert": "Mine", "expr": "vector(1)"}],
    "hosts.scrapeConfig.enabled": False,
    "hosts.scrapeConfig.additionalLabels": {"release": "monitoring"},
    "hosts.scrapeConfig.annotations": {"example.com/a": "b"},
    "hosts.scrapeConfig.targets": ["node-b"],
    "hosts.scrapeConfig.nodes": True,
    "hosts.scrapeConfig.nodeSelector": {"role": "edge", "rack": "1"},
    "hosts.scrapeConfig.port": 9100,
    "hosts.scrapeConfig.jobName": "hosts",
    "hosts.scrapeConfig.interval": "15s",
    "hosts.scrapeConfig.metricRelabelings": RELABELING,
    "hosts.scrapeConfig.relabelings": RELABELING,
    "grafana.dashboard.enabled": False,
    "grafana.dashboard.namespace": "monitoring",
    "grafana.dashboard.labels.grafana_dashboard": "yes",
    "grafana.dashboard.annotations": {"grafana_folder": "Network"},
}


def test_helm_finds_nothing_to_say() -> None:
    """The strict linter passes."""
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


def test_every_value_has_a_sentence_and_a_case_here() -> None:
    """A value without documentation, or one that no test sets, is noticed."""
    undocumented = [value.path for value in documented_values() if not value.sentence]
    leaves = set(_leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
    assert (undocumented, leaves ^ CHANGED.keys()) == ([], set())


def test_every_value_changes_what_is_made_and_the_api_server_takes_it(control_plane: ControlPlane) -> None:
    """Each value set to something else shows in some manifest, and every manifest is one that Kubernetes accepts."""
    control_plane.apply(*MONITORING)
    made: dict[str, list[Manifest]] = {}
    without_effect = []
    for path, value in CHANGED.items():
        needed = next((NEEDED[prefix] for prefix in sorted(NEEDED, reverse=True) if path.startswith(prefix)), {})
        if (before := made.get(repr(needed))) is None:
            before = made[repr(needed)] = template(_nested(needed))
        made[path] = template(_nested({**needed, path: value}))
        if before == made[path]:
            without_effect.append(path)
    assert without_effect == []
    seen = {repr(manifest): manifest for manifests in made.values() for manifest in manifests}
    _accept(control_plane, list(seen.values()))


def test_what_is_written_is_what_make_manifests_writes() -> None:
    """Plain manifests, plain rules and the README's table are up to date."""
    stale = [str(path) for path, text in WRITTEN.items() if not path.exists() or path.read_text() != text()]
    assert stale == [], "run `make manifests`"


def test_the_plain_manifest_needs_no_helm(control_plane: ControlPlane) -> None:
    """The API server takes the file as it is, and Helm is not mentioned in it."""
    text = (ROOT / "manifests/pierhead.yaml").read_text()
    assert "helm" not in text.lower()
    _accept(control_plane, [manifest for manifest in yaml.safe_load_all(text) if manifest])


def test_a_pod_may_run_where_only_restricted_ones_may(control_plane: ControlPlane) -> None:
    """The allocator's Pod meets Kubernetes' own restricted standard, with no warning."""
    namespace = {"name": "chart-restricted", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "allocator", "namespace": "chart-restricted"}}
    spec = {**_pod(template(namespace="chart-restricted")), "priorityClassName": None}
    control_plane.apply({**pod, "spec": spec})


def test_names_follow_the_release() -> None:
    """A release of another name has its name in front, and the whole can be chosen."""
    names = [
        _only(manifests, "Deployment")["metadata"]["name"]
        for manifests in (
            template(),
            template({"nameOverride": "balancer"}),
            template({"fullnameOverride": "edge"}),
            template(release="shop"),
        )
    ]
    assert names == ["pierhead-allocator", "pierhead-balancer-allocator", "edge-allocator", "shop-pierhead-allocator"]


def test_pools_are_read_where_the_release_is() -> None:
    """In another namespace than the usual one, manifests are read in that and in MetalLB's."""
    arguments = _pod(template(namespace="edge"))["containers"][0]["args"]
    read = [text for text in arguments if text.startswith("--configuration-namespace")]
    assert read == ["--configuration-namespace=metallb-system", "--configuration-namespace=edge"]


def test_the_programs_options_exist() -> None:
    """Whatever the chart passes, the program of this tree has as an option."""
    from appliance.allocator.command import allocator

    values = _nested({path: CHANGED[path] for path in CHANGED if path.startswith(("allocator.", "loadBalancerClass"))})
    arguments = _pod(template(values))["containers"][0]["args"]
    options = {option for parameter in allocator.params for option in parameter.opts}
    assert arguments[0] == "allocator"
    assert {text.partition("=")[0] for text in arguments[1:]} <= options


def test_hosts_are_scraped_by_name_and_address() -> None:
    """A target has the agents' port unless it names one, whatever family it is of."""
    targets = ["node-a", "node-b:9100", "192.0.2.7", "2001:db8::7", "[2001:db8::8]:9100"]
    scrape = _only(template(_nested({**NEEDED["hosts.scrapeConfig"], "hosts.scrapeConfig.targets": targets})), "Scrape")
    assert scrape["spec"]["staticConfigs"] == [
        {"targets": ["node-a:7472", "node-b:9100", "192.0.2.7:7472", "[2001:db8::7]:7472", "[2001:db8::8]:9100"]}
    ]


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("allocator.replica", 3, "additional properties 'replica' not allowed"),
        ("prometheus.prometheusRule.feedStale.second", 3, "additional properties 'second' not allowed"),
        ("alocator", {}, "additional properties 'alocator' not allowed"),
        ("allocator.logLevel", "warn", "at '/allocator/logLevel'"),
        ("allocator.serviceNetworks", ["10.0.0.0"], "at '/allocator/serviceNetworks/0'"),
        ("prometheus.metricsPort", 70000, "at '/prometheus/metricsPort'"),
        ("prometheus.podMonitor.interval", "soon", "at '/prometheus/podMonitor/interval'"),
        ("prometheus.podMonitor.enabled", True, "prometheus.serviceAccount and prometheus.namespace"),
        ("hosts.scrapeConfig.enabled", True, "hosts.scrapeConfig: write the hosts to scrape as targets"),
    ],
)
def test_a_mistake_is_named(path: str, value: object, sentence: str) -> None:
    """What the chart does not know or cannot use is refused, with the field."""
    with pytest.raises(HelmError) as refusal:
        template(_nested({path: value}))
    assert sentence in str(refusal.value)


def test_values_of_metallb_are_answered_with_what_to_write() -> None:
    """All of them at once, each with the value here that does the same, or none."""
    values = {
        "configInline": {"address-pools": []},
        "controller": {"logLevel": "warn", "resources": {}, "webhookMode": "disabled"},
        "speaker": {"enabled": True, "ignoreExcludeLB": True, "frr": {"enabled": True}},
        "frr-k8s": {"prometheus": {}},
        "networkpolicies": {"enabled": True},
        "crds": {"validationFailurePolicy": "Fail"},
        "prometheus": {"serviceMonitor": {"speaker": {"annotations": {}}}},
    }
    with pytest.raises(HelmError) as refusal:
        template(values)
    told = [line.strip() for line in str(refusal.value).splitlines() if line.startswith("  ")]
    assert told == [
        "configInline: MetalLB's ConfigMap of old; turn it into manifests with `pierhead convert` and apply those",
        "controller.logLevel: write allocator.logLevel: debug, info, warning or error",
        "controller.resources: write allocator.resources",
        "controller.webhookMode: remove it; there is no webhook",
        "crds.validationFailurePolicy: remove it; there is no webhook",
        "frr-k8s: remove it; BIRD runs on the hosts",
        "networkpolicies: write networkPolicies; its apiPort is the list apiPorts",
        "prometheus.serviceMonitor.speaker: write hosts.scrapeConfig; agents are not Pods",
        "speaker.enabled: remove it; an agent runs on each host, which Ansible installs and /etc/pierhead/agent.yaml"
        " sets up",
        "speaker.frr: remove it; BIRD runs on the hosts",
        "speaker.ignoreExcludeLB: write allocator.ignoreExcludeLabel",
    ]


def test_what_is_metallbs_and_the_same_here_is_taken() -> None:
    """The monitoring part of MetalLB's own default values renders as it is."""
    rule = {
        "enabled": True,
        "additionalLabels": {},
        "annotations": {},
        **{name: {"enabled": True, "labels": {"severity": "warning"}} for name in ("staleConfig", "configNotLoaded")},
        "addressPoolExhausted": {"enabled": True, "labels": {"severity": "critical"}, "excludePools": ""},
        "addressPoolUsage": {"enabled": True, "thresholds": [{"percent": 75, "labels": {}}], "excludePools": ""},
        "bgpSessionDown": {"enabled": True, "labels": {"severity": "critical"}},
        "extraAlerts": [],
    }
    monitor = {"enabled": False, "additionalLabels": {}, "annotations": {}, "jobLabel": "app.kubernetes.io/name"}
    lists: dict[str, object] = {"interval": None, "metricRelabelings": [], "relabelings": []}
    prometheus = {
        "scrapeAnnotations": False,
        "metricsPort": 9120,
        "rbacPrometheus": True,
        "serviceAccount": "",
        "namespace": "",
        "podMonitor": {**monitor, **lists},
        "prometheusRule": rule,
    }
    assert template({"prometheus": prometheus, "loadBalancerClass": "", "imagePullSecrets": [], "rbac": {}})


def test_the_chart_is_of_the_version_of_the_program() -> None:
    """Chart, application and package say one version."""
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert {chart["version"], chart["appVersion"]} == {package}


def test_the_next_steps_are_told(tmp_path: Path) -> None:
    """What helm prints at the end names the objects of this release."""
    text = helm("install", "edge", str(CHART), "--namespace=edge-system", "--dry-run=client")
    notes = text.partition("NOTES:")[2]
    assert "kubectl -n edge-system rollout status deployment/edge-pierhead-allocator" in notes
    assert "metallb-system or edge-system" in notes


def _leaves(values: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _nested(values: Mapping[str, object]) -> dict[str, object]:
    """Values by path as values by level; the name of a label keeps its dots."""
    root: dict[str, object] = {}
    for path, value in values.items():
        known, _, label = path.partition("nodeSelector.")
        *parents, name = [*known.split(".")[:-1], "nodeSelector", label] if label else path.split(".")
        level = root
        for parent in parents:
            level = level.setdefault(parent, {})  # type: ignore[assignment]  # levels are dictionaries
        level[name] = value
    return root


def _accept(control_plane: ControlPlane, manifests: list[Manifest]) -> None:
    """Let the API server look at manifests without keeping any, once their namespaces are there."""
    names = {namespace for manifest in manifests if (namespace := manifest["metadata"].get("namespace"))}
    control_plane.apply(
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(names))
    )
    text = yaml.safe_dump_all(manifests)
    control_plane.kubectl("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-", text=text)


def _only(manifests: list[Manifest], kind: str) -> Manifest:
    return next(manifest for manifest in manifests if str(manifest["kind"]).startswith(kind))


def _pod(manifests: list[Manifest]) -> Manifest:
    spec: Manifest = _only(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec

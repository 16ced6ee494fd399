"""Alerts fire when they should and not otherwise, as Prometheus evaluates them; so are the dashboard's queries read."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.cluster.chart import CHART, ROOT, template

RULES = ROOT / "manifests/prometheus-rules.yaml"
DASHBOARD = CHART / "dashboards/pierhead.json"
METRICS = ROOT / "docs/metrics.md"
PROMTOOL_SECONDS = 180.0
PLACES = {"$__rate_interval": "5m", "$host": ".*"}


@dataclass(frozen=True, slots=True)
class Case:
    """What Prometheus scrapes each minute, and the labels of the alerts of one name after some minutes."""

    alert: str
    series: Mapping[str, str]
    minutes: int
    fires: Sequence[Mapping[str, str]] = ()


def pool(used: int, total: int, name: str = "production", instance: str = "a") -> dict[str, str]:
    """A pool as one allocator tells of it."""
    labels = f'{{pool="{name}",instance="{instance}"}}'
    return {
        f"metallb_allocator_addresses_in_use_total{labels}": f"{used}x20",
        f"metallb_allocator_addresses_total{labels}": f"{total}x20",
    }


def announced(ip: str, node: str, service: str = "default/echo", protocol: str = "layer2") -> str:
    """The series of an address that a host announces."""
    return f'metallb_speaker_announced{{ip="{ip}",node="{node}",service="{service}",protocol="{protocol}"}}'


STALE, LOADED = (
    'metallb_k8s_client_config_stale_bool{instance="a"}',
    'metallb_k8s_client_config_loaded_bool{instance="a"}',
)
METALLB_UP, UP, BFD = (
    f'{name}{{instance="node-a",peer="192.0.2.1",vrf=""}}'
    for name in ("metallb_bgp_session_up", "pierhead_bgp_session_up", "pierhead_bgp_session_bfd_up")
)
SESSION = {"instance": "node-a", "peer": "192.0.2.1", "severity": "critical"}
CONFLICT = 'pierhead_vip_conflicts{instance="node-a",ip="192.0.2.7",interface="eth0"}'
FAILED = 'pierhead_host_failed{{instance="{}",host="node-c"}}'
WARNING, CRITICAL = {"severity": "warning"}, {"severity": "critical"}
PRODUCTION = {"pool": "production"}
CASES = [
    Case("MetalLBStaleConfig", {STALE: "1x20"}, 2, [{"instance": "a", **WARNING}]),
    Case("MetalLBStaleConfig", {STALE: "0 1 0x20"}, 2),
    Case("MetalLBConfigNotLoaded", {LOADED: "0x20"}, 2, [{"instance": "a", **WARNING}]),
    Case("MetalLBConfigNotLoaded", {LOADED: "0 1x20"}, 2),
    Case("MetalLBAddressPoolExhausted", pool(8, 8), 2, [{**PRODUCTION, **CRITICAL}]),
    Case("MetalLBAddressPoolExhausted", pool(8, 8), 0),
    Case("MetalLBAddressPoolExhausted", pool(7, 8) | pool(2, 9, "lab"), 5),
    # Two allocators may tell of a pool while the lease changes hands; the one that knows less must hide nothing.
    Case("MetalLBAddressPoolExhausted", pool(8, 8) | pool(0, 8, instance="b"), 2, [{**PRODUCTION, **CRITICAL}]),
    Case("MetalLBAddressPoolUsage75Percent", pool(76, 100), 0, [{**PRODUCTION, **WARNING}]),
    Case("MetalLBAddressPoolUsage75Percent", pool(75, 100), 5),
    Case("MetalLBAddressPoolUsage85Percent", pool(86, 100), 0, [{**PRODUCTION, **WARNING}]),
    Case("MetalLBAddressPoolUsage85Percent", pool(85, 100), 5),
    Case("MetalLBAddressPoolUsage95Percent", pool(96, 100), 0, [{**PRODUCTION, **CRITICAL}]),
    Case(
        "MetalLBAddressPoolUsage95Percent",
        pool(95, 100) | pool(96, 100, "other", "a"),
        5,
        [{"pool": "other", **CRITICAL}],
    ),
    Case("MetalLBBGPSessionDown", {METALLB_UP: "0x20"}, 2, [SESSION]),
    Case("MetalLBBGPSessionDown", {METALLB_UP: "1 0 1x20"}, 2),
    Case(
        "PierheadAddressConflict",
        {CONFLICT: "0 1x20"},
        1,
        [{"instance": "node-a", "ip": "192.0.2.7", "interface": "eth0", **CRITICAL}],
    ),
    Case("PierheadAddressConflict", {CONFLICT: "0x20"}, 5),
    Case(
        "PierheadSplitBrain",
        {announced("192.0.2.7", "node-a"): "1x20", announced("192.0.2.7", "node-b"): "1x20"},
        3,
        [{"ip": "192.0.2.7", **CRITICAL}],
    ),
    # A takeover between two scrapes, an address that two Services share, and BGP, where every host announces.
    Case(
        "PierheadSplitBrain",
        {announced("192.0.2.7", "node-a"): "1 1 _x20", announced("192.0.2.7", "node-b"): "_ 1x20"},
        8,
    ),
    Case(
        "PierheadSplitBrain",
        {announced("192.0.2.7", "node-a"): "1x20", announced("192.0.2.7", "node-a", "default/other"): "1x20"},
        5,
    ),
    Case(
        "PierheadSplitBrain",
        {announced("192.0.2.7", node, protocol="bgp"): "1x20" for node in ("node-a", "node-b")},
        5,
    ),
    Case(
        "PierheadHostLost",
        {FAILED.format("node-a"): "1x20", FAILED.format("node-b"): "1x20"},
        2,
        [{"host": "node-c", **CRITICAL}],
    ),
    Case("PierheadHostLost", {FAILED.format("node-a"): "0x20"}, 5),
    Case("PierheadBGPWithoutBFD", {UP: "1x20", BFD: "0x20"}, 2, [{**SESSION, **WARNING}]),
    Case("PierheadBGPWithoutBFD", {UP: "1x20", BFD: "1x20"}, 5),
    Case("PierheadBGPWithoutBFD", {UP: "0x20", BFD: "0x20"}, 5),
    Case("PierheadBGPWithoutBFD", {UP: "1x20"}, 5),
    Case(
        "PierheadFeedStale",
        {'pierhead_feed_age_seconds{instance="node-a"}': "0+60x20"},
        7,
        [{"instance": "node-a", **WARNING}],
    ),
    Case("PierheadFeedStale", {'pierhead_feed_age_seconds{instance="node-a"}': "0 60 120 0x20"}, 10),
    Case(
        "PierheadNoLeader",
        {'pierhead_leader{instance="a"}': "0x20", 'pierhead_leader{instance="b"}': "0x20"},
        3,
        [CRITICAL],
    ),
    Case("PierheadNoLeader", {"something_else": "1x20"}, 3, [CRITICAL]),
    Case(
        "PierheadNoLeader",
        {'pierhead_leader{instance="a"}': "1 0 0 0x20", 'pierhead_leader{instance="b"}': "0 0 1 1x20"},
        6,
    ),
]


def test_prometheus_can_read_the_rules(promtool: str) -> None:
    """The plain file is one that Prometheus loads."""
    assert "SUCCESS: 13 rules found" in run(promtool, "check", "rules", str(RULES))


def test_each_alert_has_a_case_for_and_one_against() -> None:
    """No alert that is always there, and none that is never."""
    fires = {case.alert for case in CASES if case.fires}
    silent = {case.alert for case in CASES if not case.fires}
    # One that is told of another pool is silent of its own.
    silent |= {"MetalLBAddressPoolUsage95Percent"}
    assert (fires, silent) == (set(alerts()), set(alerts()))


def test_alerts_fire_when_they_should_and_not_otherwise(promtool: str, tmp_path: Path) -> None:
    """Prometheus evaluates each case; texts are looked at below."""
    rules = yaml.safe_load(RULES.read_text())
    for rule in rules["groups"][0]["rules"]:
        del rule["annotations"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
            "alert_rule_test": [
                {
                    "alertname": case.alert,
                    "eval_time": f"{case.minutes}m",
                    "exp_alerts": [{"exp_labels": dict(labels)} for labels in case.fires],
                }
            ],
        }
        for case in CASES
    ]
    cases = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases))
    assert "SUCCESS" in run(promtool, "test", "rules", str(tmp_path / "cases.yaml"))


def test_what_an_alert_says_names_what_it_is_about(promtool: str, tmp_path: Path) -> None:
    """The texts of an alert, as whoever is called reads them."""
    expected = {
        "summary": "The BGP session of node-a with 192.0.2.1 is down",
        "description": "node-a has no BGP session with 192.0.2.1 (VRF blue), so that router sends it nothing."
        " `pierhead status` on the host says why.",
        "runbook_url": "docs/operations.md#metallbbgpsessiondown",
    }
    series = 'metallb_bgp_session_up{instance="node-a",peer="192.0.2.1",vrf="blue"}'
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": "0x5"}],
        "alert_rule_test": [
            {
                "alertname": "MetalLBBGPSessionDown",
                "eval_time": "2m",
                "exp_alerts": [{"exp_labels": {**SESSION, "vrf": "blue"}, "exp_annotations": expected}],
            }
        ],
    }
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [test]}))
    assert "SUCCESS" in run(promtool, "test", "rules", str(tmp_path / "cases.yaml"))


def test_every_alert_says_what_is_so_what_it_means_and_where_to_read_on() -> None:
    """Summary, description and runbook, each with no place left unfilled."""
    for name, rule in alerts().items():
        annotations = rule["annotations"]
        assert set(annotations) == {"summary", "description", "runbook_url"}, name
        assert re.fullmatch(r"docs/operations\.md#[a-z]+", annotations["runbook_url"]), name
        assert not re.search(r"PERCENT|SECONDS|EXCLUDED", str(rule)), name


@pytest.mark.usefixtures("helm_program")
def test_pools_can_be_left_out_and_thresholds_chosen(promtool: str, tmp_path: Path) -> None:
    """`excludePools` and `thresholds` are in the expressions, and Prometheus reads those too."""
    usage = {"thresholds": [{"percent": 50, "labels": {"team": "net"}}], "excludePools": "lab-.*|test"}
    rule = {"enabled": True, "addressPoolUsage": usage, "extraAlerts": [{"alert": "Mine", "expr": "vector(1)"}]}
    manifests = template({"prometheus": {"prometheusRule": rule}})
    spec = next(manifest["spec"] for manifest in manifests if manifest["kind"] == "PrometheusRule")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    assert "SUCCESS: 12 rules found" in run(promtool, "check", "rules", str(tmp_path / "rules.yaml"))
    found = {rule["alert"]: rule for rule in spec["groups"][0]["rules"]}
    assert [name for name in found if "Usage" in name] == ["MetalLBAddressPoolUsage50Percent"]
    assert 'pool!~"lab-.*|test"' in found["MetalLBAddressPoolUsage50Percent"]["expr"]
    assert found["MetalLBAddressPoolUsage50Percent"]["labels"] == {"team": "net"}


def test_prometheus_can_read_each_expression_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    """Every panel's query parses once Grafana has put in its variables."""
    queries = list(expressions(json.loads(DASHBOARD.read_text())))
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"SUCCESS: {len(queries)} rules found" in run(promtool, "check", "rules", str(tmp_path / "panels.yaml"))
    assert len(queries) > 20


def test_only_metrics_that_are_exported_are_asked_for() -> None:
    """Alerts and panels use names that docs/metrics.md has; of a histogram, its parts."""
    known = set(re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram)", METRICS.read_text(), re.MULTILINE))
    known |= {f"{name}_{part}" for name in known for part in ("bucket", "count", "sum")}
    asked = {*re.findall(r"\b(?:metallb|pierhead)_\w+", RULES.read_text() + DASHBOARD.read_text())}
    assert (asked - known, len(known) > 50) == (set(), True)


def test_panels_do_not_overlap() -> None:
    """Each panel has a place of its own on Grafana's 24 columns, an id and a sentence."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    places = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(places) == len(set(places))
    assert all(x < 24 for x, _ in places)
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert [panel["title"] for panel in panels if panel["type"] != "row" and not panel["description"]] == []


def alerts() -> dict[str, dict[str, dict[str, str]]]:
    """The rules of the plain file by name."""
    return {rule["alert"]: rule for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}


def expressions(part: object) -> Iterator[str]:
    """Every query below some part of a dashboard, with Grafana's variables filled in."""
    match part:
        case {"expr": str(query)}:
            for place, text in PLACES.items():
                query = query.replace(place, text)
            yield query
        case dict():
            for below in part.values():
                yield from expressions(below)
        case list():
            for below in part:
                yield from expressions(below)


def run(*command: str) -> str:
    """What a program prints; fails the test with all of it where it ends with an error."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROMTOOL_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

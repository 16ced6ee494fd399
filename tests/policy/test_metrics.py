"""The page of metrics and the metrics themselves say the same."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from appliance.agent import metric as agent
from appliance.allocator import metric as allocator
from appliance.control.metric import Metric
from appliance.daemon import metric as daemon
from appliance.forwarder import metric as forwarder

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/metrics.md").read_text()
SECTIONS = {
    "Every program": daemon.PROGRAM_METRICS,
    "Agent and forwarder": daemon.FEED_METRICS,
    "Agent": agent.AGENT_METRICS,
    "Forwarder": forwarder.FORWARDER_METRICS,
    "Allocator": allocator.ALLOCATOR_METRICS,
}
_ROW = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram) \| (.*) \| (.+) \|$", re.MULTILINE)


def section(title: str) -> str:
    """The text under a heading."""
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def declared_in(module: ModuleType) -> Iterator[Metric]:
    """Every metric that a module declares, also within mappings."""
    for thing in vars(module).values():
        held = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, tuple) else (thing,)
        yield from (each for each in held if isinstance(each, Metric))


@pytest.mark.parametrize("title", SECTIONS)
def test_the_page_lists_each_metric_as_it_is(title: str) -> None:
    """Name, type, labels and meaning, in the order they are declared; nothing is missing on either side."""
    rows = [
        (row[1], row[2], tuple(re.findall(r"`(\w+)`", row[3])), row[4].strip()) for row in _ROW.finditer(section(title))
    ]
    assert rows == [(each.name, each.kind.value, each.labels, each.meaning) for each in SECTIONS[title]]


@pytest.mark.parametrize("module", [daemon, agent, forwarder, allocator], ids=lambda module: module.__name__)
def test_every_metric_declared_is_listed(module: ModuleType) -> None:
    """Who adds one adds it to what its program tells."""
    listed = {each.name for metrics in SECTIONS.values() for each in metrics}
    assert {each.name for each in declared_in(module)} <= listed


def test_names_are_what_prometheus_expects() -> None:
    """Ours: base units, counters end in `_total` and nothing else does. Each name has one meaning in the house."""
    ours = {each for metrics in SECTIONS.values() for each in metrics if each.name.startswith("pierhead_")}
    assert {each.name for each in ours if each.name.endswith("_total") is not (each.kind.value == "counter")} == set()
    names = [each.name for each in {each for metrics in SECTIONS.values() for each in metrics}]
    assert len(names) == len(set(names))


def test_rules_and_dashboards_ask_for_metrics_that_exist() -> None:
    """An alert on a name that nobody tells never fires."""
    written = [path.read_text() for path in (ROOT / "charts/pierhead").rglob("*") if path.suffix in (".yaml", ".json")]
    asked = {name for text in written for name in re.findall(r"\b(?:metallb|pierhead)_[a-z0-9_]+\b", text)}
    listed = {each.name for metrics in SECTIONS.values() for each in metrics}
    histograms = {each.name for metrics in SECTIONS.values() for each in metrics if each.buckets}
    told = listed | {f"{name}_{suffix}" for name in histograms for suffix in ("bucket", "sum", "count")}
    assert asked
    assert asked - told == set()

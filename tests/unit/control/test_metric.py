"""Metrics as Prometheus reads them."""

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from appliance.control.metric import Metric, MetricKind, Reading, exposition, many, observed, one

REQUESTS = Metric("metallb_layer2_requests_received", MetricKind.COUNTER, "Questions heard.", ("ip",))
ANNOUNCED = Metric("metallb_speaker_announced", MetricKind.GAUGE, "What is announced.", ("service", "ip"))
IN_USE = Metric("metallb_allocator_addresses_in_use_total", MetricKind.GAUGE, "Addresses in use.", ("pool",))
OWNED = Metric("pierhead_vip_owned", MetricKind.GAUGE, "VIPs of this host.")
WRITES = Metric("pierhead_writes_total", MetricKind.COUNTER, "Writes.")
TAKEOVER = Metric("pierhead_takeover_seconds", MetricKind.HISTOGRAM, "How long a takeover took.", (), (0.1, 1.0))

TEXT = """\
# HELP metallb_layer2_requests_received Questions heard.
# TYPE metallb_layer2_requests_received counter
metallb_layer2_requests_received{ip="10.0.0.1"} 7.0
metallb_layer2_requests_received{ip="2001:db8::1"} 1.0
# HELP metallb_allocator_addresses_in_use_total Addresses in use.
# TYPE metallb_allocator_addresses_in_use_total gauge
metallb_allocator_addresses_in_use_total{pool="lan"} 3.0
# HELP pierhead_vip_owned VIPs of this host.
# TYPE pierhead_vip_owned gauge
pierhead_vip_owned 2.0
# HELP pierhead_writes_total Writes.
# TYPE pierhead_writes_total counter
pierhead_writes_total 12345678.0
# HELP pierhead_takeover_seconds How long a takeover took.
# TYPE pierhead_takeover_seconds histogram
pierhead_takeover_seconds_bucket{le="0.1"} 1.0
pierhead_takeover_seconds_bucket{le="1.0"} 1.0
pierhead_takeover_seconds_bucket{le="+Inf"} 2.0
pierhead_takeover_seconds_count 2.0
pierhead_takeover_seconds_sum 5.05
"""


def sample() -> Iterator[Reading]:
    """One reading of each kind, and one of nothing."""
    takeovers = TAKEOVER.histogram()
    takeovers.observe(0.05)
    takeovers.observe(5.0)
    yield many(REQUESTS, [(("10.0.0.1",), 7), (("2001:db8::1",), 1)])
    yield many(ANNOUNCED, [])
    yield many(IN_USE, [(("lan",), 3)])
    yield one(OWNED, 2)
    yield one(WRITES, 12345678)
    yield observed(TAKEOVER, takeovers)


def text_of(readings: Iterable[Reading]) -> str:
    """The whole exposition."""
    return b"".join(exposition(readings)).decode()


def test_the_text_is_prometheus_format() -> None:
    """Names are exposed exactly as they are declared, whatever they end in; what has no sample is not there."""
    assert text_of(sample()) == TEXT


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_reads_it() -> None:
    """Prometheus' own parser takes the text; what its linter says of names is MetalLB's choice, not ours."""
    checked = subprocess.run(
        ("promtool", "check", "metrics"), input=TEXT, capture_output=True, text=True, check=False, timeout=30
    )
    told = [line for line in checked.stderr.splitlines() if not line.startswith("metallb_")]
    assert told == []


@given(service=st.text(), address=st.text())
def test_any_text_comes_back_from_a_label(service: str, address: str) -> None:
    """Quotes, line ends, backslashes and everything else in a label are the label's, not the format's."""
    (family,) = text_string_to_metric_families(text_of([many(ANNOUNCED, [((service, address), 1)])]))
    assert [sample.labels for sample in family.samples] == [{"service": service, "ip": address}]


def test_samples_are_made_in_slices() -> None:
    """Taking the first slice of very many samples makes few of them, and the lines above them come once."""
    taken = 0

    def endless() -> Iterator[tuple[tuple[str, ...], float]]:
        nonlocal taken
        for number in repeat(1.0):
            taken += 1
            yield (str(taken),), number

    slices = exposition([many(REQUESTS, endless())])
    first, second = next(slices), next(slices)
    assert (taken <= 300, first.count(b"# "), second.count(b"# "), second.count(b"\n") > 0) == (True, 2, 0, True)

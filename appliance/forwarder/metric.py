"""What a forwarder measures: read from what it holds, when somebody asks."""

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.control.metric import Metric, MetricKind, Reading, many, one

COUNTER, GAUGE = MetricKind.COUNTER, MetricKind.GAUGE

VIPS = Metric("pierhead_forwarder_vips", GAUGE, "VIPs that have rules in this host's kernel.")
RINGS = Metric("pierhead_forwarder_rings", GAUGE, "Different rings of hosts among them.")
FAILED_HOSTS = Metric("pierhead_forwarder_failed_hosts", GAUGE, "Hosts that are in no ring because they failed.")
REFUSED = Metric("pierhead_forwarder_refused", GAUGE, "1 where the kernel does not have the rules it should have.")
TRANSACTIONS = Metric(
    "pierhead_forwarder_transactions_total", COUNTER, "Transactions of nftables, by what became of them.", ("result",)
)
LISTINGS = Metric(
    "pierhead_forwarder_listings_total", COUNTER, "Times that the kernel's rules were read, as somebody may touch them."
)
CONNTRACK_ERRORS = Metric("pierhead_forwarder_conntrack_errors_total", COUNTER, "Failures to end flows of datagrams.")
FLOWS_FORGOTTEN = Metric(
    "pierhead_forwarder_flows_forgotten_total", COUNTER, "Flows of datagrams ended because their backend is gone."
)
FORWARDER_METRICS = (VIPS, RINGS, FAILED_HOSTS, REFUSED, TRANSACTIONS, LISTINGS, CONNTRACK_ERRORS, FLOWS_FORGOTTEN)


@dataclass(slots=True)
class ForwarderCounts:
    """What a forwarder did since it began."""

    applied: int = 0
    failed: int = 0
    listings: int = 0
    conntrack_errors: int = 0
    flows_forgotten: int = 0


def rule_readings(
    counts: ForwarderCounts, *, vips: int, rings: int, failed_hosts: int, is_refused: bool
) -> Iterator[Reading]:
    """The rules in the kernel, and how they got there."""
    yield one(VIPS, vips)
    yield one(RINGS, rings)
    yield one(FAILED_HOSTS, failed_hosts)
    yield one(REFUSED, is_refused)
    yield many(TRANSACTIONS, [(("applied",), counts.applied), (("failed",), counts.failed)])
    yield one(LISTINGS, counts.listings)
    yield one(CONNTRACK_ERRORS, counts.conntrack_errors)
    yield one(FLOWS_FORGOTTEN, counts.flows_forgotten)

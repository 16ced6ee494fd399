"""When an address is kept, changed and released, and what is told: each row of MetalLB's tables."""

from dataclasses import dataclass, field

import pytest

from appliance.api.core import FamilyPolicy, Service
from appliance.config.model import Pool
from appliance.ipam.ledger import Ledger, Terms
from appliance.ipam.reason import Reason
from appliance.ipam.reconcile import Reconciliation, events_of
from appliance.ipam.request import Unserved
from tests.unit.ipam.sample import DUAL, GOLD, pool, reasons, serve, service, texts

A = pool("a", "10.0.0.0/29")
B = pool("b", "10.0.1.0/29")
BOTH = pool("both", "10.0.0.0/29", "fd00::/125")
V6 = ("fd00:96::1",)
V4_AND_V6 = ("10.96.0.1", "fd00:96::1")
PREFER, REQUIRE = FamilyPolicy.PREFER_DUAL_STACK, FamilyPolicy.REQUIRE_DUAL_STACK


@dataclass
class Row:
    """A situation: what a Service held, what it and the pools are now, and what comes of it."""

    title: str
    service: Service
    held: str
    pools: tuple[Pool, ...]
    result: str
    told: list[str] = field(default_factory=list)
    others: tuple[tuple[Service, str], ...] = ()


X = service("x")
SHARER = service("y", key="k", ports=(443,))

KEPT_CHANGED_RELEASED = (
    Row("restart: the status says what is held", X, "10.0.0.3", (A,), "10.0.0.3"),
    Row("pool renamed", X, "10.0.0.3", (pool("renamed", "10.0.0.0/29"),), "10.0.0.3"),
    Row("pool split", X, "10.0.0.6", (pool("a1", "10.0.0.0/30"), pool("a2", "10.0.0.4/30")), "10.0.0.6"),
    Row("pool merged", X, "10.0.1.3", (pool("ab", "10.0.0.0/23"),), "10.0.1.3"),
    Row("pool shrunk", X, "10.0.0.6", (pool("a", "10.0.0.0/30"),), "10.0.0.0", ["ClearAssignment", "IPAllocated"]),
    Row("pool removed", X, "10.0.0.3", (B,), "10.0.1.0", ["ClearAssignment", "IPAllocated"]),
    Row(
        "avoidBuggyIPs set on .0",
        X,
        "10.0.0.0",
        (pool("a", "10.0.0.0/29", avoid_buggy_ips=True),),
        "10.0.0.1",
        ["ClearAssignment", "IPAllocated"],
    ),
    Row(
        "avoidBuggyIPs set on .255",
        X,
        "10.0.0.255",
        (pool("a", "10.0.0.254/31", avoid_buggy_ips=True),),
        "10.0.0.254",
        ["ClearAssignment", "IPAllocated"],
    ),
    Row("autoAssign turned false", X, "10.0.0.3", (pool("a", "10.0.0.0/29", auto_assign=False), B), "10.0.0.3"),
    Row(
        "pool gains a namespace it is not in",
        X,
        "10.0.0.3",
        (pool("a", "10.0.0.0/29", namespaces=frozenset({"other"})), B),
        "10.0.1.0",
        ["ClearAssignment", "IPAllocated"],
    ),
    Row(
        "pool gains a namespace restriction that matches no namespace",
        X,
        "10.0.0.3",
        (pool("a", "10.0.0.0/29", namespaces=frozenset()), B),
        "10.0.1.0",
        ["ClearAssignment", "IPAllocated"],
    ),
    Row(
        "pool gains a service selector it does not match",
        X,
        "10.0.0.3",
        (pool("a", "10.0.0.0/29", service_selectors=(GOLD,)), B),
        "10.0.1.0",
        ["ClearAssignment", "IPAllocated"],
    ),
    Row("another pool gets a better priority", X, "10.0.0.3", (A, pool("b", "10.0.1.0/29", priority=1)), "10.0.0.3"),
    Row(
        "labels change so that the pool no longer matches",
        service("x", labels={"tier": "tin"}),
        "10.0.0.3",
        (pool("a", "10.0.0.0/29", service_selectors=(GOLD,)), B),
        "10.0.1.0",
        ["ClearAssignment", "IPAllocated"],
    ),
    Row("address-pool changed", service("x", pool_name="b"), "10.0.0.3", (A, B), "10.0.1.0", ["IPAllocated"]),
    Row(
        "loadBalancerIPs set to another address",
        service("x", wanted="10.0.0.5"),
        "10.0.0.3",
        (A,),
        "10.0.0.5",
        ["IPAllocated"],
    ),
    Row(
        "loadBalancerIP set to another address",
        service("x", ip="10.0.0.5"),
        "10.0.0.3",
        (A,),
        "10.0.0.5",
        ["IPAllocated"],
    ),
    Row("loadBalancerIPs removed", X, "10.0.0.5", (A,), "10.0.0.5"),
    Row(
        "allow-shared-ip changed while another shares",
        service("x", key="other"),
        "10.0.0.3",
        (A,),
        "10.0.0.0",
        ["ClearAssignment", "IPAllocated"],
        ((SHARER, "10.0.0.3"),),
    ),
    Row(
        "a port that clashes on a shared address",
        service("x", key="k", ports=(80, 443)),
        "10.0.0.3",
        (A,),
        "10.0.0.0",
        ["ClearAssignment", "IPAllocated"],
        ((SHARER, "10.0.0.3"),),
    ),
    Row(
        "Cluster to Local on a shared address",
        service("x", key="k", local=True),
        "10.0.0.3",
        (A,),
        "10.0.0.0",
        ["ClearAssignment", "IPAllocated"],
        ((SHARER, "10.0.0.3"),),
    ),
    Row("the only user changes its key", service("x", key="other"), "10.0.0.3", (A,), "10.0.0.3"),
    Row("type ClusterIP", service("x", service_type="ClusterIP"), "10.0.0.3", (A,), ""),
    Row("type NodePort", service("x", service_type="NodePort"), "10.0.0.3", (A,), ""),
    Row("all pools removed", X, "10.0.0.3", (), ""),
)

FAMILIES = (
    Row("headless", service("x", cluster_ips=("None",)), "", (A,), ""),
    Row("no cluster address yet", service("x", cluster_ips=()), "10.0.0.3", (A,), ""),
    Row(
        "RequireDualStack on one cluster address",
        service("x", policy=REQUIRE),
        "10.0.0.3",
        (BOTH,),
        "",
        ["not enough clusterips"],
    ),
    Row(
        "a status with two addresses of one family",
        X,
        "unreadable",
        (A,),
        "10.0.0.0",
        ["nolbIPsIPFamily", "IPAllocated"],
    ),
    Row(
        "cluster addresses that are no pair",
        service("x", cluster_ips=("10.96.0.1", "10.96.0.2")),
        "10.0.0.3",
        (A,),
        "10.0.0.3",
        ["noclusterIPsIPFamily"],
    ),
    Row(
        "the family changes",
        service("x", cluster_ips=V6),
        "10.0.0.3",
        (BOTH,),
        "fd00::",
        ["IPAllocated"],
    ),
    Row(
        "PreferDualStack on two cluster addresses",
        service("x", cluster_ips=V4_AND_V6, policy=PREFER, families=DUAL),
        "",
        (BOTH,),
        "10.0.0.0 fd00::",
        ["IPAllocated"],
    ),
    Row(
        "PreferDualStack gains the second family from its own pool",
        service("x", cluster_ips=V4_AND_V6, policy=PREFER, families=DUAL),
        "10.0.0.3",
        (BOTH,),
        "10.0.0.3 fd00::",
        ["IPAllocated"],
    ),
    Row(
        "PreferDualStack does not jump to another pool with both",
        service("x", cluster_ips=V4_AND_V6, policy=PREFER, families=DUAL),
        "10.0.1.3",
        (BOTH, B),
        "10.0.1.3",
        ["AdditionalAssignFailed"],
    ),
    Row(
        "PreferDualStack on one cluster address stays single",
        service("x", policy=PREFER),
        "10.0.0.3",
        (BOTH,),
        "10.0.0.3",
    ),
    Row(
        "RequireDualStack and no pool with both",
        service("x", cluster_ips=V4_AND_V6, policy=REQUIRE),
        "",
        (A,),
        "",
        ["AllocationFailed"],
    ),
    Row(
        "two cluster addresses and SingleStack",
        service("x", cluster_ips=V4_AND_V6),
        "",
        (BOTH,),
        "",
        ["AllocationFailed"],
    ),
    Row(
        "a dual pool loses a family",
        service("x", cluster_ips=V4_AND_V6, policy=PREFER),
        "10.0.0.3 fd00::3",
        (A,),
        "10.0.0.0",
        ["ClearAssignment", "IPAllocated", "AdditionalAssignFailed"],
    ),
    Row(
        "PreferDualStack gets one family where its pools have no more",
        service("x", cluster_ips=V4_AND_V6, policy=PREFER, families=DUAL),
        "",
        (A,),
        "10.0.0.0",
        ["IPAllocated", "AdditionalAssignFailed"],
    ),
    Row(
        "RequireDualStack on one cluster address without a pool",
        service("x", policy=REQUIRE),
        "10.0.0.3",
        (),
        "",
    ),
    Row(
        "one address asked for by a Service of two families",
        service("x", cluster_ips=V4_AND_V6, policy=PREFER, wanted="10.0.0.3"),
        "",
        (BOTH,),
        "",
        ["AllocationFailed"],
    ),
    Row(
        "a pair asked for keeps the order of the annotation",
        service("x", cluster_ips=V4_AND_V6, policy=REQUIRE, wanted="fd00::2, 10.0.0.2"),
        "",
        (BOTH,),
        "fd00::2 10.0.0.2",
        ["IPAllocated"],
    ),
    Row(
        "the order of the status is kept",
        service("x", cluster_ips=V4_AND_V6, policy=REQUIRE, wanted="10.0.0.2,fd00::2"),
        "fd00::2 10.0.0.2",
        (BOTH,),
        "fd00::2 10.0.0.2",
    ),
)

IMPOSSIBLE = (
    Row(
        "an address outside every pool",
        service("x", wanted="10.9.9.9"),
        "10.0.0.3",
        (A,),
        "10.0.0.3",
        ["AllocationFailed"],
    ),
    Row(
        "an address somebody else holds",
        service("x", wanted="10.0.0.5"),
        "10.0.0.3",
        (A,),
        "10.0.0.3",
        ["AllocationFailed"],
        ((service("y"), "10.0.0.5"),),
    ),
    Row("an unknown pool", service("x", pool_name="z"), "10.0.0.3", (A,), "10.0.0.3", ["AllocationFailed"]),
    Row(
        "an address in another pool than the one named",
        service("x", pool_name="b", wanted="10.0.0.5"),
        "10.0.0.3",
        (A, B),
        "10.0.0.3",
        ["AllocationFailed"],
    ),
    Row("nonsense", service("x", wanted="nonsense"), "10.0.0.3", (A,), "10.0.0.3", ["LoadBalancerFailed"]),
    Row(
        "annotation and field",
        service("x", wanted="10.0.0.5", ip="10.0.0.6"),
        "10.0.0.3",
        (A,),
        "10.0.0.3",
        ["LoadBalancerFailed"],
    ),
    Row(
        "one family twice",
        service("x", wanted="10.0.0.5,10.0.0.6"),
        "10.0.0.3",
        (A,),
        "10.0.0.3",
        ["LoadBalancerFailed"],
    ),
    Row("nonsense and nothing held", service("x", wanted="nonsense"), "", (A,), "", ["AllocationFailed"]),
)


@pytest.mark.parametrize("row", [*KEPT_CHANGED_RELEASED, *FAMILIES, *IMPOSSIBLE], ids=lambda row: row.title)
def test_what_becomes_of_an_address(row: Row) -> None:
    """Each situation has the result and the events that MetalLB's users know, or the better ones we document."""
    ledger = Ledger(row.pools)
    for other, held in row.others:
        serve(ledger, other, held)
    decision = serve(ledger, row.service, None if row.held == "unreadable" else row.held)
    assert (texts(decision.addresses), reasons(decision)) == (row.result, row.told)
    holding = ledger.holding("default/x")
    assert texts(holding.addresses if holding else ()) == row.result


def test_other_class_is_not_touched() -> None:
    """A Service of another loadBalancerClass is ignored."""
    decision = serve(Ledger((A,)), service("x", service_class="example.com/other"), "10.0.0.3")
    assert (decision.outcome, decision.unserved) == (Reconciliation.IGNORED, Unserved.OTHER_CLASS)


def test_deprecated_annotation_is_told_with_a_change() -> None:
    """The old prefix is honoured, and told of only where something changed."""
    ledger = Ledger((A,))
    wanted = service("x", wanted="10.0.0.5", prefix="metallb.universe.tf/")
    assert reasons(serve(ledger, wanted)) == ["IPAllocated", "deprecatedAnnotation"]
    assert reasons(serve(ledger, wanted, "10.0.0.5")) == []


def test_complaint_is_told_once() -> None:
    """A refusal is an Event when it begins, not each time it is found again, and again after a success."""
    ledger, wanted = Ledger((A,)), service("x", pool_name="z")
    first = serve(ledger, wanted)
    assert [event.reason.text for event in events_of(first, None)] == ["AllocationFailed"]
    again = serve(ledger, wanted)
    assert events_of(again, first) == ()
    served = serve(ledger, service("x"))
    assert [event.reason.text for event in events_of(served, again)] == ["IPAllocated"]


def test_complaint_is_not_repeated_when_only_counts_move() -> None:
    """Pools filling further are no news to a Service that waits already."""
    ledger, wanted = Ledger((A, pool("v6", "fd00::/125"))), service("x", cluster_ips=V4_AND_V6, policy=REQUIRE)
    first = serve(ledger, wanted)
    serve(ledger, service("y"))
    assert events_of(serve(ledger, wanted), first) == ()


def test_missing_family_is_told_once() -> None:
    """AdditionalAssignFailed comes on the transition; MetalLB repeats it at every look."""
    ledger = Ledger((A,))
    wanted = service("x", cluster_ips=V4_AND_V6, policy=PREFER, families=DUAL)
    first = serve(ledger, wanted, "10.0.0.3")
    assert reasons(first) == ["AdditionalAssignFailed"]
    assert events_of(serve(ledger, wanted, "10.0.0.3"), first) == ()


def test_second_family_is_waited_for() -> None:
    """A Service that got one family for want of the other is one of those that wait, and gets it when it comes free."""
    ledger = Ledger((pool("both", "10.0.0.0/29", "fd00::/128"),))
    serve(ledger, service("y", cluster_ips=V6))
    wanted = service("x", cluster_ips=V4_AND_V6, policy=PREFER, families=DUAL)
    first = serve(ledger, wanted)
    assert (texts(first.addresses), first.refusal and first.refusal.reason) == ("10.0.0.0", Reason.EXHAUSTED)
    ledger.release("default/y")
    assert texts(serve(ledger, wanted, "10.0.0.0").addresses) == "10.0.0.0 fd00::"


def test_address_of_a_pool_that_cannot_be_read_stays() -> None:
    """Nothing is taken for want of knowledge, and nobody else gets it."""
    ledger = Ledger()
    ledger.set_pools((B,), Terms(has_unknown_pools=True))
    decision = serve(ledger, X, "10.0.0.3")
    assert (decision.outcome, texts(decision.addresses), reasons(decision)) == (Reconciliation.IGNORED, "10.0.0.3", [])
    assert texts(serve(ledger, service("y", wanted="10.0.0.3")).addresses) == ""
    assert texts(serve(ledger, service("z")).addresses) == "10.0.1.0"


def test_prefer_dual_stack_on_one_cluster_address_does_not_flap() -> None:
    """Decision after decision is the same where MetalLB adds and clears for ever."""
    ledger, wanted = Ledger((BOTH,)), service("x", policy=PREFER)
    held = texts(serve(ledger, wanted).addresses)
    for _ in range(3):
        decision = serve(ledger, wanted, held)
        assert (texts(decision.addresses), reasons(decision)) == (held, [])


def test_released_address_is_free_at_once() -> None:
    """What a Service gives back is the next address given."""
    ledger = Ledger((A,))
    serve(ledger, service("x"))
    serve(ledger, service("y"))
    serve(ledger, service("x", service_type="ClusterIP"), "10.0.0.0")
    assert texts(serve(ledger, service("z")).addresses) == "10.0.0.0"


def test_refusal_names_the_conflict() -> None:
    """The reason of a refused request is one of an enum, with the address it is about."""
    ledger = Ledger((A,))
    serve(ledger, SHARER, "10.0.0.3")
    refused = serve(ledger, service("x", key="k", ports=(443,), wanted="10.0.0.3")).refusal
    assert refused is not None
    assert (refused.reason, refused.subject) == (Reason.PORT_TAKEN, "10.0.0.3")


def test_without_pools_nothing_is_said() -> None:
    """Not even to a Service that asks for more than it could have: whoever has no pool does not use this yet."""
    decision = serve(Ledger(), service("x", policy=FamilyPolicy.REQUIRE_DUAL_STACK))
    assert (reasons(decision), decision.addresses) == ([], ())

"""Which addresses are chosen, in which order, and why none."""

from dataclasses import replace

import pytest

from appliance.api.core import FamilyPolicy, Service
from appliance.config.model import Pool
from appliance.ipam.allocation import Allocation, allocate
from appliance.ipam.ledger import Ledger, Terms
from appliance.ipam.reason import Reason, Refusal, Skip
from appliance.ipam.request import Request, read_request
from tests.unit.ipam.sample import DUAL, GOLD, addresses, pool, serve, service, texts

A = pool("a", "10.0.0.0/29")
V4_AND_V6 = ("10.96.0.1", "fd00:96::1")
PREFER, REQUIRE = FamilyPolicy.PREFER_DUAL_STACK, FamilyPolicy.REQUIRE_DUAL_STACK


def ask(ledger: Ledger, wanted: Service) -> Allocation | Refusal:
    """What the ledger would give."""
    request = read_request(wanted, cluster_ips_known=True)
    assert isinstance(request, Request)
    return allocate(request, ledger)


CHOICES: list[tuple[str, tuple[Pool, ...], Service, str]] = [
    ("by name among equals", (pool("b", "10.0.1.0/30"), A), service("x"), "10.0.0.0"),
    ("by priority", (pool("a", "10.0.0.0/30", priority=2), pool("b", "10.0.1.0/30", priority=1)), service("x"),
     "10.0.1.0"),
    ("priority 0 last", (pool("a", "10.0.0.0/30", pinned=True), pool("b", "10.0.1.0/30", priority=9)), service("x"),
     "10.0.1.0"),
    ("pinned before others", (A, pool("z", "10.0.1.0/30", pinned=True)), service("x"), "10.0.1.0"),
    ("a pinned pool that does not match is passed by", (A, pool("z", "10.0.1.0/30", service_selectors=(GOLD,))),
     service("x"), "10.0.0.0"),
    ("a full pool is passed by", (pool("0", "10.0.9.0/32", avoid_buggy_ips=True), A), service("x"), "10.0.0.0"),
    ("not without a request where autoAssign is false", (pool("0", "10.0.9.0/30", auto_assign=False), A), service("x"),
     "10.0.0.0"),
    ("on request where autoAssign is false", (pool("0", "10.0.9.0/30", auto_assign=False), A),
     service("x", pool_name="0"), "10.0.9.0"),
    ("ranges in the order written", (pool("a", "10.0.5.0/30", "10.0.4.0/30"),), service("x"), "10.0.5.0"),
    ("without .0 and .255", (pool("a", "10.0.0.255-10.0.1.9", avoid_buggy_ips=True),), service("x"), "10.0.1.1"),
    ("IPv6 knows no buggy addresses", (pool("a", "fd00::/64", avoid_buggy_ips=True),),
     service("x", cluster_ips=("fd00:96::1",)), "fd00::"),
    ("both families from one pool, v4 first", (A, pool("d", "10.0.1.0/30", "fd00::/126")),
     service("x", cluster_ips=V4_AND_V6, policy=REQUIRE), "10.0.1.0 fd00::"),
    ("a later pool with both beats an earlier with one", (A, pool("d", "10.0.1.0/30", "fd00::/126")),
     service("x", cluster_ips=V4_AND_V6, policy=PREFER), "10.0.1.0 fd00::"),
    ("the primary family where no pool has both", (A, pool("b", "fd00::/126")),
     service("x", cluster_ips=V4_AND_V6, policy=PREFER, families=(DUAL[1], DUAL[0])), "fd00::"),
    ("v4 first from a named pool, whatever is primary", (pool("b", "10.0.1.0/30"),),
     service("x", cluster_ips=V4_AND_V6, policy=PREFER, families=(DUAL[1], DUAL[0]), pool_name="b"), "10.0.1.0"),
    ("one family of a pinned pool beats both of another", (pool("d", "10.0.1.0/30", "fd00::/126"),
     pool("p", "10.0.2.0/30", pinned=True)), service("x", cluster_ips=V4_AND_V6, policy=PREFER), "10.0.2.0"),
    ("the address asked for", (A,), service("x", wanted="10.0.0.5"), "10.0.0.5"),
    ("the address asked for in the field", (A,), service("x", ip="10.0.0.5"), "10.0.0.5"),
]  # fmt: skip


@pytest.mark.parametrize(("pools", "wanted", "expected"), [row[1:] for row in CHOICES], ids=[row[0] for row in CHOICES])
def test_choice(pools: tuple[Pool, ...], wanted: Service, expected: str) -> None:
    """Pools in a stable order, addresses ascending in the order written."""
    choice = ask(Ledger(pools), wanted)
    assert isinstance(choice, Allocation)
    assert texts(choice.addresses) == expected


REFUSALS: list[tuple[Service, Reason]] = [
    (service("x", pool_name="z"), Reason.UNKNOWN_POOL),
    (service("x", pool_name="gold"), Reason.NOT_ADMITTED),
    (service("x", wanted="10.9.9.9"), Reason.OUTSIDE_POOLS),
    (service("x", wanted="10.0.3.0"), Reason.BUGGY_ADDRESS),
    (service("x", wanted="10.0.2.0"), Reason.NOT_ADMITTED),
    (service("x", wanted="10.0.0.1"), Reason.IN_USE),
    (service("x", wanted="10.0.0.2", key="other"), Reason.OTHER_SHARING_KEY),
    (service("x", wanted="10.0.0.2", key="k", ports=(443,), local=True), Reason.OTHER_BACKENDS),
    (service("x", wanted="10.0.0.2", key="k"), Reason.PORT_TAKEN),
    (service("x", wanted="10.0.0.3", pool_name="buggy"), Reason.OTHER_POOL),
    (service("x", wanted="fd00::1"), Reason.WRONG_FAMILY),
    (service("x", wanted="10.0.0.3,fd00::1", cluster_ips=V4_AND_V6, policy=REQUIRE), Reason.SEVERAL_POOLS),
    (service("x", cluster_ips=V4_AND_V6), Reason.SINGLE_STACK),
    (service("x", cluster_ips=("fd00:96::1",), pool_name="a"), Reason.NO_FAMILY),
]


@pytest.mark.parametrize(("wanted", "reason"), REFUSALS, ids=[reason.name for _, reason in REFUSALS])
def test_refusal(wanted: Service, reason: Reason) -> None:
    """Every "no" has its reason."""
    pools = (
        A,
        pool("gold", "10.0.2.0/30", service_selectors=(GOLD,)),
        pool("buggy", "10.0.3.0/30", avoid_buggy_ips=True),
        pool("v6", "fd00::/126"),
    )
    ledger = Ledger(pools)
    serve(ledger, service("y"), "10.0.0.1")
    serve(ledger, service("z", key="k"), "10.0.0.2")
    refusal = ask(ledger, wanted)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason


def test_exhaustion_names_the_pools_and_how_full_they_are() -> None:
    """A Service that finds every pool full is told of each."""
    ledger = Ledger((pool("a", "10.0.0.0/31"), pool("v6", "fd00::/126"), pool("b", "10.0.1.1/32")))
    for name in "pqr":
        serve(ledger, service(name))
    refusal = ask(ledger, service("x"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.EXHAUSTED
    tried = [(entry.pool, entry.why, entry.assigned, entry.capacity) for entry in refusal.tried]
    assert tried == [("a", Skip.FULL, 2, 2), ("b", Skip.FULL, 1, 1), ("v6", Skip.NO_FAMILY, 0, 4)]


def test_no_admitting_pool_says_why_of_each() -> None:
    """Where no pool is for the Service each pool says what keeps it out."""
    ledger = Ledger(
        (pool("off", "10.0.0.0/30", auto_assign=False), pool("gold", "10.0.1.0/30", service_selectors=(GOLD,)))
    )
    refusal = ask(ledger, service("x"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NO_ADMITTING_POOL
    assert {entry.pool: entry.why for entry in refusal.tried} == {
        "gold": Skip.NOT_ADMITTED,
        "off": Skip.NO_AUTO_ASSIGN,
    }


def test_shared_address_below_the_first_free_one_is_taken() -> None:
    """The lowest usable address wins, be it free or shareable."""
    ledger = Ledger((A,))
    serve(ledger, service("y", key="k"), "10.0.0.0")
    assert ask(ledger, service("x", key="k", ports=(443,))) == Allocation(addresses("10.0.0.0"), "a")
    assert ask(ledger, service("x", key="k")) == Allocation(addresses("10.0.0.1"), "a")


def test_shared_address_that_the_pool_avoids_by_now_is_not_joined() -> None:
    """A holder of .0 that is yet to move when avoidBuggyIPs comes draws nobody after it."""
    ledger = Ledger((A,))
    serve(ledger, service("y", key="k"), "10.0.0.0")
    ledger.set_pools((pool("a", "10.0.0.0/29", avoid_buggy_ips=True),))
    assert ask(ledger, service("x", key="k", ports=(443,))) == Allocation(addresses("10.0.0.1"), "a")


def test_free_address_below_a_shared_one_is_taken() -> None:
    """Sharing is not sought."""
    ledger = Ledger((A,))
    serve(ledger, service("y", key="k"), "10.0.0.4")
    assert ask(ledger, service("x", key="k", ports=(443,))) == Allocation(addresses("10.0.0.0"), "a")


def test_full_pool_is_shared() -> None:
    """An address of a full pool is given where it can be shared, before a later pool is tried."""
    ledger = Ledger((pool("a", "10.0.0.1/32"), pool("b", "10.0.1.0/30")))
    serve(ledger, service("y", key="k"), "10.0.0.1")
    assert ask(ledger, service("x", key="k", ports=(443,))) == Allocation(addresses("10.0.0.1"), "a")


def test_sharing_across_namespaces_and_equal_selectors_under_local() -> None:
    """Namespaces play no part; two Local Services share with one selector."""
    ledger = Ledger((A,))
    serve(ledger, service("y", key="k", local=True, namespace="other"), "10.0.0.1")
    same = service("x", key="k", local=True, ports=(443,), wanted="10.0.0.1")
    assert isinstance(ask(ledger, same), Allocation)
    assert isinstance(ask(ledger, service("x", key="k", local=True, ports=(443,), wanted="10.0.0.1", app="b")), Refusal)


def test_local_without_selector_does_not_share_with_cluster() -> None:
    """MetalLB takes an empty selector under Local for policy Cluster; we do not."""
    ledger = Ledger((A,))
    serve(ledger, service("y", key="k"), "10.0.0.1")
    refusal = ask(ledger, service("x", key="k", local=True, ports=(443,), wanted="10.0.0.1", app=""))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.OTHER_BACKENDS


def test_freed_port_makes_an_address_shareable_again() -> None:
    """What did not fit before is tried again when a holder leaves."""
    ledger = Ledger((A,))
    serve(ledger, service("y", key="k"), "10.0.0.0")
    serve(ledger, service("z", key="k", ports=(443,)), "10.0.0.0")
    wanted = service("x", key="k", ports=(443,))
    assert ask(ledger, wanted) == Allocation(addresses("10.0.0.1"), "a")
    ledger.release("default/z")
    assert ask(ledger, wanted) == Allocation(addresses("10.0.0.0"), "a")


def test_least_used_pool_on_request() -> None:
    """An annotation asks for the pool of best rank that is least full."""
    ledger = Ledger((A, pool("b", "10.0.1.0/29"), pool("c", "10.0.2.0/29")))
    serve(ledger, service("p"))
    serve(ledger, service("q", pool_name="b"))
    plain = service("x")
    annotations = {"pierhead.io/pool-choice": "least-used"}
    wanted = replace(plain, metadata=replace(plain.metadata, annotations=annotations))
    assert ask(ledger, wanted) == Allocation(addresses("10.0.2.0"), "c")


def test_reserved_address_waits_for_its_service() -> None:
    """A reservation keeps an address from others and gives it to the Service it is for."""
    ledger = Ledger()
    ledger.set_pools((A,), Terms(reserved={addresses("10.0.0.0")[0]: "default/later"}))
    assert ask(ledger, service("x")) == Allocation(addresses("10.0.0.1"), "a")
    refusal = ask(ledger, service("x", wanted="10.0.0.0"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.RESERVED
    assert ask(ledger, service("later")) == Allocation(addresses("10.0.0.0"), "a")


def test_quota_of_a_namespace() -> None:
    """A namespace holds no more addresses than its quota; sharing one of its own is free."""
    ledger = Ledger()
    ledger.set_pools((A,), Terms(quotas={"default": 1}))
    serve(ledger, service("y", key="k"))
    refusal = ask(ledger, service("x"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.OVER_QUOTA
    assert isinstance(ask(ledger, service("x", key="k", ports=(443,))), Allocation)
    assert isinstance(ask(ledger, service("x", namespace="other")), Allocation)

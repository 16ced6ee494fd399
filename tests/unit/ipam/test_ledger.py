"""Holdings, and what is derived from them."""

from appliance.api.address import Family
from appliance.ipam.ledger import Ledger, Terms
from appliance.ipam.reason import Reason
from appliance.ipam.request import Request
from appliance.ipam.withheld import Withheld
from tests.unit.ipam.sample import addresses, pool, serve, service, texts

A = pool("a", "10.0.0.0/30")


def test_counts_are_of_distinct_addresses() -> None:
    """A shared address counts once."""
    ledger = Ledger((A,))
    serve(ledger, service("x", key="k"), "10.0.0.1")
    serve(ledger, service("y", key="k", ports=(443,)), "10.0.0.1")
    assert ledger.stocks["a"].assigned[Family.IPV4] == 1
    ledger.release("default/x")
    assert ledger.stocks["a"].assigned[Family.IPV4] == 1
    ledger.release("default/y")
    assert ledger.stocks["a"].assigned[Family.IPV4] == 0


def test_withheld_address_is_not_given_but_kept() -> None:
    """Withholding takes an address from nobody and gives it to nobody."""
    ledger = Ledger((A,))
    address = addresses("10.0.0.0")[0]
    ledger.withhold(address, Withheld(Reason.NOT_RELEASED))
    assert texts(serve(ledger, service("x")).addresses) == "10.0.0.1"
    assert texts(serve(ledger, service("y"), "10.0.0.0").addresses) == "10.0.0.0"
    ledger.release("default/y")
    assert ledger.withhold(address, None) is True
    assert ledger.withhold(address, None) is False
    assert texts(serve(ledger, service("z")).addresses) == "10.0.0.0"


def test_withheld_address_is_for_one_service() -> None:
    """A Service may ask by name for the address it is listed for already."""
    ledger = Ledger((A,))
    ledger.withhold(addresses("10.0.0.2")[0], Withheld(Reason.NOT_RELEASED, "default/x"))
    assert texts(serve(ledger, service("y", wanted="10.0.0.2")).addresses) == ""
    assert texts(serve(ledger, service("x", wanted="10.0.0.2")).addresses) == "10.0.0.2"


def test_withheld_address_is_not_shared_further() -> None:
    """Nobody joins while a listing is still to be taken back, and anybody may after that."""
    ledger = Ledger((A,))
    serve(ledger, service("x", key="k"), "10.0.0.0")
    address = addresses("10.0.0.0")[0]
    ledger.withhold(address, Withheld(Reason.NOT_RELEASED))
    joining = service("y", key="k", ports=(443,))
    assert texts(serve(ledger, joining).addresses) == "10.0.0.1"
    ledger.release("default/y")
    ledger.withhold(address, None)
    assert texts(serve(ledger, joining).addresses) == "10.0.0.0"


def test_other_pools_keep_holdings() -> None:
    """Holdings survive a change of pools, those outside every pool too, and count where they now are."""
    ledger = Ledger((A,))
    serve(ledger, service("x"), "10.0.0.3")
    ledger.set_pools((pool("b", "10.0.0.2/31"),))
    assert ledger.stocks["b"].assigned[Family.IPV4] == 1
    holding = ledger.holding("default/x")
    assert holding is not None
    assert holding.pool == "b"
    ledger.set_pools(())
    assert ledger.users(addresses("10.0.0.3")[0]) == ("default/x",)


def test_room_again_in_a_pool_that_was_passed_by() -> None:
    """A pool that was full is tried again first after a release, for every namespace."""
    ledger = Ledger((pool("a", "10.0.0.1/32", pinned=True), pool("b", "10.0.1.0/30", pinned=True)))
    serve(ledger, service("x"))
    assert texts(serve(ledger, service("y", namespace="other")).addresses) == "10.0.1.0"
    ledger.release("default/x")
    assert texts(serve(ledger, service("z", namespace="other")).addresses) == "10.0.0.1"


def test_ledger_knows_every_holding() -> None:
    """What is held can be listed, with its namespace and pool."""
    ledger = Ledger((A,))
    ledger.hold(Request("team/x", namespace="team"), addresses("10.0.0.2"))
    ((name, holding),) = ledger.holdings()
    assert (name, holding.addresses, holding.pool, holding.namespace) == ("team/x", addresses("10.0.0.2"), "a", "team")


def test_what_a_host_has_is_given_to_nobody() -> None:
    """An address of a host or router is withheld with its reason, and no passing cause ends that."""
    ledger = Ledger()
    host, router = addresses("10.0.0.0 10.0.0.1")
    ledger.set_pools((A,), Terms(taken={host: Reason.HOST_ADDRESS, router: Reason.ROUTER_ADDRESS}))
    assert texts(serve(ledger, service("x")).addresses) == "10.0.0.2"
    refused = serve(ledger, service("y", wanted="10.0.0.1")).refusal
    assert refused is not None
    assert refused.reason is Reason.ROUTER_ADDRESS
    ledger.withhold(host, Withheld(Reason.NOT_RELEASED, "default/z"))
    assert ledger.withhold(host, None) is False
    assert ledger.withheld(host) == Withheld(Reason.HOST_ADDRESS)
    ledger.set_pools((A,))
    assert texts(serve(ledger, service("w")).addresses) == "10.0.0.0"


def test_two_causes_leave_an_address_to_whom_both_leave_it() -> None:
    """A reserved address in quarantine goes to its Service only if that was its last holder as well."""
    ledger = Ledger()
    first, second = addresses("10.0.0.0 10.0.0.1")
    ledger.set_pools((A,), Terms(reserved={first: "default/x", second: "default/x"}))
    ledger.withhold(first, Withheld(Reason.QUARANTINED, "default/x"))
    ledger.withhold(second, Withheld(Reason.QUARANTINED, "default/y"))
    assert texts(serve(ledger, service("x", wanted="10.0.0.0")).addresses) == "10.0.0.0"
    assert texts(serve(ledger, service("y", wanted="10.0.0.1")).addresses) == ""
    ledger.release("default/x")
    assert texts(serve(ledger, service("x", wanted="10.0.0.1")).addresses) == ""

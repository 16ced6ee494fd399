"""Which routes a host announces over BGP."""

from ipaddress import ip_address, ip_network

import pytest

from appliance.api.community import CommunityNumber, parse_community
from appliance.api.label import EXCLUDE_LABEL, LabelSelector
from appliance.api.meta import Metadata
from appliance.api.pierhead import Route, VirtualIP, VirtualIPSpec
from appliance.bird.model import AnnouncedRoute, Drain
from appliance.desired.announcement import (
    Announcer,
    BGPDecision,
    BGPReason,
    announce,
)

PREFIX = ip_network("10.0.100.1/32")
ANNOUNCER = Announcer("node-a", {"rack": "1"}, frozenset({"tor"}))


def vip(*routes: Route) -> VirtualIP:
    """A VIP with these routes."""
    spec = VirtualIPSpec(address=ip_address("10.0.100.1"), pool="p", bgp=routes)
    return VirtualIP(metadata=Metadata(name="10.0.100.1"), spec=spec)


@pytest.mark.parametrize(
    ("route", "announcer", "reason"),
    [
        (Route(prefix=PREFIX), ANNOUNCER, BGPReason.ANNOUNCED),
        (Route(prefix=PREFIX, peers=("tor",)), ANNOUNCER, BGPReason.ANNOUNCED),
        (Route(prefix=PREFIX, peers=("other",)), ANNOUNCER, BGPReason.NO_SESSION),
        (Route(prefix=PREFIX), Announcer("node-a", {}, frozenset()), BGPReason.NO_SESSION),
        (Route(prefix=PREFIX, hosts=("node-a",)), ANNOUNCER, BGPReason.ANNOUNCED),
        (Route(prefix=PREFIX, hosts=("node-b",)), ANNOUNCER, BGPReason.HOST_NOT_LISTED),
        (
            Route(prefix=PREFIX, node_selectors=(LabelSelector(match_labels={"rack": "2"}),)),
            ANNOUNCER,
            BGPReason.HOST_NOT_SELECTED,
        ),
        # Whether that label counts is the allocator's to say (--ignore-exclude-label), by the hosts it lists.
        (Route(prefix=PREFIX), Announcer("a", {EXCLUDE_LABEL: ""}, frozenset({"tor"})), BGPReason.ANNOUNCED),
        (
            Route(prefix=PREFIX, hosts=()),
            Announcer("a", {EXCLUDE_LABEL: ""}, frozenset({"tor"})),
            BGPReason.HOST_NOT_LISTED,
        ),
        (Route(prefix=PREFIX), Announcer("a", {}, frozenset({"tor"}), Drain.LAST_CHOICE), BGPReason.LAST_CHOICE),
        (Route(prefix=PREFIX), Announcer("a", {}, frozenset({"tor"}), Drain.WITHDRAWN), BGPReason.WITHDRAWN),
    ],
)
def test_a_vip_is_announced_or_the_reason_is_said(route: Route, announcer: Announcer, reason: BGPReason) -> None:
    """Every route that is not announced has one reason."""
    assert announce(vip(route), announcer).reason is reason


def test_a_vip_without_routes_has_no_advertisement() -> None:
    """A VIP that only layer 2 announces says so."""
    assert announce(vip(), ANNOUNCER) == BGPDecision(BGPReason.NO_ADVERTISEMENT)


def test_one_admitted_route_of_two_is_enough() -> None:
    """A route for another host does not keep back the one for this host."""
    decision = announce(vip(Route(prefix=PREFIX, hosts=()), Route(prefix=PREFIX, local_preference=200)), ANNOUNCER)
    assert decision == BGPDecision(BGPReason.ANNOUNCED, (AnnouncedRoute(PREFIX, 200),))


def test_communities_are_read_sorted_and_once() -> None:
    """The same communities in any order give the same announcement."""
    written = ("64500:2", "large:1:2:3", "64500:1", "64500:2")
    decision = announce(vip(Route(prefix=PREFIX, communities=tuple(map(parse_community, written)))), ANNOUNCER)
    expected = (CommunityNumber((1, 2, 3)), CommunityNumber((64500, 1)), CommunityNumber((64500, 2)))
    assert decision.announcements[0].communities == expected

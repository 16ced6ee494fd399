"""Which routes a session announces."""

from ipaddress import ip_network

from appliance.api.address import Family
from appliance.api.community import CommunityNumber
from appliance.bird.model import AnnouncedRoute
from appliance.bird.route import in_order, routes
from tests.golden.bird.case import AGGREGATE, FOR_TOR, PLAIN, REFLECTOR, TOR

PREFIX = ip_network("10.0.100.2/32")


def test_announcement_for_others_is_not_announced() -> None:
    """A session announces what names it or names nobody."""
    assert routes([PLAIN, FOR_TOR], REFLECTOR, Family.IPV4) == [PLAIN]


def test_family_is_kept_apart() -> None:
    """An IPv6 route is none of an IPv4 channel's business."""
    assert routes([PLAIN, AGGREGATE], TOR, Family.IPV4) == [PLAIN]


def test_one_prefix_becomes_one_route() -> None:
    """Announcements of one prefix unite their communities and keep the highest local preference."""
    one = AnnouncedRoute(PREFIX, 100, (CommunityNumber((1, 1)),))
    other = AnnouncedRoute(PREFIX, 200, (CommunityNumber((2, 2)), CommunityNumber((1, 1))), ("tor-router",))

    found = routes(in_order([other, one]), TOR, Family.IPV4)

    assert [AnnouncedRoute(PREFIX, 200, (CommunityNumber((1, 1)), CommunityNumber((2, 2))))] == found


def test_order_does_not_depend_on_how_they_came() -> None:
    """The same announcements come out in the same order."""
    assert in_order([AGGREGATE, FOR_TOR, PLAIN]) == in_order([PLAIN, AGGREGATE, FOR_TOR])

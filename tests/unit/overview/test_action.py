"""What actions would change, from the store's objects and from what agents tell."""

from dataclasses import replace

import pytest

from appliance.api.address import parse_address
from appliance.control.message import Layer2Status
from appliance.l2.event import Role, RoleReason
from appliance.overview.action import (
    AcknowledgeConflict,
    DrainHost,
    MoveVip,
    Obstacle,
    RouteChange,
    UndrainHost,
    preview,
)
from appliance.overview.attention import attention
from appliance.overview.reach import Inability
from appliance.overview.row import Severity
from appliance.overview.sentence import told
from appliance.overview.site import Site
from tests.unit.overview.test_site import VIP, host, site, tell_vip, verdict, virtual_ip

ABC = "layer2: {candidates: [a, b, c]}"
ROUTED = "bgp: [{prefix: 192.0.2.10/32}]"
UP = ", bgpSessions: [{name: tor, peer: 192.0.2.1, state: Established}]"
DOWN = ", bgpSessions: [{name: tor, peer: 192.0.2.1, state: Active}]"
SAYS_DRAINED = ", conditions: [{type: Drained, status: 'True'}]"


def successor(made: Site, drained: str = "a") -> str:
    """Who takes the VIP when a host is drained."""
    (move,) = preview(made, DrainHost(drained)).moves
    return move.successor


def test_a_drain_moves_a_vip_to_the_next_of_its_order() -> None:
    """The first candidate that is able, then any host that the selectors admit, then nobody."""
    assert successor(site(virtual_ip("a", ABC), host("a"), host("b"), host("c"))) == "b"
    assert successor(site(virtual_ip("a", ABC), host("a"), host("b", drain="true"), host("c"))) == "c"
    assert successor(site(virtual_ip("a", ABC), host("a"), host("d"))) == "d"
    fenced = "layer2: {candidates: [a, b], nodeSelectors: [{matchLabels: {rack: '1'}}]}"
    assert successor(site(virtual_ip("a", fenced), host("a"), host("d"))) == ""


def test_a_host_whose_agent_says_no_is_passed_over() -> None:
    """Its forwarder has no rules, or its interface is down."""
    made = site(virtual_ip("a", ABC), host("a"), host("b"), host("c"))
    tell_vip(made, "b", verdict(Role.NONE))
    assert successor(made) == "c"
    down = Layer2Status(role=Role.CANDIDATE, reason=RoleReason.LINK_DOWN.value)
    tell_vip(made, "b", replace(verdict(), layer2=down))
    assert successor(made) == "c"


def test_without_a_store_the_candidates_are_those_the_agent_tells() -> None:
    """The API server is gone, and a drain on the host says where its VIPs go all the same."""
    made = Site()
    owner = Layer2Status(role=Role.OWNER, reason="", owner="a", candidates=("a", "b"))
    tell_vip(made, "a", replace(verdict(announced=True), layer2=owner))
    tell_vip(made, "b", verdict(Role.CANDIDATE, owner="a"))
    assert successor(made) == "b"


@pytest.mark.parametrize(
    ("others", "withdrawn", "unreachable"),
    [
        ([host("b", UP), host("c", UP)], ("b", "c"), ()),
        ([host("b", UP), host("c", DOWN)], ("b",), ()),
        ([host("b", DOWN), host("c", UP, drain="true")], (), (VIP,)),
    ],
)
def test_a_drain_withdraws_routes(others: list[str], withdrawn: tuple[str, ...], unreachable: tuple[object]) -> None:
    """A host announces what it has a session for, and nothing while it is drained."""
    made = site(virtual_ip(spec=ROUTED), host("a", UP), *others)
    found = preview(made, DrainHost("a"))
    assert found.routes == (RouteChange("192.0.2.10/32", withdrawn),)
    assert found.unreachable == unreachable


def test_nothing_is_said_of_hosts_that_nobody_asked() -> None:
    """One agent alone knows what it announces itself."""
    made = Site()
    tell_vip(made, "a", verdict(announced=True))
    tell_vip(made, "b", verdict(announced=True))
    made.lose("b")
    found = preview(made, DrainHost("a"))
    assert (found.is_partial, found.unreachable) == (True, ())


@pytest.mark.parametrize(
    ("action", "obstacle"),
    [
        (DrainHost("x"), Inability.UNKNOWN_HOST),
        (DrainHost("d"), Obstacle.DRAINED_ALREADY),
        (DrainHost("e"), Obstacle.DRAINED_ALREADY),
        (UndrainHost("x"), Inability.UNKNOWN_HOST),
        (UndrainHost("a"), Obstacle.NOT_DRAINED),
        (MoveVip(parse_address("192.0.2.99")), Obstacle.UNKNOWN_VIP),
        (MoveVip(VIP, "x"), Inability.UNKNOWN_HOST),
        (MoveVip(VIP, "a"), Obstacle.OWNS_IT),
        (MoveVip(VIP, "d"), Inability.DRAINED),
        (MoveVip(VIP, "f"), Inability.NOT_ADMITTED),
        (MoveVip(VIP, "b"), None),
        (MoveVip(VIP), None),
    ],
)
def test_what_cannot_be_done_says_why(
    action: DrainHost | UndrainHost | MoveVip, obstacle: Obstacle | Inability | None
) -> None:
    """With nothing that would change."""
    fenced = "layer2: {candidates: [a, b, d, e], nodeSelectors: [{matchLabels: {rack: '1'}}]}"
    hosts = [host("a"), host("b"), host("d", drain="true"), host("e", SAYS_DRAINED), host("f")]
    found = preview(site(virtual_ip("a", fenced), *hosts), action)
    assert found.obstacle is obstacle
    assert bool(found.moves) is (obstacle is None)


@pytest.mark.parametrize(
    ("made", "obstacle"),
    [
        (site(virtual_ip("", ROUTED), host("a")), Obstacle.NO_LAYER2),
        (site(virtual_ip("", ABC), host("a")), Obstacle.NO_OWNER),
        (site(virtual_ip("a", ABC), host("a")), Obstacle.NO_OTHER_HOST),
    ],
)
def test_a_vip_that_cannot_be_moved(made: Site, obstacle: Obstacle) -> None:
    """Nobody owns it, or nobody else could."""
    assert preview(made, MoveVip(VIP)).obstacle is obstacle


def test_while_two_hosts_contend_nothing_is_moved() -> None:
    """They find out themselves which of them yields."""
    made = site(virtual_ip("a", ABC), host("a"), host("b"), host("c"))
    tell_vip(made, "a", verdict(Role.OWNER))
    tell_vip(made, "b", verdict(Role.OWNER))
    assert preview(made, MoveVip(VIP, "c")).obstacle is Obstacle.SEVERAL_OWNERS


def test_a_drain_in_words() -> None:
    """Where everything goes, and what is left behind."""
    both = f"{ABC}, {ROUTED}"
    made = site(virtual_ip("a", both), host("a", UP), host("b", UP))
    assert told(preview(made, DrainHost("a"))) == (
        "a answers for 1 VIP, of which go 1 to b",
        "it withdraws 1 route; other hosts announce 1 of them",
    )
    made = site(virtual_ip("a", both), host("a", UP))
    assert told(preview(made, DrainHost("a"))) == (
        "a answers for 1 VIP",
        "it withdraws 1 route; other hosts announce 0 of them",
        "192.0.2.10 (d/s) stays: no other host is able to answer for it",
    )
    made = site(virtual_ip(spec=ROUTED), host("a", UP))
    assert told(preview(made, DrainHost("a"))) == (
        "a answers for no VIP",
        "it withdraws 1 route; other hosts announce 0 of them",
        "192.0.2.10 will be unreachable: no other host announces it",
    )


def test_the_end_of_a_drain_in_words() -> None:
    """Owners keep what they have; what nobody answers for is taken."""
    drained = host("a", UP, drain="true")
    assert told(preview(site(virtual_ip("b", ABC), drained, host("b")), UndrainHost("a"))) == (
        "no VIP moves: owners keep what they have, and a takes its turn again",
        "it announces no route",
    )
    assert told(preview(site(virtual_ip("", f"{ABC}, {ROUTED}"), drained), UndrainHost("a"))) == (
        "a takes 1 VIP that nobody answers for",
        "it announces 1 route again",
    )


def test_other_actions_in_words() -> None:
    """A move, and one that cannot be."""
    made = site(virtual_ip("a", ABC), host("a"), host("b"))
    assert told(preview(made, MoveVip(VIP))) == ("192.0.2.10 (d/s) goes from a to b",)
    assert told(preview(made, MoveVip(VIP, "a"))) == ("VIP 192.0.2.10 to a: it answers for the VIP already",)
    assert told(preview(made, DrainHost("z"))) == ("host z: there is no such host",)


def in_conflict(note: str = "") -> Site:
    """A VIP for which a machine answers, with what somebody noted of it."""
    seen = ", conflicts: [{address: 192.0.2.10, hardwareAddress: '02:00:00:00:00:09', interface: eth0}]"
    text = virtual_ip("a", ABC)
    noted = f"metadata: {{name: 192.0.2.10, annotations: {{pierhead.io/conflict-acknowledged: '{note}'}}}}"
    return site(text.replace("metadata: {name: 192.0.2.10}", noted) if note else text, host("a", seen))


NOTE = '{"hardwareAddresses":["02:00:00:00:00:09"],"by":"ann","at":"2026-01-01T00:00:00+00:00"}'


def test_a_conflict_can_be_taken_note_of() -> None:
    """Of a machine that answers, once; what then still stands is said."""
    assert (
        preview(site(virtual_ip("a", ABC), host("a")), AcknowledgeConflict(VIP, "ann")).obstacle is Obstacle.NO_CONFLICT
    )
    assert preview(in_conflict(NOTE), AcknowledgeConflict(VIP, "bob")).obstacle is Obstacle.ACKNOWLEDGED
    assert told(preview(in_conflict(), AcknowledgeConflict(VIP, "ann"))) == (
        "02:00:00:00:00:09 answers for it too: ann has taken note of that",
        "nothing else changes: its owner goes on defending it, and another machine would be news",
    )


def test_a_conflict_that_was_taken_note_of_is_no_alarm() -> None:
    """It goes on being shown, with who took note of it; a note that cannot be read is none."""
    assert [(each.severity, each.sentence) for each in attention(in_conflict(NOTE))] == [
        (Severity.WAITING, "02:00:00:00:00:09 answers for it too, noted by ann at 2026-01-01T00:00:00+00:00")
    ]
    for odd in ("ann", "{}", NOTE.replace("2026", "soon"), NOTE.replace("09", "08")):
        assert [each.severity for each in attention(in_conflict(odd))] == [Severity.BAD]

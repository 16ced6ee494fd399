"""A site's rows from its objects, from what agents tell, and from both."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.address import parse_address
from appliance.api.kind import Object, ref_of
from appliance.api.manifest import parse
from appliance.api.meta import Ref
from appliance.control.client import TopicChange
from appliance.control.message import (
    AgentProgram,
    BGPStatus,
    BirdSession,
    BirdStatus,
    FeedStatus,
    HostEvent,
    InterfaceStatus,
    Layer2Status,
    NeighborStatus,
    SessionKind,
    VipMove,
    VirtualIPVerdict,
)
from appliance.control.topic import ONLY, Topic
from appliance.desired.announcement import BGPReason
from appliance.l2.event import Reachability, Role
from appliance.overview.attention import AttentionList, attention
from appliance.overview.pool import AddressState, runs
from appliance.overview.row import HostHealth, Mode, SessionHealth, Severity, Usage, VipHealth
from appliance.overview.site import Site

VIP = parse_address("192.0.2.10")
POOL_REF = Ref("IPAddressPool", "metallb-system", "p")


def objects(text: str) -> list[Object]:
    """The objects of a text."""
    parsed = parse(text, "site.yaml")
    assert parsed.problems == ()
    return [document.manifest for document in parsed.documents]


def virtual_ip(
    owner: str = "", spec: str = "layer2: {candidates: [a]}", services: str = "{namespace: d, name: s}"
) -> str:
    """A VirtualIP of one Service."""
    status = f"status: {{owner: {{host: {owner}, since: '2026-01-01T00:00:00Z', epoch: 3}}}}" if owner else ""
    return f"""
apiVersion: pierhead.io/v1alpha1
kind: VirtualIP
metadata: {{name: 192.0.2.10}}
spec: {{address: 192.0.2.10, pool: p, services: [{services}], {spec}}}
{status}
"""


def host(name: str, status: str = "", drain: str = "false") -> str:
    """A Host."""
    return f"""
apiVersion: pierhead.io/v1alpha1
kind: Host
metadata: {{name: {name}}}
spec: {{drain: {drain}}}
status: {{version: 0.1.0, announced: 2{status}}}
"""


def site(*texts: str) -> Site:
    """A site as a store lists it."""
    made = Site()
    made.begin(objects("---".join(texts)))
    return made


def verdict(role: Role | None = None, *, owner: str = "", announced: bool | None = None) -> VirtualIPVerdict:
    """What an agent says of the VIP."""
    return VirtualIPVerdict(
        address=VIP,
        pool="p",
        services=("d/s",),
        layer2=None if role is None else Layer2Status(role=role, reason="", owner=owner or None),
        bgp=None if announced is None else BGPStatus(announced=announced, reason=""),
    )


def tell(made: Site, name: str, topic: Topic, **values: object) -> None:
    """An agent's listing of a topic."""
    made.hear(name, TopicChange(topic, dict(values), is_listing=True))


def tell_vip(made: Site, name: str, told: VirtualIPVerdict) -> None:
    """An agent's listing of its VIPs."""
    made.hear(name, TopicChange(Topic.VIPS, {str(VIP): told}, is_listing=True))


@pytest.mark.parametrize(
    ("text", "health", "mode"),
    [
        (virtual_ip("a"), VipHealth.ANSWERED, Mode.LAYER2),
        (virtual_ip(), VipHealth.NO_OWNER, Mode.LAYER2),
        (virtual_ip(spec="bgp: [{prefix: 192.0.2.10/32}]"), VipHealth.UNKNOWN, Mode.BGP),
        (virtual_ip("a", "layer2: {}, bgp: [{prefix: 192.0.2.10/32}]"), VipHealth.ANSWERED, Mode.BOTH),
        (virtual_ip(spec="bgp: []"), VipHealth.UNANNOUNCED, Mode.NONE),
        (virtual_ip("a", services=""), VipHealth.RESTING, Mode.LAYER2),
    ],
)
def test_a_vip_as_the_store_alone_tells_it(text: str, health: VipHealth, mode: Mode) -> None:
    """Nobody was asked, so a route that nobody is known to announce is no alarm."""
    row = site(text, host("a")).vip(VIP)
    assert row is not None
    assert (row.health, row.mode, row.announcers) == (health, mode, None)


def test_agents_are_believed_before_the_store() -> None:
    """A VIP that has moved a moment ago: the store's owner is the last one."""
    made = site(virtual_ip("a"), host("a"), host("b"))
    tell_vip(made, "b", verdict(Role.OWNER))
    row = made.vip(VIP)
    assert row is not None
    assert (row.owner, row.since) == ("b", "")


def test_two_owners_are_an_alarm() -> None:
    """Both agents answer."""
    made = site(virtual_ip("a"), host("a"), host("b"))
    tell_vip(made, "a", verdict(Role.OWNER))
    tell_vip(made, "b", verdict(Role.OWNER))
    assert [(each.severity, each.kind) for each in attention(made)] == [(Severity.BAD, "VIP")]


def test_without_a_store_agents_are_enough() -> None:
    """The API server is gone: everything is as the agents say, the owner as most believe."""
    made = Site()
    tell_vip(made, "b", verdict(Role.CANDIDATE, owner="c"))
    row = made.vip(VIP)
    assert row is not None
    assert (row.owner, row.services, row.pool, row.mode) == ("c", ("d/s",), "p", Mode.LAYER2)


def test_without_a_store_an_address_that_no_route_leads_to_is_one_of_layer_2() -> None:
    """An agent says of every VIP why it is not announced; with nothing but that it is one of BGP that waits."""
    why = BGPStatus(announced=False, reason=BGPReason.NO_ADVERTISEMENT.value)
    for told, mode in (
        (replace(verdict(Role.OWNER), bgp=why), Mode.LAYER2),
        (replace(verdict(Role.OWNER), bgp=replace(why, reason=BGPReason.WITHDRAWN.value)), Mode.BOTH),
        (replace(verdict(), bgp=why), Mode.BGP),
    ):
        made = Site()
        tell_vip(made, "a", told)
        row = made.vip(VIP)
        assert row is not None
        assert row.mode is mode


def test_hosts_that_were_not_asked_are_counted() -> None:
    """One host's word is not that of the site."""
    made = site(virtual_ip(spec="bgp: [{prefix: 192.0.2.10/32}]"), host("a"), host("b"))
    for name, wanted in (("a", (1, 1)), ("b", (2, 0))):
        tell_vip(made, name, verdict(announced=True))
        row = made.vip(VIP)
        assert row is not None
        assert (row.announcers, row.unasked) == wanted


def test_no_route_is_an_alarm_where_every_host_was_heard() -> None:
    """With one of two hosts silent nobody knows."""
    made = site(virtual_ip(spec="bgp: [{prefix: 192.0.2.10/32}]"), host("a"), host("b"))
    tell_vip(made, "a", verdict(announced=False))
    assert [made.vip(VIP).health] == [VipHealth.UNKNOWN]  # type: ignore[union-attr]  # fails the test where it is None
    tell_vip(made, "b", verdict(announced=False))
    assert [made.vip(VIP).health] == [VipHealth.NO_ROUTE]  # type: ignore[union-attr]  # as above
    tell_vip(made, "b", verdict(announced=True))
    assert [made.vip(VIP).health] == [VipHealth.ANNOUNCED]  # type: ignore[union-attr]  # as above


def test_a_conflict_is_told_with_who_answers() -> None:
    """From a Host's status, and no longer when it is gone."""
    conflict = ", conflicts: [{address: 192.0.2.10, hardwareAddress: '02:00:00:00:00:09', interface: eth0}]"
    made = site(virtual_ip("a"), host("a", conflict))
    assert attention(made)[0].sentence == "02:00:00:00:00:09 answers for it too"
    made.absorb(objects(host("a")), ())
    assert attention(made) == ()


def test_what_a_lost_agent_said_is_not_believed() -> None:
    """Its VIPs are as the store has them."""
    made = site(virtual_ip("a"), host("a"), host("b"))
    tell_vip(made, "b", verdict(Role.OWNER))
    assert made.lose("b").vips == {VIP}
    row = made.vip(VIP)
    assert row is not None
    assert row.owner == "a"


@pytest.mark.parametrize(
    ("neighbors", "health"),
    [
        ((Reachability.FAILED, Reachability.FAILED), HostHealth.FAILED),
        ((Reachability.FAILED, Reachability.REACHABLE), HostHealth.REACHABLE),
        ((Reachability.AGENT_DOWN, Reachability.AGENT_DOWN), HostHealth.AGENT_DOWN),
        ((Reachability.UNKNOWN, Reachability.UNKNOWN), HostHealth.UNKNOWN),
    ],
)
def test_a_host_as_most_others_see_it(neighbors: tuple[Reachability, ...], health: HostHealth) -> None:
    """One deaf host convicts nobody."""
    made = site(host("a"), host("b"), host("c"))
    for name, state in zip(("b", "c"), neighbors, strict=True):
        tell(made, name, Topic.HOSTS, a=NeighborStatus(name="a", state=state))
    row = made.host("a")
    assert row is not None
    assert row.health is health


def test_a_host_as_its_own_agent_tells_it() -> None:
    """Isolation and a feed from the cache are its own to say."""
    made = site(host("a"))
    tell(made, "a", Topic.PROGRAM, **{ONLY: AgentProgram(host="a", version="0.2.0", drained=True)})
    assert made.host("a").health is HostHealth.DRAINED  # type: ignore[union-attr]  # fails the test where it is None
    tell(made, "a", Topic.FEED, **{ONLY: FeedStatus(source="cache", age_seconds=90.0)})
    assert made.host("a").health is HostHealth.FEED_LOST  # type: ignore[union-attr]  # as above
    tell(made, "a", Topic.PROGRAM, **{ONLY: AgentProgram(host="a", version="0.2.0", isolated_links=("eth0",))})
    row = made.host("a")
    assert row is not None
    assert (row.health, row.version, row.feed_age_seconds) == (HostHealth.ISOLATED, "0.2.0", 90.0)


def test_sessions_come_from_the_agent_or_else_from_the_store() -> None:
    """A session that is up and whose BFD session is not is told apart."""
    stored = ", bgpSessions: [{name: tor, peer: 192.0.2.1, state: Established}]"
    made = site(host("a", stored))
    assert [row.health for row in made.sessions("a")] == [SessionHealth.UP]
    bgp = BirdSession(kind=SessionKind.BGP, name="tor", peer="192.0.2.1", state="Established")
    bfd = BirdSession(kind=SessionKind.BFD, name="bfd", peer="192.0.2.1", state="Down")
    tell(made, "a", Topic.SESSIONS, **{bgp.key: bgp, bfd.key: bfd})
    assert [row.health for row in made.sessions("a")] == [SessionHealth.WITHOUT_BFD]
    assert [each.kind for each in attention(made)] == ["session"]


@pytest.mark.parametrize(
    ("assigned", "available", "severity"),
    [(0, 4, Severity.GOOD), (3, 1, Severity.WAITING), (19, 1, Severity.BAD), (4, 0, Severity.BAD)],
)
def test_a_pool_and_its_thresholds(assigned: int, available: int, severity: Severity) -> None:
    """Those of MetalLB's alerts: 75 and 95 per cent."""
    made = site(
        f"""
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: p, namespace: metallb-system}}
spec: {{addresses: [192.0.2.0/28]}}
status: {{assignedIPv4: {assigned}, availableIPv4: {available}, assignedIPv6: 0, availableIPv6: 0}}
"""
    )
    row = made.pool(Ref("IPAddressPool", "metallb-system", "p"))
    assert row is not None
    assert row.usage == {4: Usage(assigned, assigned + available)}
    assert row.usage[4].severity is severity
    assert bool(attention(made)) is (severity is not Severity.GOOD)


def test_a_pending_service_is_told() -> None:
    """Until it has an address, or is somebody else's."""
    text = """
apiVersion: v1
kind: Service
metadata: {name: s, namespace: d}
spec: {type: LoadBalancer, ports: [{port: 80}]}
"""
    made = site(text)
    assert [(each.kind, each.name) for each in attention(made)] == [("Service", "d/s")]
    assert attention(made, load_balancer_class="example.com/other") == ()
    made.absorb((), [ref_of(manifest) for manifest in objects(text)])
    assert attention(made) == ()


def test_a_listing_names_everything() -> None:
    """What a second listing does not name is gone."""
    made = site(virtual_ip("a"), host("a"))
    made.begin(objects(host("b")))
    assert (made.addresses(), made.host_names()) == ([], ["b"])


def test_conditions_tell_where_no_agent_is_asked() -> None:
    """From the store alone: what a host says of itself there, until its agent is heard."""
    ill = ", conditions: [{type: BirdReachable, status: 'False', message: silent}, {type: Drained, status: 'False'}]"
    made = site(host("a", ill))
    assert [(each.name, each.sentence) for each in attention(made)] == [("a", "silent")]
    tell(made, "a", Topic.PROGRAM, **{ONLY: AgentProgram(host="a", version="1", bird=BirdStatus(reachable=True))})
    assert attention(made) == ()


def test_settings_that_are_not_in_force_are_told() -> None:
    """A reload that was refused is worse than one that waits for a restart."""
    made = site(host("a"))
    program = AgentProgram(
        host="a",
        version="1",
        bird=BirdStatus(reachable=True),
        settings_problems=("agent.yaml:1:hosts: is not a known field",),
        awaiting_restart=("metrics", "store"),
    )
    tell(made, "a", Topic.PROGRAM, **{ONLY: program})
    assert [each.sentence for each in attention(made)] == [
        "its settings are not in force: agent.yaml:1:hosts: is not a known field",
        "a restart of its agent will change metrics, store",
    ]


def test_a_host_that_comes_touches_what_is_known_of_routes() -> None:
    """Not every host was heard any more, so "nobody announces it" is no longer known."""
    made = site(virtual_ip(spec="bgp: [{prefix: 192.0.2.10/32}]"), host("a"))
    tell_vip(made, "a", verdict(announced=False))
    found = AttentionList()
    found.update(made, made.everything())
    assert [each.sentence for each in found.worst_first()] == ["no host announces it"]
    found.update(made, made.absorb(objects(host("b")), ()))
    assert found.worst_first() == attention(made) == ()


def test_attention_is_kept_by_row() -> None:
    """What is touched is looked at anew, and the worst stands first however it came."""
    made = site(virtual_ip("a"), host("a", drain="true"))
    found = AttentionList()
    found.update(made, made.everything())
    assert [each.kind for each in found.worst_first()] == ["host"]
    found.update(made, made.absorb(objects(virtual_ip()), ()))
    assert [each.kind for each in found.worst_first()] == ["VIP", "host"]
    assert [found.count(severity) for severity in Severity] == [0, 0, 1, 1]
    found.update(made, made.absorb(objects(virtual_ip("a")), ()))
    found.update(made, made.absorb(objects(host("a")), ()))
    assert (len(found), found.worst_first()) == (0, ())


def test_an_agent_that_is_lost_and_heard_again_touches_what_it_said() -> None:
    """Its VIPs, and the hosts that it sees."""
    made = site(virtual_ip("a"), host("a"), host("b"))
    tell_vip(made, "a", verdict(Role.OWNER))
    tell(made, "a", Topic.HOSTS, b=NeighborStatus(name="b", state=Reachability.FAILED))
    for touched in (made.lose("a"), made.hear("a", TopicChange(Topic.EVENTS, {}))):
        assert (touched.vips, touched.hosts) == ({VIP}, {"a", "b"})


def test_what_a_host_owns_is_counted_as_it_changes() -> None:
    """A VIP that it answers for, announces as well, and then loses."""
    made = site(host("a"))
    for told, counts in (
        (verdict(Role.OWNER), (1, 0)),
        (verdict(Role.OWNER, announced=True), (1, 1)),
        (verdict(Role.CANDIDATE, owner="b"), (0, 0)),
    ):
        tell_vip(made, "a", told)
        row = made.host("a")
        assert row is not None
        assert (row.owned, row.announced) == counts


def test_since_when_a_vip_is_answered_is_told_without_a_store() -> None:
    """By its owner, and by who saw it; where the store names another one, that is no answer."""
    made = site(virtual_ip("a"))
    moved = VipMove(time="2026-01-02T00:00:00.000+00:00", origin="a", target="b", reason="the owner was found dead")
    told = verdict(Role.OWNER, owner="b")
    assert told.layer2 is not None
    tell_vip(made, "b", replace(told, layer2=replace(told.layer2, since=moved.time), last_move=moved))
    row = made.vip(VIP)
    assert row is not None
    assert (row.since, row.last_move) == (moved.time, moved)


def test_the_later_of_two_moves_is_the_last() -> None:
    """Both sides tell theirs: who has it now is told by the later one."""
    made = Site()
    lost = VipMove(time="2026-01-02T00:00:00.000+00:00", origin="a", target="", reason="no interface")
    took = VipMove(time="2026-01-02T00:00:00.110+00:00", origin="a", target="b", reason="the owner was found dead")
    tell_vip(made, "a", replace(verdict(Role.CANDIDATE), last_move=lost))
    tell_vip(made, "b", replace(verdict(Role.OWNER, owner="b"), last_move=took))
    row = made.vip(VIP)
    assert row is not None
    assert row.last_move == took


def test_what_bird_counts_is_told_by_the_agent_alone() -> None:
    """The store has no counters: of them nothing is known from there."""
    stored = ", bgpSessions: [{name: tor, peer: 192.0.2.1, state: Established}]"
    made = site(host("a", stored))
    (row,) = made.sessions("a")
    assert (row.sent, row.accepted, row.received, row.flaps) == (None, None, None, None)
    bgp = BirdSession(
        kind=SessionKind.BGP, name="tor", peer="192.0.2.1", state="Established", prefixes_sent=2, prefixes_accepted=0,
        updates_received=7, flaps=1,
    )  # fmt: skip
    tell(made, "a", Topic.SESSIONS, **{bgp.key: bgp})
    (row,) = made.sessions("a")
    assert (row.sent, row.accepted, row.received, row.flaps) == (2, 0, 7, 1)


def test_interfaces_are_told_by_the_agent_or_else_by_the_store() -> None:
    """With the API server gone they are known all the same."""
    made = site(host("a", ", interfaces: [{name: eth0, hardwareAddress: '02:00:00:00:00:01', up: false}]"))
    stored = made.host("a")
    assert stored is not None
    assert stored.interfaces == (InterfaceStatus(name="eth0", up=False, hardware_address="02:00:00:00:00:01"),)
    own = InterfaceStatus(name="eth0", up=True, addresses=("192.0.2.1/24",))
    tell(made, "a", Topic.PROGRAM, **{ONLY: AgentProgram(host="a", version="1", interfaces=(own,))})
    told = made.host("a")
    assert told is not None
    assert told.interfaces == (own,)


POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: p, namespace: metallb-system}
spec: {addresses: [192.0.2.8-192.0.2.12, '2001:db8::/64'], avoidBuggyIPs: true}
"""


def test_a_pool_as_runs_of_addresses() -> None:
    """Who holds what, and what is free; a pool of any size is a few values."""
    made = site(virtual_ip("a"), POOL)
    told = [(str(run.first), str(run.last), run.state, run.services) for run in runs(made.pools[POOL_REF], made.vips)]
    assert told == [
        ("192.0.2.8", "192.0.2.9", AddressState.FREE, ()),
        ("192.0.2.10", "192.0.2.10", AddressState.GIVEN, ("d/s",)),
        ("192.0.2.11", "192.0.2.12", AddressState.FREE, ()),
        ("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", AddressState.FREE, ()),
    ]
    made = site(virtual_ip("a", services=""), POOL)
    assert [run.state for run in runs(made.pools[POOL_REF], made.vips)][1] is AddressState.RESTING


@given(st.integers(0, 600), st.integers(0, 600), st.frozensets(st.integers(0, 700), max_size=6), st.booleans())
def test_every_address_of_a_pool_is_in_one_run(first: int, size: int, held: frozenset[int], avoiding: bool) -> None:
    """In order, none twice, whatever is held."""
    begin = parse_address("192.0.0.0") + first
    text = POOL.replace("192.0.2.8-192.0.2.12, '2001:db8::/64'", f"{begin}-{begin + size}")
    addresses = [parse_address("192.0.0.0") + number for number in held]
    vips = [virtual_ip("a").replace("192.0.2.10", str(address)) for address in addresses]
    made = site(*vips, text.replace("avoidBuggyIPs: true", f"avoidBuggyIPs: {str(avoiding).lower()}"))
    seen = [
        (int(run.first) + offset, run.state)
        for run in runs(made.pools[POOL_REF], made.vips)
        for offset in range(run.size)
    ]
    assert [number for number, _ in seen] == list(range(int(begin), int(begin) + size + 1))
    given_ = {int(address) for address in addresses}
    for number, state in seen:
        is_buggy = avoiding and number % 256 in (0, 255)
        expected = AddressState.AVOIDED if is_buggy else AddressState.FREE
        assert state is (AddressState.GIVEN if number in given_ else expected)


def test_events_of_all_hosts_are_rows_in_one_line_of_time() -> None:
    """As they come, and the last of them together."""
    made = Site()
    for number, (name, second) in enumerate((("b", 2), ("a", 1), ("a", 3)), start=1):
        time = f"2026-01-01T00:00:0{second}+00:00"
        event = HostEvent(number=number, time=time, event="feed_changed", subject="live", run=name)
        touched = made.hear(name, TopicChange(Topic.EVENTS, {str(number): event}))
        assert touched.events == {(name, str(number))}
        row = made.event(name, str(number))
        assert row is not None
        assert (row.host, row.text) == (name, "the feed is live")
    assert [(row.host, row.key[2]) for row in made.happened()] == [("a", 2), ("b", 1), ("a", 3)]
    assert [(row.host, row.key[2]) for row in made.happened(1)] == [("a", 3)]
    assert made.event("a", "9") is None

"""A site's rows from its objects, from what agents tell, and from both."""

import pytest

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
    Layer2Status,
    NeighborStatus,
    SessionKind,
    VirtualIPVerdict,
)
from appliance.control.topic import ONLY, Topic
from appliance.l2.event import Reachability, Role
from appliance.overview.attention import AttentionList, attention
from appliance.overview.row import HostHealth, Mode, SessionHealth, Severity, Usage, VipHealth
from appliance.overview.site import Site

VIP = parse_address("192.0.2.10")


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

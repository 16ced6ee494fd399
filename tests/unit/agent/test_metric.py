"""What an agent tells Prometheus, from what it holds."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, ip_address

from prometheus_client.parser import text_string_to_metric_families

from appliance.agent.metric import announced_reading, bird_readings, layer2_readings, watch_readings
from appliance.api.address import Family, IPAddress
from appliance.api.meta import Metadata
from appliance.api.metallb import DynamicASN
from appliance.api.pierhead import AddressConflict, BFDOptions, Layer2, VirtualIP, VirtualIPService, VirtualIPSpec
from appliance.bird.model import BirdConfig, Session
from appliance.bird.reply import DaemonState, Status
from appliance.bird.session import BfdSession, BgpSession, Channel
from appliance.control.message import SessionFault
from appliance.control.metric import Reading, exposition
from appliance.host.bird import ApplyOutcome, BirdState
from appliance.l2 import frame
from appliance.l2.event import FrameReceived, RouteFound, RouteLost, VipPlan
from tests.unit.l2.bench import CLIENT, ETH0, MINE, VIP, B, answers, connected, owner

Samples = dict[tuple[str, ...], float]
TOR = Session(
    name="tor",
    neighbor=ip_address("192.168.1.1"),
    peer_asn=64501,
    local_asn=64500,
    bfd=BFDOptions(),
    families=frozenset(Family),
)
SIX = replace(TOR, name="six", neighbor=ip_address("2001:db8::1"), port=1790, vrf="red", bfd=None)
LINK_LOCAL = replace(TOR, name="link-local", neighbor=ip_address("fe80::1"), interface="eth1")
UNNUMBERED = replace(TOR, name="unnumbered", neighbor=None, interface="eth2", peer_asn=DynamicASN.EXTERNAL)
RUNNING = Status("2.0.12", "192.168.1.11", "", "", DaemonState.RUNNING, "")


def config(*sessions: Session) -> BirdConfig:
    """A configuration with sessions and nothing else."""
    return BirdConfig(router_id=IPv4Address("192.168.1.11"), sessions=sessions)


def session(name: str, neighbor: str, state: str = "Established", exported: int = 2, told: int = 5) -> BgpSession:
    """A session as BIRD reports it."""
    channels = (Channel("ipv4", "UP", 0, exported, told), Channel("ipv6", "UP", 0, 1, 1))
    return BgpSession(name, f"bgp_{name}", state, "", neighbor, 64501, "", channels, None)


def bfd(address: str, state: str = "Up") -> BfdSession:
    """A BFD session as BIRD reports it."""
    return BfdSession(address, "eth0", state, "", 0.05, 0.15)


def samples(readings: Iterable[Reading], name: str) -> Samples:
    """A metric's samples by the values of its labels."""
    text = b"".join(exposition(readings)).decode()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    # This parser calls every counter `_total`; Prometheus' own does not.
    named = (sample for sample in found if sample.name in (name, f"{name}_total"))
    return {tuple(sample.labels.values()): sample.value for sample in named}


def told(wanted: BirdConfig | None, state: BirdState, name: str) -> Samples:
    """One metric of BIRD."""
    outcomes: Counter[ApplyOutcome | None] = Counter({ApplyOutcome.CONFIGURED: 2, ApplyOutcome.UNDONE: 1, None: 3})
    faults = (SessionFault(session="six", reason="no-password"),)
    return samples(bird_readings(wanted, state, outcomes, is_refused=False, faults=faults), name)


def test_sessions_carry_metallbs_labels() -> None:
    """Address and port, the VRF or `default`; the interface where a neighbor has no address of its own."""
    state = BirdState(RUNNING, (session("tor", "192.168.1.1"), session("unnumbered", "fe80::2%eth2")))
    assert told(config(TOR, SIX, LINK_LOCAL, UNNUMBERED), state, "metallb_bgp_session_up") == {
        ("192.168.1.1:179", "default"): 1,
        ("[2001:db8::1]:1790", "red"): 0,
        ("[fe80::1%eth1]:179", "default"): 0,
        ("eth2", "default"): 1,
    }


def test_a_session_without_bird_is_down() -> None:
    """What is configured and not there is told as 0, so that an alert on 0 fires."""
    assert told(config(TOR), BirdState(), "metallb_bgp_session_up") == {("192.168.1.1:179", "default"): 0}
    assert told(config(TOR), BirdState(), "pierhead_bird_up") == {(): 0}
    assert told(None, BirdState(), "metallb_bgp_session_up") == {}


def test_one_peer_has_one_sample() -> None:
    """Of two sessions to one peer the worst is told: Prometheus refuses a sample that comes twice."""
    state = BirdState(RUNNING, (session("tor", "192.168.1.1"), session("twin", "192.168.1.1", "Idle")))
    both = config(TOR, replace(TOR, name="twin"))
    assert told(both, state, "metallb_bgp_session_up") == {("192.168.1.1:179", "default"): 0}
    assert told(both, state, "metallb_bgp_announced_prefixes_total") == {("192.168.1.1:179", "default"): 6}


def test_an_unnumbered_session_is_up_with_any_neighbor() -> None:
    """BIRD keeps the session that waits for callers beside those that called."""
    waiting = session("unnumbered", "fe80::/10", "Passive", 0, 0)
    state = BirdState(RUNNING, (waiting, session("unnumbered", "fe80::2%eth2")), (bfd("fe80::2"),))
    assert told(config(UNNUMBERED), state, "pierhead_bgp_session_up") == {("eth2", "default"): 1}
    assert told(config(UNNUMBERED), state, "pierhead_bgp_session_bfd_up") == {("eth2", "default"): 1}


def test_routes_of_both_families_are_counted() -> None:
    """What the peer has now, and how often it was told."""
    state = BirdState(RUNNING, (session("tor", "192.168.1.1"),))
    assert told(config(TOR), state, "metallb_bgp_announced_prefixes_total") == {("192.168.1.1:179", "default"): 3}
    assert told(config(TOR), state, "metallb_bgp_updates_total") == {("192.168.1.1:179", "default"): 6}


def test_bfd_is_told_of_sessions_that_are_to_have_it() -> None:
    """By MetalLB's label, an address alone, and by the BGP session's, so that both can be compared."""
    sessions = (session("tor", "192.168.1.1"), session("six", "2001:db8::1"))
    state = BirdState(RUNNING, sessions, (bfd("192.168.1.1", "Down"), bfd("192.168.1.12")))
    assert told(config(TOR, SIX), state, "pierhead_bgp_session_bfd_up") == {("192.168.1.1:179", "default"): 0}
    assert told(config(TOR, SIX), state, "metallb_bfd_session_up") == {("192.168.1.1", "default"): 0}


def test_configurations_are_told_by_what_became_of_them() -> None:
    """Every outcome is there from the start."""
    assert told(config(TOR), BirdState(), "pierhead_bird_configurations_total") == {
        ("unchanged",): 0,
        ("configured",): 2,
        ("checked",): 0,
        ("refused",): 0,
        ("undone",): 1,
        ("failed",): 3,
    }
    assert told(config(TOR), BirdState(), "pierhead_bgp_session_faults") == {("six", "no-password"): 1}


def vip(address: IPAddress, *services: str) -> VirtualIP:
    """A VIP of some Services."""
    entries = tuple(VirtualIPService(namespace="default", name=name) for name in services)
    spec = VirtualIPSpec(address=address, pool="lan", services=entries, layer2=Layer2(candidates=("a",)))
    return VirtualIP(metadata=Metadata(name=str(address)), spec=spec)


def test_an_owner_announces_each_service_of_a_vip() -> None:
    """One sample a Service; none for a VIP that another host is to answer for."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*frame.announcements(B, VIP + 1))
    vips: dict[IPAddress, VirtualIP] = {VIP: vip(VIP, "echo", "web"), VIP + 1: vip(VIP + 1, "other")}
    assert samples([announced_reading("a", vips, None, bench.core)], "metallb_speaker_announced") == {
        ("default/echo", "layer2", "a", "192.168.1.240"): 1,
        ("default/web", "layer2", "a", "192.168.1.240"): 1,
    }


def test_an_isolated_owner_announces_nothing() -> None:
    """It holds on to its VIPs and is silent; whoever took over is the only one that Prometheus sees."""
    bench = connected(MINE)
    bench.hear(*answers(B), frame.question(CLIENT, VIP + 9), *answers(CLIENT))
    bench.run(1.0)
    bench.give(RouteFound("b"))
    bench.give(RouteLost("b"))
    bench.run(3.0)
    assert bench.core.isolated_links()
    reading = announced_reading("a", {VIP: vip(VIP, "echo")}, None, bench.core)
    assert samples([reading], "metallb_speaker_announced") == {}


def test_layer2_is_told_as_it_was_counted() -> None:
    """By VIP, by kind of frame, by reason of a claim; every reason is there from the start."""
    bench = owner(MINE)
    bench.hear(frame.question(CLIENT, VIP), frame.question(CLIENT, VIP))
    bench.give(FrameReceived(ETH0, b"short"))
    conflict = AddressConflict(address=VIP, hardware_address=bytes(6), interface="eth0", since="")

    def read(name: str) -> Samples:
        return samples(layer2_readings(bench.core, {VIP}, {VIP: conflict}, {"eth0": False, "eth1": True}, 4), name)

    assert read("metallb_layer2_requests_received") == {(str(VIP),): 2}
    assert read("metallb_layer2_responses_sent") == {(str(VIP),): 2}
    assert read("metallb_layer2_gratuitous_sent") == {(str(VIP),): 2}
    assert read("pierhead_vip_claims_total") == {("took_over",): 0, ("handed_over",): 0, ("claimed",): 1}
    assert read("pierhead_layer2_frames_sent_total")["reply",] == 2
    assert read("pierhead_layer2_frames_dropped_total")["truncated",] == 1
    assert read("pierhead_vip_conflicts") == {(str(VIP), "eth0"): 1}
    assert read("pierhead_link_isolated") == {("eth0",): 0, ("eth1",): 1}
    assert (read("pierhead_vip_owned"), read("pierhead_layer2_packet_errors_total")) == ({(): 1}, {(): 4})
    assert read("pierhead_host_failed") == {("b",): 0}


def test_a_host_is_reached_by_one_of_its_addresses() -> None:
    """BFD watches each address of a host; one that is reached will do."""
    watched: dict[IPAddress, str] = {VIP: "b", VIP + 1: "b", VIP + 2: "c"}
    assert samples(watch_readings(watched, {VIP + 1}), "pierhead_host_bfd_up") == {("b",): 1, ("c",): 0}

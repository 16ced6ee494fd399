"""What the agent says of sessions and VIPs beside their state."""

from dataclasses import replace
from ipaddress import ip_address

from appliance.agent.bgp import went_down
from appliance.agent.status import VipSeen, counted, verdict
from appliance.api.meta import Metadata
from appliance.api.pierhead import Layer2, Owner, VirtualIP, VirtualIPSpec, VirtualIPStatus
from appliance.bird.reply import DaemonState, Status
from appliance.bird.session import BgpSession, Channel
from appliance.control.message import BirdSession, SessionKind, VipMove
from appliance.host.bird import BirdState
from appliance.l2.event import ConflictEvidence, ConflictSeen, Role, RoleReason, VipStatus, VipTraffic

VIP = ip_address("192.0.2.1")
RUNNING = Status("2.0.12", "192.0.2.9", "", "", DaemonState.RUNNING, "")
SESSION = BgpSession("tor", "bgp1", "Established", "10:00", "192.0.2.254", 64512, "", (), None)
TOLD = BirdSession(kind=SessionKind.BGP, name="tor", peer="192.0.2.254", state="Established")
STORED = VirtualIP(
    metadata=Metadata(name=str(VIP)),
    spec=VirtualIPSpec(address=VIP, pool="p", layer2=Layer2()),
    status=VirtualIPStatus(owner=Owner(host="a", since="2026-01-01T00:00:00Z")),
)
MOVE = VipMove(time="2026-01-02T00:00:00Z", origin="a", target="b", reason="the owner was found dead")
OWNED = VipStatus(Role.OWNER, RoleReason.TOOK_OVER, "b")


def moment(seconds: float) -> str:
    """A time as text."""
    return f"at {seconds:g}"


def test_what_bird_counts_is_summed_over_families() -> None:
    """Prefixes sent and accepted, and updates of the peer whether or not they were."""
    channels = (Channel("ipv4", "UP", 1, 20, 5, 7), Channel("ipv6", "UP", 2, 30, 5, 8))
    told = counted(TOLD, replace(SESSION, channels=channels), 3)
    assert (told.prefixes_sent, told.prefixes_accepted, told.updates_received, told.flaps) == (50, 3, 15, 3)
    told = counted(TOLD, None, 1)
    assert (told.prefixes_sent, told.prefixes_accepted, told.updates_received, told.flaps) == (None, None, None, 1)


def test_a_sessionwent_down_that_is_up_no_longer_or_anew() -> None:
    """One that never was up did not, and of a BIRD that does not answer nobody knows."""
    up = BirdState(RUNNING, (SESSION,))
    tried = BirdState(RUNNING, (replace(SESSION, state="Active", since="10:05"),))
    anew = BirdState(RUNNING, (replace(SESSION, since="10:06"),))
    assert list(went_down(up, up)) == []
    assert list(went_down(up, tried)) == [SESSION.key]
    assert list(went_down(up, anew)) == [SESSION.key]
    assert list(went_down(up, BirdState(RUNNING))) == [SESSION.key]
    assert list(went_down(tried, anew)) == []
    assert list(went_down(up, BirdState())) == []


def test_since_when_is_the_stores_word_or_the_moves() -> None:
    """The store's holds over restarts; a move that the store has not heard of is newer."""
    told = verdict(STORED, replace(OWNED, owner="a"), None, VipSeen(moment, move=MOVE))
    assert told.layer2 is not None
    assert told.layer2.since == "2026-01-01T00:00:00Z"
    told = verdict(STORED, OWNED, None, VipSeen(moment, move=MOVE))
    assert told.layer2 is not None
    assert (told.layer2.since, told.last_move) == (MOVE.time, MOVE)
    told = verdict(STORED, replace(OWNED, owner="c"), None, VipSeen(moment, move=MOVE))
    assert told.layer2 is not None
    assert told.layer2.since == ""


def test_who_else_answers_is_told_with_its_times() -> None:
    """Who, where, when first and last, how often; and what was asked and answered."""
    seen = VipSeen(
        moment,
        ConflictSeen(VIP, b"\2\0\0\0\0\t", "eth0", 1.0),
        traffic=VipTraffic(VIP, 5, 4, 3),
        evidence=ConflictEvidence(b"\2\0\0\0\0\t", "eth0", 1.0, 9.5, 12),
    )
    told = verdict(STORED, OWNED, None, seen)
    assert told.conflict == "02:00:00:00:00:09 on eth0"
    assert told.evidence is not None
    assert (told.evidence.hardware_address, told.evidence.first, told.evidence.last, told.evidence.count) == (
        "02:00:00:00:00:09",
        "at 1",
        "at 9.5",
        12,
    )
    assert told.traffic is not None
    assert (told.traffic.requests, told.traffic.replies, told.traffic.announcements) == (5, 4, 3)

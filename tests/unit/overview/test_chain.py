"""The links that only hosts can tell of, in words: who answers, what is announced, who can receive it."""

from dataclasses import replace
from enum import Enum

import pytest

from appliance.advertise.explain import Gap
from appliance.advertise.reason import ServiceReason
from appliance.control.message import AgentProgram, BGPStatus, BirdSession, Layer2Status, NeighborStatus, SessionKind
from appliance.control.topic import ONLY, Topic
from appliance.ipam.reason import Reason
from appliance.ipam.request import Unserved
from appliance.l2.event import Reachability, Role
from appliance.overview.chain import Announcing, ChainLink, Delivering, announcement, chain, first_broken
from appliance.overview.explanation import ADVICE, lines
from appliance.overview.probe import Answer, Answering
from appliance.overview.site import Site
from tests.unit.overview.test_site import VIP, host, site, tell, tell_vip, verdict, virtual_ip

LAN = "layer2: {candidates: [a, b]}"
ROUTED = "bgp: [{prefix: 192.0.2.10/32}]"


def layer2(role: Role, reason: str, owner: str = "", *interfaces: str) -> Layer2Status:
    """An agent's word on layer 2."""
    return Layer2Status(role=role, reason=reason, owner=owner or None, interfaces=interfaces)


def asked(a: Layer2Status, b: Layer2Status) -> Site:
    """A VIP of two hosts that were both asked."""
    made = site(virtual_ip("a", LAN), host("a"), host("b"))
    tell_vip(made, "a", replace(verdict(), layer2=a))
    tell_vip(made, "b", replace(verdict(), layer2=b))
    return made


OWNER = layer2(Role.OWNER, "the owner released it", "a", "eth0")
STANDS_BY = layer2(Role.CANDIDATE, "another host answers", "a", "eth0")


def whole() -> Site:
    """The owner answers, the other host stands by."""
    return asked(OWNER, STANDS_BY)


def failed() -> Site:
    """The owner is silent; its agent was heard before."""
    made = whole()
    made.lose("a")
    tell(made, "b", Topic.HOSTS, a=NeighborStatus(name="a", state=Reachability.FAILED))
    return made


def agent_down() -> Site:
    """The owner's kernel answers and its agent does not."""
    made = whole()
    made.lose("a")
    tell(made, "b", Topic.HOSTS, a=NeighborStatus(name="a", state=Reachability.AGENT_DOWN))
    return made


def isolated() -> Site:
    """Nobody on the owner's link answers."""
    made = whole()
    tell(made, "a", Topic.PROGRAM, **{ONLY: AgentProgram(host="a", version="1", isolated_links=("eth0",))})
    return made


def routed(announced: bool, state: str, reason: str = "announced") -> Site:
    """A VIP over BGP, and one agent that was asked."""
    made = site(virtual_ip(spec=ROUTED), host("a"))
    told = BGPStatus(announced=announced, reason=reason, prefixes=("192.0.2.10/32",) if announced else ())
    tell_vip(made, "a", replace(verdict(), bgp=told))
    session = BirdSession(kind=SessionKind.BGP, name="tor", peer="192.0.2.1", state=state, message="Hold timer expired")
    tell(made, "a", Topic.SESSIONS, **{session.key: session})
    return made


CASES = {
    "whole": (
        whole(),
        """\
  ok     announcement   192.0.2.10: a answers ARP/NDP
                        a (layer 2) answers ARP/NDP: on eth0: the owner released it
                        b (layer 2) stands by: another host answers
  ok     delivery       192.0.2.10: where it arrives it can be received
                        a can receive it""",
    ),
    "two owners": (
        asked(OWNER, layer2(Role.OWNER, "another host answers too", "b")),
        """\
  BROKEN announcement   192.0.2.10: a, b: more than one host answers for it
                        a (layer 2) answers ARP/NDP: on eth0: the owner released it
                        b (layer 2) answers ARP/NDP: another host answers too
What to do: find out why they do not hear each other: a switch, a VLAN missing on one port""",
    ),
    "nobody": (
        asked(
            layer2(Role.NONE, "this host's forwarder has no rules for it yet"),
            layer2(Role.PROBING, "asks whether somebody answers for the address already"),
        ),
        """\
  BROKEN announcement   192.0.2.10: no host answers ARP/NDP for it
                        a (layer 2) takes no part: this host's forwarder has no rules for it yet
                        b (layer 2) asks whether the address is free, then answers: asks whether somebody answers for \
the address already
What to do: look at the hosts' reasons above; systemctl status pierhead-agent there, and `pierhead status` says what \
it waits for""",
    ),
    "failed": (
        failed(),
        """\
  ok     announcement   192.0.2.10: a answers ARP/NDP
                        a (layer 2) answers ARP/NDP: since 2026-01-01T00:00:00Z, as it told the store
                        b (layer 2) stands by: another host answers
  BROKEN delivery       192.0.2.10: a is not reached by the other hosts
                        a is not reached by the other hosts
What to do: look at that machine and its cable; layer 2 moves by itself once another host is able to""",
    ),
    "agent down": (
        agent_down(),
        """\
  ok     announcement   192.0.2.10: a answers ARP/NDP
                        a (layer 2) answers ARP/NDP: since 2026-01-01T00:00:00Z, as it told the store
                        b (layer 2) stands by: another host answers
  BROKEN delivery       192.0.2.10: a has an agent that does not run
                        a has an agent that does not run
What to do: start it there: systemctl start pierhead-agent""",
    ),
    "isolated": (
        isolated(),
        """\
  ok     announcement   192.0.2.10: a answers ARP/NDP
                        a (layer 2) answers ARP/NDP: on eth0: the owner released it
                        b (layer 2) stands by: another host answers
  BROKEN delivery       192.0.2.10: a is cut off: nobody on its link answers it
                        a is cut off: nobody on its link answers it
What to do: look at its switch port and VLAN""",
    ),
    "routed": (
        routed(True, "Established"),
        """\
  ok     announcement   192.0.2.10: 1 host announces it over BGP
                        a (BGP) announces it: 192.0.2.10/32; tor Established
  ok     delivery       192.0.2.10: where it arrives it can be received
                        a can receive it""",
    ),
    "session down": (
        routed(True, "Active"),
        """\
  BROKEN announcement   192.0.2.10: no BGP session that would carry it is up
                        a (BGP) would announce it, and no session is up: tor Active (Hold timer expired)
What to do: look at `pierhead peers` for the last error, then at the router and the cable""",
    ),
    "withdrawn": (
        routed(False, "Established", "withdrawn: this host is drained"),
        """\
  BROKEN announcement   192.0.2.10: no host announces it to a router
                        a (BGP) does not announce it: withdrawn: this host is drained
What to do: look at the hosts' reasons above""",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_hosts_tell(name: str) -> None:
    """The whole text."""
    made, text = CASES[name]
    assert "\n".join(lines(announcement(made, VIP))) == text


def test_both_ways_have_to_hold() -> None:
    """An address that is announced on the LAN and to no router is not reachable for those behind the router."""
    made = site(virtual_ip("a", f"{LAN}, {ROUTED}"), host("a"), host("b"))
    broken = first_broken(announcement(made, VIP))
    assert broken is not None
    assert (broken.link, broken.reason) == (ChainLink.ANNOUNCEMENT, Announcing.SESSIONS_DOWN)


def test_the_answer_of_the_application() -> None:
    """Of two ports one refuses: the chain ends there, with what to do."""
    answers = (
        Answer(VIP, 80, Answering.ACCEPTS, 0.4),
        Answer(VIP, 81, Answering.REFUSES, 0.3),
    )
    *_, last = chain((), whole(), (), answers)
    assert "\n".join(lines((last,))) == (
        "  BROKEN answer         192.0.2.10: port 81 refuses the connection\n"
        "                        port 80 accepts connections after 0.4 ms\n"
        "                        port 81 refuses the connection after 0.3 ms\n"
        "What to do: look whether the Pods listen on the Service's targetPort, and on all addresses"
    )


def test_every_reason_has_advice() -> None:
    """Whatever breaks a link, something can be done about it; no advice is for a reason that breaks none."""
    reasons: list[type[Enum]] = [Unserved, Reason, Gap, ServiceReason, Announcing, Delivering, Answering]
    good = {ServiceReason.ANNOUNCED, Answering.ACCEPTS, Answering.ANSWERS}
    assert ADVICE.keys() == {member for reason in reasons for member in reason} - good

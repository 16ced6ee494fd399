"""`pierhead explain vip`."""

import json
from dataclasses import replace

import pytest

from appliance.cli.explain import lines
from appliance.control.message import (
    BGPStatus,
    ConflictStatus,
    Layer2Status,
    VipMove,
    VipTrafficStatus,
    VirtualIPVerdict,
)
from appliance.l2.event import Role
from tests.unit.cli.conftest import Agent, Pierhead
from tests.unit.control.sample import LAN, ROUTED

EVIDENCE = ConflictStatus(hardware_address="02::1", interface="eth0", first="03:00", last="03:12", count=12)


async def test_a_vip_is_explained(agent: Agent, pierhead: Pierhead) -> None:
    """What the agent decided comes as sentences."""
    result = await pierhead("explain", "vip", "192.168.1.240")
    assert (result.exit_code, tuple(result.output.splitlines())) == (0, lines(LAN))


async def test_json_is_the_verdict(agent: Agent, pierhead: Pierhead) -> None:
    """Programs get the message of the control socket."""
    content = json.loads((await pierhead("explain", "vip", "2001:db8:100::1", "--json")).output)
    assert (content["address"], content["bgp"]["announced"]) == ("2001:db8:100::1", True)


@pytest.mark.parametrize(("address", "exit_code"), [("192.168.1.9", 1), ("echo", 2)])
async def test_no_vip_and_no_address_differ(agent: Agent, pierhead: Pierhead, address: str, exit_code: int) -> None:
    """ "There is no such VIP" is an answer; what is no address is wrong usage."""
    result = await pierhead("explain", "vip", address)
    assert (result.exit_code, address in result.output) == (exit_code, True)


async def test_a_near_address_is_named(agent: Agent, pierhead: Pierhead) -> None:
    """A digit that is missing is seen."""
    result = await pierhead("explain", "vip", "192.168.1.24")
    assert (result.exit_code, "did you mean 192.168.1.240?" in result.output) == (1, True)


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (LAN, "  candidates in order: node-a, node-b"),
        (LAN, "  layer 2: this host answers ARP/NDP on eth0 (first living candidate)"),
        (
            replace(LAN, layer2=Layer2Status(role=Role.CANDIDATE, reason="not first", owner="node-b")),
            "  layer 2: this host stands by; node-b answers (not first)",
        ),
        (
            replace(LAN, layer2=Layer2Status(role=Role.NONE, reason="no candidate")),
            "  layer 2: this host has no part in it; nobody is known to answer (no candidate)",
        ),
        (
            replace(LAN, layer2=Layer2Status(role=Role.PROBING, reason="new", interfaces=("eth0",))),
            "  layer 2: this host asks whether the address is free on eth0, then answers (new)",
        ),
        (ROUTED, "  BGP: 2001:db8:100::1/128 announced to tor (announced)"),
        (replace(ROUTED, bgp=BGPStatus(announced=False, reason="no endpoint")), "  BGP: not announced (no endpoint)"),
        (replace(ROUTED, bgp=None), "  announced nowhere: no advertisement selects it"),
        (replace(LAN, conflict="02::1"), "  conflict: 02::1 answers for this address too"),
        (
            replace(LAN, conflict="02::1 on eth0", evidence=EVIDENCE),
            "  conflict: 02::1 on eth0 answers for this address too: heard 12 times, first 03:00, last 03:12",
        ),
        (
            replace(LAN, last_move=VipMove(time="03:12", origin="b", target="a", reason="died", heard="silence")),
            "  last move: 03:12 from b to a: died; heard: silence",
        ),
        (
            replace(LAN, last_move=VipMove(time="03:12", origin="a", target="", reason="no link")),
            "  last move: 03:12 from a to nobody: no link",
        ),
        (
            replace(LAN, traffic=VipTrafficStatus(requests=3, replies=2, announcements=4)),
            "  since the agent began: 3 questions, 2 answers, 4 announcements",
        ),
    ],
)
def test_each_verdict_has_its_sentence(verdict: VirtualIPVerdict, sentence: str) -> None:
    """Every part and every way out of a decision is worded."""
    assert sentence in lines(verdict)

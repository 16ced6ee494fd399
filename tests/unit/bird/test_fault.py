"""What BIRD cannot be told of a session."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from appliance.api.pierhead import BFDOptions
from appliance.bird.fault import Fault, FaultReason, faults, usable_sessions
from appliance.bird.model import BirdConfig, Session
from appliance.bird.render import render
from tests.golden.bird.case import CASES, LINK_LOCAL, ROUTER_ID, TOR, UNNUMBERED

MISTAKES = (
    (replace(TOR, neighbor=None), FaultReason.NO_NEIGHBOR),
    (replace(TOR, neighbor=ip_address("0.0.0.0")), FaultReason.NO_NEIGHBOR),
    (replace(TOR, neighbor=ip_address("224.0.0.5")), FaultReason.NO_NEIGHBOR),
    (replace(TOR, families=frozenset()), FaultReason.NO_FAMILY),
    (replace(TOR, peer_asn=0), FaultReason.NO_ASN),
    (replace(TOR, source_address=ip_address("2001:db8::1")), FaultReason.SOURCE_OF_OTHER_FAMILY),
    (replace(LINK_LOCAL, interface=""), FaultReason.LINK_LOCAL_WITHOUT_INTERFACE),
    (replace(UNNUMBERED, multihop=True), FaultReason.MULTIHOP_ON_LINK_LOCAL),
    (replace(TOR, password='se"cret'), FaultReason.UNWRITABLE_TEXT),
    (replace(TOR, vrf="red\n}"), FaultReason.UNWRITABLE_TEXT),
    (replace(TOR, password="x" * 5000), FaultReason.UNWRITABLE_TEXT),
    (replace(UNNUMBERED, interface="*"), FaultReason.UNWRITABLE_TEXT),
    (replace(UNNUMBERED, interface="-eth0"), FaultReason.UNWRITABLE_TEXT),
    (replace(LINK_LOCAL, neighbor=ip_address("fe80::1%x as 1;\nprotocol")), FaultReason.UNWRITABLE_TEXT),
)


@pytest.mark.parametrize(("session", "reason"), MISTAKES)
def test_mistake_leaves_out_its_session_alone(session: Session, reason: FaultReason) -> None:
    """A session that cannot be is named with its reason, and the others go on."""
    other = replace(TOR, name="other")
    config = BirdConfig(router_id=ROUTER_ID, sessions=(session, other))

    assert (Fault(session.name, reason),) == faults(config)
    assert (other,) == usable_sessions(config)


def test_two_sessions_of_one_name_are_both_left_out() -> None:
    """Which of two namesakes was meant cannot be told."""
    config = BirdConfig(router_id=ROUTER_ID, sessions=(TOR, replace(TOR, peer_asn=64999)))

    assert (Fault("tor-router", FaultReason.NAME_TWICE),) == faults(config)
    assert usable_sessions(config) == ()


def test_multihop_without_source_loses_only_its_bfd() -> None:
    """BIRD refuses multihop BFD without a source address: the session is kept without BFD."""
    session = replace(TOR, multihop=True, bfd=BFDOptions())
    config = BirdConfig(router_id=ROUTER_ID, sessions=(session,))

    assert (Fault("tor-router", FaultReason.BFD_WITHOUT_SOURCE),) == faults(config)
    assert render(config) == render(replace(config, sessions=(replace(session, bfd=None),)))


@pytest.mark.parametrize("name", CASES)
def test_good_sessions_have_no_fault(name: str) -> None:
    """Every kept configuration is free of faults."""
    assert faults(CASES[name]) == ()

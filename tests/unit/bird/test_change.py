"""Which BGP sessions a change restarts; tests/lab/test_bird.py holds the same answers against a real BIRD."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import pytest

from appliance.api.address import Family
from appliance.api.pierhead import BFDOptions
from appliance.bird.change import Field, Restart, sessions_restarted
from appliance.bird.model import BirdConfig, Drain, Session, WatchTiming
from tests.golden.bird.case import CASES, PLAIN, REFLECTOR, ROUTER_ID, TAGGED, TOR, WATCHES

CONFIG = BirdConfig(router_id=ROUTER_ID, sessions=(TOR,), announcements=(PLAIN,))


@pytest.mark.parametrize(
    "new",
    [
        replace(CONFIG, announcements=(TAGGED,)),
        replace(CONFIG, drain=Drain.LAST_CHOICE),
        replace(CONFIG, watches=WATCHES, timing=WatchTiming(200, 4)),
        replace(CONFIG, sessions=(TOR, REFLECTOR)),
        replace(CONFIG, sessions=(replace(TOR, bfd=None),)),
        replace(CONFIG, sessions=(replace(TOR, bfd=BFDOptions(multiplier=7)),)),
        replace(CONFIG, sessions=(replace(TOR, hold_seconds=9.2),)),
    ],
)
def test_nothing_restarts(new: BirdConfig) -> None:
    """Routes, drains, watches, new peers, BFD and times that round to the same leave sessions up."""
    assert sessions_restarted(CONFIG, new) == ()


@pytest.mark.parametrize(
    ("session", "field"),
    [
        (replace(TOR, router_id=IPv4Address("10.0.0.1")), Field.ROUTER_ID),
        (replace(TOR, neighbor=ip_address("192.168.1.2")), Field.NEIGHBOR),
        (replace(TOR, port=1179), Field.NEIGHBOR),
        (replace(TOR, peer_asn=64999), Field.ASN),
        (replace(TOR, source_address=ip_address("192.168.1.11")), Field.SOURCE_ADDRESS),
        (replace(TOR, keepalive_seconds=1), Field.TIMERS),
        (replace(TOR, password="other"), Field.PASSWORD),
        (replace(TOR, multihop=True, bfd=None), Field.MULTIHOP),
        (replace(TOR, graceful_restart=True), Field.GRACEFUL_RESTART),
        (replace(TOR, families=frozenset(Family)), Field.FAMILIES),
        (replace(TOR, vrf="red"), Field.VRF),
    ],
)
def test_session_restarts_for_a_field(session: Session, field: Field) -> None:
    """Each thing agreed when a session opens restarts it."""
    assert (Restart("tor-router", (field,)),) == sessions_restarted(CONFIG, replace(CONFIG, sessions=(session,)))


def test_router_id_restarts_every_session_that_uses_it() -> None:
    """A session with a router id of its own is not touched by the host's."""
    new = replace(CASES["internal"], router_id=IPv4Address("10.0.0.1"))

    assert (Restart("tor-router", (Field.ROUTER_ID,)),) == sessions_restarted(CASES["internal"], new)


def test_removed_session_goes_down() -> None:
    """A session that is gone is named."""
    assert (Restart("tor-router", (Field.REMOVED,)),) == sessions_restarted(CONFIG, replace(CONFIG, sessions=()))


def test_password_is_not_shown() -> None:
    """Neither a session nor what is said of it shows a password."""
    told = sessions_restarted(CONFIG, replace(CONFIG, sessions=(replace(TOR, password="other"),)))

    assert TOR.password
    assert TOR.password not in repr(CONFIG)
    assert "other" not in repr(told)

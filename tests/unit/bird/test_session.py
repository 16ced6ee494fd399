"""BGP and BFD sessions as BIRD reports them."""

from dataclasses import replace

import pytest

from appliance.bird.session import (
    BfdSession,
    BgpSession,
    Channel,
    bfd_sessions,
    bgp_sessions,
    steady_bfd,
    steady_bgp,
)
from tests.golden.bird.case import reply


def session(name: str, protocol: str) -> BgpSession:
    """One session of a kept reply."""
    (found,) = (found for found in bgp_sessions(reply(name)) if found.protocol == protocol)
    return found


def test_established_session() -> None:
    """A session that is up, under its peer's name, with both its channels."""
    found = session("protocols", "bgp_tor_router")

    assert found.is_established
    assert (
        found.name,
        found.neighbor,
        found.neighbor_asn,
        found.last_error,
    ) == ("tor-router", "192.168.1.1", 64501, "")
    assert (Channel("ipv4", "UP", 0, 2, 2), Channel("ipv6", "UP", 0, 0)) == found.channels


def test_waiting_unnumbered_session() -> None:
    """A session whose neighbour is not known yet shows the range it waits for."""
    found = session("protocols", "bgp_unnumbered")

    assert (found.state, found.neighbor, found.neighbor_asn) == ("Passive", "fe80::/10", 0)


def test_other_protocols_are_no_sessions() -> None:
    """Static, kernel and device protocols are passed over."""
    assert [found.name for found in bgp_sessions(reply("protocols"))] == ["bgp_unnumbered", "tor-router"]


def test_session_taken_down_by_bfd() -> None:
    """The reason of the last loss is kept."""
    found = session("protocols_down", "bgp_tor_router")

    assert (found.state, found.last_error) == ("Idle", "Error: BFD session down")
    assert (Channel("ipv4", "DOWN", 0, 0), Channel("ipv6", "DOWN", 0, 0)) == found.channels


def test_session_shut_down_by_the_peer() -> None:
    """What the peer said last is kept."""
    assert session("protocols_shutdown", "bgp_tor_router").last_error == "Received: Administrative shutdown"


def test_labels_are_found_wherever_they_stand() -> None:
    """A version that adds or reorders lines is read all the same."""
    text = (
        "1002-bgp_x BGP        ---        up     10:00:00      Established\n"
        "1006-  New label:  1\n         Neighbor AS:      7\n       BGP state:          Established\n"
        "         Established transitions: 3\n       Channel ipv4\n         State:          UP\n"
    )

    assert (
        BgpSession("bgp_x", "bgp_x", "Established", "10:00:00", "", 7, "", (Channel("ipv4", "UP", 0, 0),), 3)
        == (bgp_sessions(text)[0])
    )


def test_bfd_sessions() -> None:
    """Each BFD session with its times."""
    found = bfd_sessions(reply("bfd_sessions"))

    assert [session.address for session in found] == ["192.168.1.1", "192.168.1.12", "2001:db8:1::12"]
    assert all(session.is_up for session in found)
    assert (found[0].interval_seconds, found[0].timeout_seconds) == (0.3, 0.9)


def test_bfd_session_that_is_down() -> None:
    """A lost neighbour is down, the others stay up."""
    down = [session for session in bfd_sessions(reply("bfd_sessions_down")) if not session.is_up]

    assert [(session.address, session.state) for session in down] == [("192.168.1.1", "Down")]
    assert isinstance(down[0], BfdSession)


def test_a_peers_text_is_cleaned_and_bounded() -> None:
    """What cannot be printed is a space, and what is too long is cut."""
    text = f"1002-bgp_tor BGP --- start 2026-11-21 02:50:37.390 Idle\n1006-  Last error: a\x1b[2J\u2028{'x' * 500}\n"

    (found,) = bgp_sessions(text)

    assert found.last_error.startswith("a [2J xxx")
    assert len(found.last_error) <= 200


def test_an_asn_that_is_no_number_is_none() -> None:
    """A line BIRD never writes stops nothing."""
    (found,) = bgp_sessions("1002-bgp_tor BGP --- start now Idle\n1006-  Neighbor AS: many\n")

    assert found.neighbor_asn == 0


UP = BgpSession("tor", "bgp_tor", "Established", "2026-11-21 02:50:37.390", "192.0.2.1", 64501, "", (), None)
BFD = BfdSession("192.0.2.1", "eth0", "Up", "2026-11-21 02:50:37.390", 0.1, 0.3)
LATER = "2026-11-21 02:50:37.412"
MUCH_LATER = "2026-11-21 02:50:40.000"


def test_times_that_mean_the_same_stay_as_told() -> None:
    """A few milliseconds are BIRD's arithmetic, seconds are another event."""
    assert steady_bgp([replace(UP, since=LATER)], [UP]) == (UP,)
    assert steady_bfd([replace(BFD, since=LATER)], [BFD]) == (BFD,)
    assert steady_bgp([replace(UP, since=MUCH_LATER)], [UP]) == (replace(UP, since=MUCH_LATER),)
    assert steady_bfd([replace(BFD, since=MUCH_LATER)], [BFD]) == (replace(BFD, since=MUCH_LATER),)


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ("Connect", "Active", "Connect"),
        ("Active", "OpenSent", "Active"),
        ("Connect", "Idle", "Idle"),
        ("Idle", "Connect", "Connect"),
        ("OpenConfirm", "Established", "Established"),
    ],
)
def test_a_session_that_tries_stays_as_told(before: str, now: str, told: str) -> None:
    """Going round Connect, Active and OpenSent is one thing to whoever reads."""
    assert steady_bgp([replace(UP, state=now)], [replace(UP, state=before)]) == (replace(UP, state=told),)

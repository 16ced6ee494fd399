"""The BIRD thing and its text against real BIRDs in network namespaces."""

import asyncio
import os
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from pathlib import Path
from time import monotonic
from types import FrameType

import pytest

from appliance.api.address import Family
from appliance.api.metallb import DynamicASN
from appliance.api.pierhead import BFDOptions
from appliance.bird.change import sessions_restarted
from appliance.bird.model import AnnouncedRoute, BirdConfig, Drain, Part, Session
from appliance.bird.moment import is_same_moment
from appliance.bird.render import render
from appliance.host.bird import Applied, ApplyOutcome, Bird
from appliance.host.birdcl import BirdError
from tests.lab.birdsite import (
    DEADLINE_SECONDS,
    HOST_A,
    ONE,
    PASSWORD,
    SESSION,
    WATCH_A,
    WATCH_B,
    Daemon,
    Lan,
    applied,
    daemons,
    established_since,
    is_past,
    missing,
    until,
    up,
)
from tests.lab.interposed import Interposed

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "the lab can run")

OTHER = replace(HOST_A, announcements=(replace(ONE, prefix=ip_network("10.0.100.9/32")),))
UNNUMBERED_ROUTER = """
router id 192.168.1.1;
log stderr {{ fatal, bug }};
protocol device {{ }}
protocol bgp host_a {{
  local as 64501;
  neighbor {neighbor} as 64500;
  interface "eth0";
  connect delay time 1; connect retry time 1; error wait time 1, 1;
  ipv4 {{ import all; export none; extended next hop on; }};
  ipv6 {{ import all; export none; }};
}}
"""


async def test_session_comes_up_and_routes_arrive(birds: dict[str, Daemon]) -> None:
    """Routes of both families reach the router with their communities, even those marked no-advertise."""
    await up(birds)

    one = birds["r"].ask("show", "route", "10.0.100.1/32", "all")
    kept = birds["r"].ask("show", "route", "10.0.100.2/32", "all")

    assert "BGP.community: (64500,100)" in one
    assert "BGP.large_community: (64500, 1, 2)" in one
    assert "(65535,65282)" in kept
    assert "via 192.168.1.11 on eth0" in one
    until(lambda: "2001:db8:100::1/128" in birds["r"].ask("show", "route"), "the IPv6 route arrives")


async def test_a_distributions_file_is_replaced_and_interfaces_stay(site: Lan, tmp_path: Path) -> None:
    """A BIRD that runs on the file it was installed with takes ours, and still knows the machine's interfaces."""
    async with daemons(site, tmp_path) as made:
        made["a"].config.write_text("log stderr { fatal };\nrouter id 192.168.1.11;\nprotocol device {\n}\n")
        made["a"].start()
        before = made["a"].ask("show", "interfaces", "summary")

        assert await made["a"].client().apply(render(HOST_A)) == Applied(ApplyOutcome.CONFIGURED)

        assert "eth0" in before
        assert made["a"].ask("show", "interfaces", "summary") == before


async def test_state_is_read(birds: dict[str, Daemon]) -> None:
    """The sessions BIRD has are read under the peers' names, with what they carry."""
    await up(birds)

    state = await birds["a"].client().read()

    assert state.status is not None
    assert state.status.router_id == "192.168.1.11"
    assert [(session.name, session.neighbor) for session in state.bgp] == [("tor-router", "192.168.1.1")]
    assert [channel.exported for channel in state.bgp[0].channels] == [2, 1]
    assert [(session.address, session.is_up) for session in state.bfd] == [("192.168.1.1", True)]


async def test_routes_drains_watches_and_bfd_restart_nothing(birds: dict[str, Daemon]) -> None:
    """What is predicted to restart nothing leaves the session up."""
    since = await up(birds)
    client = birds["a"].client()
    many = tuple(AnnouncedRoute(IPv4Network((0x0A000000 + number, 32))) for number in range(10_000))
    slower = replace(SESSION, bfd=BFDOptions(receive_milliseconds=200, transmit_milliseconds=200, multiplier=4))
    changes = (
        replace(HOST_A, announcements=(replace(ONE, communities=()),)),
        replace(HOST_A, drain=Drain.LAST_CHOICE),
        replace(HOST_A, drain=Drain.WITHDRAWN),
        replace(HOST_A, watches=WATCH_B),
        replace(HOST_A, sessions=(SESSION, replace(SESSION, name="other", neighbor=ip_address("192.168.1.99")))),
        replace(HOST_A, sessions=(slower,)),
        replace(HOST_A, sessions=(replace(SESSION, bfd=None),)),
        replace(HOST_A, announcements=many),
    )

    old = HOST_A
    for new in changes:
        start = monotonic()
        assert (await client.apply(render(new))).outcome is ApplyOutcome.CONFIGURED
        print(f"\n{len(new.announcements)} announcements applied in {(monotonic() - start) * 1000:.0f} ms", end="")
        assert "tor-router" not in {restart.session for restart in sessions_restarted(old, new)}
        found = {session.name: session.since for session in (await client.read()).bgp}
        assert is_same_moment(found["tor-router"], since)
        old = new
    until(lambda: "10000 routes" in birds["r"].ask("show", "route", "count"), "all routes arrive")


async def test_drain_is_seen_by_the_router(birds: dict[str, Daemon]) -> None:
    """A drained host's routes carry GRACEFUL_SHUTDOWN and a longer path, then are gone; the session stays."""
    since = await up(birds)
    client = birds["a"].client()

    await client.apply(render(replace(HOST_A, drain=Drain.LAST_CHOICE)))
    until(lambda: "(65535,0)" in birds["r"].ask("show", "route", "10.0.100.1/32", "all"), "the drain arrives")
    assert "BGP.as_path: 64500 64500" in birds["r"].ask("show", "route", "10.0.100.1/32", "all")

    await client.apply(render(replace(HOST_A, drain=Drain.WITHDRAWN)))
    until(lambda: "10.0.100.1/32" not in birds["r"].ask("show", "route"), "the routes go")
    assert is_same_moment(await established_since(birds["a"]), since)


async def test_predicted_restarts_happen(birds: dict[str, Daemon]) -> None:
    """Each change is predicted to restart the session exactly if BIRD restarts it."""
    client, base = birds["a"].client(), replace(HOST_A, announcements=())
    sessions = (
        replace(SESSION, router_id=IPv4Address("10.0.0.1")),
        replace(SESSION, neighbor=ip_address("192.168.1.2")),
        replace(SESSION, port=1179),
        replace(SESSION, peer_asn=64999),
        replace(SESSION, local_asn=64999),
        replace(SESSION, source_address=ip_address("192.168.1.11")),
        replace(SESSION, hold_seconds=90),
        replace(SESSION, connect_seconds=30),
        replace(SESSION, password="other"),
        replace(SESSION, multihop=True, bfd=None),
        replace(SESSION, graceful_restart=True),
        replace(SESSION, bfd=None),
        replace(SESSION, bfd=BFDOptions(passive=True)),
    )
    changes = [
        replace(base, router_id=IPv4Address("10.0.0.2")),
        *(replace(base, sessions=(session,)) for session in sessions),
    ]

    for new in changes:
        await client.apply(render(base))
        (before,) = (await client.read()).bgp
        until(partial(is_past, before.since, 0.05), "another start can be told apart from this one")
        await client.apply(render(new))
        (after,) = (await client.read()).bgp
        stayed = is_same_moment(before.since, after.since, 0.005)
        assert stayed == (sessions_restarted(base, new) == ()), sessions_restarted(base, new)


async def test_family_more_or_less_restarts_the_session(birds: dict[str, Daemon]) -> None:
    """An address family is agreed when the session opens: leaving one out and taking it back both restart."""
    since = await up(birds)
    client = birds["a"].client()
    fewer = replace(HOST_A, sessions=(replace(SESSION, families=frozenset({Family.IPV4})),))

    for old, new in ((HOST_A, fewer), (fewer, HOST_A)):
        assert sessions_restarted(old, new)
        await client.apply(render(new))
        last, since = since, await established_since(birds["a"])
        assert not is_same_moment(since, last)


async def test_unnumbered_session_carries_both_families(site: Lan, birds: dict[str, Daemon]) -> None:
    """A router that opens a session from its link-local address gets IPv4 and IPv6 routes over it."""
    uplink = Session(
        name="uplink", interface="eth0", peer_asn=DynamicASN.EXTERNAL, local_asn=64500, families=frozenset(Family)
    )
    text = render(replace(HOST_A, sessions=(uplink,)))
    birds["r"].config.write_text(UNNUMBERED_ROUTER.format(neighbor=link_local(site, "a")))
    birds["r"].start()

    assert (await birds["a"].client().apply(text)).outcome is ApplyOutcome.CONFIGURED
    until(lambda: "10.0.100.1/32" in birds["r"].ask("show", "route"), "the IPv4 route arrives")
    until(lambda: "2001:db8:100::1/128" in birds["r"].ask("show", "route"), "the IPv6 route arrives")

    assert link_local(site, "a") in birds["r"].ask("show", "route", "10.0.100.1/32", "all")
    established = [session for session in (await birds["a"].client().read()).bgp if session.is_established]
    assert [(session.name, session.neighbor_asn) for session in established] == [("uplink", 64501)]


async def test_refused_text_changes_nothing(birds: dict[str, Daemon]) -> None:
    """What `bird -p` refuses never becomes the file, and the refusal names the line in that file."""
    since = await up(birds)
    client = birds["a"].client()

    refused = await client.apply(render(HOST_A) + "protocol nonsense { }\n")

    assert refused.outcome is ApplyOutcome.REFUSED
    line = render(HOST_A).count("\n") + 1
    assert f"{birds['a'].config}:{line}:" in refused.message
    assert PASSWORD not in refused.message
    assert birds["a"].config.read_text() == render(HOST_A)
    assert is_same_moment(await established_since(birds["a"]), since)


async def test_text_refused_while_bird_is_down_changes_nothing(birds: dict[str, Daemon]) -> None:
    """What BIRD's parser refuses never becomes the file that BIRD starts with."""
    client = birds["a"].client()
    await applied(client, render(HOST_A))
    birds["a"].stop()

    refused = await client.apply("nonsense\n")

    assert refused.outcome is ApplyOutcome.REFUSED
    assert f"{birds['a'].config}:1:" in refused.message
    assert birds["a"].config.read_text() == render(HOST_A)


async def test_unconfirmed_text_is_taken_back(birds: dict[str, Daemon], tmp_path: Path) -> None:
    """If the agent cannot confirm, the file is still the old one and BIRD itself returns to the old routes."""
    await up(birds)
    interposed = Interposed(tmp_path / "interposed")
    interposed.fail("end", "configure confirm")

    with pytest.raises(BirdError):
        await birds["a"].client(birdcl=str(interposed.program), confirm_seconds=5).apply(render(OTHER))

    assert birds["a"].config.read_text() == render(HOST_A)
    until(lambda: "10.0.100.9/32" in birds["r"].ask("show", "route"), "the new route is there")
    until(lambda: "10.0.100.1/32" in birds["r"].ask("show", "route"), "the old route returns")
    until(lambda: "10.0.100.9/32" not in birds["r"].ask("show", "route"), "the new route goes")


async def test_an_agent_killed_before_it_confirms_leaves_the_old_file(birds: dict[str, Daemon], tmp_path: Path) -> None:
    """BIRD undoes what nobody confirmed; the file it would start with again is the one it went back to."""
    await up(birds)
    interposed = Interposed(tmp_path / "interposed")
    interposed.fail("hang", "configure confirm")
    (tmp_path / "text").write_text(render(OTHER))
    program = (
        "import asyncio, pathlib; from appliance.host.bird import Bird; "
        f"asyncio.run(Bird(pathlib.Path({str(birds['a'].config)!r}), pathlib.Path({str(birds['a'].socket)!r}), "
        f"birdcl={str(interposed.program)!r}, command_seconds=60, confirm_seconds=1)"
        f".apply(pathlib.Path({str(tmp_path / 'text')!r}).read_text()))"
    )
    agent = subprocess.Popen([sys.executable, "-c", program])
    try:
        until(lambda: "configure confirm" in interposed.commands, "the agent is about to confirm")
    finally:
        agent.kill()
        agent.wait()

    until(lambda: "10.0.100.1/32" in birds["r"].ask("show", "route"), "BIRD is back at the old routes")
    assert birds["a"].config.read_text() == render(HOST_A)


async def test_the_next_agent_need_not_wait_for_the_undo_of_the_last(birds: dict[str, Daemon], tmp_path: Path) -> None:
    """What is applied while BIRD still waits for somebody else's confirmation stays."""
    interposed = Interposed(tmp_path / "interposed")
    interposed.fail("hang", "configure confirm")
    async with asyncio.TaskGroup() as tasks:
        last = birds["a"].client(birdcl=str(interposed.program), confirm_seconds=5)
        applying = tasks.create_task(last.apply(render(OTHER)), name="last")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while "configure confirm" not in interposed.commands:  # noqa: ASYNC110  # a file that the client writes
                await asyncio.sleep(0.02)
        applying.cancel()

    client = birds["a"].client()
    assert await client.apply(render(HOST_A)) == Applied(ApplyOutcome.CONFIGURED)
    told = (await client.read()).status
    assert told is not None
    until(partial(is_past, told.reconfigured, 5.2), "the undo is due")

    assert (await client.read()).is_as_applied


async def test_file_is_on_disk_before_it_takes_the_place_of_another(birds: dict[str, Daemon]) -> None:
    """Its contents, then its name, then the folder; and the loop's own thread waits for none of it."""
    calls: list[tuple[str, bool]] = []

    def profile(frame: FrameType, event: str, called: object) -> None:
        if event == "c_call" and called in {os.fsync, os.replace}:
            calls.append((getattr(called, "__name__", ""), threading.current_thread() is threading.main_thread()))

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        await applied(birds["a"].client(), render(HOST_A))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)

    assert calls == [("fsync", False), ("replace", False), ("fsync", False)]


async def test_same_text_is_applied_once_for_each_start_of_bird(birds: dict[str, Daemon]) -> None:
    """A text is applied again only if the file is no longer the same, or BIRD, once it is there."""
    client, text = birds["a"].client(), render(HOST_A)
    outcomes = [(await applied(client, text)).outcome for _ in range(2)]
    birds["a"].config.write_text("# edited by hand\n")
    outcomes.append((await applied(client, text)).outcome)
    birds["a"].stop()
    outcomes.append((await applied(client, text)).outcome)
    assert (await client.read()).status is None
    birds["a"].start()
    outcomes += [(await applied(client, text)).outcome for _ in range(2)]

    assert outcomes == [
        ApplyOutcome.CONFIGURED,
        ApplyOutcome.UNCHANGED,
        ApplyOutcome.CONFIGURED,
        ApplyOutcome.UNCHANGED,
        ApplyOutcome.CONFIGURED,
        ApplyOutcome.UNCHANGED,
    ]


async def test_file_is_for_the_group_only(birds: dict[str, Daemon]) -> None:
    """A file with passwords in it is not for everybody, and no other file stays behind."""
    await applied(birds["a"].client(), render(HOST_A))

    written = birds["a"].config
    assert stat.S_IMODE(written.stat().st_mode) == 0o640
    assert {kept.name for kept in written.parent.glob("*a.conf*")} == {"a.conf"}


async def test_text_written_while_bird_is_down_is_read_at_start(birds: dict[str, Daemon]) -> None:
    """The agent does not wait for BIRD: what it wrote takes effect when BIRD returns."""
    birds["a"].stop()
    birds["r"].start()

    written = await applied(birds["a"].client(), render(HOST_A))
    birds["a"].start()

    assert written.outcome is ApplyOutcome.CHECKED
    until(lambda: "10.0.100.1/32" in birds["r"].ask("show", "route"), "the route arrives")


async def test_configure_by_hand_is_noticed(birds: dict[str, Daemon], tmp_path: Path) -> None:
    """A BIRD that was told to take another file is not as it was left, and neither is a file that somebody edited."""
    client, text = birds["a"].client(), render(HOST_A)
    await applied(client, text)
    seen = [(await client.read()).is_as_applied]
    told = (await client.read()).status
    assert told is not None
    until(partial(is_past, told.reconfigured, 0.2), "another reconfiguration can be told apart from this one")
    (tmp_path / "other.conf").write_text(render(BirdConfig(router_id=HOST_A.router_id)))

    birds["a"].ask("configure", f'"{tmp_path / "other.conf"}"')
    seen.append((await client.read()).is_as_applied)
    assert (await applied(client, text)).outcome is ApplyOutcome.CONFIGURED
    seen.append((await client.read()).is_as_applied)
    birds["a"].config.write_text(text)
    seen.append((await client.read()).is_as_applied)

    assert seen == [True, False, True, False]


async def test_one_client_asks_everything(birds: dict[str, Daemon], tmp_path: Path) -> None:
    """Reading and applying start one process, and a first configuration needs no parser of its own beside BIRD's."""
    interposed = Interposed(tmp_path / "interposed")
    client = birds["a"].client(birdcl=str(interposed.program))

    await client.apply(render(HOST_A))
    for _ in range(5):
        await client.read()

    assert interposed.commands.count("(start)") == 1
    assert interposed.commands[:4] == [
        "(start)",
        "echo all",
        f'configure "{birds["a"].config.with_name(".a.conf.new")}" timeout 10',
        "configure confirm",
    ]


async def test_bird_tells_of_its_sessions(birds: dict[str, Daemon]) -> None:
    """Nobody asks, and yet it is heard at once that a session came up."""
    client, heard = birds["a"].client(), asyncio.Event()
    await client.apply(render(HOST_A))
    await client.read()
    client.listen(heard.set)

    birds["r"].start()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while [session.is_established for session in (await client.read()).bgp] != [True]:
            await heard.wait()
            heard.clear()


async def test_a_client_that_ended_is_replaced(birds: dict[str, Daemon], tmp_path: Path) -> None:
    """Whether it ended before the question or instead of an answer."""
    interposed = Interposed(tmp_path / "interposed")
    client = birds["a"].client(birdcl=str(interposed.program))
    heard = asyncio.Event()
    client.listen(heard.set)
    await client.read()
    interposed.fail("end", "show status")
    with pytest.raises(BirdError, match="birdcl: "):
        await client.read()
    interposed.mend()

    assert (await client.read()).status is not None
    assert heard.is_set()


async def test_a_client_that_does_not_answer_is_replaced(birds: dict[str, Daemon], tmp_path: Path) -> None:
    """The question fails after its time, and the next one is asked of another client."""
    interposed = Interposed(tmp_path / "interposed")
    client = birds["a"].client(birdcl=str(interposed.program), command_seconds=10)
    await client.read()
    interposed.fail("hang", "show protocols")
    with pytest.raises(BirdError, match=r"did not answer within 10 s"):
        await client.read()
    interposed.mend()

    assert (await client.read()).status is not None
    assert interposed.commands.count("(start)") == 2


async def test_a_client_that_answers_without_end_is_replaced(birds: dict[str, Daemon], tmp_path: Path) -> None:
    """A reply is given up when it is larger than any of BIRD's, long before its time is over."""
    interposed = Interposed(tmp_path / "interposed")
    client = birds["a"].client(birdcl=str(interposed.program), command_seconds=60)
    await client.read()
    interposed.fail("flood", "show protocols")
    with pytest.raises(BirdError, match="a reply of more than"):
        await client.read()
    interposed.mend()

    assert (await client.read()).status is not None


async def test_no_client_is_left_behind(birds: dict[str, Daemon]) -> None:
    """`close` ends the process; so does the end of the agent, whose pipes close."""
    client = birds["a"].client()
    await client.read()
    (started,) = children("birdcl")

    await client.close()

    assert started not in children("birdcl")


async def test_watched_host_disappears_and_returns(site: Lan, birds: dict[str, Daemon]) -> None:
    """A host cut off leaves the private kernel table within BFD's time and comes back; the main table is untouched."""
    birds["b"].config.write_text(render(BirdConfig(router_id=IPv4Address("192.168.1.12"), watches=WATCH_A)))
    birds["b"].start()
    await birds["a"].client().apply(render(replace(HOST_A, watches=WATCH_B)))
    until(lambda: reached(site) == [1, 1], "the watched host is reached")
    before = site.ip("a", "route"), site.ip("a", "-6", "route")

    try:
        lost = await seconds_until_lost(site)
        assert reached(site) == [0, 0]
    finally:
        site.plug("b", connected=True)
    found = until(lambda: reached(site) == [1, 1], "the watched host returns")

    print(f"\nlost after {lost * 1000:.0f} ms, found after {found * 1000:.0f} ms")
    assert lost < 1
    assert (site.ip("a", "route"), site.ip("a", "-6", "route")) == before


async def seconds_until_lost(site: Lan) -> float:
    """Cut host b off and wait until the kernel says that both its routes are gone."""
    command = ("ip", "netns", "exec", site.namespace("a"), "ip", "monitor", "route")
    monitor = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert monitor.stdout is not None
    try:
        until(lambda: listens(monitor.pid), "ip listens")
        site.plug("b", connected=False)
        start, left = monotonic(), 2
        async with asyncio.timeout(DEADLINE_SECONDS):
            while left:
                line = await monitor.stdout.readline()
                left -= line.startswith(b"Deleted") and b"table 20565" in line
        return monotonic() - start
    finally:
        monitor.kill()
        await monitor.communicate()


def children(program: str) -> list[int]:
    """The processes of a program that this one started."""
    found = subprocess.run(
        ["pgrep", "-x", "-P", str(os.getpid()), program], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


def link_local(site: Lan, name: str) -> str:
    """A host's link-local address."""
    told = site.ip(name, "-6", "-brief", "addr", "show", "dev", "eth0", "scope", "link")
    return next(word for word in told.split() if word.startswith("fe80:")).partition("/")[0]


def listens(pid: int) -> bool:
    """Whether a process has a socket open and waits on it."""
    return any(str(kept.readlink()).startswith("socket:") for kept in Path(f"/proc/{pid}/fd").iterdir())


def reached(site: Lan) -> list[int]:
    """How many watched addresses of each family host a's private kernel table holds."""
    routes = (site.ip("a", family, "route", "show", "table", "all", "proto", "bird") for family in ("-4", "-6"))
    return [found.count("table 20565") for found in routes]


OPERATOR = """
log stderr all;
router id 192.168.1.99;
protocol device {{ }}
protocol static operators {{ ipv4; route 203.0.113.0/24 blackhole; }}
include "{part}";
"""


async def test_an_operators_configuration_is_kept_as_it_is(site: Lan, tmp_path: Path) -> None:
    """The agent's part is changed, refused and read again in it; what the operator wrote stays, byte by byte."""
    async with daemons(site, tmp_path) as made:
        bird, part = made["a"], tmp_path / "pierhead.conf"
        text = OPERATOR.format(part=part.name)
        bird.config.write_text(text)
        part.write_text("")
        bird.start()
        client = Bird(part, bird.socket, main=bird.config)
        try:
            assert await client.apply(render(HOST_A, Part())) == Applied(ApplyOutcome.CONFIGURED)
            await client.save()
            assert (part.read_text(), bird.config.read_text()) == (render(HOST_A, Part()), text)
            assert "203.0.113.0/24" in bird.ask("show", "route", "table", "master4")
            assert "bgp_" in bird.ask("show", "protocols")
            refused = await client.apply("nonsense\n")
            assert (refused.outcome, f"{part}:1:" in refused.message) == (ApplyOutcome.REFUSED, True)
            assert "Reconfigured" in bird.ask("configure")
            assert sorted(path.name for path in tmp_path.glob(".*.new")) == []
            bird.config.write_text("router id 192.168.1.99;\nprotocol device { }\n")
            with pytest.raises(BirdError, match="does not have the line: include"):
                await client.apply(render(OTHER, Part()))
        finally:
            await client.close()

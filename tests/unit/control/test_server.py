"""The control socket as a client and as curl meet it."""

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.control.client import (
    TopicChange,
    drain,
    explain,
    read_events,
    read_status,
    watch,
    watch_topic,
)
from appliance.control.error import ControlError, ControlFault
from appliance.control.event import EVENTS_MAX, EventKind
from appliance.control.message import (
    AgentStatus,
    ForwarderStatus,
    HostEvent,
    NeighborStatus,
    VirtualIPVerdict,
)
from appliance.control.served import SLICE, ClientLimits, Limits, Routes
from appliance.control.server import ControlServer
from appliance.control.topic import Topic
from appliance.l2.event import Reachability
from tests.unit.control.sample import DRAINED, LAN, ROUTED, STATUS, Served

DEADLINE_SECONDS = 60.0  # a loaded machine takes long to decode ten thousand VIPs
MANY = 10_000


class Program(Served):
    """A program with a status, which drains when asked and refuses to come back."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        super().__init__(STATUS)
        routes = Routes(topics=self.topics, counters=lambda: {"layer2": {"frames": 7}}, drain=self.drain)
        self.server = ControlServer(path, routes, limits)

    async def drain(self, wanted: bool) -> None:
        """Take the new status at once."""
        if not wanted:
            raise ControlError(ControlFault.REFUSED, "drain", "the operator drained this host by its Host object")
        self.status = DRAINED

    def carry(self, number: int) -> None:
        """Have this many VIPs."""
        first = ip_address("10.0.0.0")
        self.status = replace(STATUS, vips=tuple(replace(LAN, address=first + offset) for offset in range(number)))

    def lose(self, host: str) -> None:
        """See a host as failed."""
        hosts = tuple(
            replace(seen, state=Reachability.FAILED) if seen.name == host else seen for seen in self.status.hosts
        )
        self.status = replace(self.status, hosts=hosts)
        self.server.publish(Topic.HOSTS, [host])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the socket will be; its folder is not there yet."""
    return tmp_path / "run" / "agent.sock"


@pytest.fixture
async def program(path: Path) -> AsyncIterator[Program]:
    """A program that serves."""
    running = Program(path)
    async with running.server.serving():
        yield running


async def get(path: Path, request: str) -> tuple[int, bytes]:
    """Status and body of a request written by hand, as another language's client would."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(f"{request} HTTP/1.0\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), body


@asynccontextmanager
async def watched(path: Path, topic: Topic = Topic.HOSTS) -> AsyncIterator[AsyncIterator[TopicChange[object]]]:
    """A watch that ends with the block, within the deadline."""
    kinds: dict[Topic, type[object]] = {topic: {Topic.VIPS: VirtualIPVerdict}.get(topic, NeighborStatus)}
    async with asyncio.timeout(DEADLINE_SECONDS), aclosing(watch(path, kinds)) as changes:
        yield changes


@asynccontextmanager
async def connected(path: Path, topics: str) -> AsyncIterator[asyncio.StreamReader]:
    """A client that asked for topics and reads what it likes."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 10)
        writer.write(f"GET /v1/watch?topics={topics} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        try:
            yield reader
        finally:
            writer.close()


async def test_a_status_comes_back_equal(program: Program, path: Path) -> None:
    """What the program holds and what the client reads are equal values."""
    assert await read_status(path, AgentStatus) == STATUS


async def test_the_wire_is_camel_case(program: Program, path: Path) -> None:
    """Other clients find the names that Kubernetes' users expect."""
    status, body = await get(path, "GET /v1/status")
    assert (status, json.loads(body)["vips"][0]["layer2"]["role"]) == (200, "owner")
    assert json.loads(body)["feed"]["ageSeconds"] == 1.5


async def test_another_type_is_a_protocol_error(program: Program, path: Path) -> None:
    """A client that expects another program's status is told so."""
    with pytest.raises(ControlError) as error:
        await read_status(path, ForwarderStatus)
    assert error.value.fault is ControlFault.PROTOCOL


async def test_a_vip_is_explained(program: Program, path: Path) -> None:
    """Both families can be asked for, in any spelling."""
    assert await explain(path, "192.168.1.240") == LAN
    assert await explain(path, "2001:DB8:100:0::1") == ROUTED


@pytest.mark.parametrize(
    ("address", "fault"), [("192.168.1.9", ControlFault.NOT_FOUND), ("echo", ControlFault.INVALID)]
)
async def test_an_unknown_vip_is_refused(program: Program, path: Path, address: str, fault: ControlFault) -> None:
    """No such VIP and no address at all are told apart, each with a sentence that names it."""
    with pytest.raises(ControlError, match=address) as error:
        await explain(path, address)
    assert error.value.fault is fault


async def test_a_watch_tells_what_is_and_then_what_changes(program: Program, path: Path) -> None:
    """The present hosts come at once, then only the one that changed."""
    async with watched(path) as changes:
        listing = await anext(changes)
        assert (listing.is_listing, dict(listing.changed)) == (True, {host.name: host for host in STATUS.hosts})
        program.lose("node-b")
        change = await anext(changes)
    assert change == TopicChange(Topic.HOSTS, {"node-b": NeighborStatus(name="node-b", state=Reachability.FAILED)})


async def test_who_is_dead_costs_no_vip(program: Program, path: Path) -> None:
    """Beside ten thousand VIPs a client of `hosts` has none of them made for it, and reads less than a packet."""
    program.carry(MANY)
    async with connected(path, "hosts") as reader:
        await reader.readuntil(b'"listed":true}')
        program.lose("node-b")
        told = await reader.readuntil(b'"failed"')
    assert (program.reads[Topic.VIPS], len(told) < 200) == (0, True)


async def test_nobody_who_watches_costs_nothing(program: Program) -> None:
    """A change of ten thousand VIPs makes no value where nobody asked for one."""
    program.carry(MANY)
    program.server.publish(Topic.VIPS, [str(vip.address) for vip in program.status.vips])
    assert program.reads[Topic.VIPS] == 0


async def test_a_change_of_one_vip_is_one_line(program: Program, path: Path) -> None:
    """Who follows ten thousand VIPs is told of the one that changed."""
    program.carry(MANY)
    async with watched(path, Topic.VIPS) as changes:
        assert len((await anext(changes)).changed) == MANY
        listed = program.reads[Topic.VIPS]
        program.status = replace(program.status, vips=(replace(LAN, address=ip_address("10.0.0.0"), pool="other"),))
        program.server.publish(Topic.VIPS, ["10.0.0.0"])
        change = await anext(changes)
    assert (list(change.changed), program.reads[Topic.VIPS] - listed) == (["10.0.0.0"], 1)


@pytest.mark.parametrize("request_line", ["GET /v1/status", "GET /v1/watch?topics=vips"])
async def test_a_large_listing_lets_the_loop_breathe(program: Program, path: Path, request_line: str) -> None:
    """Between two turns of the loop no more than a slice of ten thousand VIPs is made."""
    program.carry(MANY)
    most = seen = 0
    async with asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 24)
        writer.write(f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        reading = reader.readuntil(b"10.0.39.15")
        while seen < MANY:
            before = seen
            await asyncio.sleep(0)
            seen = program.reads[Topic.VIPS]
            most = max(most, seen - before)
        await reading
        writer.close()
    assert most <= SLICE


async def test_several_topics_come_over_one_connection(program: Program, path: Path) -> None:
    """Each has its own listing, hosts before VIPs."""
    kinds: dict[Topic, type[object]] = {Topic.VIPS: VirtualIPVerdict, Topic.HOSTS: NeighborStatus}
    async with asyncio.timeout(DEADLINE_SECONDS), aclosing(watch(path, kinds)) as changes:
        first, second = await anext(changes), await anext(changes)
    assert [(first.topic, len(first.changed)), (second.topic, len(second.changed))] == [
        (Topic.HOSTS, 2),
        (Topic.VIPS, 2),
    ]


async def test_a_program_that_cannot_tell_yet_says_nothing(program: Program, path: Path) -> None:
    """A forwarder that has just begun has taken no VIP away: its listing comes when it knows."""
    program.is_known = False
    async with connected(path, "program,hosts") as reader:
        await reader.readuntil(b'"program","listed":true}')
        program.is_known = True
        program.server.publish(Topic.HOSTS, [])
        assert b"node-b" in await reader.readuntil(b'"hosts","listed":true}')


async def test_an_unknown_topic_is_refused(program: Program, path: Path) -> None:
    """The answer names those there are."""
    status, body = await get(path, "GET /v1/watch?topics=hosts,weather")
    assert (status, "weather: topics here are program, feed, hosts" in json.loads(body)["error"]) == (400, True)


async def test_a_client_that_takes_nothing_is_dropped(path: Path) -> None:
    """It holds its place for as long as the limit says, then the program is rid of it."""
    program = Program(path, Limits(clients=ClientLimits(connections_max=128, stall_seconds=0.05), watchers_max=1))
    program.carry(MANY)
    async with program.server.serving(), connected(path, "vips"):
        await served(path)
    assert program.reads[Topic.VIPS] < MANY


async def served(path: Path) -> None:
    """Ask for hosts until there is a place."""
    while True:
        try:
            async with watched(path) as changes:
                await anext(changes)
                return
        except ControlError as error:
            if error.fault is not ControlFault.REFUSED:
                raise
            await asyncio.sleep(0.01)


async def test_a_client_too_far_behind_is_dropped(path: Path) -> None:
    """More keys than the limit are not kept for it."""
    program = Program(path, Limits(keys_max=10))
    async with program.server.serving(), connected(path, "vips") as reader:
        await reader.readuntil(b'"listed":true}')
        program.server.publish(Topic.VIPS, map(str, range(20)))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1 << 20)


async def test_too_many_clients_are_refused(path: Path) -> None:
    """One more than the limit is told so; those before it are served."""
    program = Program(path, Limits(watchers_max=1))
    async with program.server.serving(), watched(path) as changes:
        await anext(changes)
        with pytest.raises(ControlError, match="1 clients watch already") as error:
            async with watched(path) as more:
                await anext(more)
        assert error.value.fault is ControlFault.REFUSED
        program.lose("node-b")
        assert list((await anext(changes)).changed) == ["node-b"]


async def test_a_quiet_program_gives_heartbeats(path: Path) -> None:
    """Without any change there are lines nevertheless, so that silence means trouble."""
    program = Program(path, Limits(heartbeat_seconds=0.01))
    async with program.server.serving(), connected(path, "hosts") as reader:
        await reader.readuntil(b'"listed":true}')
        assert b'{"heartbeat":true}' in await reader.readuntil(b"true}")


async def test_heartbeats_come_while_others_are_told_much(path: Path) -> None:
    """A client whose own topic is quiet hears that the program lives, however often another topic changes."""
    program = Program(path, Limits(heartbeat_seconds=0.2))
    program.carry(1)

    async def keep_changing() -> None:
        while True:
            program.server.publish(Topic.VIPS, ["10.0.0.0"])
            await asyncio.sleep(0)

    async with program.server.serving(), connected(path, "hosts") as reader, asyncio.TaskGroup() as tasks:
        await reader.readuntil(b'"listed":true}')
        changing = tasks.create_task(keep_changing(), name="changing")
        assert b'{"heartbeat":true}' in await reader.readuntil(b"true}")
        changing.cancel()


async def test_a_watch_ends_with_its_program(path: Path) -> None:
    """The caller learns that the program is gone, soon."""
    async with watched(path) as changes:
        async with Program(path).server.serving():
            await anext(changes)
        with pytest.raises(ControlError) as error:
            _ = [change async for change in changes]
    assert error.value.fault is ControlFault.LOST


async def test_drain_reaches_the_program(program: Program, path: Path) -> None:
    """A drain is done when the answer comes; a refusal keeps its sentence."""
    await drain(path, wanted=True)
    assert await read_status(path, AgentStatus) == DRAINED
    with pytest.raises(ControlError, match="drained this host by its Host object") as error:
        await drain(path, wanted=False)
    assert error.value.fault is ControlFault.REFUSED


async def test_an_empty_body_drains(program: Program, path: Path) -> None:
    """`curl -X POST` is enough."""
    assert (await get(path, "POST /v1/drain"))[0] == 200
    assert program.status == DRAINED


async def test_events_are_told_and_followed(program: Program, path: Path) -> None:
    """What happened comes oldest first with its reason; what happens next comes by itself."""
    program.server.events.record(EventKind.VIP_MOVED, "192.0.2.1", "the owner was found dead", owner="node-a")
    (told,) = await read_events(path)
    assert (told.number, told.event, told.subject, told.reason, dict(told.details)) == (
        1,
        "vip_moved",
        "192.0.2.1",
        "the owner was found dead",
        {"owner": "node-a"},
    )
    async with asyncio.timeout(DEADLINE_SECONDS), aclosing(watch_topic(path, Topic.EVENTS, HostEvent)) as changes:
        assert (await anext(changes)).changed == {"1": told}
        program.server.events.record(EventKind.DRAIN_ASKED, "node-a")
        assert [event.event for event in (await anext(changes)).changed.values()] == ["drain_asked"]


async def test_events_are_bounded(program: Program, path: Path) -> None:
    """The latest are kept, newest last, with the numbers they always had."""
    for number in range(1, EVENTS_MAX + 11):
        program.server.events.record(EventKind.VIP_MOVED, str(number))
    events = await read_events(path)
    assert [(event.number, event.subject) for event in (events[0], events[-1])] == [
        (11, "11"),
        (EVENTS_MAX + 10, str(EVENTS_MAX + 10)),
    ]


async def test_counters_are_told(program: Program, path: Path) -> None:
    """By group and name, since the start."""
    assert await get(path, "GET /v1/counters") == (200, b'{"layer2":{"frames":7}}\n')


@pytest.mark.parametrize(("request_line", "status"), [("GET /v1/nothing", 404), ("DELETE /v1/status", 405)])
async def test_errors_are_json(program: Program, path: Path, request_line: str, status: int) -> None:
    """Whatever is asked wrongly is answered with a sentence."""
    code, body = await get(path, request_line)
    assert (code, request_line in json.loads(body)["error"]) == (status, True)


async def test_a_program_answers_only_its_routes(path: Path) -> None:
    """What a program does not declare is not there."""
    async with ControlServer(path, Routes(topics={})).serving():
        with pytest.raises(ControlError) as error:
            await drain(path, wanted=True)
        assert (await get(path, "GET /v1/explain/192.0.2.1"))[0] == 404
    assert error.value.fault is ControlFault.NOT_FOUND


async def test_nobody_there(path: Path) -> None:
    """A missing socket and one whose program died both mean that nothing is running."""
    with pytest.raises(ControlError) as missing:
        await read_status(path, AgentStatus)
    leave_stale(path)
    with pytest.raises(ControlError) as stale:
        await read_status(path, AgentStatus)
    assert [missing.value.fault, stale.value.fault] == [ControlFault.NOT_RUNNING] * 2


def leave_stale(path: Path) -> None:
    """The file of a program that was killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


async def test_a_stale_file_is_replaced(path: Path) -> None:
    """A killed program's socket file does not keep its successor from starting, and its end removes the file."""
    leave_stale(path)
    async with Program(path).server.serving():
        assert await read_status(path, AgentStatus) == STATUS
    assert list(path.parent.iterdir()) == []


async def test_a_living_program_keeps_its_socket(program: Program, path: Path) -> None:
    """A second program of the same path is refused and does no harm."""
    with pytest.raises(ControlError) as error:
        async with Program(path).server.serving():
            pass
    assert error.value.fault is ControlFault.IN_USE
    assert await read_status(path, AgentStatus) == STATUS


async def test_only_owner_and_group_may_connect(program: Program, path: Path) -> None:
    """The socket's mode is 0660."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


async def test_a_path_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """A file where the folder should be is a ControlError with the system's reason."""
    (tmp_path / "run").write_text("")
    with pytest.raises(ControlError, match="cannot listen there"):
        async with Program(tmp_path / "run" / "agent.sock").server.serving():
            pass


async def test_a_status_of_this_moment_costs_a_question(tmp_path: Path) -> None:
    """Whoever asks for a fresh one waits for it; whoever does not costs nothing."""
    served, asked = Served(STATUS), 0

    async def refresh() -> None:
        nonlocal asked
        asked += 1
        served.status = DRAINED

    server = ControlServer(tmp_path / "agent.sock", Routes(topics=served.topics, refresh=refresh))
    async with asyncio.timeout(DEADLINE_SECONDS), server.serving():
        assert (await read_status(tmp_path / "agent.sock", AgentStatus), asked) == (STATUS, 0)
        assert (await read_status(tmp_path / "agent.sock", AgentStatus, fresh=True), asked) == (DRAINED, 1)

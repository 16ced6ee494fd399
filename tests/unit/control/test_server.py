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

from appliance.api.address import IPAddress
from appliance.control.client import drain, explain, read_events, read_status, watch_agent
from appliance.control.error import ControlError, Fault
from appliance.control.message import AgentStatus, ForwarderStatus, VirtualIPVerdict
from appliance.control.server import ControlServer, Routes
from tests.unit.control.sample import EMPTY, LAN, ROUTED, STATUS

DEADLINE_SECONDS = 10.0


class Program:
    """A program with a status, which drains when asked and refuses to come back."""

    def __init__(self, path: Path, heartbeat_seconds: float = 60.0) -> None:
        self.status: object = STATUS
        routes = Routes(
            status=lambda: self.status,
            explain=self.explain,
            drain=self.drain,
            events=lambda: [{"event": "vip_moved"}],
            metrics=lambda: "pierhead_up 1\n",
        )
        self.server = ControlServer(path, routes, heartbeat_seconds)

    def explain(self, address: IPAddress) -> VirtualIPVerdict | None:
        """The verdict of one of two VIPs."""
        return {LAN.address: LAN, ROUTED.address: ROUTED}.get(address)

    async def drain(self, wanted: bool) -> None:
        """Take the new status at once."""
        if not wanted:
            raise ControlError(Fault.REFUSED, "drain", "the operator drained this host by its Host object")
        self.status = EMPTY
        self.server.publish()


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
    writer.write(f"{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), body


@asynccontextmanager
async def watched(path: Path) -> AsyncIterator[AsyncIterator[AgentStatus]]:
    """A watch that ends with the block, within the deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS), aclosing(watch_agent(path)) as statuses:
        yield statuses


async def test_a_status_comes_back_equal(program: Program, path: Path) -> None:
    """What the program holds and what the client reads are equal values."""
    assert await read_status(path, AgentStatus) == STATUS


async def test_the_wire_is_camel_case(program: Program, path: Path) -> None:
    """Other clients find the names that Kubernetes' users expect."""
    status, body = await get(path, "GET /v1/status")
    assert (status, json.loads(body)["bgpSessions"][0]["state"]) == (200, "Established")


async def test_another_type_is_a_protocol_error(program: Program, path: Path) -> None:
    """A client that expects another program's status is told so."""
    with pytest.raises(ControlError) as error:
        await read_status(path, ForwarderStatus)
    assert error.value.fault is Fault.PROTOCOL


async def test_a_vip_is_explained(program: Program, path: Path) -> None:
    """Both families can be asked for, in any spelling."""
    assert await explain(path, "192.168.1.240") == LAN
    assert await explain(path, "2001:DB8:100:0::1") == ROUTED


@pytest.mark.parametrize(("address", "fault"), [("192.168.1.9", Fault.NOT_FOUND), ("echo", Fault.INVALID)])
async def test_an_unknown_vip_is_refused(program: Program, path: Path, address: str, fault: Fault) -> None:
    """No such VIP and no address at all are told apart, each with a sentence that names it."""
    with pytest.raises(ControlError, match=address) as error:
        await explain(path, address)
    assert error.value.fault is fault


async def test_a_watch_tells_now_and_each_change(program: Program, path: Path) -> None:
    """The present status comes at once, the next one when the program publishes."""
    async with watched(path) as statuses:
        assert await anext(statuses) == STATUS
        program.status = EMPTY
        program.server.publish()
        assert await anext(statuses) == EMPTY


async def test_a_burst_of_changes_is_few_lines(program: Program, path: Path) -> None:
    """A watcher sees the last of many changes, not each of them."""
    async with watched(path) as statuses:
        await anext(statuses)
        for number in range(1000):
            program.status = replace(EMPTY, version=str(number))
            program.server.publish()
        assert (await anext(statuses)).version == "999"


async def test_a_long_status_arrives_whole(program: Program, path: Path) -> None:
    """Thousands of VIPs make a line longer than any buffer."""
    vips = tuple(replace(LAN, address=ip_address("10.0.0.0") + number) for number in range(5000))
    program.status = replace(STATUS, vips=vips)
    async with watched(path) as statuses:
        assert len((await anext(statuses)).vips) == 5000


async def test_a_quiet_program_gives_heartbeats(path: Path) -> None:
    """Without any change the status comes again, so that silence means trouble."""
    async with Program(path, heartbeat_seconds=0.01).server.serving(), watched(path) as statuses:
        assert [await anext(statuses) for _ in range(3)] == [STATUS] * 3


async def test_a_watch_ends_with_its_program(path: Path) -> None:
    """The caller learns that the program is gone, soon."""
    async with watched(path) as statuses:
        async with Program(path).server.serving():
            await anext(statuses)
        with pytest.raises(ControlError) as error:
            _ = [status async for status in statuses]
    assert error.value.fault is Fault.LOST


async def test_drain_reaches_the_program(program: Program, path: Path) -> None:
    """A drain is done when the answer comes; a refusal keeps its sentence."""
    await drain(path, wanted=True)
    assert await read_status(path, AgentStatus) == EMPTY
    with pytest.raises(ControlError, match="drained this host by its Host object") as error:
        await drain(path, wanted=False)
    assert error.value.fault is Fault.REFUSED


async def test_an_empty_body_drains(program: Program, path: Path) -> None:
    """`curl -X POST` is enough."""
    assert (await get(path, "POST /v1/drain"))[0] == 200
    assert program.status == EMPTY


async def test_events_are_told(program: Program, path: Path) -> None:
    """Events come as the program has them."""
    assert await read_events(path) == [{"event": "vip_moved"}]


async def test_metrics_are_text(program: Program, path: Path) -> None:
    """Prometheus reads plain text."""
    assert await get(path, "GET /metrics") == (200, b"pierhead_up 1\n")


@pytest.mark.parametrize(("request_line", "status"), [("GET /v1/nothing", 404), ("DELETE /v1/status", 405)])
async def test_errors_are_json(program: Program, path: Path, request_line: str, status: int) -> None:
    """Whatever is asked wrongly is answered with a sentence."""
    code, body = await get(path, request_line)
    assert (code, request_line in json.loads(body)["error"]) == (status, True)


async def test_a_program_answers_only_its_routes(path: Path) -> None:
    """What a program does not declare is not there."""
    async with ControlServer(path, Routes(status=lambda: STATUS)).serving():
        with pytest.raises(ControlError) as error:
            await drain(path, wanted=True)
    assert error.value.fault is Fault.NOT_FOUND


async def test_nobody_there(path: Path) -> None:
    """A missing socket and one whose program died both mean that nothing is running."""
    with pytest.raises(ControlError) as missing:
        await read_status(path, AgentStatus)
    leave_stale(path)
    with pytest.raises(ControlError) as stale:
        await read_status(path, AgentStatus)
    assert [missing.value.fault, stale.value.fault] == [Fault.NOT_RUNNING] * 2


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
    assert error.value.fault is Fault.IN_USE
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

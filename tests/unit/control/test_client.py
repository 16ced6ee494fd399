"""What a client makes of whatever stands behind the socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.control.client import LINE_BYTES_MAX, TopicChange, TopicLines, read_status, watch, watch_topic
from appliance.control.codec import from_json, to_json
from appliance.control.error import ControlError, ControlFault
from appliance.control.message import AgentStatus, ForwardedVirtualIP, NeighborStatus, VirtualIPVerdict
from appliance.control.topic import Topic
from appliance.l2.event import Reachability
from tests.unit.control.sample import STATUS

KINDS: dict[Topic, type[object]] = {Topic.HOSTS: NeighborStatus, Topic.VIPS: VirtualIPVerdict}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
VALUES = JSON | st.fixed_dictionaries(
    {"name": JSON, "state": JSON | st.sampled_from([state.value for state in Reachability])},
    optional={"drained": JSON, "address": JSON, "pool": JSON, "layer2": JSON},
)
LINES = st.fixed_dictionaries(
    {},
    optional={
        "topic": JSON | st.sampled_from([topic.value for topic in Topic]),
        "key": JSON | st.text(),
        "value": VALUES,
        "listed": JSON,
        "heartbeat": JSON,
    },
)


def told(*chunks: bytes) -> list[TopicChange[object]]:
    """What a client hears from bytes that come one after the other."""
    lines = TopicLines(KINDS)
    changes: list[TopicChange[object]] = []
    for chunk in chunks:
        for _ in lines.take(chunk):
            pass
        changes += lines.changes()
    return changes


@given(st.lists(st.binary(max_size=200) | LINES.map(lambda line: json.dumps(line).encode() + b"\n"), max_size=6))
def test_whatever_comes_is_a_change_or_a_value_error(chunks: list[bytes]) -> None:
    """No text gives a value of another type, and none gives another exception."""
    try:
        changes = told(*chunks)
    except ValueError:
        return
    for change in changes:
        assert all(isinstance(content, KINDS[change.topic]) for content in change.changed.values())


@given(JSON)
def test_whatever_a_status_says_is_a_status_or_a_value_error(content: object) -> None:
    """The same of what is asked once."""
    try:
        assert isinstance(from_json(AgentStatus, json.dumps(content).encode()), AgentStatus)
    except ValueError:
        return


@given(st.lists(st.integers(1, 60), max_size=20))
def test_lines_may_come_in_any_pieces(cuts: list[int]) -> None:
    """Where a read ends says nothing about where a line ends."""
    text = b"".join(
        (
            b'{"topic":"hosts","key":"b","value":{"name":"b","state":"reachable"}}\n',
            b'{"heartbeat":true}\n',
            b'{"topic":"hosts","listed":true}\n',
            b'{"topic":"hosts","key":"b","value":null}\n',
        )
    )
    chunks: list[bytes] = []
    for cut in cuts:
        chunks.append(text[:cut])
        text = text[cut:]
    known: dict[str, object] = {"stale": None}
    listings = 0
    for change in told(*chunks, text):
        change.fold(known)
        listings += change.is_listing
    assert (known, listings) == ({}, 1)


@pytest.mark.parametrize(
    "text",
    [
        b'{"topic":"sessions","listed":true}\n',
        b'{"topic":"hosts","listed":true}\n{"topic":"hosts","listed":true}\n',
        b'{"topic":"hosts","key":"b","value":{"name":"b","state":"well"}}\n',
        b"[" * 100_000 + b"\n",
        b"x" * (LINE_BYTES_MAX + 1),
        b'{"topic":"vips","key":"x","value":{"address":7,"pool":"lan"}}\n',
        b"\xff\n",
    ],
    ids=["not asked for", "listed twice", "no such state", "deep", "endless", "no address", "no text"],
)
def test_nonsense_is_refused(text: bytes) -> None:
    """Each kind of nonsense by itself."""
    with pytest.raises(ValueError):
        told(text)


def test_fields_of_a_newer_program_are_passed_over() -> None:
    """An agent and a forwarder are restarted one after the other."""
    newer = json.loads(to_json(STATUS))
    newer["vips"][0]["layer2"]["colour"] = "blue"
    assert from_json(AgentStatus, json.dumps(newer).encode()) == STATUS


@asynccontextmanager
async def answering(path: Path, answer: bytes, ends: bool = True) -> AsyncIterator[None]:
    """Something that says the same to everybody, and ends there or hangs."""
    done = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            if not ends:
                await reader.read()
            writer.close()
            await writer.wait_closed()
        except ConnectionError:  # who was told nonsense may hang up as soon as it has read it
            writer.close()
        finally:
            done.set()

    server = await asyncio.start_unix_server(speak, str(path))
    async with server:
        yield
        await done.wait()


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"nonsense\r\n\r\n", ControlFault.LOST),
        (b"HTTP/1.1 200 OK\r\n\r\nnonsense\n", ControlFault.PROTOCOL),
        (b'HTTP/1.1 200 OK\r\n\r\n{"topic":"vips","key":"1","value":{}}\n', ControlFault.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\n\r\n", ControlFault.LOST),
        (b"HTTP/1.1 500 No\r\n\r\n<html>", ControlFault.PROTOCOL),
    ],
)
async def test_another_program_behind_the_socket_is_a_control_error(
    tmp_path: Path, answer: bytes, fault: ControlFault
) -> None:
    """Whoever follows a topic has one exception to think of."""
    path = tmp_path / "agent.sock"
    async with asyncio.timeout(60), answering(path, answer):
        with pytest.raises(ControlError) as error:
            async with aclosing(watch_topic(path, Topic.VIPS, ForwardedVirtualIP)) as changes:
                await anext(changes)
    assert error.value.fault is fault


async def test_a_silent_program_is_noticed(tmp_path: Path) -> None:
    """One that is stopped, or hangs, gives no heartbeats."""
    path = tmp_path / "agent.sock"
    listening = b'HTTP/1.1 200 OK\r\n\r\n{"topic":"hosts","listed":true}\n'
    async with asyncio.timeout(60), answering(path, listening, ends=False):
        with pytest.raises(ControlError) as error:
            _ = [change async for change in watch(path, KINDS, silence_seconds=0.05)]
    assert error.value.fault is ControlFault.TIMED_OUT


async def test_a_status_that_is_none_is_a_control_error(tmp_path: Path) -> None:
    """The same for what is asked once."""
    path = tmp_path / "agent.sock"
    async with answering(path, b'HTTP/1.1 200 OK\r\n\r\n{"program": 3}'):
        with pytest.raises(ControlError) as error:
            await read_status(path, AgentStatus)
    assert error.value.fault is ControlFault.PROTOCOL

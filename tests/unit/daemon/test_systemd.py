"""What systemd hears of a program, at the socket where it listens."""

import array
import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.daemon.systemd import Unit, Work, credential, works_at_rest

DEADLINE_SECONDS = 60.0
NEVER_SECONDS = 3600.0


class Systemd:
    """The end of a notification socket at which systemd stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))

    async def hear(self) -> list[str]:
        """The lines of the next message."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return (await asyncio.get_running_loop().sock_recv(self._socket, 65536)).decode().split("\n")

    async def hear_until(self, line: str) -> list[list[str]]:
        """All messages up to the first with a line."""
        heard = [await self.hear()]
        while line not in heard[-1]:
            heard.append(await self.hear())
        return heard

    def take(self) -> tuple[list[str], list[int]]:
        """A message that is there, and the open files that came with it."""
        text, ancillary, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(64))
        files = array.array("i")
        for _, _, content in ancillary:
            files.frombytes(content)
        return text.decode().split("\n"), list(files)

    def has_message(self) -> bool:
        """Whether something was said that nobody read."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """What this process would find in a unit with `Type=notify`."""
    listening = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(listening.path))
    yield listening
    listening.close()


async def at_once() -> None:
    """A start that waits for nothing."""


async def never() -> None:
    """A start that waits for what does not come."""
    await asyncio.Event().wait()


@asynccontextmanager
async def running(
    unit: Unit,
    settled: Awaitable[object],
    describe: Callable[[], str] = lambda: "works",
    works: Callable[[], tuple[Work, ...]] = tuple,
    ready_seconds: float = NEVER_SECONDS,
) -> AsyncIterator[None]:
    """A unit that says what it is asked to until the block ends."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(unit.run(settled, describe, works, ready_seconds=ready_seconds), name="unit")
        yield
        task.cancel()


async def test_a_program_is_ready_once_it_has_settled(systemd: Systemd) -> None:
    """`systemctl start` comes back then, and shows what the program does."""
    async with running(Unit(), at_once()):
        assert await systemd.hear() == ["READY=1", "STATUS=works"]


async def test_a_program_that_waits_for_others_is_ready_all_the_same(systemd: Systemd) -> None:
    """A host without a feed is no failed unit: it says what it waits for."""
    async with running(Unit(), never(), lambda: "there is no feed", ready_seconds=0.01):
        assert await systemd.hear() == ["READY=1", "STATUS=there is no feed"]


async def test_a_status_is_said_when_it_changes(systemd: Systemd) -> None:
    """What says the same as before is not said."""
    said, unit = ["one"], Unit()
    async with running(unit, at_once(), lambda: said[-1]):
        await systemd.hear()
        unit.look_again()
        await asyncio.sleep(0)
        said.append("two")
        unit.look_again()
        assert await systemd.hear() == ["STATUS=two"]


async def test_the_watchdog_hears_of_a_program_that_works(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times in the time after which systemd gives it up."""
    monkeypatch.setenv("WATCHDOG_USEC", "60000")
    async with running(Unit(), at_once(), works=lambda: (Work("frames", waits=False, done=0),)):
        await systemd.hear()
        assert [await systemd.hear() for _ in range(3)] == [["WATCHDOG=1"]] * 3


async def test_the_watchdog_hears_nothing_of_a_program_that_stands_still(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop turns, but one part of the work does not go on; once it does, the watchdog hears of it again."""
    monkeypatch.setenv("WATCHDOG_USEC", "60000")
    looks, done, looked = 0, 0, asyncio.Event()

    def works() -> tuple[Work, ...]:
        nonlocal looks
        looks += 1
        if looks == 4:
            looked.set()
        return (Work("frames", waits=True, done=done),)

    async with running(Unit(), at_once(), works=works):
        await systemd.hear()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await looked.wait()
        assert (await systemd.hear(), systemd.has_message()) == (["WATCHDOG=1"], False)
        done = 1
        assert await systemd.hear() == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("before", "now", "at_rest"),
    [
        (Work("a", True, 1), Work("a", True, 1), ("a",)),
        (Work("a", True, 1), Work("a", True, 2), ()),
        (Work("a", True, 1), Work("a", False, 1), ()),
        (Work("a", False, 1), Work("a", True, 1), ()),
        (Work("a", True, 1), Work("b", True, 1), ()),
    ],
)
def test_work_at_rest(before: Work, now: Work, at_rest: tuple[str, ...]) -> None:
    """What had something to do twice, and did nothing between."""
    assert works_at_rest((before,), (now,)) == at_rest


async def test_another_programs_watchdog_is_left_alone(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables may have come from a parent."""
    monkeypatch.setenv("WATCHDOG_USEC", "3000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    unit, said = Unit(), ["one"]
    async with running(unit, at_once(), lambda: said[-1]):
        await systemd.hear()
        said.append("two")
        unit.look_again()
        assert await systemd.hear() == ["STATUS=two"]


def test_reload_and_stop(systemd: Systemd) -> None:
    """What systemd shows meanwhile, and when a reload began (sd_notify(3), MONOTONIC_USEC=)."""
    unit = Unit()
    unit.reloading()
    begin, moment = systemd.take()[0]
    assert (begin, moment.startswith("MONOTONIC_USEC="), int(moment.partition("=")[2]) > 0) == (
        "RELOADING=1",
        True,
        True,
    )
    unit.stopping("hands over")
    assert systemd.take() == (["STOPPING=1", "STATUS=hands over"], [])


async def test_of_a_program_that_stops_nothing_else_is_said(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last status stays for as long as it hands over, a reload ends no stop, and the watchdog hears of it."""
    monkeypatch.setenv("WATCHDOG_USEC", "60000")
    status, described, unit = "works", asyncio.Event(), Unit()

    def describe() -> str:
        described.set()
        return status

    async with running(unit, at_once(), describe):
        await systemd.hear_until("READY=1")
        unit.stopping("hands over")
        await systemd.hear_until("STOPPING=1")
        status = "owns less"
        unit.reloading()
        unit.ready(status)
        described.clear()
        unit.look_again()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await described.wait()
        said = [await systemd.hear()]
        while systemd.has_message():
            said.append(await systemd.hear())
    assert said == [["WATCHDOG=1"]] * len(said)


@pytest.mark.parametrize("bindings", ["with", "without"])
def test_a_status_is_one_line_of_text(systemd: Systemd, bindings: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A settings file may be called anything, and BIRD say anything: neither says something else, nor nothing."""
    if bindings == "without":
        monkeypatch.setitem(sys.modules, "systemd", None)
    Unit().ready("\udce9.yaml is not in force\nSTOPPING=1")
    assert systemd.take() == (["READY=1", "STATUS= .yaml is not in force STOPPING=1"], [])


def test_an_open_file_is_given_away_and_forgotten(systemd: Systemd, tmp_path: Path) -> None:
    """systemd gets the file itself, under its name."""
    unit = Unit()
    with (tmp_path / "kept").open("w") as kept:
        unit.keep("packet-3", kept.fileno())
        lines, (given,) = systemd.take()
        same = os.fstat(given) == os.fstat(kept.fileno())
        os.close(given)
    unit.forget("packet-3")
    assert (lines, same) == (["FDSTORE=1", "FDNAME=packet-3", "FDPOLL=0"], True)
    assert systemd.take() == (["FDSTOREREMOVE=1", "FDNAME=packet-3"], [])


TAKING = """
import os, sys
for place, given in enumerate(sorted(map(int, sys.argv[1:]))):
    os.dup2(given, 3 + place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="3", LISTEN_FDNAMES="packet-3:groups-3:groups-3")
from appliance.daemon.systemd import Unit
unit = Unit()
kept = unit.take_kept()
print({name: tuple(os.read(each, 9).decode() for each in files) for name, files in kept.items()}, unit.take_kept())
"""


def test_what_the_run_before_kept_is_taken_up(systemd: Systemd, tmp_path: Path) -> None:
    """Each file under its name, in order (sd_listen_fds_with_names(3)), and once."""
    names = ("one", "two", "three")
    for name in names:
        (tmp_path / name).write_text(name)
    files = [os.open(tmp_path / name, os.O_RDONLY) for name in names]
    words = (sys.executable, "-c", TAKING, *map(str, files))
    done = subprocess.run(words, pass_fds=files, capture_output=True, text=True, check=False)
    for each in files:
        os.close(each)
    assert (done.stdout, done.stderr) == ("{'packet-3': ('one',), 'groups-3': ('two', 'three')} {}\n", "")


def test_a_systemd_that_reads_nothing_is_not_waited_for(systemd: Systemd) -> None:
    """It froze, or waits for a disk: the network is answered all the same, and what it reads later is not old news."""
    unit, told = Unit(), 0
    for number in range(2000):
        unit.ready(str(number))
    while systemd.has_message():
        systemd.take()
        told += 1
    assert 0 < told < 2000
    unit.ready("again")
    assert systemd.take() == (["READY=1", "STATUS=again"], [])


def test_nobody_is_told_outside_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab, a terminal, a container."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    unit = Unit()
    unit.ready("works")
    unit.keep("packet-3", 0)
    assert unit.take_kept() == {}


def test_a_program_without_bindings_tells_systemd_all_the_same(systemd: Systemd, tmp_path: Path) -> None:
    """systemd-python is built for one Python; on a host with another a unit becomes ready and keeps its open files."""
    (tmp_path / "kept").write_text("something")
    script = (
        "import os, sys; sys.modules['systemd'] = None\n"
        "from appliance.daemon.systemd import Unit\n"
        "unit = Unit(); unit.ready('works'); unit.keep('packet-3', os.open(sys.argv[1], os.O_RDONLY))"
    )
    subprocess.run((sys.executable, "-c", script, str(tmp_path / "kept")), check=True)
    assert systemd.take() == (["READY=1", "STATUS=works"], [])
    lines, (file,) = systemd.take()
    assert (lines[0], "FDNAME=packet-3" in lines, os.read(file, 9)) == ("FDSTORE=1", True, b"something")
    os.close(file)


def test_a_credential_is_read_in_place_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that holds nothing is a unit's word for there being none."""
    (tmp_path / "kubeconfig").write_text("\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert (credential("kubeconfig"), credential("other")) == (None, None)
    (tmp_path / "kubeconfig").write_text("{}")
    assert credential("kubeconfig") == tmp_path / "kubeconfig"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert credential("kubeconfig") is None

"""An event as an entry of systemd's journal."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from appliance.daemon.journal import JournalSender, _encoded, entry_fields

# A journal of the test's own, in a mount namespace, at the place where systemd's listens.
SCRIPT = """
import os, socket, subprocess, sys
if sys.argv[3] == "without":
    sys.modules["systemd"] = None
subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
os.makedirs("/run/systemd/journal")
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
ours, theirs = socket.socketpair()
os.dup2(theirs.fileno(), 2)
told = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{told.st_dev}:{told.st_ino + int(sys.argv[1])}"
from appliance.cli.log import LogFormat, configure_logging
configure_logging("info", LogFormat.LOGFMT, "agent")
from appliance.daemon.journal import say_host
say_host("node-a")
import structlog
log = structlog.get_logger()
for number in range(int(sys.argv[2])):
    log.warning("noise")
while int(sys.argv[2]):
    try:
        journal.recv(65536, socket.MSG_DONTWAIT)
    except BlockingIOError:
        break
log.warning(**eval(sys.argv[4]))
ours.setblocking(False)
journal.setblocking(False)
for heard in (journal, ours):
    try:
        sys.stdout.write(heard.recv(65536).decode())
    except BlockingIOError:
        pass
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")


MOVE = {"event": "vip_moved", "subject": "192.0.2.7", "reason": "failed", "owner": "node-a"}


def heard(
    offset: int, noise: int = 0, bindings: str = "with", event: Mapping[str, object] = MappingProxyType(MOVE)
) -> list[str]:
    """What the journal hears, or, where standard error is not its, what is written there."""
    words = ("unshare", "--mount", sys.executable, "-c", SCRIPT, str(offset), str(noise), bindings, ascii(dict(event)))
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("bindings", ["with", "without"])
def test_an_event_is_an_entry_with_fields(bindings: str) -> None:
    """What `journalctl PIERHEAD_VIP=192.0.2.7` finds, with the severity and the line that others show.

    The bindings are built for one Python: on a host with another the entry is the same.
    """
    assert sorted(heard(0, bindings=bindings)) == [
        "MESSAGE=level=warning event=vip_moved subject=192.0.2.7 reason=failed owner=node-a",
        "PIERHEAD_EVENT=vip_moved",
        "PIERHEAD_HOST=node-a",
        "PIERHEAD_OWNER=node-a",
        "PIERHEAD_REASON=failed",
        "PIERHEAD_SUBJECT=192.0.2.7",
        "PIERHEAD_VIP=192.0.2.7",
        "PRIORITY=4",
        "SYSLOG_IDENTIFIER=pierhead-agent",
    ]


@pytest.mark.parametrize("bindings", ["with", "without"])
def test_a_journal_that_reads_nothing_is_not_waited_for(bindings: str) -> None:
    """Entries are lost, and their number is said once somebody reads again."""
    assert any("event=journal_entries_lost number=" in line for line in heard(0, noise=2000, bindings=bindings))


@pytest.mark.parametrize("bindings", ["with", "without"])
def test_text_that_is_no_utf_8_costs_its_letters_alone(bindings: str) -> None:
    """A file's name may have any bytes: whoever logs it goes on, and the entry is there."""
    entry = heard(0, bindings=bindings, event={"event": "x", "problems": ["a\udce9", "b"], "problem": "\udce9"})
    assert {"PIERHEAD_PROBLEMS=a?", "PIERHEAD_PROBLEMS=b", "PIERHEAD_PROBLEM=?"} < set(entry)


def test_an_entry_that_cannot_be_sent_is_no_failure_of_who_logs() -> None:
    """sd_journal_sendv(3) has a dozen errors, and its bindings raise each."""
    tried: list[bytes] = []

    def refuse(*fields: bytes) -> None:
        tried.extend(fields)
        raise OSError(errno.EINVAL, "Invalid argument")

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        sender = JournalSender(refuse, ours)
        sender("MESSAGE=one")
        sender("MESSAGE=two")
    assert tried == [b"MESSAGE=one", b"MESSAGE=two"]


def test_the_journal_shows_an_entry_of_several_lines_whole() -> None:
    """A traceback has lines; each but the first would else be taken for a field of its own."""
    assert _encoded(b"MESSAGE=one\ntwo=2") == b"MESSAGE\n\x09\0\0\0\0\0\0\0one\ntwo=2\n"


def test_elsewhere_it_is_a_line() -> None:
    """A program whose parent is a unit, and whose standard error went somewhere else."""
    assert heard(1) == ["level=warning event=vip_moved subject=192.0.2.7 reason=failed owner=node-a"]


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ({"event": "host_changed", "subject": "node-b", "own_host": "node-a"}, {"SUBJECT=node-b", "HOST=node-b"}),
        ({"event": "session_changed", "subject": "bgp tor"}, {"SUBJECT=bgp tor", "SESSION=bgp tor"}),
        ({"event": "link_changed", "subject": "lan0", "level": "info"}, {"SUBJECT=lan0", "INTERFACE=lan0"}),
        ({"event": "feed_changed", "subject": "live", "own_host": "node-a"}, {"SUBJECT=live", "HOST=node-a"}),
        ({"event": "hosts_left_out", "hosts": ["a", "b"], "why": None, "so": ""}, {"HOSTS=a", "HOSTS=b"}),
        ({"event": "hand_over_ended", "is_complete": True, "kept": 0}, {"IS_COMPLETE=true", "KEPT=0"}),
        ({"event": "service_event", "service": "default/echo"}, {"SERVICE=default/echo"}),
    ],
)
def test_fields(event: dict[str, object], fields: set[str]) -> None:
    """What an event speaks of has a field of its own name; this host's stands where no other is meant."""
    found = {each.removeprefix("PIERHEAD_") for each in entry_fields(event)}
    assert found == {f"EVENT={event['event']}", *fields}

"""Events in systemd's journal: one entry each, with a field for everything that is known of it.

`journalctl PIERHEAD_VIP=192.0.2.7` finds what happened to an address, `PIERHEAD_HOST=` to a host, `PIERHEAD_EVENT=` of
a kind. Every other key of an event is a field too: PIERHEAD_REASON, PIERHEAD_SERVICE, PIERHEAD_INTERFACE and so on
(systemd.journal-fields(7)).
"""

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import structlog

from appliance.control.event import EventKind
from appliance.daemon.systemd import connected, takes_more

_PREFIX = "PIERHEAD_"
_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
# What the subject of an event is, beside its subject.
_SUBJECTS: Mapping[str, str] = {
    EventKind.VIP_MOVED: "vip",
    EventKind.VIP_RELEASED: "vip",
    EventKind.CONFLICT_SEEN: "vip",
    EventKind.CONFLICT_ENDED: "vip",
    EventKind.HOST_CHANGED: "host",
    EventKind.DRAIN_ASKED: "host",
    EventKind.LINK_CHANGED: "interface",
    EventKind.SESSION_CHANGED: "session",
}
_OWN_HOST = "own_host"
_SOCKET = "/run/systemd/journal/socket"
_NOT_FIELDS = ("event", "level", "timestamp", _OWN_HOST)

Renderer = Callable[[Any, str, Any], Any]
Send = Callable[..., None]


class JournalSender:
    """Hands entries to the journal as long as it takes them; those that it does not are counted, and not waited for."""

    def __init__(self, send: Send, listener: socket.socket) -> None:
        self._send = send
        self._listener = listener
        self._lost = 0

    def __call__(self, *fields: str) -> None:
        """Send the fields of one entry."""
        if not takes_more(self._listener):
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self._hand_over(f"MESSAGE=level=warning event=journal_entries_lost number={lost}", "PRIORITY=4")
        self._hand_over(*fields)

    def _hand_over(self, *fields: str) -> None:
        """Whatever is in a field, and whatever becomes of the entry: who logs goes on."""
        with contextlib.suppress(OSError):
            self._send(*(field.encode(errors="replace") for field in fields))


def journal_sender() -> JournalSender | None:
    """What takes entries; None where standard error is not the journal's."""
    if not is_journal():
        return None
    try:
        listener = connected(_SOCKET)
    except OSError:
        return None
    try:
        from systemd import journal
    except ImportError:
        return JournalSender(lambda *fields: _send(listener, fields), listener)
    return JournalSender(journal.sendv, listener)


def _send(listener: socket.socket, fields: Iterable[bytes]) -> None:
    """What sd_journal_sendv(3) does, for a Python that systemd-python was not built for; raises OSError."""
    listener.send(b"".join(map(_encoded, fields)))


def _encoded(field: bytes) -> bytes:
    """A field as the journal takes it: one of several lines needs its length before it (Native Journal Protocol)."""
    name, _, text = field.partition(b"=")
    if b"\n" not in text:
        return field + b"\n"
    return b"%s\n%s%s\n" % (name, len(text).to_bytes(8, "little"), text)


def is_journal() -> bool:
    """Whether standard error is the journal's (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM", "") == f"{found.st_dev}:{found.st_ino}"


def say_host(name: str) -> None:
    """Name this host in every entry that speaks of no other; lines on standard error do not need it."""
    if is_journal():
        structlog.contextvars.bind_contextvars(**{_OWN_HOST: name})


class JournalRenderer:
    """The last of structlog's processors: the message is the line as it would be written, the fields what is in it."""

    def __init__(self, line: Renderer, identifier: str) -> None:
        self._line = line
        self._identifier = identifier

    def __call__(self, logger: Any, method: str, event: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
        """The arguments for `JournalLogger`."""
        fields = tuple(entry_fields(event))
        known = {key: found for key, found in event.items() if key != _OWN_HOST}
        message = self._line(logger, method, known)
        priority = _PRIORITIES.get(method, _PRIORITIES["info"])
        return (f"MESSAGE={message}", f"PRIORITY={priority}", f"SYSLOG_IDENTIFIER={self._identifier}", *fields), {}


class JournalLogger:
    """What structlog writes to, in place of a stream."""

    def __init__(self, send: Send) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = send


def entry_fields(event: Mapping[str, Any]) -> Iterator[str]:
    """An event's fields as `NAME=value`; several of one name for a list, none for what is not known."""
    named = dict(event)
    kind = str(named.get("event", ""))
    yield f"{_PREFIX}EVENT={kind}"
    if kind in _SUBJECTS and "subject" in named:
        named.setdefault(_SUBJECTS[kind], named["subject"])
    named.setdefault("host", named.get(_OWN_HOST, ""))
    for key, value in named.items():
        if key not in _NOT_FIELDS:
            for each in _texts(value):
                yield f"{_PREFIX}{key.upper()}={each}"


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, list | tuple | set | frozenset):
        return map(str, value)
    if isinstance(value, bool):
        return ("true" if value else "false",)
    return () if value is None or value == "" else (str(value),)

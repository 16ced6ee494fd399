"""What a client is told by topic: the present state first, then each change, one line a key.

A program keeps its own state and only says which keys changed; a value is read and written when its line is. So a
burst of changes is one line a key, nobody who listens costs nothing, and a slow client holds keys, not values.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import TypeVar

from appliance.control.codec import to_json

HEARTBEAT = b'{"heartbeat":true}\n'

K = TypeVar("K")

# The key of a topic that has one value.
ONLY = ""


class Topic(StrEnum):
    """What can be followed, in the order it is told."""

    PROGRAM = "program"
    FEED = "feed"
    HOSTS = "hosts"
    SESSIONS = "sessions"
    VIPS = "vips"
    EVENTS = "events"


@dataclass(frozen=True, slots=True)
class TopicTable:
    """A topic as its program holds it: the present keys, None while it cannot tell yet, and the value of a key.

    Keys are taken one by one, in slices; what they come from must not mind that the state changes meanwhile.
    """

    keys: Callable[[], Iterable[str] | None]
    read: Callable[[str], object | None]
    has_one_value: bool = False


def single(read: Callable[[], object]) -> TopicTable:
    """A topic with one value, under the key ONLY."""
    return TopicTable(lambda: (ONLY,), lambda key: read() if key == ONLY else None, has_one_value=True)


def changed_keys(before: Mapping[K, object], now: Mapping[K, object]) -> list[K]:
    """The keys whose value came, went or is another than before."""
    changed = [key for key, content in now.items() if before.get(key) is not content and before.get(key) != content]
    return [*changed, *(key for key in before if key not in now)]


@dataclass(slots=True)
class _Queue:
    """What is due of one topic: keys of its listing, None before it has begun, and keys that changed since."""

    table: TopicTable
    listing: Iterator[str] | None = None
    is_listed: bool = False
    changed: OrderedDict[str, None] = field(default_factory=OrderedDict)


class Subscription:
    """What one client has still to be told; `is_overrun` once it is `keys_max` changes of a topic behind."""

    def __init__(self, tables: Mapping[Topic, TopicTable], keys_max: int) -> None:
        self._queues = {topic: _Queue(tables[topic]) for topic in Topic if topic in tables}
        self._keys_max = keys_max
        self.is_overrun = False
        for topic in self._queues:
            self.notice(topic, ())

    def notice(self, topic: Topic, keys: Iterable[str]) -> None:
        """Keys came, changed or went; a topic its program could not tell until now is listed first."""
        queue = self._queues.get(topic)
        if queue is None or self.is_overrun:
            return
        if queue.listing is not None:
            queue.changed.update(dict.fromkeys(keys))
            self.is_overrun = len(queue.changed) > self._keys_max
        elif (present := queue.table.keys()) is not None:
            queue.listing = iter(present)

    def take(self, at_most: int) -> list[bytes]:
        """The next lines; none where the client knows everything."""
        lines: list[bytes] = []
        for topic, queue in self._queues.items():
            if queue.listing is not None and not queue.is_listed:
                for key in islice(queue.listing, at_most - len(lines)):
                    lines.append(_line(topic, key, queue.table.read(key)))
                if len(lines) == at_most:
                    break
                lines.append(_listed(topic))
                queue.is_listed = True
            while queue.changed and len(lines) < at_most:
                key, _ = queue.changed.popitem(last=False)
                lines.append(_line(topic, key, queue.table.read(key)))
        return lines


def _listed(topic: Topic) -> bytes:
    return b'{"topic":"%s","listed":true}\n' % topic.encode()


def _line(topic: Topic, key: str, content: object | None) -> bytes:
    written = b"null" if content is None else to_json(content)
    return b'{"topic":"%s","key":%s,"value":%s}\n' % (topic.encode(), json.dumps(key).encode(), written)

"""What one client has still to be told."""

import json

from hypothesis import given
from hypothesis import strategies as st

from appliance.control.topic import ONLY, Subscription, Topic, TopicTable, changed_keys, single

MANY = 1 << 20


class Site:
    """Values by key, as a program holds them."""

    def __init__(self, **values: str) -> None:
        self.values: dict[str, str] | None = values
        self.table = TopicTable(self._keys, self._read)

    def _keys(self) -> list[str] | None:
        return None if self.values is None else list(self.values)

    def _read(self, key: str) -> str | None:
        return (self.values or {}).get(key)


def read(lines: list[bytes]) -> list[dict[str, object]]:
    """Lines as what they say."""
    return [json.loads(line) for line in lines]


def change(key: str, content: str | None, topic: Topic = Topic.HOSTS) -> dict[str, object]:
    """The line of one key."""
    return {"topic": topic.value, "key": key, "value": content}


def listed(topic: Topic = Topic.HOSTS) -> dict[str, object]:
    """The line that ends a listing."""
    return {"topic": topic.value, "listed": True}


def test_what_is_comes_first_then_what_changes() -> None:
    """The listing has an end, and after it one line for each change."""
    site = Site(a="1", b="2")
    client = Subscription({Topic.HOSTS: site.table}, MANY)
    assert read(client.take(MANY)) == [change("a", "1"), change("b", "2"), listed()]
    assert client.take(MANY) == []
    site.values = {"a": "1", "b": "3"}
    client.notice(Topic.HOSTS, ["b"])
    assert read(client.take(MANY)) == [change("b", "3")]


def test_what_went_is_null() -> None:
    """A key that is gone is told as such."""
    site = Site(a="1")
    client = Subscription({Topic.HOSTS: site.table}, MANY)
    client.take(MANY)
    site.values = {}
    client.notice(Topic.HOSTS, ["a"])
    assert read(client.take(MANY)) == [change("a", None)]


def test_many_changes_of_a_key_are_one_line() -> None:
    """A slow client is told how things are, not how they were."""
    site = Site(a="1")
    client = Subscription({Topic.HOSTS: site.table}, MANY)
    client.take(MANY)
    for number in range(1000):
        site.values = {"a": str(number)}
        client.notice(Topic.HOSTS, ["a"])
    assert read(client.take(MANY)) == [change("a", "999")]


def test_a_program_that_cannot_tell_yet_lists_when_it_can() -> None:
    """An empty listing would mean that there is nothing."""
    site = Site()
    site.values = None
    client = Subscription({Topic.HOSTS: site.table}, MANY)
    client.notice(Topic.HOSTS, ["a"])
    assert client.take(MANY) == []
    site.values = {"a": "1"}
    client.notice(Topic.HOSTS, [])
    assert read(client.take(MANY)) == [change("a", "1"), listed()]


def test_a_listing_comes_in_slices() -> None:
    """No more lines are made than were asked for, and each once."""
    site = Site(**{f"host-{number}": "1" for number in range(10)})
    client = Subscription({Topic.HOSTS: site.table}, MANY)
    slices = [client.take(3) for _ in range(5)]
    assert [len(lines) for lines in slices] == [3, 3, 3, 2, 0]
    assert len({line for lines in slices for line in lines}) == 11


def test_who_is_dead_is_told_before_ten_thousand_vips() -> None:
    """A change of a host does not wait for a listing of VIPs."""
    hosts, vips = Site(a="alive"), Site(**{str(number): "1" for number in range(10_000)})
    client = Subscription({Topic.VIPS: vips.table, Topic.HOSTS: hosts.table}, MANY)
    assert read(client.take(64))[:2] == [change("a", "alive"), listed()]
    hosts.values = {"a": "dead"}
    client.notice(Topic.HOSTS, ["a"])
    assert read(client.take(64))[0] == change("a", "dead")


def test_a_client_too_far_behind_is_given_up() -> None:
    """It may hold so many keys beside its listing, and no more."""
    site = Site(a="1", b="2")
    client = Subscription({Topic.HOSTS: site.table}, keys_max=2)
    client.notice(Topic.HOSTS, ["c", "d"])
    assert not client.is_overrun
    client.notice(Topic.HOSTS, ["e"])
    assert client.is_overrun


def test_a_topic_not_asked_for_is_not_told() -> None:
    """A client that asks for hosts hears nothing of VIPs."""
    client = Subscription({Topic.HOSTS: Site().table}, MANY)
    client.notice(Topic.VIPS, ["192.0.2.1"])
    assert read(client.take(MANY)) == [listed()]


def test_a_topic_of_one_value_has_one_key() -> None:
    """It is told like any other."""
    client = Subscription({Topic.PROGRAM: single(lambda: "runs")}, MANY)
    assert read(client.take(MANY)) == [change(ONLY, "runs", Topic.PROGRAM), listed(Topic.PROGRAM)]


def test_changed_keys_are_those_that_differ() -> None:
    """What came, went or is another value; equal values are the same."""
    assert sorted(changed_keys({"a": 1, "b": 2, "c": (3,)}, {"b": 3, "c": (3,), "d": 4})) == ["a", "b", "d"]


KEYS = st.sampled_from("abcd")


@given(st.lists(st.one_of(st.tuples(KEYS, st.none() | st.sampled_from("12")), st.integers(0, 5)), max_size=40))
def test_who_folds_the_lines_knows_what_is(steps: list[tuple[str, str | None] | int]) -> None:
    """Whatever changes whenever, and however slowly the client reads: in the end it holds the present values."""
    site = Site(a="0")
    client = Subscription({Topic.HOSTS: site.table}, MANY)
    told: dict[str, str | None] = {}
    lines: list[dict[str, object]] = []
    for step in steps:
        if isinstance(step, int):
            lines += read(client.take(step))
            continue
        key, content = step
        kept = {name: entry for name, entry in (site.values or {}).items() if name != key}
        site.values = kept if content is None else {**kept, key: content}
        client.notice(Topic.HOSTS, [key])
    lines += read(client.take(MANY))
    for line in lines:
        if "key" in line:
            told[str(line["key"])] = None if line["value"] is None else str(line["value"])
    assert {key: content for key, content in told.items() if content is not None} == site.values
    assert lines.count(listed()) == 1

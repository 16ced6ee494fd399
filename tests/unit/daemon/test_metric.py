"""What every program tells Prometheus of itself, and those of a host of their feed."""

from pathlib import Path

from appliance.api.kind import Kind
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import Host
from appliance.control.event import Events
from appliance.control.metric import exposition
from appliance.daemon.cache import FeedCache
from appliance.daemon.feed import FeedChange, SiteFeed
from appliance.daemon.metric import feed_readings, program_readings
from appliance.store.kubernetes.access import Access
from appliance.store.kubernetes.connection import Connection
from appliance.store.kubernetes.store import KubernetesStore
from appliance.store.memory import MemoryStore
from appliance.store.protocol import Changes

HOSTS = frozenset({Kind.HOST})


def test_requests_to_an_api_server_are_told_by_verb_and_code() -> None:
    """As the connection counts them; a store without an API server tells none."""

    async def load() -> Access:
        raise NotImplementedError

    store = KubernetesStore(Connection("kubernetes:", load))
    store.connection.requests.update({("get", "200"): 3, ("watch", ""): 2})
    told = b"".join(exposition(program_readings("1.2", True, store))).decode()
    assert 'pierhead_store_requests_total{verb="get",code="200"} 3.0\n' in told
    assert 'pierhead_store_requests_total{verb="watch",code="none"} 2.0\n' in told
    assert "pierhead_store" not in b"".join(exposition(program_readings("1.2", True, MemoryStore()))).decode()


async def test_a_feed_tells_of_its_source_and_of_what_cannot_be_read(tmp_path: Path) -> None:
    """Loaded with the first listing, stale while an object is in force in an older version."""

    def numbers() -> dict[str, float]:
        text = b"".join(exposition(feed_readings(site, is_refused=False))).decode()
        return {name: float(number) for name, number in (line.split() for line in text.splitlines() if line[0] != "#")}

    taken: list[FeedChange] = []
    site = SiteFeed(HOSTS, FeedCache(tmp_path / "feed.db"), Events(), on_change=taken.append)
    before = numbers()
    await site.take(
        Changes(changed=(Host(metadata=Metadata(name="a")), Host(metadata=Metadata(name="b"))), listed=HOSTS)
    )
    live = numbers()
    await site.take(Changes(unreadable=frozenset({Ref("Host", "", "a")})))
    stale = numbers()
    await site.take(Changes(unreadable=frozenset()))
    site.lose()
    names = ("config_loaded_bool", "config_stale_bool", "updates_total", "update_errors_total")
    told = [[each[f"metallb_k8s_client_{name}"] for name in names] for each in (before, live, stale, numbers())]
    assert told == [[0, 0, 0, 0], [1, 0, 2, 0], [1, 1, 2, 1], [1, 0, 2, 1]]
    assert [each["pierhead_feed_live"] for each in (before, live, numbers())] == [0, 1, 0]
    assert (live["pierhead_feed_objects"], live["pierhead_feed_age_seconds"]) == (2, 0)

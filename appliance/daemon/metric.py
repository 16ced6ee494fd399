"""What every program of Pierhead measures of itself, and those of a host of their feed."""

from collections.abc import Iterator
from functools import cache

from prometheus_client import ProcessCollector

from appliance.control.metric import Metric, MetricKind, Reading, many, one, sampled
from appliance.daemon.feed import FeedSource, SiteFeed
from appliance.store.kubernetes.store import KubernetesStore
from appliance.store.protocol import Store

COUNTER, GAUGE = MetricKind.COUNTER, MetricKind.GAUGE

BUILD_INFO = Metric("pierhead_build_info", GAUGE, "1, labelled with the version of the program.", ("version",))
READY = Metric("pierhead_ready", GAUGE, "1 where the program does its work, 0 while it waits for what it needs.")
PROCESS = (
    Metric("process_cpu_seconds_total", COUNTER, "Processor time spent, in seconds."),
    Metric("process_open_fds", GAUGE, "Open file descriptors."),
    Metric("process_max_fds", GAUGE, "File descriptors that may be open."),
    Metric("process_resident_memory_bytes", GAUGE, "Memory in RAM."),
    Metric("process_virtual_memory_bytes", GAUGE, "Address space in use."),
    Metric("process_start_time_seconds", GAUGE, "When the process began, in seconds since 1970."),
)
FEED_AGE = Metric(
    "pierhead_feed_age_seconds", GAUGE, "For how long nobody confirmed what this host acts upon; 0 while a store does."
)
FEED_LIVE = Metric("pierhead_feed_live", GAUGE, "1 where a store tells of changes, 0 where the disk's memory is used.")
FEED_REVISION = Metric(
    "pierhead_feed_revision",
    GAUGE,
    "A digest of the feed as a number: the same on all hosts that hold the same.",
)
FEED_OBJECTS = Metric("pierhead_feed_objects", GAUGE, "Objects that this host acts upon.")
FEED_PROBLEMS = Metric("pierhead_feed_problems", GAUGE, "Sentences that the program has about its feed, at most 101.")
UPDATES = Metric("metallb_k8s_client_updates_total", COUNTER, "Objects that the store told of.")
UPDATE_ERRORS = Metric(
    "metallb_k8s_client_update_errors_total", COUNTER, "Objects that the store told of and that could not be read."
)
CONFIG_LOADED = Metric(
    "metallb_k8s_client_config_loaded_bool", GAUGE, "1 where the program has a configuration to act upon."
)
CONFIG_STALE = Metric(
    "metallb_k8s_client_config_stale_bool",
    GAUGE,
    "1 where part of the configuration in force is older than what was written, because that cannot be used.",
)
STORE_REQUESTS = Metric(
    "pierhead_store_requests_total",
    COUNTER,
    "Requests to the API server; `none` is the code of those that it did not answer.",
    ("verb", "code"),
)
PROGRAM_METRICS = (BUILD_INFO, READY, *PROCESS, STORE_REQUESTS)
FEED_METRICS = (
    FEED_AGE,
    FEED_LIVE,
    FEED_REVISION,
    FEED_OBJECTS,
    FEED_PROBLEMS,
    UPDATES,
    UPDATE_ERRORS,
    CONFIG_LOADED,
    CONFIG_STALE,
)
_REVISION_DIGITS = 12  # of 16: a number of Prometheus' has 53 bits


def program_readings(version: str, is_ready: bool, store: Store) -> Iterator[Reading]:
    """The program itself, and what it asked of an API server."""
    yield many(BUILD_INFO, [((version,), 1)])
    yield one(READY, is_ready)
    samples = {sample.name: sample for family in _process().collect() for sample in family.samples}
    for metric in PROCESS:
        if metric.name in samples:
            yield sampled(metric, (samples[metric.name],))
    requests = store.connection.requests if isinstance(store, KubernetesStore) else {}
    yield many(STORE_REQUESTS, (((verb, code or "none"), number) for (verb, code), number in tuple(requests.items())))


@cache
def _process() -> ProcessCollector:
    return ProcessCollector(registry=None)


def feed_readings(site: SiteFeed, *, is_refused: bool) -> Iterator[Reading]:
    """The feed; `is_refused` where what is made of it is not in force."""
    status = site.status()
    yield one(FEED_AGE, status.age_seconds)
    yield one(FEED_LIVE, site.source is FeedSource.LIVE)
    yield one(FEED_REVISION, int(status.revision[:_REVISION_DIGITS] or "0", 16))
    yield one(FEED_OBJECTS, len(site.objects))
    yield one(FEED_PROBLEMS, len(status.problems))
    yield one(UPDATES, site.updates)
    yield one(UPDATE_ERRORS, site.update_errors)
    yield one(CONFIG_LOADED, site.source is not FeedSource.NONE)
    yield one(CONFIG_STALE, bool(site.unreadable) or is_refused)

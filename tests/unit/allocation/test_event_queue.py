"""Events on their way: counted, paced, bounded, and dropped rather than waited for."""

import pytest

from appliance.allocation.event_queue import (
    REQUESTS_A_SECOND,
    REQUESTS_BURST,
    RETRY_SECONDS,
    SERIES_SECONDS,
    SERVICE_BURST,
    SERVICE_SECONDS,
    WAITING_MAX,
    EventQueue,
    EventRequest,
)
from appliance.api.refusal import StoreRefusal
from appliance.ipam.event import EventReason, ServiceEvent

NOW = 1_800_000_000.0
FAILED = ServiceEvent(EventReason.ALLOCATION_FAILED, "pool a is full")


def told(queue: EventQueue, now: float = NOW) -> EventRequest:
    """The next request, done."""
    request = queue.take(now)
    assert request is not None
    queue.conclude(None, now)
    return request


def test_an_event_is_about_its_service_as_kubectl_describe_looks_for_it() -> None:
    """Name, namespace and uid; MetalLB's reason, type and message."""
    queue = EventQueue()
    queue.add("shop/web", "u-1", FAILED, NOW)
    request = told(queue)
    event = request.event
    about = event.involved_object
    assert (about.api_version, about.kind, about.namespace, about.name, about.uid) == (
        "v1",
        "Service",
        "shop",
        "web",
        "u-1",
    )
    assert (event.reason, event.type, event.message, event.count) == (
        "AllocationFailed",
        "Warning",
        "pool a is full",
        1,
    )
    assert (event.metadata.namespace, event.first_timestamp, event.last_timestamp) == (
        "shop",
        "2027-01-15T08:00:00Z",
        "2027-01-15T08:00:00Z",
    )
    assert event.metadata.name.startswith("web.")
    assert not request.is_repeated
    assert queue.take(NOW) is None
    assert queue.deadline() is None


def test_the_same_again_is_counted_in_the_same_event() -> None:
    """While it waits without a further request, and afterwards by one that replaces it."""
    queue = EventQueue()
    for _ in range(3):
        queue.add("shop/web", "u-1", FAILED, NOW)
    first = told(queue)
    assert (first.event.count, queue.take(NOW)) == (3, None)
    queue.add("shop/web", "u-1", FAILED, NOW + 60)
    again = told(queue, NOW + 60)
    assert again.is_repeated
    assert again.event.metadata == first.event.metadata
    assert (again.event.count, again.event.first_timestamp, again.event.last_timestamp) == (
        4,
        "2027-01-15T08:00:00Z",
        "2027-01-15T08:01:00Z",
    )


def test_a_series_ends() -> None:
    """After ten minutes the same is news again."""
    queue = EventQueue()
    queue.add("shop/web", "u-1", FAILED, NOW)
    first = told(queue)
    queue.add("shop/web", "u-1", FAILED, NOW + SERIES_SECONDS + 1)
    later = told(queue, NOW + SERIES_SECONDS + 1)
    assert (later.is_repeated, later.event.count) == (False, 1)
    assert later.event.metadata.name != first.event.metadata.name


def test_an_event_that_is_gone_is_written_anew_under_another_name() -> None:
    """The API server keeps Events for an hour."""
    queue = EventQueue()
    queue.add("shop/web", "u-1", FAILED, NOW)
    first = told(queue)
    queue.add("shop/web", "u-1", FAILED, NOW + 1)
    assert queue.take(NOW + 1) is not None
    queue.conclude(StoreRefusal.NOT_FOUND, NOW + 1)
    anew = told(queue, NOW + 1)
    assert (anew.is_repeated, anew.event.count) == (False, 2)
    assert anew.event.metadata.name != first.event.metadata.name
    assert queue.dropped == 0


def test_requests_are_paced() -> None:
    """A burst, then so many a second."""
    queue = EventQueue()
    for number in range(200):
        queue.add(f"shop/s{number}", f"u-{number}", FAILED, NOW)
    for _ in range(int(REQUESTS_BURST)):
        told(queue)
    assert queue.take(NOW) is None
    moment, count = NOW, 0
    while moment < NOW + 5:
        deadline = queue.deadline()
        assert deadline is not None
        moment = max(moment, deadline)
        if queue.take(moment) is not None:
            queue.conclude(None, moment)
            count += 1
    assert count <= 5 * REQUESTS_A_SECOND + 1
    assert count >= 5 * REQUESTS_A_SECOND - 2


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    """Nobody waits for a place."""
    queue = EventQueue()
    for number in range(WAITING_MAX + 7):
        queue.add(f"shop/s{number}", f"u-{number}", FAILED, NOW)
    assert queue.dropped == 7


def test_a_service_that_is_told_too_much_is_told_no_more_for_a_while() -> None:
    """Others are told all the same."""
    queue = EventQueue()
    for number in range(int(SERVICE_BURST) + 5):
        queue.add("shop/web", "u-1", ServiceEvent(EventReason.CLEAR_ASSIGNMENT, f"{number}"), NOW)
    assert queue.dropped == 5
    queue.add("shop/other", "u-2", FAILED, NOW)
    queue.add("shop/web", "u-1", FAILED, NOW + SERVICE_SECONDS)
    assert queue.dropped == 5


def test_a_service_that_is_gone_is_told_nothing() -> None:
    """There is nothing an Event could be about."""
    queue = EventQueue()
    queue.add("shop/web", "", FAILED, NOW)
    assert (queue.dropped, queue.take(NOW)) == (1, None)


def test_a_server_that_cannot_be_asked_is_asked_later() -> None:
    """The Event is not lost."""
    queue = EventQueue()
    queue.add("shop/web", "u-1", FAILED, NOW)
    assert queue.take(NOW) is not None
    queue.conclude(StoreRefusal.UNAVAILABLE, NOW)
    assert queue.take(NOW) is None
    assert queue.deadline() == NOW + RETRY_SECONDS
    assert told(queue, NOW + RETRY_SECONDS).event.reason == "AllocationFailed"


@pytest.mark.parametrize("refusal", [StoreRefusal.FORBIDDEN, StoreRefusal.INVALID, StoreRefusal.NOT_FOUND])
def test_an_event_that_is_not_taken_is_dropped(refusal: StoreRefusal) -> None:
    """Such as in a namespace that is being deleted."""
    queue = EventQueue()
    queue.add("shop/web", "u-1", FAILED, NOW)
    assert queue.take(NOW) is not None
    queue.conclude(refusal, NOW)
    assert (queue.dropped, queue.deadline()) == (1, None)

"""What an allocator tells Prometheus, from what it holds and did."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from appliance.allocation.event import Emit, ObjectsChanged, Settings, Write, WriteDone, WriteOperation, WriteRefused
from appliance.allocator.metric import AllocatorCounts
from appliance.allocator.program import Program
from appliance.api.core import LoadBalancerIngress, LoadBalancerStatus, Service, ServiceStatus
from appliance.api.kind import ref_of
from appliance.api.refusal import StoreRefusal
from appliance.control.metric import Reading, exposition
from appliance.ipam.event import EventReason, ServiceEvent
from appliance.store.memory import MemoryStore
from tests.unit.allocation.site import pool
from tests.unit.ipam.sample import service

DEADLINE_SECONDS = 60.0
Samples = dict[tuple[str, ...], float]


def samples(readings: Iterable[Reading], name: str) -> Samples:
    """A metric's samples by the values of its labels."""
    text = b"".join(exposition(readings)).decode()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {tuple(sample.labels.values()): sample.value for sample in found if sample.name == name}


def with_address(pending: Service) -> Service:
    """The same Service once it has been told an address."""
    return replace(
        pending, status=ServiceStatus(load_balancer=LoadBalancerStatus(ingress=(LoadBalancerIngress(ip="10.0.0.1"),)))
    )


PENDING = service("x")
GIVEN = with_address(PENDING)
TOLD = WriteDone(Write(WriteOperation.APPLY_STATUS, ref_of(PENDING), GIVEN), GIVEN)


def waited(counts: AllocatorCounts) -> tuple[float, float]:
    """How many Services waited, and how long together."""
    read = samples(counts.readings(), "pierhead_allocation_seconds_count")
    return read[()], samples(counts.readings(), "pierhead_allocation_seconds_sum")[()]


def test_the_time_from_seeing_a_service_to_its_address_is_observed_once() -> None:
    """Whatever comes first, the answer to the write or the store's own word; changes meanwhile do not begin anew."""
    counts = AllocatorCounts()
    counts.hear(ObjectsChanged(changed=(PENDING,)), 10.0, is_leader=True)
    counts.hear(ObjectsChanged(changed=(PENDING,)), 11.0, is_leader=True)
    counts.answer(TOLD, 12.5)
    counts.hear(ObjectsChanged(changed=(GIVEN,)), 13.0, is_leader=True)
    counts.hear(ObjectsChanged(changed=(PENDING,)), 20.0, is_leader=True)
    counts.hear(ObjectsChanged(changed=(GIVEN,)), 21.0, is_leader=True)
    counts.answer(TOLD, 22.0)
    assert waited(counts) == (2, 3.5)


def test_what_another_allocator_told_is_not_observed() -> None:
    """Each allocation is in one histogram of the site; one that is taken over counts from when it was seen."""
    counts = AllocatorCounts()
    counts.hear(ObjectsChanged(changed=(PENDING,)), 10.0, is_leader=False)
    counts.hear(ObjectsChanged(changed=(GIVEN,)), 11.0, is_leader=False)
    assert waited(counts) == (0, 0)
    counts.hear(ObjectsChanged(changed=(PENDING,)), 20.0, is_leader=False)
    counts.answer(TOLD, 36.0)
    assert waited(counts) == (1, 16.0)


def test_who_is_refused_or_gone_waits_no_longer() -> None:
    """Hours in a full pool are not the allocator's latency."""
    counts = AllocatorCounts()
    counts.hear(ObjectsChanged(changed=(PENDING,)), 10.0, is_leader=True)
    counts.emit(Emit("default/x", ServiceEvent(EventReason.ALLOCATION_FAILED, "every pool is full")))
    counts.answer(TOLD, 5000.0)
    counts.hear(ObjectsChanged(changed=(PENDING,)), 6000.0, is_leader=True)
    counts.hear(ObjectsChanged(removed=(ref_of(PENDING),)), 6001.0, is_leader=True)
    counts.hear(ObjectsChanged(changed=(GIVEN,)), 6002.0, is_leader=True)
    assert waited(counts) == (0, 0)
    assert samples(counts.readings(), "pierhead_service_events_total")["AllocationFailed",] == 1


def test_writes_are_counted_by_what_came_of_them() -> None:
    """An operation and `done`, or the refusal."""
    counts = AllocatorCounts()
    counts.answer(TOLD, 0.0)
    counts.answer(WriteRefused(TOLD.write, StoreRefusal.CONFLICT), 0.0)
    read = samples(counts.readings(), "pierhead_allocator_writes_total")
    assert {labels: number for labels, number in read.items() if number} == {
        ("apply_status", "done"): 1,
        ("apply_status", "conflict"): 1,
    }


async def test_pools_and_services_are_told_as_they_are() -> None:
    """Two addresses and three Services: two have one, one waits because the pool is full."""
    store = MemoryStore([pool("a", "10.0.0.0/31"), *(service(name, cluster_ips=()) for name in "xyz")])
    program = Program(store, Settings())

    def read(name: str) -> Samples:
        return samples(program.metrics(), name)

    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        running = group.create_task(program.run(), name="allocator")
        while read("pierhead_allocation_seconds_count")[()] < 2 or read("pierhead_allocator_queue_length")[()]:  # noqa: ASYNC110  # nobody tells when it is done
            await asyncio.sleep(0.005)
        running.cancel()
    services = {labels: number for labels, number in read("pierhead_services").items() if number}
    assert services == {("allocated", ""): 2, ("pending", "exhausted"): 1}
    assert read("metallb_allocator_addresses_total") == {("a",): 2}
    assert read("metallb_allocator_addresses_in_use_total") == {("a",): 2}
    assert read("metallb_allocator_ipv4_addresses_in_use_total") == {("a",): 2}
    assert read("metallb_allocator_ipv6_addresses_total") == {("a",): 0}
    assert read("metallb_allocator_services_allocated_total") == {("a",): 2}
    assert read("pierhead_leader") == {(): 1}
    assert read("metallb_k8s_client_config_loaded_bool") == {(): 1}
    assert read("metallb_k8s_client_config_stale_bool") == {(): 0}


async def test_a_mistake_makes_the_configuration_stale() -> None:
    """A pool that cannot be in force is told, and counted with its problem."""
    store = MemoryStore([pool("a", "10.0.0.0/31"), pool("b", "10.0.0.0/30")])
    program = Program(store, Settings())
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        running = group.create_task(program.run(), name="allocator")
        while not samples(program.metrics(), "metallb_k8s_client_config_stale_bool")[()]:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.005)
        running.cancel()
    assert samples(program.metrics(), "pierhead_configuration_problems")[()] >= 1

"""What a change costs: the difference and nothing else, and the same rules whichever way they came about."""

import re
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.core import Protocol, SessionAffinity, TrafficPolicy
from appliance.api.kind import Object, ref_of
from appliance.api.meta import Ref
from appliance.api.pierhead import Backend, BackendPort, Host, HostStatus
from appliance.forward.listing import KernelTables
from appliance.forward.machine import (
    Change,
    Device,
    DevicesChanged,
    FailedHostsChanged,
    Forwarding,
    ObjectsChanged,
)
from appliance.forward.plan import LocalBackend, VipPort
from appliance.forward.structure import ELSEWHERE_SECONDS
from tests.unit.forward.site import backend, behind, host, port, vip

A = host("node-a", "192.168.1.11/24", "2001:db8:1::11/64")
B = host("node-b", "192.168.1.12/24", "2001:db8:1::12/64")
C = host("node-c", "192.168.1.13/24", "2001:db8:1::13/64")
ON = {name: backend(f"10.244.{index}.2", f"node-{name}") for index, name in enumerate("abc", start=1)}
VIP = "192.0.2.1"
ETH0 = (Device("eth0", 2),)


def begun(*objects: Object, hosts: Sequence[Host] = (A, B, C)) -> Forwarding:
    """Host a, with rules in a kernel that had none."""
    core = Forwarding("node-a")
    core.handle(ObjectsChanged((*hosts, *objects)))
    core.handle(DevicesChanged(ETH0))
    core.take_over(KernelTables(), 0.0)
    return core


def settled(*objects: Object, hosts: Sequence[Host] = (A, B, C)) -> Forwarding:
    """The same, long after."""
    core = begun(*objects, hosts=hosts)
    core.change(ELSEWHERE_SECONDS + 1)
    return core


def told(core: Forwarding, *objects: Object, now: float = 1000.0) -> Change | None:
    """What some objects change."""
    core.handle(ObjectsChanged(objects))
    return core.change(now)


def collections(change: Change | None) -> set[str]:
    """The maps and sets that a change touches."""
    assert change is not None
    return set(re.findall(r"^(?:add|delete) element \w+ pierhead (\w+?)(?:_[0-9a-f]{12})? ", change.text, re.MULTILINE))


def test_nothing_new_changes_nothing() -> None:
    """The same objects again, and whatever else a host's agent writes into its status, are no transaction."""
    core = settled(vip(VIP), behind(VIP, port(ON["a"], ON["b"])))
    busy = replace(B, status=replace(B.status, announced=5))
    assert told(core, A, busy, vip(VIP), behind(VIP, port(ON["a"], ON["b"]))) is None


def test_a_vip_and_its_backends_are_one_transaction() -> None:
    """A VirtualIP alone says nothing of packets; its rules come with its Backends, and go with them."""
    core, other = settled(vip(VIP), behind(VIP, port(ON["a"]))), "192.0.2.2"
    assert told(core, vip(other)) is None
    assert collections(told(core, behind(other))) == {"addresses"}
    core.handle(ObjectsChanged((), (ref_of(behind(other)),)))
    gone = core.change(1001.0)
    assert collections(gone) == {"addresses"}
    assert core.plans.keys() == {VIP}


def test_a_vip_is_its_own_elements() -> None:
    """A VIP whose hosts another has adds its elements and no chain, map or bucket; and takes them away again."""
    core = settled(vip(VIP), behind(VIP, port(ON["a"], ON["b"])))
    other = "192.0.2.2"
    change = told(core, vip(other), behind(other, port(ON["a"], ON["b"])))
    assert collections(change) == {
        "addresses",
        "ports_ip",
        "errors_ip",
        "errors",
        "stateless",
        "targets",
        "target_tcp",
        "kept",
    }
    assert change is not None
    assert re.findall(r"^add (?:chain|map|set|rule) .*$", change.text, re.MULTILINE) == [
        f"add chain {family} pierhead revision_{change.revision}" for family in ("netdev", "ip", "ip6")
    ]
    core.handle(ObjectsChanged((), (ref_of(vip(other)),)))
    gone = core.change(1001.0)
    assert collections(gone) == collections(change)
    assert gone is not None
    assert VIP not in re.findall(r"192\.0\.2\.\d+", gone.text)


def test_a_host_that_fails_touches_its_buckets_alone() -> None:
    """However many VIPs stand behind a ring, none of them is written anew."""
    vips = [f"192.0.2.{number}" for number in range(1, 50)]
    objects = [one for address in vips for one in (vip(address), behind(address, port(ON["a"], ON["b"], ON["c"])))]
    core = settled(*objects)
    core.handle(FailedHostsChanged(frozenset({"node-c"})))
    change = core.change(1000.0)
    assert collections(change) == {"ingress", "next"}
    assert change is not None
    assert "node-c" not in "".join(line for line in change.text.splitlines() if line.startswith("add"))


def test_a_device_replaces_everything() -> None:
    """The chain that packets enter by hangs on the device: one made anew under its name needs it anew."""
    core = settled(vip(VIP), behind(VIP, port(ON["a"], ON["b"])))
    core.handle(DevicesChanged((Device("eth0", 7),)))
    change = core.change(1000.0)
    assert change is not None
    assert "delete table netdev pierhead" in change.text
    assert change.vips == {VIP}


def test_gained_buckets_are_asked_about_for_a_while() -> None:
    """A host that wins buckets of datagrams asks others about flows in them, until any that live have been seen."""
    core = settled(vip(VIP), behind(VIP, port(ON["a"], ON["b"], protocol=Protocol.UDP)))
    (only,) = core.plans[VIP].ports
    assert only.host_set is not None
    before = core.view(only.host_set)
    assert (before.gained, core.deadline()) == (frozenset(), None)
    core.handle(FailedHostsChanged(frozenset({"node-b"})))
    core.change(1000.0)
    after = core.view(only.host_set)
    assert after.gained == after.own - before.own != frozenset()
    assert core.deadline() == 1000.0 + ELSEWHERE_SECONDS
    assert collections(core.change(1000.0 + ELSEWHERE_SECONDS)) == {"gained"}
    assert core.deadline() is None


def test_another_set_of_hosts_gains_what_its_ports_had_not() -> None:
    """A port that moves to another ring asks about the buckets it had not here before."""
    core = settled(vip(VIP), behind(VIP, port(ON["a"], ON["b"], protocol=Protocol.UDP)))
    (before,) = core.plans[VIP].ports
    assert before.host_set is not None
    had = core.view(before.host_set).own
    told(core, behind(VIP, port(ON["a"], backend("10.244.1.3", "node-a"), ON["b"], ON["c"], protocol=Protocol.UDP)))
    (after,) = core.plans[VIP].ports
    assert after.host_set is not None
    view = core.view(after.host_set)
    assert view.gained == view.own - had


def test_a_host_that_was_away_asks_about_all_it_has() -> None:
    """With no rules in its kernel, every flow may be known elsewhere."""
    core = begun(vip(VIP), behind(VIP, port(ON["a"], ON["b"], protocol=Protocol.UDP)))
    (only,) = core.plans[VIP].ports
    assert only.host_set is not None
    view = core.view(only.host_set)
    assert view.gained == view.own != frozenset()


def test_flows_to_backends_that_are_gone_are_named() -> None:
    """Only UDP's: a TCP connection ends by itself, and nothing but its backend may end it."""
    more = backend("10.244.1.3", "node-a")
    both = (port(ON["a"], more, protocol=Protocol.UDP, number=53), port(ON["a"], more))
    core = settled(vip(VIP), behind(VIP, *both))
    key = VipPort(ip_address(VIP), Protocol.UDP, 53)
    change = told(core, behind(VIP, port(more, protocol=Protocol.UDP, number=53), port(more)))
    assert change is not None
    assert change.flows == {key: frozenset({LocalBackend(more.address, 8080)})}
    change = told(core, behind(VIP, port(more)))
    assert change is not None
    assert change.flows == {key: frozenset()}


def test_flows_to_backends_on_other_hosts_are_left_alone() -> None:
    """On a node, kube-proxy may have sent them there."""
    both = port(ON["a"], ON["b"], protocol=Protocol.UDP)
    core = settled(vip(VIP))
    change = told(core, behind(VIP, both))
    assert change is not None
    assert change.flows == {
        VipPort(ip_address(VIP), Protocol.UDP, 80): frozenset(LocalBackend(ON[name].address, 8080) for name in "ab")
    }


def test_a_terminating_backend_keeps_its_flows() -> None:
    """It is listed still."""
    core = settled(vip(VIP), behind(VIP, port(ON["a"], protocol=Protocol.UDP)))
    change = told(core, behind(VIP, port(replace(ON["a"], terminating=True), protocol=Protocol.UDP)))
    assert change is None or change.flows == {}


def test_a_name_that_is_not_the_address_is_passed_over() -> None:
    """No object speaks for another VIP than its own."""
    core = settled(vip(VIP), behind(VIP, port(ON["a"])))
    stolen = replace(behind(VIP, port(ON["b"])), metadata=vip("192.0.2.2").metadata)
    assert told(core, stolen, replace(vip(VIP), metadata=vip("192.0.2.2").metadata)) is None


@st.composite
def sites(draw: st.DrawFn) -> list[Object]:
    """Some VIPs with ports of all sorts on three hosts, some drained or without a way to them."""
    hosts = [
        host(
            f"node-{name}",
            *draw(st.sampled_from([(f"192.168.1.1{n}/24", f"2001:db8:1::{n}/64"), (f"192.168.1.1{n}/24",)])),
            drain=draw(st.booleans()),
            drained=draw(st.booleans()),
        )
        for n, name in enumerate("abc", start=1)
    ]
    objects: list[Object] = [hosts[0], *(hosts[n] for n in draw(st.sets(st.sampled_from([1, 2]))))]
    for address in draw(st.lists(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8:9::1"]), unique=True)):
        objects.append(vip(address))
        if draw(st.booleans()):
            objects.append(behind(address, *draw(_ports(address))))
    return objects


@st.composite
def _ports(draw: st.DrawFn, address: str) -> list[BackendPort]:
    pod = "2001:db8:244:{}::{}" if ":" in address else "10.244.{}.{}"
    return [
        port(
            *draw(
                st.lists(
                    st.builds(
                        lambda n, last, serving, terminating: Backend(
                            address=ip_address(pod.format(n, last)),
                            port=8080,
                            host=f"node-{'abc'[n - 1]}",
                            serving=serving,
                            terminating=terminating,
                        ),
                        st.integers(1, 3),
                        st.integers(2, 3),
                        st.booleans(),
                        st.booleans(),
                    ),
                    max_size=4,
                    unique_by=lambda one: one.address,
                )
            ),
            number=number,
            protocol=protocol,
            policy=draw(st.sampled_from(TrafficPolicy)),
            affinity=draw(st.sampled_from(SessionAffinity)),
        )
        for number, protocol in draw(
            st.lists(st.sampled_from([(80, Protocol.TCP), (53, Protocol.UDP), (54, Protocol.UDP)]), unique=True)
        )
    ]


class Kernel:
    """What nft makes of the transactions it is given, without looking into rules."""

    def __init__(self) -> None:
        self.definitions: dict[tuple[str, str, str], list[str]] = {}
        self.elements: dict[tuple[str, str], dict[str, str]] = {}

    def run(self, text: str) -> None:
        """Do a transaction of elements and definitions; anything that is there already or is not there is an error."""
        for line in text[text.rfind("\n}\n") + 3 if "\n}\n" in text else 0 :].splitlines():
            verb, sort, table, _, name, *rest = line.split(" ", 5)
            match verb, sort:
                case "add", "chain" | "map" | "set":
                    assert (table, sort, name) not in self.definitions
                    self.definitions[table, sort, name] = []
                    if sort != "chain":
                        self.elements[table, name] = {}
                case "delete", "chain" | "map" | "set":
                    del self.definitions[table, sort, name]
                    self.elements.pop((table, name), None)
                case "flush", "chain":
                    self.definitions[table, "chain", name] = []
                case "add", "rule":
                    self.definitions[table, "chain", name] += rest
                case _, "element":
                    elements = self.elements.setdefault((table, name), {})
                    for element in rest[0].strip("{} ").split(", "):
                        key, _, content = element.partition(" : ")
                        if verb == "add":
                            assert key not in elements
                            elements[key] = content
                        else:
                            del elements[key]

    def content(self) -> tuple[object, object]:
        """Everything but the marks, and but what is only asked for a while."""
        return (
            {name: rules for name, rules in self.definitions.items() if not name[2].startswith("revision_")},
            {place: held for place, held in self.elements.items() if held and not place[1].startswith("gained_")},
        )


@settings(deadline=None, max_examples=60)
@given(st.lists(sites(), min_size=1, max_size=4), st.sets(st.sampled_from(["node-b", "node-c"])))
def test_changes_lead_where_a_fresh_start_leads(history: list[list[Object]], failed: set[str]) -> None:
    """Whatever came before, the kernel holds what it would hold had the last site been the first."""
    core, kernel = Forwarding("node-a"), Kernel()
    core.handle(DevicesChanged(ETH0))
    present: dict[Ref, Object] = {}
    for moment, site in enumerate(history):
        after = {ref_of(one): one for one in site}
        core.handle(ObjectsChanged(site, [ref for ref in present if ref not in after]))
        core.handle(FailedHostsChanged(frozenset(failed if moment % 2 else ())))
        present = after
        change = core.take_over(KernelTables(), 0.0) if moment == 0 else core.change(float(moment))
        if change is not None:
            if "delete table" in change.text:
                kernel = Kernel()
            kernel.run(change.text)
    core.handle(FailedHostsChanged(frozenset()))
    last = core.change(99.0)
    kernel.run(last.text if last else "")
    fresh, fresh_kernel = Forwarding("node-a"), Kernel()
    fresh.handle(DevicesChanged(ETH0))
    fresh.handle(ObjectsChanged(history[-1]))
    fresh_kernel.run(fresh.take_over(KernelTables(), 0.0).text)
    assert kernel.content() == fresh_kernel.content()


def test_memory_is_that_of_the_rings_in_use() -> None:
    """Rings that nobody uses any more are forgotten."""
    core = settled(vip(VIP))
    for number in range(1, 60):
        many = [backend(f"10.244.1.{last + 2}", "node-a") for last in range(number)]
        told(core, behind(VIP, port(*many, ON["b"])), now=1000.0 + number)
    assert core.ring_count == 1


def test_a_host_without_interfaces_is_sent_nothing() -> None:
    """One bad Host is left out, and nothing else."""
    core = settled(
        vip(VIP), behind(VIP, port(ON["a"], ON["b"])), hosts=(A, Host(metadata=B.metadata, status=HostStatus()))
    )
    (only,) = core.plans[VIP].ports
    assert only.host_set is not None
    assert set(core.view(only.host_set).ring.hosts) == {"node-a"}


def test_backends_of_a_vip_may_come_first() -> None:
    """The order in which objects are heard of does not matter."""
    core = settled()
    assert told(core, behind(VIP, port(ON["a"]))) is None
    assert collections(told(core, vip(VIP))) >= {"addresses", "targets"}


def test_a_move_within_the_asking_time_asks_on() -> None:
    """Of buckets that were gained a moment ago the next ring still asks: flows in them may be known elsewhere."""
    more = [backend(f"10.244.1.{last}", "node-a") for last in (3, 4)]
    core = settled(vip(VIP), behind(VIP, port(ON["a"], ON["b"], protocol=Protocol.UDP)))
    told(core, behind(VIP, port(ON["a"], more[0], ON["b"], protocol=Protocol.UDP)), now=1000.0)
    (first,) = core.plans[VIP].ports
    assert first.host_set is not None
    gained = core.view(first.host_set).gained
    told(core, behind(VIP, port(ON["a"], *more, ON["b"], protocol=Protocol.UDP)), now=1001.0)
    (second,) = core.plans[VIP].ports
    assert second.host_set is not None
    view = core.view(second.host_set)
    assert gained & view.own <= view.gained
    assert gained


def test_rings_of_connections_gain_nothing() -> None:
    """Who has no state of a TCP connection asks always: there is nothing to wake up for."""
    core = settled(vip(VIP), behind(VIP, port(ON["a"], ON["b"])))
    core.handle(FailedHostsChanged(frozenset({"node-b"})))
    core.change(1000.0)
    assert core.deadline() is None

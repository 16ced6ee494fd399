"""keepalived's virtual addresses to pools, advertisements and Service skeletons."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_interface

from appliance.api.address import AddressRange, IPAddress
from appliance.api.core import FamilyName, Protocol, Service, ServicePort, ServiceSpec, SessionAffinity
from appliance.api.kind import Object
from appliance.api.meta import Metadata
from appliance.api.metallb import IPAddressPool, IPAddressPoolSpec, L2Advertisement, L2AdvertisementSpec
from appliance.api.problem import Problem, Source
from appliance.convert.block import Block, read_blocks
from appliance.convert.model import Conversion, Unconverted
from appliance.convert.name import object_name

_ADDRESS_LISTS = ("virtual_ipaddress", "virtual_ipaddress_excluded")
_REQUESTED = "metallb.io/loadBalancerIPs"
_INSTANCE_KEPT = frozenset({"interface", *_ADDRESS_LISTS})
_SERVER_KEPT = frozenset({"protocol", "persistence_timeout", "real_server"})
_WHY = {
    "state": "hosts agree on owners among themselves",
    "priority": "owners are planned for all hosts together; preferredNodeSelectors can prefer some",
    "nopreempt": "an owner keeps its address as long as it lives, so this always holds",
    "preempt_delay": "an owner keeps its address as long as it lives",
    "virtual_router_id": "there is no VRRP",
    "advert_int": "there is no VRRP; hosts watch each other by BFD",
    "authentication": "there is no VRRP",
    "unicast_peer": "there is no VRRP",
    "track_script": "an address follows the Service's ready endpoints; use a readiness probe",
    "track_interface": "each host watches its own interfaces",
    "notify": "there are no hooks; ownership is in the VirtualIP's status",
    "lb_algo": "connections are spread by rendezvous hashing",
    "lb_kind": "connections are sent on by nftables",
    "lvs_sched": "connections are spread by rendezvous hashing",
    "lvs_method": "connections are sent on by nftables",
    "delay_loop": "readiness is Kubernetes' to say",
    "vrrp_sync_group": "addresses move one by one",
    "vrrp_script": "use a readiness probe",
    "global_defs": "is about keepalived itself",
}
_NO_COUNTERPART = "has no counterpart"


@dataclass(frozen=True, slots=True)
class _Instance:
    """One vrrp_instance with the addresses that could be read."""

    name: str
    interface: str
    addresses: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class _Server:
    """One virtual_server by address."""

    address: IPAddress
    port: ServicePort
    sticky: bool


def from_keepalived(text: str, file: str, namespace: str) -> Conversion:
    """Convert a configuration; everything but addresses, interfaces and ports is left out and said to be."""
    root, unpaired = read_blocks(text, file)
    blocks = tuple(root.named("vrrp_instance"))
    instances = [_instance(block) for block in blocks]
    servers = [server for block in root.named("virtual_server") if (server := _server(block)) is not None]
    problems = (*unpaired, *_address_problems(blocks, file), *_twice(blocks, file))
    held = {address for instance in instances for address in instance.addresses}
    manifests = (
        *(entry for instance in instances if instance.addresses for entry in _announced(instance, namespace)),
        *(entry for address in sorted(held, key=_number) for entry in _service(address, servers)),
    )
    return Conversion(manifests, problems, tuple(_left_out(root, instances, servers, file)))


def _number(address: IPAddress) -> tuple[int, int]:
    return address.version, int(address)


def _instance(block: Block) -> _Instance:
    read = (_address(entry) for entry in _entries(block))
    addresses = dict.fromkeys(address for address in read if address is not None)
    return _Instance(" ".join(block.words[1:]), block.argument("interface"), tuple(addresses))


def _entries(block: Block) -> Iterator[Block]:
    return (entry for listed in block.named(*_ADDRESS_LISTS) for entry in listed.children)


def _address(entry: Block) -> IPAddress | None:
    try:
        return ip_interface(entry.keyword).ip
    except ValueError:
        return None


def _address_problems(blocks: Iterable[Block], file: str) -> Iterator[Problem]:
    for block in blocks:
        for entry in _entries(block):
            if _address(entry) is None:
                sentence = f"{entry.keyword!r} is not an IP address"
                yield Problem(None, f"line {entry.line}", sentence, Source(file, 1))


def _twice(blocks: Iterable[Block], file: str) -> Iterator[Problem]:
    """An address of two instances would be of two pools."""
    taken: dict[IPAddress, Block] = {}
    for block in blocks:
        for entry in _entries(block):
            address = _address(entry)
            if address is not None and taken.setdefault(address, block) is not block:
                sentence = f"{address} is an address of {' '.join(taken[address].words)} too"
                yield Problem(None, f"line {entry.line}", sentence, Source(file, 1))


def _announced(instance: _Instance, namespace: str) -> Iterator[Object]:
    """A pool that gives its addresses on request only, for they were chosen one by one, and its advertisement."""
    name = object_name(instance.name) or "keepalived"
    ranges = tuple(
        AddressRange(address, address, f"{address}/{address.max_prefixlen}") for address in instance.addresses
    )
    metadata = Metadata(name=name, namespace=namespace)
    yield IPAddressPool(metadata=metadata, spec=IPAddressPoolSpec(addresses=ranges, auto_assign=False))
    interfaces = (instance.interface,) if instance.interface else ()
    yield L2Advertisement(metadata=metadata, spec=L2AdvertisementSpec(ip_address_pools=(name,), interfaces=interfaces))


def _server(block: Block) -> _Server | None:
    """A virtual_server with an address and a port; None for one by group or firewall mark."""
    if len(block.words) < 3 or not block.words[2].isdigit():
        return None
    try:
        address = ip_interface(block.words[1]).ip
        protocol = Protocol(block.argument("protocol") or "TCP")
    except ValueError:
        return None
    port = ServicePort(port=int(block.words[2]), protocol=protocol, name=f"{protocol.lower()}-{block.words[2]}")
    return _Server(address, port, bool(block.argument("persistence_timeout")))


def _service(address: IPAddress, servers: Iterable[_Server]) -> Iterator[Service]:
    """The Service that asks for an address, where a virtual_server says which ports it has."""
    own = [server for server in servers if server.address == address]
    if own:
        ports = {(server.port.protocol, server.port.port): server.port for server in own}
        spec = ServiceSpec(
            type="LoadBalancer",
            ports=tuple(ports[key] for key in sorted(ports)),
            ip_families=(FamilyName.IPV4 if address.version == 4 else FamilyName.IPV6,),
            session_affinity=SessionAffinity.CLIENT_IP
            if any(server.sticky for server in own)
            else SessionAffinity.NONE,
        )
        name = f"vip-{address.exploded.replace('.', '-').replace(':', '-')}"
        yield Service(
            metadata=Metadata(name=name, namespace="default", annotations={_REQUESTED: str(address)}), spec=spec
        )


def _left_out(
    root: Block, instances: Iterable[_Instance], servers: Iterable[_Server], file: str
) -> Iterator[Unconverted]:
    held = {address for instance in instances for address in instance.addresses}
    served = {server.address for server in servers}
    for block in root.children:
        match block.keyword:
            case "vrrp_instance":
                yield from _children_left_out(block, _INSTANCE_KEPT, file)
                yield from _devices_left_out(block, file)
            case "virtual_server":
                yield from _server_left_out(block, held, file)
            case keyword:
                yield Unconverted(f"{file}:{block.line}", " ".join(block.words), _WHY.get(keyword, _NO_COUNTERPART))
    for address in sorted(held - served, key=_number):
        yield Unconverted(file, f"a Service for {address}", "no virtual_server says which ports it has")


def _children_left_out(block: Block, kept: frozenset[str], file: str) -> Iterator[Unconverted]:
    for child in block.children:
        if child.keyword not in kept:
            subject = f"{' '.join(block.words)}: {child.keyword}"
            yield Unconverted(f"{file}:{child.line}", subject, _reason(child.keyword))


def _reason(keyword: str) -> str:
    stem = "notify" if keyword.startswith("notify") else keyword
    return _WHY.get(stem, _NO_COUNTERPART)


def _devices_left_out(block: Block, file: str) -> Iterator[Unconverted]:
    """What stands behind an address: a device other than the instance's, a label, a scope."""
    interface = block.argument("interface")
    for entry in _entries(block):
        words = list(entry.words[1:])
        if words[:2] == ["dev", interface]:
            words = words[2:]
        if words:
            yield Unconverted(
                f"{file}:{entry.line}", f"{entry.keyword} {' '.join(words)}", "only the address is taken over"
            )


def _server_left_out(block: Block, held: Iterable[IPAddress], file: str) -> Iterator[Unconverted]:
    place, subject = f"{file}:{block.line}", " ".join(block.words)
    server = _server(block)
    if server is None:
        yield Unconverted(place, subject, "has no address and port of its own")
        return
    if server.address not in held:
        yield Unconverted(place, subject, "its address is no virtual_ipaddress of an instance")
        return
    yield from _children_left_out(block, _SERVER_KEPT, file)
    for real in block.named("real_server"):
        why = "endpoints are Kubernetes' to say; give the Service a selector"
        yield Unconverted(f"{file}:{real.line}", f"{subject}: {' '.join(real.words)}", why)
    if server.sticky:
        yield Unconverted(place, f"{subject}: persistence_timeout", "became sessionAffinity ClientIP without its time")

"""Statuses for MetalLB's users: what they say, when they are written, and that nothing waits for them."""

from dataclasses import replace

import pytest

from appliance.allocation.event import Settings
from appliance.api.address import parse_address
from appliance.api.core import Endpoint, EndpointPort, EndpointSlice
from appliance.api.kind import Kind, Object, ref_of
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import (
    BGPAdvertisement,
    BGPAdvertisementSpec,
    BGPPeer,
    BGPPeerSpec,
    ConfigurationState,
    L2Advertisement,
    L2AdvertisementSpec,
    ServiceBGPStatus,
    ServiceL2Status,
)
from appliance.api.pierhead import Host, Owner, VirtualIP, VirtualIPStatus
from appliance.api.refusal import StoreRefusal
from appliance.store.memory import MemoryStore
from appliance.store.protocol import StoreError
from tests.unit.allocation.site import Site, pool, site
from tests.unit.ipam.sample import service

HERE = "pierhead-system"
SETTINGS = Settings(report_namespace=HERE)
LABELS = {"metallb.io/service-name": "x", "metallb.io/service-namespace": "default"}


def advertisement(*interfaces: str) -> L2Advertisement:
    """Announce everything on layer 2."""
    return L2Advertisement(
        metadata=Metadata(name="l2", namespace="metallb-system"), spec=L2AdvertisementSpec(interfaces=interfaces)
    )


def endpoints(name: str) -> EndpointSlice:
    """One endpoint of a Service."""
    return EndpointSlice(
        metadata=Metadata(name=f"{name}-1", namespace="default", labels={"kubernetes.io/service-name": name}),
        endpoints=(Endpoint(addresses=("10.244.0.1",), node_name="a"),),
        ports=(EndpointPort(port=8080),),
    )


def peer(name: str, **labels: str) -> BGPPeer:
    """A peer of the hosts of some labels."""
    selectors = (LabelSelector(match_labels=labels),) if labels else ()
    address = parse_address(f"192.0.2.{sum(map(ord, name)) % 250}")
    spec = BGPPeerSpec(my_asn=64500, peer_asn=64501, peer_address=address, node_selectors=selectors)
    return BGPPeer(metadata=Metadata(name=name, namespace="metallb-system"), spec=spec)


def host(name: str, **labels: str) -> Host:
    """A host."""
    return Host(metadata=Metadata(name=name, labels=labels))


async def own(where: Site, name: str, owner: str) -> None:
    """A host says that a VIP is its own."""
    vip = (await where.objects())[Ref("VirtualIP", "", name)]
    assert isinstance(vip, VirtualIP)
    status = VirtualIPStatus(
        owner=Owner(
            host=owner, since="2026-01-01T00:00:00Z", epoch=vip.status.owner.epoch + 1 if vip.status.owner else 1
        )
    )
    await where.store.apply_status(
        replace(vip, status=status, metadata=replace(vip.metadata, resource_version="")), owner
    )
    await where.settle()


async def layer2(where: Site) -> list[tuple[str, list[str]]]:
    """The host and the interfaces of each ServiceL2Status."""
    found = [manifest for manifest in (await where.objects()).values() if isinstance(manifest, ServiceL2Status)]
    return sorted((entry.status.node, [named.name for named in entry.status.interfaces]) for entry in found)


async def bgp(where: Site) -> list[tuple[str, tuple[str, ...]]]:
    """The host and the peers of each ServiceBGPStatus."""
    found = [manifest for manifest in (await where.objects()).values() if isinstance(manifest, ServiceBGPStatus)]
    return sorted((entry.status.node, entry.status.peers) for entry in found)


async def test_the_owner_is_told_as_metallbs_speaker_tells_it() -> None:
    """Node, Service and interfaces in the status, and the labels that people select by."""
    where = site(
        pool("a", "10.0.0.1/32"),
        advertisement("eth0", "eth1"),
        host("a"),
        host("b"),
        service("x", cluster_ips=()),
        endpoints("x"),
        settings=SETTINGS,
    )
    await where.settle()
    assert await layer2(where) == []
    await own(where, "10.0.0.1", "b")
    (found,) = [entry for entry in (await where.objects()).values() if isinstance(entry, ServiceL2Status)]
    assert found.metadata.namespace == HERE
    assert found.metadata.name.startswith("l2-")
    assert {**LABELS, "metallb.io/node": "b"}.items() <= found.metadata.labels.items()
    status = found.status
    assert (status.node, status.service_name, status.service_namespace) == ("b", "x", "default")
    assert [entry.name for entry in status.interfaces] == ["eth0", "eth1"]


async def test_another_owner_is_another_object() -> None:
    """The node of a status never changes, so the old one goes."""
    where = site(
        pool("a", "10.0.0.1/32"),
        advertisement(),
        host("a"),
        host("b"),
        service("x", cluster_ips=()),
        endpoints("x"),
        settings=SETTINGS,
    )
    await where.settle()
    await own(where, "10.0.0.1", "b")
    await own(where, "10.0.0.1", "a")
    assert await layer2(where) == [("a", [])]


async def test_a_status_goes_with_its_service() -> None:
    """Also the one of BGP."""
    ad = BGPAdvertisement(metadata=Metadata(name="bgp", namespace="metallb-system"))
    where = site(
        pool("a", "10.0.0.1/32"),
        advertisement(),
        ad,
        peer("tor"),
        host("a"),
        service("x", cluster_ips=()),
        endpoints("x"),
        settings=SETTINGS,
    )
    await where.settle()
    await own(where, "10.0.0.1", "a")
    assert (len(await layer2(where)), len(await bgp(where))) == (1, 1)
    await where.store.delete(Ref("Service", "default", "x"))
    await where.settle()
    assert (await layer2(where), await bgp(where)) == ([], [])


async def test_peers_are_those_that_a_host_is_to_announce_to() -> None:
    """What the advertisement names, of what the host has a session with."""
    ad = BGPAdvertisement(
        metadata=Metadata(name="bgp", namespace="metallb-system"), spec=BGPAdvertisementSpec(peers=("tor", "edge"))
    )
    manifests = (ad, peer("tor"), peer("edge", rack="1"), peer("other"), host("a", rack="1"), host("b"))
    where = site(pool("a", "10.0.0.1/32"), *manifests, service("x", cluster_ips=()), endpoints("x"), settings=SETTINGS)
    await where.settle()
    assert await bgp(where) == [("a", ("edge", "tor")), ("b", ("tor",))]
    await where.store.apply_metadata(host("b", rack="1"), "operator")
    await where.settle()
    assert await bgp(where) == [("a", ("edge", "tor")), ("b", ("edge", "tor"))]


async def test_a_restart_writes_nothing() -> None:
    """What is there is what should be."""
    ad = BGPAdvertisement(metadata=Metadata(name="bgp", namespace="metallb-system"))
    where = site(
        pool("a", "10.0.0.1/32"),
        advertisement(),
        ad,
        peer("tor"),
        host("a"),
        service("x", cluster_ips=()),
        endpoints("x"),
        settings=SETTINGS,
    )
    await where.settle()
    await own(where, "10.0.0.1", "a")
    before = {ref: entry.metadata.resource_version for ref, entry in (await where.objects()).items()}
    where.restart()
    await where.settle()
    assert {ref: entry.metadata.resource_version for ref, entry in (await where.objects()).items()} == before


class Noting(MemoryStore):
    """Notes the kinds of what is written, in order."""

    def __init__(self, *manifests: Object) -> None:
        super().__init__(manifests)
        self.written: list[str] = []

    async def create(self, manifest: Object, manager: str) -> Object:
        """As any store."""
        self.written.append(type(manifest).__name__)
        return await super().create(manifest, manager)

    async def apply_status(self, manifest: Object, manager: str, *, with_metadata: bool = False) -> Object:
        """As any store."""
        self.written.append(type(manifest).__name__)
        return await super().apply_status(manifest, manager, with_metadata=with_metadata)


async def test_statuses_come_last() -> None:
    """Every claim and all endpoints go before the first of them, and when they are asked for nothing else is to be."""
    ad = BGPAdvertisement(metadata=Metadata(name="bgp", namespace="metallb-system"))
    names = [f"s{number}" for number in range(20)]
    manifests = (ad, peer("tor"), host("a"), pool("a", "10.0.0.0/27"))
    services = [piece for name in names for piece in (service(name, cluster_ips=()), endpoints(name))]
    store = Noting(*manifests, *services)
    where = Site(store, SETTINGS)
    await where.settle()
    assert (store.written.count("Service"), len(await bgp(where))) == (20, 20)
    last = max(index for index, kind in enumerate(store.written) if kind in ("VirtualIP", "Backends"))
    reports = [index for index, kind in enumerate(store.written) if kind.startswith(("ServiceBGP", "Configuration"))]
    assert last < min(reports)


async def test_mistakes_are_in_the_configuration_state() -> None:
    """Which of MetalLB's two conditions depends on whose the object is; both are there when all is right."""
    where = site(pool("a", "10.0.0.0/30"), settings=SETTINGS)
    await where.settle()

    async def state() -> ConfigurationState:
        found = (await where.objects())[Ref("ConfigurationState", HERE, "controller")]
        assert isinstance(found, ConfigurationState)
        return found

    right = await state()
    assert right.status.result == "Valid"
    assert [(entry.type, entry.status, entry.reason) for entry in right.status.conditions] == [
        ("poolReconcilerValid", "True", "Reconciled"),
        ("configReconcilerValid", "True", "Reconciled"),
    ]
    assert right.metadata.labels["metallb.io/component-type"] == "controller"
    where.now += 60
    await where.store.create(pool("b", "10.0.0.2/31"), "operator")
    await where.settle()
    wrong = await state()
    assert wrong.status.result == "Invalid"
    assert "IPAddressPool metallb-system/b" in wrong.status.error_summary
    pools, speaker = wrong.status.conditions
    assert (pools.status, pools.reason, speaker.status) == ("False", "ConfigurationError", "True")
    assert pools.last_transition_time > speaker.last_transition_time == right.status.conditions[1].last_transition_time
    await where.store.delete(ref_of(pool("b", "10.0.0.2/31")))
    await where.settle()
    assert (await state()).status.result == "Valid"


class WithoutKinds(MemoryStore):
    """A server that has not MetalLB's kinds."""

    attempts = 0

    async def create(self, manifest: Object, manager: str) -> Object:
        """Refuse what it has no kind of."""
        if isinstance(manifest, ServiceL2Status | ServiceBGPStatus | ConfigurationState):
            self.attempts += 1
            raise StoreError(StoreRefusal.NOT_FOUND, ref_of(manifest))
        return await super().create(manifest, manager)


async def test_a_server_without_the_kinds_is_hardly_asked() -> None:
    """Once a kind, and not again for a while; everything else goes on."""
    store = WithoutKinds(
        [
            pool("a", "10.0.0.0/28"),
            advertisement(),
            host("a"),
            *(service(f"s{n}", cluster_ips=()) for n in range(8)),
            *(endpoints(f"s{n}") for n in range(8)),
        ]
    )
    where = Site(store, SETTINGS)
    await where.settle()
    for vip in await where.vips():
        await own(where, vip, "a")
    assert len(await where.vips()) == 8
    assert store.attempts <= 5


@pytest.mark.parametrize("namespace", ["", HERE])
async def test_a_site_without_a_namespace_for_them_has_none(namespace: str) -> None:
    """Such as one on a directory."""
    where = site(pool("a", "10.0.0.1/32"), settings=Settings(report_namespace=namespace))
    await where.settle()
    found = (await where.store.list(frozenset({Kind.CONFIGURATION_STATE}))).objects
    assert len(found) == (1 if namespace else 0)

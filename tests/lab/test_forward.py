"""Real packets through the rendered rules: who serves a connection, and what it survives."""

import asyncio
import os
import shutil
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from appliance.api.address import IPAddress
from appliance.api.core import SessionAffinity, TrafficPolicy
from tests.lab.forwarding import (
    BACKEND_PORT,
    CLIENT4,
    CLIENT6,
    HOSTS,
    PORT,
    VIP4,
    VIP6,
    Connection,
    Forwarders,
    Site,
    answering,
    ask_all,
    backends_of,
    build,
    connect,
    connections,
    cut,
    echoing,
    flows,
    inside,
    lost,
    lost_during,
    mend,
    narrow,
    remove,
    route,
    route_to_nobody,
)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root, network namespaces and nft"
)
VIPS = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["ipv4", "ipv6"])
COUNT = 60


@pytest.fixture(scope="module", autouse=True)
def _machines() -> Iterator[None]:
    try:
        build()
        yield
    finally:
        remove()


def per_host(opened: list[Connection]) -> Counter[str]:
    """How many connections each host's backends hold."""
    return Counter(connection.backend[:6] for connection in opened)


@VIPS
async def test_ring_decides_wherever_a_connection_enters(vip: IPAddress) -> None:
    """Connections spread over all hosts though they enter by one, and the backend sees the client's address."""
    route(["node-a"])
    async with echoing():
        await Forwarders().apply(Site())
        async with connections(vip, COUNT) as opened:
            assert set(per_host(opened)) == set(HOSTS)
            assert {connection.client for connection in opened} == {str(CLIENT4 if vip.version == 4 else CLIENT6)}


@VIPS
async def test_ingress_host_moves(vip: IPAddress) -> None:
    """No connection ends when routers send it to another host."""
    route(HOSTS)
    async with echoing():
        await Forwarders().apply(Site())
        async with connections(vip, COUNT) as opened:
            for entries in (["node-b"], ["node-c"], ["node-a", "node-b"]):
                route(entries)
                assert await lost(opened) == []


@VIPS
async def test_host_joins(vip: IPAddress) -> None:
    """No connection ends when a host joins, and the new one gets its share of new connections."""
    route(HOSTS)
    site, forwarders = Site(members=frozenset(HOSTS[:2])), Forwarders()
    async with echoing():
        await forwarders.apply(site)
        async with connections(vip, COUNT) as opened:
            assert await lost_during(opened, forwarders.apply(Site())) == []
            async with connections(vip, COUNT) as later:
                assert per_host(later)["node-c"] > 0


@VIPS
async def test_host_drains(vip: IPAddress) -> None:
    """A drained host keeps its open connections and gets no new ones, though hosts learn it one after the other."""
    route(HOSTS)
    site, forwarders = Site(), Forwarders()
    async with echoing():
        await forwarders.apply(site)
        async with connections(vip, COUNT) as opened:
            assert per_host(opened)["node-b"] > 0
            assert await lost_during(opened, forwarders.apply(replace(site, drained=frozenset({"node-b"})))) == []
            route(["node-a", "node-c"])
            assert await lost(opened) == []
            async with connections(vip, COUNT) as later:
                assert per_host(later)["node-b"] == 0


@VIPS
async def test_host_dies(vip: IPAddress) -> None:
    """Only the connections whose backend stood on the dead host end."""
    route(HOSTS)
    forwarders = Forwarders()
    async with echoing():
        await forwarders.apply(Site())
        async with connections(vip, COUNT) as opened:
            try:
                cut("node-c")
                route(HOSTS[:2])
                await forwarders.apply(Site(dead=frozenset({"node-c"})), HOSTS[:2])
                assert set(per_host(await lost(opened))) == {"node-c"}
                alive = per_host(opened)
                assert alive["node-a"] > 0
                async with connections(vip, 20) as later:
                    assert per_host(later)["node-c"] == 0
            finally:
                mend("node-c")


@VIPS
async def test_backends_come_and_go(vip: IPAddress) -> None:
    """A backend that terminates ends no connection, its own included; one that is gone ends none of the others'."""
    route(HOSTS)
    site, forwarders = Site(gone=frozenset({"node-c-2"})), Forwarders()
    stopped = "node-a-1"
    async with echoing():
        await forwarders.apply(site)
        async with connections(vip, COUNT) as opened:
            site = replace(site, terminating=frozenset({stopped}))
            assert await lost_during(opened, forwarders.apply(site)) == []
            async with connections(vip, COUNT) as later:
                assert stopped not in {connection.backend for connection in later}
            site = Site(gone=frozenset({stopped}))
            others = [connection for connection in opened if connection.backend != stopped]
            assert await lost_during(others, forwarders.apply(site)) == []


@VIPS
@pytest.mark.parametrize("affinity", SessionAffinity)
async def test_path_mtu(vip: IPAddress, affinity: SessionAffinity) -> None:
    """A router's word that packets are too big reaches the host that holds the connection, whichever it enters by."""
    route(["node-a"])
    site, forwarders = Site(affinity=affinity), Forwarders()
    async with echoing():
        await forwarders.apply(site)
        async with connections(vip, 10) as opened:
            await forwarders.apply(replace(site, drained=frozenset({"node-b"})))
            try:
                narrow(1300)
                for connection in opened:
                    assert await connection.fetch(100_000) == 100_000
            finally:
                narrow(1500)


@VIPS
async def test_local_policy(vip: IPAddress) -> None:
    """Under Local a host delivers to its own backends and nowhere else."""
    route(["node-b"])
    async with echoing():
        await Forwarders().apply(Site(policy=TrafficPolicy.LOCAL))
        async with connections(vip, 20) as opened:
            assert {connection.backend for connection in opened} == set(backends_of("node-b"))


@VIPS
async def test_client_affinity(vip: IPAddress) -> None:
    """With ClientIP every connection of a client reaches one backend, whichever host it enters by."""
    route(HOSTS)
    async with echoing():
        await Forwarders().apply(Site(affinity=SessionAffinity.CLIENT_IP))
        async with connections(vip, 20) as opened:
            assert len({connection.backend for connection in opened}) == 1


@VIPS
async def test_host_without_backends_passes_on(vip: IPAddress) -> None:
    """A connection that enters by a host with no backend reaches one elsewhere."""
    route(["node-c"])
    async with echoing():
        await Forwarders().apply(Site(members=frozenset(HOSTS[:2])))
        async with connections(vip, 20) as opened:
            assert set(per_host(opened)) == set(HOSTS[:2])


@VIPS
async def test_client_on_another_host(vip: IPAddress) -> None:
    """A packet that another host made itself reaches a backend though no ring is asked for it."""
    async with echoing():
        await Forwarders().apply(Site(members=frozenset(HOSTS[:1])))
        route(["node-b"])
        connection = await connect(vip, source="node-c")
        assert connection.backend in backends_of("node-a")
        await connection.close()


@VIPS
async def test_port_nobody_serves_is_refused(vip: IPAddress) -> None:
    """A first packet to a port without backends is answered with a reset, so that the client need not wait."""
    route(HOSTS)
    await Forwarders().apply(Site(members=frozenset()))
    with pytest.raises(ConnectionRefusedError):
        await connect(vip)


@VIPS
async def test_nothing_is_reset_in_mid_connection(vip: IPAddress) -> None:
    """A connection that no host holds hears silence: where rings differ for a moment, it can still be found."""
    route(["node-a"])
    forwarders = Forwarders()
    async with echoing():
        await forwarders.apply(Site())
        async with connections(vip, 20) as opened:
            await forwarders.apply(Site(members=frozenset()))
            probes = [connection for connection in opened if connection.backend[:6] != "node-a"]
            for connection in probes:
                connection.writer.write(b"ask\n")
            await forwarders.apply(Site())
            answers = await asyncio.wait_for(asyncio.gather(*(probe.reader.readline() for probe in probes)), 60)
            assert all(answers)


@VIPS
async def test_datagrams_spread_by_port(vip: IPAddress) -> None:
    """One client's flows of datagrams reach all hosts, each flow one backend, whichever host they enter by."""
    route(HOSTS)
    await Forwarders().apply(Site())
    async with answering():
        with flows(vip, COUNT) as opened:
            backends = await ask_all(opened)
            assert {str(backend)[:6] for backend in backends} == set(HOSTS)
            route(["node-b"])
            assert await ask_all(opened) == backends


@VIPS
async def test_datagrams_and_their_fragments(vip: IPAddress) -> None:
    """A datagram larger than a packet reaches the backend that small ones of the same flow reach."""
    route(HOSTS)
    await Forwarders().apply(Site())
    async with answering():
        with flows(vip, COUNT) as opened:
            backends = await ask_all(opened)
            assert await ask_all(opened, size=4000) == backends
            assert {str(backend)[:6] for backend in backends} == set(HOSTS)


@VIPS
@pytest.mark.parametrize("affinity", SessionAffinity)
async def test_flows_of_datagrams_outlive_changes(vip: IPAddress, affinity: SessionAffinity) -> None:
    """A flow keeps its backend when hosts join, drain and come back, and when routers send it elsewhere meanwhile."""
    route(HOSTS)
    site, forwarders = Site(members=frozenset(HOSTS[:2]), affinity=affinity), Forwarders()
    async with answering():
        await forwarders.apply(site)
        with flows(vip, COUNT) as opened:
            backends = await ask_all(opened)
            for later in (
                replace(site, members=frozenset(HOSTS)),
                replace(site, members=frozenset(HOSTS), drained=frozenset({"node-a"})),
                replace(site, members=frozenset(HOSTS), drained=frozenset({"node-a", "node-b"})),
                replace(site, members=frozenset(HOSTS)),
            ):
                await forwarders.apply(later)
                assert await ask_all(opened) == backends
                route(["node-b", "node-c"])
                assert await ask_all(opened) == backends
                assert await ask_all(opened, size=4000) == backends
                route(HOSTS)


@VIPS
async def test_new_flows_of_datagrams_follow_the_ring(vip: IPAddress) -> None:
    """Beside the flows that stay, new ones reach the host that joined, and none the host that drained."""
    route(HOSTS)
    site, forwarders = Site(members=frozenset(HOSTS[:2])), Forwarders()
    async with answering():
        await forwarders.apply(site)
        with flows(vip, COUNT) as older:
            await ask_all(older)
            site = Site(drained=frozenset({"node-b"}))
            await forwarders.apply(site)
            with flows(vip, COUNT) as newer:
                backends = await ask_all(newer)
                assert {str(backend)[:6] for backend in backends} == {"node-a", "node-c"}
                assert await ask_all(newer) == backends


@VIPS
async def test_flows_to_a_backend_that_is_gone_find_another(vip: IPAddress) -> None:
    """UDP has no end: a client's datagrams go to a backend that stands from the moment theirs is gone."""
    route(HOSTS)
    forwarders = Forwarders()
    async with answering():
        await forwarders.apply(Site())
        with flows(vip, COUNT) as opened:
            before = await ask_all(opened)
            assert "node-a-1" in before
            await forwarders.apply(Site(gone=frozenset({"node-a-1"})))
            after = await ask_all(opened)
            assert None not in after
            assert "node-a-1" not in after
            kept = [pair for pair in zip(before, after, strict=True) if pair[0] != "node-a-1"]
            assert all(old == new for old, new in kept)


@VIPS
async def test_flows_of_a_dead_host_find_another(vip: IPAddress) -> None:
    """The flows of a host that failed go to the others, also those that it was asked for."""
    route(HOSTS)
    forwarders = Forwarders()
    async with answering():
        await forwarders.apply(Site())
        with flows(vip, COUNT) as opened:
            before = await ask_all(opened)
            await forwarders.apply(Site(drained=frozenset({"node-c"})))
            assert await ask_all(opened) == before
            try:
                cut("node-c")
                route(HOSTS[:2])
                await forwarders.apply(Site(drained=frozenset({"node-c"}), dead=frozenset({"node-c"})), HOSTS[:2])
                after = await ask_all(opened)
            finally:
                mend("node-c")
            assert None not in after
            lost_flows = [str(backend).startswith("node-c") for backend in before]
            assert [old for old, is_lost in zip(before, lost_flows, strict=True) if not is_lost] == [
                new for new, is_lost in zip(after, lost_flows, strict=True) if not is_lost
            ]


@VIPS
async def test_backend_that_turns_not_ready_keeps_its_connections(vip: IPAddress) -> None:
    """Every connection goes on where its backend is listed still; new ones go to those that are ready."""
    route(HOSTS)
    forwarders = Forwarders()
    unready = frozenset({"node-a-1", "node-b-1", "node-b-2"})
    async with echoing():
        await forwarders.apply(Site())
        async with connections(vip, COUNT) as opened:
            assert await lost_during(opened, forwarders.apply(Site(unready=unready))) == []
            async with connections(vip, COUNT) as later:
                assert {connection.backend for connection in later}.isdisjoint(unready)
                assert await lost_during([*opened, *later], forwarders.apply(Site())) == []


@VIPS
async def test_nobody_serves_but_connections_go_on(vip: IPAddress) -> None:
    """With no backend ready new connections are refused, and the open ones live."""
    route(HOSTS)
    forwarders = Forwarders()
    every = frozenset(name for host in HOSTS for name in backends_of(host))
    async with echoing():
        await forwarders.apply(Site())
        async with connections(vip, COUNT) as opened:
            assert await lost_during(opened, forwarders.apply(Site(unready=every))) == []
            with pytest.raises(ConnectionRefusedError):
                await connect(vip)


@VIPS
async def test_a_flooded_packet_is_nobodys(vip: IPAddress) -> None:
    """Hosts that see a frame for another machine's hardware address do not each deliver a copy of it."""
    await Forwarders().apply(Site())
    family = socket.AF_INET if vip.version == 4 else socket.AF_INET6
    servers = _datagram_servers(family)
    with inside("client"):
        client = socket.socket(family, socket.SOCK_DGRAM)
    try:
        client.connect((str(vip), PORT))
        route_to_nobody()
        client.send(b"flooded")
        route(HOSTS)
        client.send(b"sent")
        assert await _received(servers) == len(b"sent")
    finally:
        for opened in (client, *servers):
            opened.close()


def _datagram_servers(family: socket.AddressFamily) -> list[socket.socket]:
    servers = []
    for name in (name for host in HOSTS for name in backends_of(host)):
        with inside(name):
            server = socket.socket(family, socket.SOCK_DGRAM)
        server.bind(("", BACKEND_PORT))
        server.setblocking(False)
        servers.append(server)
    return servers


async def _received(servers: list[socket.socket]) -> int:
    """The size of the first datagram that any of the servers gets."""
    loop = asyncio.get_running_loop()
    waiting = [asyncio.ensure_future(loop.sock_recv(server, 65535)) for server in servers]  # noqa: TID251
    done, pending = await asyncio.wait(waiting, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return len(done.pop().result())

"""What a Kubernetes store makes of an API server that fails: nothing is lost, told twice or asked for without end."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from appliance.api.kind import Kind, Object, ref_of
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import VirtualIP
from appliance.api.refusal import StoreRefusal
from appliance.store.kubernetes.access import TokenFile, load_access
from appliance.store.kubernetes.connection import Connection
from appliance.store.kubernetes.store import KubernetesStore
from appliance.store.open import open_store
from appliance.store.protocol import Changes, StoreError
from tests.cluster.control_plane import ControlPlane, MakeControlPlane
from tests.cluster.crd import install_open
from tests.cluster.proxy import Proxy, is_watch, status
from tests.cluster.signing import signed_token
from tests.contract.sample import HOSTS, VIPS, host, vip
from tests.contract.watching import DEADLINE_SECONDS, watching

ME = "pierhead-agent"
LONG = 120.0


@pytest.fixture(scope="module")
def server(make_control_plane: MakeControlPlane) -> ControlPlane:
    """A control plane that tests may stop; without a watch cache, so that it forgets what etcd forgets."""
    control_plane = make_control_plane("--watch-cache=false")
    install_open(control_plane, Kind.VIRTUAL_IP, Kind.HOST)
    return control_plane


@pytest.fixture
async def direct(server: ControlPlane) -> AsyncIterator[KubernetesStore]:
    """The server as it is; what a test made goes with it."""
    store = store_of(server.kubeconfig)
    yield store
    for ref in (await store.list(VIPS | HOSTS)).objects:
        await store.delete(ref)


@pytest.fixture
async def proxy(server: ControlPlane) -> AsyncIterator[Proxy]:
    """What stands before the server."""
    async with Proxy(server).running() as made:
        yield made


@pytest.fixture
def store(proxy: Proxy, tmp_path: Path) -> KubernetesStore:
    """The server behind the proxy, for a patient reader."""
    return store_of(proxy.kubeconfig(tmp_path))


def store_of(
    kubeconfig: Path, *, patience: float = LONG, seconds: float = LONG, token: Path | None = None
) -> KubernetesStore:
    """A store that waits that long for a lost server, and for an answer."""
    connection = Connection(
        "test", lambda: load_access(kubeconfig, None), TokenFile(token) if token else None, request_seconds=seconds
    )
    return KubernetesStore(connection, patience_seconds=patience)


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_at_rest_nothing_is_asked(direct: KubernetesStore) -> None:
    """While nothing changes there are two watches and no request."""
    async with watching(direct, VIPS | HOSTS) as watch:
        await eventually(lambda: direct.connection.requests["watch", "200"] == 2)
        before = direct.connection.requests.copy()
        await asyncio.sleep(2.0)
        assert direct.connection.requests == before
        assert len([batch for batch in watch.batches if batch.changed]) == 0


async def test_a_broken_connection_is_bridged(proxy: Proxy, direct: KubernetesStore, store: KubernetesStore) -> None:
    """The watch goes on from where it was: what happened meanwhile is told, and nothing is listed again."""
    for number in range(3):
        await direct.create(vip(number), ME)
    async with watching(store, VIPS) as watch:
        await eventually(lambda: proxy.seen["GET", "watch"] == 1)
        proxy.cut()
        changed = await direct.apply(vip(1, pool="other"), ME)
        await direct.delete(ref_of(vip(2)))
        proxy.is_cut = False
        begin = len(watch.batches)
        await watch.until(lambda: ref_of(vip(2)) not in watch.objects)
        assert [each for batch in watch.batches[begin:] for each in batch.changed] == [changed]
        assert store.connection.requests["list", "200"] == 1


async def test_what_etcd_has_forgotten_is_listed_anew(
    server: ControlPlane, proxy: Proxy, direct: KubernetesStore, store: KubernetesStore
) -> None:
    """After 410 a reader hears of what differs, removals included, and of nothing else."""
    for number in range(5):
        await direct.create(vip(number), ME)
    async with watching(store, VIPS) as watch:
        await eventually(lambda: proxy.seen["GET", "watch"] == 1)
        proxy.cut()
        changed = await direct.apply(vip(1, pool="other"), ME)
        created = await direct.create(vip(9), ME)
        await direct.delete(ref_of(vip(2)))
        await asyncio.to_thread(server.compact)
        proxy.is_cut = False
        begin = len(watch.batches)
        await watch.until(lambda: ref_of(vip(2)) not in watch.objects and ref_of(created) in watch.objects)
        told = [each for batch in watch.batches[begin:] for each in batch.changed]
        assert sorted(told, key=ref_of) == sorted((changed, created), key=ref_of)
        assert [ref for batch in watch.batches[begin:] for ref in batch.removed] == [ref_of(vip(2))]
        assert store.connection.requests["list", "200"] == 2


async def test_a_watch_cut_at_any_byte(proxy: Proxy, direct: KubernetesStore, store: KubernetesStore) -> None:
    """Wherever an answer ends, no change is lost and none is told twice."""
    chance = random.Random(7)
    await direct.create(vip(1), ME)
    async with watching(store, VIPS) as watch, asyncio.TaskGroup() as group:
        proxy.cut_after = lambda: chance.randrange(1, 4000)
        proxy.cut_once()
        writer = group.create_task(_write_until(direct, lambda: proxy.seen["GET", "watch"] > 25), name="writer")
        async with asyncio.timeout(LONG):
            while not writer.done() or watch.objects[ref_of(vip(1))] != writer.result():
                await watch.next()
    versions = [int(each.metadata.resource_version) for batch in watch.batches for each in batch.changed]
    assert versions == sorted(set(versions))
    assert store.connection.requests["list", "200"] == 1


async def _write_until(store: KubernetesStore, is_enough: Callable[[], bool]) -> Object:
    number = 0
    while not is_enough():
        number += 1
        await store.apply(vip(1, pool=f"pool-{number}"), ME)
        await asyncio.sleep(0.02)
    return await store.apply(vip(1, pool="last"), ME)


async def test_a_slow_server(proxy: Proxy, direct: KubernetesStore, store: KubernetesStore) -> None:
    """A watch that comes in crumbs is read as one that comes in lines."""
    proxy.is_slow = True
    async with watching(store, VIPS) as watch:
        stored = [await direct.create(vip(number), ME) for number in range(5)]
        await watch.until(lambda: len(watch.objects) == 5)
        assert list(watch.objects.values()) == stored


async def test_a_watch_that_tells_an_error(proxy: Proxy, direct: KubernetesStore, store: KubernetesStore) -> None:
    """An ERROR event, an answer of 500 and a line that is no JSON each make it list anew, once, and go on."""
    await direct.create(vip(1), ME)
    line = json.dumps({"type": "ERROR", "object": status(500, "InternalError")}) + "\n"
    answers = [
        web.Response(text=line),
        web.json_response(status(500, "InternalError"), status=500),
        web.Response(text='{"type": "ADDED", "object": []}\n'),
    ]
    async with watching(store, VIPS) as watch:
        proxy.answer = lambda request: answers.pop(0) if is_watch(request) and answers else None
        proxy.cut_once()
        await eventually(lambda: not answers)
        created = await direct.create(vip(2), ME)
        assert await watch.next() == Changes(changed=(created,))
        assert store.connection.requests["list", "200"] == 3


async def test_a_server_that_is_busy(proxy: Proxy, direct: KubernetesStore, store: KubernetesStore) -> None:
    """A write that is throttled says for how long; a watch waits that long and no longer."""
    await direct.create(vip(1), ME)
    busy = [
        web.json_response(status(429, "TooManyRequests"), status=429, headers={"Retry-After": "1"}) for _ in range(3)
    ]
    proxy.answer = lambda _: busy.pop(0) if busy else None
    with pytest.raises(StoreError) as refused:
        await store.create(vip(2), ME)
    assert (refused.value.refusal, refused.value.retry_seconds) == (StoreRefusal.THROTTLED, 1.0)
    begin = time.monotonic()
    async with watching(store, VIPS) as watch:
        assert len(watch.objects) == 1
    assert time.monotonic() - begin >= 2.0
    assert store.connection.requests["list", "429"] == 2


async def test_a_server_that_went(server: ControlPlane, direct: KubernetesStore) -> None:
    """A watch says so after its patience, having asked a few times; later another one tells everything."""
    impatient = store_of(server.kubeconfig, patience=3.0)
    await direct.create(vip(1), ME)
    async with watching(impatient, VIPS | HOSTS) as watch:
        before = watch.objects
        await eventually(lambda: impatient.connection.requests["watch", "200"] == 2)
        server.kill()
        try:
            begin = time.monotonic()
            with pytest.raises(StoreError) as lost:
                await watch.next()
            assert (lost.value.refusal, 2.0 < time.monotonic() - begin < DEADLINE_SECONDS) == (
                StoreRefusal.UNAVAILABLE,
                True,
            )
            assert impatient.connection.requests["watch", ""] <= 2 * 10
            with pytest.raises(StoreError) as refused:
                await impatient.create(vip(2), ME)
            assert refused.value.refusal is StoreRefusal.UNAVAILABLE
        finally:
            await asyncio.to_thread(server.start)
    async with watching(impatient, VIPS | HOSTS) as again:
        assert again.objects == before


async def test_a_server_that_stands_still(server: ControlPlane, direct: KubernetesStore) -> None:
    """Nobody waits for ever: a request ends after its time, and what happened before the pause is told after it."""
    hasty, patient = store_of(server.kubeconfig, seconds=1.0), store_of(server.kubeconfig)
    async with watching(patient, VIPS) as watch:
        await eventually(lambda: patient.connection.requests["watch", "200"] == 1)
        server.pause()
        try:
            with pytest.raises(StoreError, match="no answer within 1 s") as refused:
                await hasty.get(ref_of(vip(1)))
            assert refused.value.refusal is StoreRefusal.UNAVAILABLE
        finally:
            server.resume()
        created = await direct.create(vip(1), ME)
        assert await watch.next() == Changes(changed=(created,))


async def test_a_watch_leaves_no_connection(server: ControlPlane, direct: KubernetesStore) -> None:
    """Its end waits for nobody, and nothing of it stays, though the server says no farewell."""
    before = _sockets()
    async with watching(direct, VIPS):
        await eventually(lambda: direct.connection.requests["watch", "200"] == 1)
        server.pause()
    try:
        # The loop closes a socket some turns after it was told to.
        for _ in range(10):
            await asyncio.sleep(0)
        assert _sockets() == before
    finally:
        server.resume()


def _sockets() -> int:
    """How many this process has."""
    return sum(each.is_socket() for each in Path("/proc/self/fd").iterdir())


async def test_a_token_that_ended(server: ControlPlane, proxy: Proxy, direct: KubernetesStore, tmp_path: Path) -> None:
    """The file is read again as soon as the server does not take what it said before."""
    grant(server, "token-user", ["virtualips"])
    file = tmp_path / "token"
    await direct.create(vip(1), ME)
    # The server takes a token for a minute after its end.
    file.write_text(signed_token(server, "default", "token-user", seconds=-30))
    store = store_of(proxy.kubeconfig(tmp_path), token=file)
    await store.get(ref_of(vip(1)))
    await until_refused(store, ref_of(vip(1)), StoreRefusal.UNAVAILABLE)
    assert store.connection.requests["get", "401"]
    file.write_text(signed_token(server, "default", "token-user", seconds=600) + "\n")
    assert ref_of(await store.get(ref_of(vip(1)))) == ref_of(vip(1))


async def test_a_token_file_of_a_kubeconfig(server: ControlPlane, proxy: Proxy, tmp_path: Path) -> None:
    """Its path is taken from where the kubeconfig stands, and it is read again when it is refused."""
    grant(server, "file-user", ["virtualips"])
    (tmp_path / "token").write_text("no token at all")
    store = store_of(proxy.kubeconfig(tmp_path, tokenFile="token"))
    with pytest.raises(StoreError) as refused:
        await store.list(VIPS)
    assert refused.value.refusal is StoreRefusal.UNAVAILABLE
    (tmp_path / "token").write_text(signed_token(server, "default", "file-user", seconds=600) + "\n")
    assert (await store.list(VIPS)).objects == {}


async def test_a_token_in_a_kubeconfig(server: ControlPlane, proxy: Proxy, tmp_path: Path) -> None:
    """A kubeconfig that was written anew is read anew once the old token is refused."""
    grant(server, "text-user", ["virtualips"])
    store = store_of(proxy.kubeconfig(tmp_path, token="no token at all"))
    with pytest.raises(StoreError):
        await store.list(VIPS)
    proxy.kubeconfig(tmp_path, token=signed_token(server, "default", "text-user", seconds=600))
    assert (await store.list(VIPS)).objects == {}


async def test_what_a_pod_is_given(server: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cluster the server's address stands in the environment, token and certificate in files that are renewed."""
    grant(server, "pod-user", ["virtualips"])
    (tmp_path / "ca.crt").write_bytes(server.certificate_authority.read_bytes())
    (tmp_path / "token").write_text("no token at all")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", server.address)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    store = KubernetesStore(Connection("pod", lambda: load_access(None, None, tmp_path)))
    with pytest.raises(StoreError):
        await store.list(VIPS)
    (tmp_path / "token").write_text(signed_token(server, "default", "pod-user", seconds=600))
    assert (await store.list(VIPS)).objects == {}


async def test_a_right_that_was_taken_and_given_back(
    server: ControlPlane, proxy: Proxy, direct: KubernetesStore, tmp_path: Path
) -> None:
    """Without the right to read one kind the others are told; what was known stays, the rest comes with the right."""
    grant(server, "reader", ["virtualips", "hosts"])
    file = tmp_path / "token"
    file.write_text(signed_token(server, "default", "reader", seconds=600))
    store = store_of(proxy.kubeconfig(tmp_path), token=file)
    await direct.create(vip(1), ME)
    async with watching(store, VIPS | HOSTS) as watch:
        grant(server, "reader", ["hosts"])
        await until_refused(store, ref_of(vip(1)), StoreRefusal.FORBIDDEN)
        proxy.cut_once()
        await watch.until(lambda: bool(watch.picture.problems))
        created = await direct.create(vip(2), ME)
        noted = await direct.create(host("node-a"), ME)
        await watch.until(lambda: ref_of(noted) in watch.objects)
        assert (ref_of(vip(1)) in watch.objects, ref_of(created) in watch.objects) == (True, False)
        assert "forbidden" in watch.picture.problems[0].text
        grant(server, "reader", ["virtualips", "hosts"])
        await watch.until(lambda: ref_of(created) in watch.objects and not watch.picture.problems)


async def until_refused(store: KubernetesStore, ref: Ref, refusal: StoreRefusal) -> None:
    """Read an object until that is refused; a server remembers for ten seconds that it took a token."""
    found = None
    deadline = time.monotonic() + LONG
    while found is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
        try:
            await store.get(ref)
        except StoreError as error:
            found = error.refusal
    assert found is refusal


def grant(server: ControlPlane, name: str, resources: list[str]) -> None:
    """Let a ServiceAccount read some of our kinds, and nothing else."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    rules = [{"apiGroups": ["pierhead.io"], "resources": resources, "verbs": ["get", "list", "watch"]}]
    server.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
        },
    )


async def test_a_kind_that_is_not_installed(server: ControlPlane, direct: KubernetesStore) -> None:
    """MetalLB's kinds may be absent, and are looked for at leisure; without ours nothing can be read."""
    async with watching(direct, VIPS | {Kind.IP_ADDRESS_POOL}) as watch:
        assert (watch.picture.listed, watch.objects) == (VIPS | {Kind.IP_ADDRESS_POOL}, {})
        await eventually(lambda: direct.connection.requests["watch", "200"] == 1)
    assert direct.connection.requests["list", "404"] == 1
    assert (await direct.list(frozenset({Kind.IP_ADDRESS_POOL}))).objects == {}
    with pytest.raises(StoreError) as missing:
        async with watching(direct, frozenset({Kind.BACKENDS})):
            pass
    assert missing.value.refusal is StoreRefusal.UNAVAILABLE


async def test_an_object_that_cannot_be_read(server: ControlPlane, direct: KubernetesStore) -> None:
    """Its last good version stays, the others are told, and it can be removed."""
    await direct.create(vip(1), ME)
    async with watching(direct, VIPS) as watch:
        wrong = ref_of(vip(1))
        server.kubectl("patch", "virtualip", wrong.name, "--type=merge", "-p", '{"spec": {"address": "10.0.0.300"}}')
        await watch.until(lambda: watch.picture.unreadable == {wrong})
        assert cast(VirtualIP, watch.objects[wrong]).spec == vip(1).spec
        assert (await direct.list(VIPS)).unreadable == {wrong}
        with pytest.raises(StoreError) as unreadable:
            await direct.get(wrong)
        assert unreadable.value.refusal is StoreRefusal.INVALID
        created = await direct.create(vip(2), ME)
        assert await watch.next() == Changes(changed=(created,))
        await direct.delete(wrong)
        assert await watch.next() == Changes(removed=(wrong,), unreadable=frozenset())


async def test_more_than_a_page(direct: KubernetesStore) -> None:
    """A listing of several pages is one listing."""
    count = 520
    async with direct.connection.held():
        for begin in range(0, count, 20):
            await asyncio.gather(*(direct.create(vip(number), ME) for number in range(begin, begin + 20)))
        before = Counter(direct.connection.requests)
        assert len((await direct.list(VIPS)).objects) == count
        assert (direct.connection.requests - before)["list", "200"] == 2
        async with watching(direct, VIPS) as watch:
            assert len(watch.objects) == count
        refs = [ref_of(vip(number)) for number in range(count)]
        for begin in range(0, count, 20):
            await asyncio.gather(*map(direct.delete, refs[begin : begin + 20]))


async def test_the_largest_object(direct: KubernetesStore) -> None:
    """A line of a watch may be as long as an object can be."""
    text = "x" * 250_000
    async with watching(direct, HOSTS) as watch:
        large = host("node-a")
        large = type(large)(metadata=Metadata(name="node-a", annotations={"note": text}))
        created = await direct.create(large, ME)
        assert await watch.next() == Changes(changed=(created,))


async def test_a_default_kubeconfig(
    server: ControlPlane, direct: KubernetesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kubernetes:` alone is what kubectl would take, `?context=` names another one."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
    await direct.create(vip(1), ME)
    assert len((await open_store("kubernetes:").list(VIPS)).objects) == 1
    assert len((await open_store(f"kubernetes:{server.kubeconfig}?context=tests").list(VIPS)).objects) == 1
    with pytest.raises(StoreError, match="nowhere") as refused:
        await open_store(f"kubernetes:{server.kubeconfig}?context=nowhere").list(VIPS)
    assert refused.value.refusal is StoreRefusal.UNAVAILABLE

"""The allocator as a program on a real API server: what users see, and what becomes of it when things fail."""

import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.allocation.event import Settings
from appliance.allocation.leader_election import LeaseTerms
from appliance.allocator.program import Program
from appliance.store.open import open_store
from tests.cluster import crd
from tests.cluster.allocators import (
    HOSTS,
    LAYER2,
    LEASE,
    POOLS,
    VIPS,
    AllocatorProgram,
    addresses_of,
    advertisement,
    namespace,
    pool,
    service,
    slice_of,
    until,
)
from tests.cluster.api import Api, ApiError, Content, api_of
from tests.cluster.control_plane import ControlPlane, MakeControlPlane
from tests.cluster.proxy import Proxy
from tests.cluster.signing import signed_token
from tests.port import free_port
from tests.unit.allocator.test_command import asked

USER, LIMITED = "pierhead-test-allocator", "pierhead-test-limited"
TOKEN_USER = "system:serviceaccount:default:token-allocator"
ROLE = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{LIMITED}"
CORE = frozenset({"services", "services/status", "namespaces", "nodes", "events"})
# Each write that was forbidden is tried again after 1, 2, 4 ... seconds.
RIGHT_SECONDS = 300.0
# Long enough that no leader misses a renewal because the machine is busy.
LEASE_SECONDS = 12.0
TIMES = (f"--lease-seconds={LEASE_SECONDS:g}", "--renew-seconds=9", "--retry-seconds=0.5")
DUAL = "--service-cluster-ip-range=10.96.0.0/12,fd00:10:96::/108"


class Site:
    """One server and the allocators of a test on it."""

    def __init__(self, plane: ControlPlane, api: Api, folder: Path) -> None:
        self.plane = plane
        self.api = api
        self.folder = folder
        self.kubeconfig = plane.kubeconfig_of(USER)
        self.programs: list[AllocatorProgram] = []

    def start(self, *options: str) -> AllocatorProgram:
        """One more allocator."""
        name = f"allocator-{len(self.programs)}"
        program = AllocatorProgram(self.kubeconfig, self.folder / name, f"--identity={name}", *TIMES, *options)
        self.programs.append(program)
        return program

    async def leader(self) -> str:
        """Whom the Lease names."""
        return str((await self.api.get(LEASE))["spec"].get("holderIdentity") or "")

    def leads(self, name: str) -> Callable[[], Awaitable[bool]]:
        """Whether an allocator leads."""

        async def does_lead() -> bool:
            return await self.leader() == name

        return does_lead

    async def told(self, path: str, name: str) -> list[str]:
        """The addresses a Service was told."""
        return addresses_of(await self.api.get(f"{path}/{name}"))

    def is_told(self, path: str, *names: str) -> Callable[[], Awaitable[bool]]:
        """Whether Services have addresses."""

        async def are_told() -> bool:
            return all([await self.told(path, name) for name in names])

        return are_told

    async def versions(self) -> dict[str, str]:
        """Every VirtualIP and Service with its version: what nobody writes stays the same."""
        found = {}
        for path in (VIPS, "/api/v1/services"):
            for entry in (await self.api.get(path))["items"]:
                metadata = entry["metadata"]
                found[f"{path} {metadata.get('namespace', '')}/{metadata['name']}"] = metadata["resourceVersion"]
        return found

    async def has_no_leaks(self) -> bool:
        """Whether the addresses that are claimed are those that Services were told."""
        told = [ip for entry in (await self.api.get("/api/v1/services"))["items"] for ip in addresses_of(entry)]
        claimed = [entry["spec"]["address"] for entry in (await self.api.get(VIPS))["items"]]
        return sorted(told) == sorted(claimed)

    async def doubles(self) -> list[str]:
        """Addresses that two Services were told."""
        told = [ip for entry in (await self.api.get("/api/v1/services"))["items"] for ip in addresses_of(entry)]
        return sorted({ip for ip in told if told.count(ip) > 1})


@pytest.fixture(scope="module")
def plane(make_control_plane: MakeControlPlane) -> Iterator[ControlPlane]:
    """A server of its own, for it is killed; with the kinds, and a user that may do everything until a test says no."""
    made = make_control_plane(DUAL)
    made.start_controllers()
    crd.install(made)
    made.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": LIMITED},
            "rules": rules_of(CORE),
        },
        *(_binding(user, name) for user, name in ((USER, "cluster-admin"), (LIMITED, LIMITED))),
        *(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            for name in ("metallb-system", "pierhead-system")
        ),
    )
    yield made
    made.stop()


def rules_of(core: frozenset[str]) -> list[Content]:
    """Everything in our groups, and some of Kubernetes' own kinds."""
    groups = ["discovery.k8s.io", "metallb.io", "pierhead.io", "coordination.k8s.io"]
    return [
        {"apiGroups": groups, "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": sorted(core), "verbs": ["*"]},
    ]


def may(api: Api, verb: str, resource: str, subresource: str, *, is_so: bool) -> Callable[[], Awaitable[bool]]:
    """Whether the server says by now that the limited user may do something, or may not."""
    attributes = {"verb": verb, "resource": resource, "subresource": subresource, "namespace": "shop"}
    review = {"spec": {"user": LIMITED, "resourceAttributes": attributes}}

    async def is_answered() -> bool:
        answer = await api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer["status"]["allowed"]) is is_so

    return is_answered


def _binding(user: str, role: str) -> Content:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


@pytest_asyncio.fixture
async def site(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Site]:
    """An empty site; its allocators end with the test."""
    async with api_of(plane.kubeconfig) as api:
        here = Site(plane, api, tmp_path)
        await _empty(api)
        try:
            yield here
        finally:
            for program in here.programs:
                program.stop(signal.SIGKILL)


async def _empty(api: Api) -> None:
    for entry in (await api.get("/api/v1/services"))["items"]:
        metadata = entry["metadata"]
        if entry["spec"]["type"] == "LoadBalancer":
            path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}"
            await api.patch(path, {"metadata": {"finalizers": None}})
            await _gone(api, path)
    for path in (POOLS, LAYER2, VIPS, VIPS.replace("virtualips", "backends")):
        await api.delete(path)
    await _gone(api, LEASE)


async def _gone(api: Api, path: str) -> None:
    try:
        await api.delete(path)
    except ApiError as error:
        if error.code != 404:
            raise


async def test_a_pending_service_gets_what_kubectl_shows(site: Site) -> None:
    """Address, pool annotation, Event, pool status and MetalLB's ConfigurationState."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/28"))
    await site.api.create(LAYER2, advertisement("lan"))
    await site.api.create(path, service("web"))
    site.start()
    await until(site.is_told(path, "web"))
    web = await site.api.get(f"{path}/web")
    assert web["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.0", "ipMode": "VIP"}]
    assert web["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"] == "lan"

    async def is_described() -> bool:
        text = await asyncio.to_thread(site.plane.kubectl, "describe", "service", "-n", "shop", "web")
        return "IPAllocated" in text and "pierhead-allocator" in text

    async def is_counted() -> bool:
        return bool((await site.api.get(f"{POOLS}/lan")).get("status", {}).get("assignedIPv4") == 1)

    async def is_valid() -> bool:
        states = "/apis/metallb.io/v1beta1/namespaces/pierhead-system/configurationstates/controller"
        return bool((await site.api.get(states)).get("status", {}).get("result") == "Valid")

    for holds in (is_described, is_counted, is_valid):
        await until(holds)
    before = await site.versions()
    await site.api.create(path, service("other"))
    await until(site.is_told(path, "other"))
    after = await site.versions()
    assert {ref: after[ref] for ref in before} == before, "one more Service concerns no other"


async def test_metallbs_status_follows_the_owner(site: Site) -> None:
    """As its speaker wrote it: found by label, with node and Service; another owner is another object, none is none."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/28"))
    await site.api.create(LAYER2, advertisement("lan"))
    for name in ("a", "b"):
        await _gone(site.api, f"{HOSTS}/{name}")
        await site.api.create(HOSTS, {"apiVersion": "pierhead.io/v1alpha1", "kind": "Host", "metadata": {"name": name}})
    await site.api.create(path, service("web"))
    await site.api.create("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices", slice_of("web", "10.244.1.7"))
    site.start()
    await until(site.is_told(path, "web"))
    statuses = "/apis/metallb.io/v1beta1/servicel2statuses?labelSelector=metallb.io/service-name=web"

    async def nodes() -> list[str]:
        return [entry.get("status", {}).get("node", "") for entry in (await site.api.get(statuses))["items"]]

    for host in ("a", "b"):
        await site.api.patch(f"{VIPS}/192.0.2.0/status", {"status": {"owner": {"host": host, "epoch": ord(host)}}})

        async def is_said(host: str = host) -> bool:
            return await nodes() == [host]

        await until(is_said)
    await site.api.delete(f"{path}/web")

    async def is_gone() -> bool:
        return await nodes() == []

    await until(is_gone)


async def test_both_families_and_the_class_of_others(site: Site) -> None:
    """A dual-stack Service gets two addresses; one of another class is nobody's business."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/28", "2001:db8::/124"))
    await site.api.create(path, service("both", ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv4", "IPv6"]))
    await site.api.create(path, service("others", loadBalancerClass="example.com/other"))
    await site.api.create(path, service("last"))
    site.start()
    await until(site.is_told(path, "both", "last"))
    assert [address.count(":") > 0 for address in await site.told(path, "both")] == [False, True]
    assert await site.told(path, "others") == []


async def test_an_address_is_free_when_its_service_is_gone_and_not_before(site: Site) -> None:
    """A finalizer of somebody keeps the Service, and with it the address."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("one", "192.0.2.9/32"))
    held = service("held")
    held["metadata"]["finalizers"] = ["example.com/kept"]
    await site.api.create(path, held)
    site.start()
    await until(site.is_told(path, "held"))
    await site.api.create(path, service("next"))
    await site.api.delete(f"{path}/held")

    async def is_refused() -> bool:
        events = (await site.api.get("/api/v1/namespaces/shop/events"))["items"]
        return any(e["involvedObject"]["name"] == "next" and e["reason"] == "AllocationFailed" for e in events)

    await until(is_refused)
    assert await site.told(path, "next") == []
    await site.api.patch(f"{path}/held", {"metadata": {"finalizers": None}})
    await until(site.is_told(path, "next"))
    assert await site.told(path, "next") == ["192.0.2.9"]
    assert (await site.api.get(f"{path}/next"))["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.9"


async def test_a_namespace_takes_its_addresses_with_it(site: Site) -> None:
    """Kubernetes' own controller deletes the Services; nothing of theirs is left."""
    path = await namespace(site.api, "going")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/28"))
    names = [f"s{number}" for number in range(5)]
    for name in names:
        await site.api.create(path, service(name))
    site.start()
    await until(site.is_told(path, *names))
    await site.api.delete("/api/v1/namespaces/going")

    async def is_nothing_left() -> bool:
        return not (await site.api.get(VIPS))["items"]

    await until(is_nothing_left)


async def test_endpoints_of_kubernetes_own_controller_reach_backends(site: Site) -> None:
    """From a Pod that becomes ready to the object that forwarders read."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/28"))
    pod: Content = {
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "none", "ports": [{"containerPort": 8080}]}]},
    }
    for gone in ("/api/v1/namespaces/shop/pods/web?gracePeriodSeconds=0", "/api/v1/nodes/n1"):
        await _gone(site.api, gone)
    await site.api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
    await site.api.create("/api/v1/namespaces/shop/pods", pod)
    status = {
        "phase": "Running",
        "podIP": "10.244.1.7",
        "podIPs": [{"ip": "10.244.1.7"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    await site.api.patch("/api/v1/namespaces/shop/pods/web/status", {"status": status})
    await site.api.create(path, service("web", selector={"app": "web"}))
    site.start()

    async def is_there() -> bool:
        backends = (await site.api.get(VIPS.replace("virtualips", "backends")))["items"]
        return "10.244.1.7" in json.dumps(backends)

    await until(is_there)
    await until(site.is_told(path, "web"))


@pytest.mark.parametrize("how", ["restarted", "killed", "compacted"])
async def test_nothing_is_given_anew_when_the_server_comes_back(site: Site, how: str) -> None:
    """Killed and started again, with what etcd remembers compacted: what was told stays, and what is new is served."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/24"))
    names = [f"s{number}" for number in range(20)]
    for name in names:
        await site.api.create(path, service(name))
    site.start()
    site.start()
    await until(site.is_told(path, *names))
    before = await site.versions()
    if how == "compacted":
        await asyncio.to_thread(site.plane.compact)
    await asyncio.to_thread(site.plane.restart, kill=how != "restarted")
    await site.api.create(path, service("new"))
    await until(site.is_told(path, "new"))
    after = await site.versions()
    assert {ref: after[ref] for ref in before} == before
    assert await site.doubles() == []


async def test_a_right_that_was_taken_is_waited_for(site: Site) -> None:
    """While VirtualIPs may not be made nobody is told an address; afterwards everybody is."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/28"))
    await site.api.create(path, service("before"))
    site.start()
    await until(site.is_told(path, "before"))
    policy: Content = {
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["pierhead.io"],
                        "apiVersions": ["*"],
                        "operations": ["CREATE"],
                        "resources": ["virtualips"],
                    }
                ]
            },
            "validations": [{"expression": "false", "message": "not now", "reason": "Forbidden"}],
        },
        "metadata": {"name": "not-now"},
    }
    policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
    await site.api.create(policies, policy)
    await site.api.create(
        bindings,
        {"metadata": {"name": "not-now"}, "spec": {"policyName": "not-now", "validationActions": ["Deny"]}},
    )
    probe = {
        "apiVersion": "pierhead.io/v1alpha1",
        "kind": "VirtualIP",
        "metadata": {"name": "198.51.100.1"},
        "spec": {"address": "198.51.100.1", "pool": "x"},
    }

    async def is_in_force() -> bool:
        try:
            await site.api.create(f"{VIPS}?dryRun=All", probe)
        except ApiError as error:
            return error.code in (403, 422)
        return False

    await until(is_in_force)
    await site.api.create(path, service("meanwhile"))

    async def is_said() -> bool:
        events = (await site.api.get("/api/v1/namespaces/shop/events"))["items"]
        return any(e["involvedObject"]["name"] == "meanwhile" and e["type"] == "Warning" for e in events)

    await until(is_said)
    assert await site.told(path, "meanwhile") == []
    await site.api.delete(f"{bindings}/not-now")
    await site.api.delete(f"{policies}/not-now")
    await until(site.is_told(path, "meanwhile"), 300)
    assert await site.doubles() == []


async def test_rights_that_are_taken_from_a_running_allocator(site: Site, plane: ControlPlane) -> None:
    """Without the right to a Service's status addresses are claimed and told to nobody; with it everybody is told.

    What others were told meanwhile stays, an address that came free meanwhile is given once, and nothing is left over.
    """
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/28"))
    for name in ("first", "going"):
        await site.api.create(path, service(name))
    site.kubeconfig = plane.kubeconfig_of(LIMITED)
    port = free_port()
    program = site.start(f"--metrics=127.0.0.1:{port}")
    await until(site.is_told(path, "first", "going"))
    await site.api.patch(ROLE, {"rules": rules_of(CORE - {"services/status"})})
    await until(may(site.api, "patch", "services", "status", is_so=False))
    try:
        await site.api.delete(f"{path}/going")
        names = [f"meanwhile-{number}" for number in range(5)]
        for name in names:
            await site.api.create(path, service(name))
        refused = 'pierhead_allocator_writes_total{operation="apply_status",result="forbidden"}'

        async def is_said() -> bool:
            text = (await asked(f"http://127.0.0.1:{port}/metrics"))[1]
            return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(refused)) >= len(names)

        await until(is_said)
        assert "write_refused" in program.log.read_text()
        assert [await site.told(path, name) for name in ("first", *names)] == [["192.0.2.0"], *([[]] * len(names))]
        assert await site.doubles() == []
    finally:
        await site.api.patch(ROLE, {"rules": rules_of(CORE)})
    await until(site.is_told(path, "first", *names), RIGHT_SECONDS)
    assert await site.doubles() == []
    await until(site.has_no_leaks)


async def test_a_token_that_ended_is_read_anew(site: Site, plane: ControlPlane) -> None:
    """Its allocator leads no longer, and does again as soon as the file holds a good one; nobody starts it."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/28"))
    await site.api.create(path, service("before"))
    account = TOKEN_USER.rpartition(":")[2]
    plane.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": "default"}},
        _binding(TOKEN_USER, "cluster-admin"),
    )
    token = site.folder / "token"
    # The server takes a token for a minute after its end.
    token.write_text(signed_token(plane, "default", account, seconds=0))
    content = json.loads(plane.kubeconfig.read_text())
    content["users"][0]["user"] = {"tokenFile": str(token)}
    site.kubeconfig = site.folder / "token.kubeconfig"
    site.kubeconfig.write_text(json.dumps(content))
    program = site.start()
    await until(site.is_told(path, "before"))
    before = await site.versions()
    await until(program.has_logged("leading_ended"))
    await site.api.create(path, service("meanwhile"))
    token.write_text(signed_token(plane, "default", account, seconds=3600))
    await until(site.is_told(path, "meanwhile"))
    after = await site.versions()
    assert {ref: after[ref] for ref in before} == before
    assert await site.doubles() == []


async def test_a_watch_that_is_cut_at_any_byte_loses_no_service(site: Site, plane: ControlPlane) -> None:
    """Services come and go while every watch of the allocator breaks again and again: no double, nothing left over."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/24"))
    chance = random.Random(7)
    async with Proxy(plane).running() as proxy:
        site.kubeconfig = proxy.kubeconfig(site.folder)
        site.start()
        await until(site.leads("allocator-0"))
        proxy.cut_after = lambda: chance.randrange(1, 6000)
        proxy.cut_once()
        for number in range(40):
            await site.api.create(path, service(f"s{number}"))
            if number % 3 == 2:
                await site.api.delete(f"{path}/s{number - 1}")
            if number % 10 == 9:
                proxy.cut_once()
        proxy.cut_after = lambda: None
        await until(site.is_told(path, *(f"s{number}" for number in range(40) if number % 3 != 1)))
        await until(site.has_no_leaks)
        assert await site.doubles() == []


async def test_addresses_are_given_though_secrets_may_not_be_read(site: Site) -> None:
    """As where the chart could make no role in a namespace that was not there yet."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/28"))
    await site.api.create(path, service("web"))
    site.kubeconfig = site.plane.kubeconfig_of(LIMITED)
    site.start()
    await until(site.is_told(path, "web"))


async def test_a_server_that_says_later_is_asked_later(site: Site) -> None:
    """Priority and fairness lets the allocator have one request at a time and refuses the rest with 429."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/25"))
    levels = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations"
    schemas = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
    for path_of in (f"{schemas}/narrow", f"{levels}/narrow"):
        await _gone(site.api, path_of)
    limited = {
        "nominalConcurrencyShares": 1,
        "lendablePercent": 0,
        "borrowingLimitPercent": 0,
        "limitResponse": {"type": "Reject"},
    }
    await site.api.create(levels, {"metadata": {"name": "narrow"}, "spec": {"type": "Limited", "limited": limited}})
    resources = {
        "apiGroups": ["*"],
        "resources": ["*"],
        "verbs": ["create", "patch"],
        "namespaces": ["*"],
        "clusterScope": True,
    }
    subject = {"kind": "User", "user": {"name": USER}}
    await site.api.create(
        schemas,
        {
            "metadata": {"name": "narrow"},
            "spec": {
                "matchingPrecedence": 2,
                "priorityLevelConfiguration": {"name": "narrow"},
                "rules": [{"subjects": [subject], "resourceRules": [resources]}],
            },
        },
    )
    names = [f"s{number}" for number in range(60)]
    for name in names:
        await site.api.create(path, service(name))
    try:
        site.start("--writes=64")
        await until(site.is_told(path, *names), 300)
        refused = [count for labels, count in await site.api.counted() if labels["code"] == "429"]
        assert sum(refused) > 0
    finally:
        for path_of in (f"{schemas}/narrow", f"{levels}/narrow"):
            await _gone(site.api, path_of)
    assert await site.doubles() == []


async def test_a_leader_that_was_paused_takes_nothing_back(site: Site) -> None:
    """SIGSTOP past its lease while there is work, then SIGCONT: one leader, no double, what the other wrote stays."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/24"))
    first = site.start()
    await until(site.leads("allocator-0"))
    await until(site.start().follows("allocator-0"))
    for number in range(30):
        await site.api.create(path, service(f"a{number}"))
    first.send(signal.SIGSTOP)
    await until(site.leads("allocator-1"))
    for number in range(30):
        await site.api.create(path, service(f"b{number}"))
    names = [f"{letter}{number}" for letter in "ab" for number in range(30)]
    await until(site.is_told(path, *names))
    before = await site.versions()
    first.send(signal.SIGCONT)
    await until(first.follows("allocator-1"))
    await site.api.create(path, service("last"))
    await until(site.is_told(path, "last"))
    after = await site.versions()
    assert {ref: after[ref] for ref in before} == before
    assert await site.doubles() == []
    assert await site.leader() == "allocator-1"


async def test_the_next_replica_leads_when_one_leaves_or_dies(site: Site) -> None:
    """SIGTERM: exit code 0, the Lease given back and taken at the next look. SIGKILL: after the lease."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/28"))
    first = site.start()
    await until(site.leads("allocator-0"))
    second, third = site.start(), site.start()
    for follower in (second, third):
        await until(follower.follows("allocator-0"))
    assert await asyncio.to_thread(first.stop) == 0
    begun = time.monotonic()

    async def is_led() -> bool:
        return await site.leader() not in ("", "allocator-0")

    await until(is_led)
    assert time.monotonic() - begun < LEASE_SECONDS, "a lease that was given back is not waited for"
    await site.api.create(path, service("one"))
    await until(site.is_told(path, "one"))
    leader = await site.leader()
    dying = second if leader == "allocator-1" else third
    await asyncio.to_thread(dying.stop, signal.SIGKILL)
    await site.api.create(path, service("two"))
    await until(site.is_told(path, "two"))
    assert await site.leader() not in ("", leader)
    lease = await site.api.get(LEASE)
    assert lease["spec"]["leaseTransitions"] == 2
    assert lease["spec"]["renewTime"].endswith("Z")


async def test_a_new_leader_beside_a_mistake_takes_nothing(site: Site) -> None:
    """It never saw the configuration when it was right: everybody keeps what they have, who is new is told why not."""
    path = await namespace(site.api, "shop")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/28"))
    await site.api.create(LAYER2, advertisement("lan"))
    names = [f"s{number}" for number in range(5)]
    for name in names:
        await site.api.create(path, service(name))
    first = site.start()
    await until(site.is_told(path, *names))
    await until(site.start().follows("allocator-0"))
    before = await site.versions()
    # A pool for others, laid over the one in use.
    await site.api.create(POOLS, pool("aaa", "192.0.2.0/24", serviceAllocation={"priority": 1, "namespaces": ["x"]}))
    await asyncio.to_thread(first.stop)
    await until(site.leads("allocator-1"))
    await site.api.create(path, service("late"))

    async def is_said() -> bool:
        events = (await site.api.get("/api/v1/namespaces/shop/events"))["items"]
        states = "/apis/metallb.io/v1beta1/namespaces/pierhead-system/configurationstates/controller"
        state = (await site.api.get(states)).get("status", {})
        is_refused = any(
            entry["involvedObject"]["name"] == "late" and entry["reason"] == "AllocationFailed" for entry in events
        )
        return is_refused and state.get("result") == "Invalid" and "metallb-system/lan" in state.get("errorSummary", "")

    await until(is_said)
    after = await site.versions()
    assert {ref: after[ref] for ref in before} == before
    await site.api.delete(f"{POOLS}/aaa")
    await until(site.is_told(path, "late"))
    after = await site.versions()
    assert {ref: after[ref] for ref in before} == before


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
async def test_an_hour_between_two_clocks_changes_nothing(site: Site, skew: float) -> None:
    """Who leads goes on leading, whichever of the two clocks is wrong, and the other takes over as soon as it may."""
    await namespace(site.api, "shop")
    clocks = (time.time, lambda: time.time() + skew)
    programs = []
    for number, clock in enumerate(clocks):
        terms = LeaseTerms("pierhead-allocator", "pierhead-system", f"p{number}", LEASE_SECONDS, 9.0, 0.2)
        store = open_store(f"kubernetes:{site.kubeconfig}")
        programs.append(Program(store, Settings(cluster_ips_known=True), lease=terms, clock=clock))
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(programs[0].run(), name="p0")]
        await until(site.leads("p0"))
        running.append(group.create_task(programs[1].run(), name="p1"))
        begun = time.monotonic()

        async def is_long_ago() -> bool:
            assert await site.leader() == "p0"
            return time.monotonic() - begun > LEASE_SECONDS + 2.0

        await until(is_long_ago)
        running[0].cancel()
        stopped = time.monotonic()
        await until(site.leads("p1"))
        assert time.monotonic() - stopped > 0.5, "a lease is waited for"
        running[1].cancel()
    assert (await site.api.get(LEASE))["spec"]["leaseTransitions"] == 1

"""Who may do what, asked of a real API server: every request a program makes, and every one it must not make."""

import asyncio
import base64
import json
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.agent.publish import HostReport, Publisher
from appliance.api.kind import Kind
from appliance.api.meta import Ref
from appliance.api.pierhead import DRAINED, Condition, Host, HostStatus, VirtualIP
from appliance.cli.host_access import host_access
from appliance.store.open import open_store
from tests.cluster.chart import template
from tests.cluster.control_plane import ControlPlane
from tests.cluster.crd import wait_until_served

READY_SECONDS = 120.0
OURS = "/apis/pierhead.io/v1alpha1"
METALLB = "/apis/metallb.io/v1beta1"
SERVICE_ACCOUNTS = "/api/v1/namespaces/pierhead-hosts/serviceaccounts"
SECRETS = "/api/v1/namespaces/pierhead-hosts/secrets"
DEFAULT_SERVICE = "/api/v1/namespaces/default/services/kubernetes"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
NODE_LABELS = {"zone": "a"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request; writes are tried and never done. `content` is applied, or created where there is no name in it."""

    method: str
    path: str
    content: Mapping[str, object] | None = None
    content_type: str = APPLY
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.path} {json.dumps(self.content or '')[:90]}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said to it."""

    code: int
    message: str


class Caller:
    """Somebody who asks an API server, with a client certificate."""

    def __init__(self, kubeconfig: Path) -> None:
        content = json.loads(kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        self._server = cluster["server"]
        self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._tls.load_cert_chain(user["client-certificate"], user["client-key"])

    def ask(self, asked: Request) -> Answer:
        """The server's answer; an apply is forced, as stores do it. One that is not ready for a kind is asked again."""
        query = []
        if asked.method != "GET":
            query.append("dryRun=All")
        if asked.content_type == APPLY and asked.method == "PATCH":
            query += ["fieldManager=pierhead-test", "force=true"]
        path = asked.path + ("&" if "?" in asked.path else "?") + "&".join(query) if query else asked.path
        body = None if asked.content is None else json.dumps(asked.content).encode()
        kind = asked.content_type if asked.method == "PATCH" else "application/json"
        request = urllib.request.Request(self._server + path, body, {"Content-Type": kind}, method=asked.method)
        for name, text in asked.headers:
            request.add_header(name, text)
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, context=self._tls, timeout=60) as answer:
                    return Answer(answer.status, answer.read().decode())
            except urllib.error.HTTPError as error:
                if error.code != 429 or time.monotonic() > deadline:
                    return Answer(error.code, str(json.loads(error.read()).get("message", "")))
            time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Site:
    """A cluster with the chart's access rules, two hosts, and somebody for each role."""

    control_plane: ControlPlane
    hosts: Mapping[str, Caller]
    allocator: Caller
    dashboard: Caller


def account(control_plane: ControlPlane, namespace: str, name: str) -> Path:
    """A kubeconfig of a ServiceAccount, as the server sees one."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return control_plane.kubeconfig_of(f"system:serviceaccount:{namespace}:{name}", groups)


def host(name: str, spec: Mapping[str, object] | None = None, **metadata: object) -> dict[str, object]:
    """A Host."""
    whole = {"name": name, **metadata}
    return {"apiVersion": "pierhead.io/v1alpha1", "kind": "Host", "metadata": whole, "spec": spec or {}}


def status(kind: str, name: str, content: Mapping[str, object]) -> dict[str, object]:
    """An object's status, as it is applied."""
    return {"apiVersion": "pierhead.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "status": content}


def vip(address: str) -> dict[str, object]:
    """A VirtualIP."""
    return named("pierhead.io/v1alpha1", "VirtualIP", address, spec={"address": address, "pool": "production"})


def owner(name: str, epoch: int, vip: str = "192.0.2.10") -> dict[str, object]:
    """The status of a VIP that a host owns."""
    return status("VirtualIP", vip, {"owner": {"host": name, "since": "2026-01-01T00:00:00Z", "epoch": epoch}})


def token(seconds: int, **spec: object) -> dict[str, object]:
    """A TokenRequest."""
    content = {"expirationSeconds": seconds, **spec}
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": content}


def named(api: str, kind: str, name: str, namespace: str = "", **fields: object) -> dict[str, object]:
    """Some object."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def secret(namespace: str, name: str) -> dict[str, object]:
    """A Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}}


@pytest.fixture(scope="module")
def site(make_control_plane: Callable[..., ControlPlane], helm_program: None) -> Site:  # is there
    """A server of its own, because roles and policies are the whole cluster's."""
    control_plane = make_control_plane()
    for name in ("pierhead-system", "metallb-system", "shop"):
        control_plane.apply(named("v1", "Namespace", name))
    manifests = template()
    control_plane.apply(*(each for each in manifests if each["kind"] in ("Namespace", "CustomResourceDefinition")))
    wait_until_served(control_plane)
    control_plane.apply(*(each for each in manifests if is_about_access(each)))
    for name in ("node-a", "node-b"):
        control_plane.apply(*host_access(name), secret("pierhead-hosts", name))
    control_plane.apply(secret("pierhead-hosts", "node-c"), secret("metallb-system", "md5"), secret("shop", "tls"))
    mark = {"pierhead.io/labels-from-node": "zone"}
    control_plane.apply(
        host("node-a", labels={"rack": "1", **NODE_LABELS}, annotations=mark),
        host("node-b", {"drain": True}),
        host("node-drained", {"drain": True}),
        vip("192.0.2.10"),
        vip("192.0.2.11"),
    )
    control_plane.kubectl(
        "apply", "--server-side", "--subresource=status", "-f", "-", text=json.dumps(owner("node-b", 5, "192.0.2.11"))
    )
    names = ("node-a", "node-b", "node-new")
    hosts = {name: Caller(account(control_plane, "pierhead-hosts", name)) for name in names}
    wait_for_policy(hosts["node-a"])
    programs = (account(control_plane, "pierhead-system", f"pierhead-{name}") for name in ("allocator", "dashboard"))
    return Site(control_plane, hosts, *map(Caller, programs))


def is_about_access(manifest: Mapping[str, object]) -> bool:
    """Whether a manifest of the chart says who may do what."""
    api = str(manifest["apiVersion"])
    return api.startswith(("rbac.", "admissionregistration.")) or manifest["kind"] == "ServiceAccount"


def wait_for_policy(caller: Caller) -> None:
    """A policy is in force a second or three after it was made; until a role is, which is as soon, all is forbidden."""
    deadline = time.monotonic() + READY_SECONDS
    refusals = (
        (Request("PATCH", f"{OURS}/hosts/node-a", host("node-a", {"drain": True})), "spec.drain: is for operators"),
        (Request("POST", f"{SERVICE_ACCOUNTS}/node-a/token", token(90000)), "spec.expirationSeconds: a host may"),
    )
    for asked, why in refusals:
        while why not in (answer := caller.ask(asked)).message:
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)


HOST_MAY = (
    *(
        Request("GET", f"{OURS}/{plural}{query}")
        for plural in ("virtualips", "backends", "bgpsessions", "hosts")
        for query in ("", "?watch=true&timeoutSeconds=1")
    ),
    Request("GET", f"{OURS}/hosts/node-b"),
    Request("GET", f"{SECRETS}/node-a"),
    Request("GET", f"{SECRETS}?fieldSelector=metadata.name%3Dnode-a"),
    Request("GET", f"{SECRETS}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dnode-a"),
    Request("POST", f"{SERVICE_ACCOUNTS}/node-a/token", token(86400)),
    Request("PATCH", f"{OURS}/hosts/node-a", host("node-a", labels={"rack": "2"})),
    Request("PATCH", f"{OURS}/hosts/node-a", host("node-a", labels={"kubernetes.io/hostname": "node-a"})),
    Request("PATCH", f"{OURS}/hosts/node-a/status", status("Host", "node-a", {"version": "1"})),
    Request("PATCH", f"{OURS}/virtualips/192.0.2.10/status", owner("node-a", 1)),
    Request("PATCH", f"{OURS}/virtualips/192.0.2.11/status", owner("node-a", 6, "192.0.2.11")),
)
GROWS = "an owner's epoch grows with every owner"
NOT_ITS_OWN = "host node-a may write the Host of its own name, not node-b"
HOST_IS_REFUSED = (
    # By the policy, which names the field.
    (Request("PATCH", f"{OURS}/hosts/node-b", host("node-b", labels={"rack": "9"})), f"metadata.name: {NOT_ITS_OWN}"),
    (Request("PATCH", f"{OURS}/hosts/node-b/status", status("Host", "node-b", {"version": "1"})), NOT_ITS_OWN),
    (Request("POST", f"{OURS}/hosts", host("node-z")), "metadata.name: host node-a may write the Host of its own name"),
    (Request("PATCH", f"{OURS}/hosts/node-a", host("node-a", {"drain": True})), "spec.drain: is for operators"),
    (
        Request("PATCH", f"{OURS}/hosts/node-a", host("node-a", labels={"kubernetes.io/hostname": "node-b"})),
        "metadata.labels: a host may not change kubernetes.io/hostname",
    ),
    (
        Request("PATCH", f"{OURS}/hosts/node-a", host("node-a", labels={"zone": "b"})),
        "metadata.labels: a host may not change zone",
    ),
    (
        Request("PATCH", f"{OURS}/hosts/node-a", {"metadata": {"labels": {"zone": None}}}, MERGE),
        "metadata.labels: a host may not change zone",
    ),
    (
        Request("PATCH", f"{OURS}/hosts/node-a", host("node-a", labels={"x.node-restriction.kubernetes.io/y": "1"})),
        "metadata.labels: a host may not change x.node-restriction.kubernetes.io/y",
    ),
    (
        Request("PATCH", f"{OURS}/hosts/node-a", host("node-a", annotations={"pierhead.io/labels-from-node": ""})),
        "metadata.annotations: pierhead.io/labels-from-node is for the allocator",
    ),
    (
        Request("PATCH", f"{OURS}/hosts/node-a", host("node-a", finalizers=["example.com/stay"])),
        "metadata: finalizers and ownerReferences are not for the host",
    ),
    (
        Request("PATCH", f"{OURS}/virtualips/192.0.2.10/status", owner("node-b", 1)),
        "status.owner.host: host node-a may write itself as the owner, and not node-b",
    ),
    (
        Request("PATCH", f"{OURS}/virtualips/192.0.2.11/status", {"status": {"owner": None}}, MERGE),
        GROWS,
    ),
    *(
        (
            Request("PATCH", f"{OURS}/virtualips/192.0.2.11/status", owner("node-a", epoch, "192.0.2.11")),
            f"status.owner.epoch: a new owner makes it 6, not {epoch}",
        )
        for epoch in (7, 2**62)
    ),
    # By what a VirtualIP is, whoever writes it.
    *(
        (Request("PATCH", f"{OURS}/virtualips/192.0.2.11/status", owner("node-a", epoch, "192.0.2.11")), GROWS)
        for epoch in (0, 4, 5)
    ),
    (
        Request("POST", f"{SERVICE_ACCOUNTS}/node-a/token", token(86401)),
        "spec.expirationSeconds: a host may ask for 86400 (24 hours) at most, not 86401",
    ),
    # By having no right.
    *(
        (request, "cannot")
        for request in (
            Request("POST", f"{SERVICE_ACCOUNTS}/node-b/token", token(3600)),
            Request("GET", f"{SECRETS}/node-b"),
            Request("GET", f"{SECRETS}/node-c"),
            Request("GET", SECRETS),
            Request("GET", f"{SECRETS}?watch=true&timeoutSeconds=1"),
            Request("GET", f"{SECRETS}?fieldSelector=metadata.name%3Dnode-b"),
            Request("GET", "/api/v1/secrets"),
            Request("GET", "/api/v1/namespaces/metallb-system/secrets/md5"),
            Request("PATCH", f"{SECRETS}/node-a", secret("pierhead-hosts", "node-a")),
            Request("GET", "/api/v1/services"),
            Request("GET", "/api/v1/nodes"),
            Request("GET", "/apis/metallb.io/v1beta2/bgppeers"),
            Request("GET", f"{METALLB}/ipaddresspools"),
            Request("PATCH", f"{OURS}/virtualips/192.0.2.10", vip("192.0.2.10")),
            Request("POST", f"{OURS}/virtualips", vip("192.0.2.12")),
            Request("POST", f"{OURS}/backends", named("pierhead.io/v1alpha1", "Backends", "192.0.2.12")),
            Request("POST", f"{OURS}/bgpsessions", named("pierhead.io/v1alpha1", "BGPSession", "tor")),
            Request("PUT", f"{OURS}/hosts/node-a", host("node-a")),
            Request("DELETE", f"{OURS}/hosts/node-a"),
            Request("DELETE", f"{OURS}/hosts/node-b"),
            Request("DELETE", f"{OURS}/virtualips/192.0.2.10"),
            Request("DELETE", f"{SECRETS}/node-a"),
            Request("DELETE", f"{SERVICE_ACCOUNTS}/node-b"),
            Request("PATCH", f"{SERVICE_ACCOUNTS}/node-a", named("v1", "ServiceAccount", "node-a")),
            Request("POST", f"{RBAC}/clusterroles", named("rbac.authorization.k8s.io/v1", "ClusterRole", "mine")),
            Request("POST", f"{RBAC}/namespaces/pierhead-hosts/roles", {"metadata": {"name": "mine"}}),
            Request("POST", f"{RBAC}/namespaces/pierhead-hosts/rolebindings", {"metadata": {"name": "mine"}}),
            Request("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/pierhead-hosts"),
            Request("GET", f"{OURS}/hosts", headers=(("Impersonate-User", "admin"),)),
            Request("POST", "/api/v1/namespaces/pierhead-hosts/pods", named("v1", "Pod", "mine")),
            Request("POST", "/api/v1/namespaces/default/events", {"metadata": {"name": "x"}}),
            Request("GET", "/apis/coordination.k8s.io/v1/namespaces/pierhead-system/leases/pierhead-allocator"),
        )
    ),
)
ALLOCATOR_MAY = (
    *(
        Request("GET", f"{path}{query}")
        for path in (
            "/api/v1/services",
            "/api/v1/namespaces",
            "/api/v1/nodes",
            "/apis/discovery.k8s.io/v1/endpointslices",
            "/apis/metallb.io/v1beta2/bgppeers",
            *(
                f"{METALLB}/{plural}"
                for plural in ("ipaddresspools", "l2advertisements", "bgpadvertisements", "bfdprofiles", "communities")
            ),
            *(f"{OURS}/{plural}" for plural in ("virtualips", "backends", "bgpsessions", "hosts")),
            *(f"/api/v1/namespaces/{name}/secrets" for name in ("metallb-system", "pierhead-system", "pierhead-hosts")),
        )
        for query in ("", "?watch=true&timeoutSeconds=1")
    ),
    Request("POST", f"{OURS}/virtualips", vip("192.0.2.12")),
    Request("PATCH", f"{OURS}/virtualips/192.0.2.10", vip("192.0.2.10")),
    Request("DELETE", f"{OURS}/virtualips/192.0.2.10"),
    Request("PATCH", f"{OURS}/hosts/node-a", host("node-a", labels={"zone": "b"})),
    Request("POST", SECRETS, secret("pierhead-hosts", "node-z")),
    Request("PATCH", f"{SECRETS}/node-a", secret("pierhead-hosts", "node-a")),
    Request("DELETE", f"{SECRETS}/node-a"),
    Request("PATCH", DEFAULT_SERVICE, {"metadata": {"annotations": {"a": "b"}}}, MERGE),
    Request("PATCH", f"{DEFAULT_SERVICE}/status", {"status": {}}, MERGE),
    Request(
        "POST",
        "/api/v1/namespaces/shop/events",
        named("v1", "Event", "x", involvedObject={"namespace": "shop"}, type="Normal"),
    ),
    Request(
        "POST",
        "/apis/coordination.k8s.io/v1/namespaces/pierhead-system/leases",
        named("coordination.k8s.io/v1", "Lease", "pierhead-allocator"),
    ),
)
ALLOCATOR_IS_REFUSED = (
    Request("GET", "/api/v1/secrets"),
    Request("GET", "/api/v1/namespaces/shop/secrets"),
    Request("GET", "/api/v1/namespaces/shop/secrets/tls"),
    Request("POST", "/api/v1/namespaces/metallb-system/secrets", secret("metallb-system", "mine")),
    Request("PATCH", "/api/v1/namespaces/metallb-system/secrets/md5", secret("metallb-system", "md5")),
    Request("POST", f"{SERVICE_ACCOUNTS}/node-a/token", token(3600)),
    Request("PATCH", f"{OURS}/virtualips/192.0.2.10/status", owner("node-a", 1)),
    Request("PATCH", f"{OURS}/hosts/node-a/status", status("Host", "node-a", {"version": "1"})),
    Request("POST", f"{OURS}/hosts", host("node-z")),
    Request("DELETE", f"{OURS}/hosts/node-a"),
    Request("POST", "/api/v1/namespaces/shop/services", named("v1", "Service", "mine", spec={"ports": [{"port": 80}]})),
    Request("DELETE", DEFAULT_SERVICE),
    Request("PATCH", "/api/v1/namespaces/shop", {"metadata": {"labels": {"a": "b"}}}, MERGE),
    Request("POST", f"{METALLB}/namespaces/metallb-system/ipaddresspools", {"metadata": {"name": "mine"}}),
    Request("POST", f"{RBAC}/clusterroles", named("rbac.authorization.k8s.io/v1", "ClusterRole", "mine")),
    Request("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"),
    Request(
        "PATCH",
        "/apis/coordination.k8s.io/v1/namespaces/pierhead-system/leases/another",
        named("coordination.k8s.io/v1", "Lease", "another"),
    ),
    Request("GET", "/api/v1/namespaces/shop/pods"),
    Request("GET", "/api/v1/namespaces/shop/configmaps"),
    Request("GET", f"{OURS}/hosts", headers=(("Impersonate-User", "admin"),)),
)
DASHBOARD_MAY = (
    *(
        Request("GET", f"{path}{query}")
        for path in (
            "/api/v1/services",
            "/api/v1/events",
            "/api/v1/nodes",
            f"{METALLB}/ipaddresspools",
            *(f"{OURS}/{plural}" for plural in ("virtualips", "backends", "bgpsessions", "hosts")),
        )
        for query in ("", "?watch=true&timeoutSeconds=1")
    ),
)
DASHBOARD_IS_REFUSED = (
    Request("GET", "/api/v1/secrets"),
    Request("GET", SECRETS),
    Request("GET", "/apis/metallb.io/v1beta2/bgppeers"),
    Request("PATCH", f"{OURS}/hosts/node-a", host("node-a", {"drain": True})),
    Request("PATCH", f"{OURS}/virtualips/192.0.2.10/status", owner("pierhead-dashboard", 1)),
    Request("PATCH", f"{DEFAULT_SERVICE}/status", {"status": {}}, MERGE),
    Request("DELETE", f"{OURS}/virtualips/192.0.2.10"),
    Request("POST", f"{SERVICE_ACCOUNTS}/node-a/token", token(3600)),
)


@pytest.mark.parametrize("asked", HOST_MAY, ids=str)
def test_a_host_may_do_what_its_programs_do(site: Site, asked: Request) -> None:
    """Read what the site tells hosts, its own Secret; write its own Host, what it owns, and renew its token."""
    answer = site.hosts["node-a"].ask(asked)
    assert answer.code in (200, 201), answer.message


def test_a_host_registers_itself(site: Site) -> None:
    """Under its own name and not drained; another host cannot do it in its place."""
    registration = Request("POST", f"{OURS}/hosts", host("node-new", {"drain": False}, labels={"rack": "1"}))
    assert site.hosts["node-new"].ask(registration).code == 201
    assert site.hosts["node-a"].ask(registration).code == 403
    drained = Request("POST", f"{OURS}/hosts", host("node-new", {"drain": True}))
    assert "spec.drain" in site.hosts["node-new"].ask(drained).message


@pytest.mark.parametrize(("asked", "why"), HOST_IS_REFUSED, ids=str)
def test_a_host_may_do_nothing_else(site: Site, asked: Request, why: str) -> None:
    """Not to other hosts, not to what the allocator writes, not to what operators write, not to the cluster."""
    answer = site.hosts["node-a"].ask(asked)
    assert (answer.code, why in answer.message) == (422 if why == GROWS else 403, True), answer.message


def test_a_host_cannot_come_back_from_a_drain_by_itself(site: Site) -> None:
    """An operator who drains a host that is not trusted any more has the last word."""
    undone = Request("PATCH", f"{OURS}/hosts/node-b", host("node-b", {"drain": False}))
    assert "spec.drain: is for operators" in site.hosts["node-b"].ask(undone).message
    said = Request("PATCH", f"{OURS}/hosts/node-b/status", status("Host", "node-b", {"version": "1"}))
    assert site.hosts["node-b"].ask(said).code == 200


def test_an_owner_says_again_that_it_is(site: Site) -> None:
    """With the epoch it has or the next; not with an older one."""
    path = f"{OURS}/virtualips/192.0.2.11/status"
    said = [Request("PATCH", path, owner("node-b", epoch, "192.0.2.11")) for epoch in (5, 6, 4, 7)]
    codes = [site.hosts["node-b"].ask(asked).code for asked in said]
    assert codes == [200, 200, 422, 403]


@pytest.mark.parametrize("asked", ALLOCATOR_MAY, ids=str)
def test_the_allocator_may_do_what_it_does(site: Site, asked: Request) -> None:
    """Read what it decides from, write what hosts act upon, tell the owners of Services."""
    answer = site.allocator.ask(asked)
    assert answer.code in (200, 201), answer.message


@pytest.mark.parametrize("asked", ALLOCATOR_IS_REFUSED, ids=str)
def test_the_allocator_may_do_nothing_else(site: Site, asked: Request) -> None:
    """Not read Secrets of others, not speak for hosts, not give itself rights."""
    answer = site.allocator.ask(asked)
    assert (answer.code, "cannot" in answer.message) == (403, True), answer.message


@pytest.mark.parametrize("asked", DASHBOARD_MAY, ids=str)
def test_a_dashboard_may_look(site: Site, asked: Request) -> None:
    """At what it shows."""
    answer = site.dashboard.ask(asked)
    assert answer.code == 200, answer.message


@pytest.mark.parametrize("asked", DASHBOARD_IS_REFUSED, ids=str)
def test_a_dashboard_changes_nothing(site: Site, asked: Request) -> None:
    """And sees no password."""
    answer = site.dashboard.ask(asked)
    assert (answer.code, "cannot" in answer.message) == (403, True), answer.message


async def test_an_agent_gets_by_with_what_a_host_may_do(site: Site) -> None:
    """It registers, says how it is and what it owns; what it may not write keeps it from nothing else."""
    store = open_store(f"kubernetes:{account(site.control_plane, 'pierhead-hosts', 'node-pub')}")
    await asyncio.to_thread(site.control_plane.apply, vip("192.0.2.20"))
    conditions = (Condition(type=DRAINED, status="True"),)
    labels = {"rack": "1", "node-restriction.kubernetes.io/rack": "1"}
    report = HostReport(labels, HostStatus(version="1", conditions=conditions), drain=True)
    owned = await store.get(Ref("VirtualIP", "", "192.0.2.20"))
    assert isinstance(owned, VirtualIP)
    publisher = Publisher(store, "node-pub", lambda: report, lambda _: owned)

    async def is_told() -> bool:
        objects = (await store.list(frozenset({Kind.HOST, Kind.VIRTUAL_IP}))).objects
        found, record = objects.get(Ref("Host", "", "node-pub")), objects[Ref("VirtualIP", "", "192.0.2.20")]
        assert isinstance(record, VirtualIP)
        is_owner = record.status.owner is not None and record.status.owner.host == "node-pub"
        return isinstance(found, Host) and found.is_draining and found.status.version == "1" and is_owner

    async with asyncio.timeout(READY_SECONDS), asyncio.TaskGroup() as group:
        running = group.create_task(publisher.run(), name="publish")
        publisher.ask(at_once=True)
        publisher.ask_for([owned.spec.address])
        while True:
            if await is_told():
                break
            await asyncio.sleep(0.05)
        running.cancel()
    told = await store.get(Ref("Host", "", "node-pub"))
    assert isinstance(told, Host)
    assert (told.spec.drain, dict(told.metadata.labels)) == (False, {})


def test_an_allocator_gets_by_with_what_it_may_do(site: Site, tmp_path: Path) -> None:
    """A Service has its address, a session its password where it is to be, and nothing was refused."""
    control_plane = site.control_plane
    peer = {"myASN": 64500, "peerASN": 64501, "peerAddress": "192.0.2.1", "passwordSecret": {"name": "peer"}}
    peers_secret = {**secret("metallb-system", "peer"), "type": "kubernetes.io/basic-auth"}
    control_plane.apply(
        {
            **secret("metallb-system", "peer"),
            "type": "kubernetes.io/basic-auth",
            "stringData": {"password": "open sesame"},
        },
        named("metallb.io/v1beta1", "IPAddressPool", "all", "metallb-system", spec={"addresses": ["198.51.100.0/28"]}),
        named("metallb.io/v1beta1", "L2Advertisement", "all", "metallb-system", spec={}),
        named("metallb.io/v1beta2", "BGPPeer", "tor", "metallb-system", spec=peer),
        named("v1", "Service", "web", "shop", spec={"type": "LoadBalancer", "ports": [{"port": 80}]}),
    )
    kubeconfig = account(control_plane, "pierhead-system", "pierhead-allocator")
    command = [sys.executable, "-m", "appliance.cli.main", "allocator", f"--store=kubernetes:{kubeconfig}"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        web, pool = ("service", "web", "-n", "shop"), ("ipaddresspool", "all", "-n", "metallb-system")
        wait_until(log, lambda: json_of(control_plane, *web)["status"]["loadBalancer"].get("ingress"))
        wait_until(log, lambda: json_of(control_plane, *pool).get("status"))
        wait_until(log, lambda: passwords_of(control_plane, "node-a") == {"tor": "open sesame"})
        control_plane.apply({**peers_secret, "stringData": {"password": "another"}})
        wait_until(log, lambda: passwords_of(control_plane, "node-a") == {"tor": "another"})
        control_plane.kubectl("delete", "bgppeer", "tor", "-n", "metallb-system")
        wait_until(log, lambda: passwords_of(control_plane, "node-a") is None)
    finally:
        process.terminate()
        process.wait(READY_SECONDS)
    assert "orbidden" not in log.read_text()


def passwords_of(control_plane: ControlPlane, name: str) -> dict[str, str] | None:
    """What a host's Secret holds; None where it has none."""
    found = json.loads(control_plane.kubectl("get", "secrets", "-n", "pierhead-hosts", "-o", "json"))["items"]
    contents = (item.get("data") or {} for item in found if item["metadata"]["name"] == name)
    return next(({key: base64.b64decode(text).decode() for key, text in data.items()} for data in contents), None)


def json_of(control_plane: ControlPlane, *query: str) -> Any:
    """An object as kubectl shows it."""
    return json.loads(control_plane.kubectl("get", *query, "-o", "json"))


def wait_until(log: Path, is_so: Callable[[], object]) -> None:
    """Wait until something is so of what a program does that logs to a file."""
    deadline = time.monotonic() + READY_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)

"""Text to objects and back."""

from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.api.address import IPAddress, parse_address, vip_name
from appliance.api.core import EndpointSlice, Secret, Service, ServicePort
from appliance.api.kind import KINDS_BY_TITLE, Kind, Object, kind_of, ref_of
from appliance.api.manifest import Parsed, adapter, decode, encode, parse, problems_of, to_text
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import BGPPeer, IPAddressPool
from appliance.api.pierhead import Host, HostSpec, VirtualIP
from appliance.api.problem import Problem, Source, locate
from appliance.api.text import FREE_TEXT_MAX

POOL = """\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec:
  addresses: [192.168.1.240-192.168.1.250]
"""


def only(text: str) -> Object:
    """The one object of a text without problems."""
    parsed = parse(text, "-")
    assert parsed.problems == ()
    (document,) = parsed.documents
    return document.manifest


def problems(text: str) -> list[tuple[str, str]]:
    """Path and sentence of every problem of a text."""
    return [(problem.path, problem.text) for problem in parse(text, "-").problems]


def test_documents_are_numbered_from_one() -> None:
    """Empty documents count, as an operator counts them."""
    parsed = parse(f"---\n---\n{POOL}", "site.yaml")
    assert [document.source for document in parsed.documents] == [Source("site.yaml", 2)]


def test_a_namespaced_object_without_namespace_is_in_default() -> None:
    """kubectl puts it there; null and empty mean the same."""
    for written in ("", ", namespace: null", ", namespace: ''"):
        assert ref_of(only(POOL.replace(", namespace: metallb-system", written))).namespace == "default"


def test_a_problem_names_the_namespace_the_object_is_in() -> None:
    """A wrong object without namespace is told as one of `default`."""
    (problem,) = parse(POOL.replace("namespace: metallb-system", "namespace: null").replace("192", "x"), "-").problems
    assert problem.ref == Ref("IPAddressPool", "default", "lan")


def test_null_is_left_out() -> None:
    """A field that is null has its default, at any depth."""
    pool = cast(IPAddressPool, only(POOL + "  autoAssign: null\n  serviceAllocation: {priority: null}\n"))
    assert pool.spec.auto_assign
    assert pool.spec.service_allocation is not None
    assert pool.spec.service_allocation.priority == 0


def test_every_mistake_is_told_at_once() -> None:
    """Each has the path of its field as the operator wrote it."""
    wrong = POOL.replace("[192.168.1.240-192.168.1.250]", "[10.0.0.1, 10.0.0.0/33]") + "  autoAsign: false\n"
    assert problems(wrong) == [
        ("spec.addresses[0]", "'10.0.0.1' is neither a CIDR nor a range; write a single address as /32 or /128"),
        ("spec.addresses[1]", "'10.0.0.0/33' is not a CIDR"),
        ("spec.autoAsign", "is not a known field"),
    ]


@pytest.mark.parametrize(
    ("text", "path", "sentence"),
    [
        (POOL.replace("IPAddressPool", "IPAddresPool"), "kind", "did you mean IPAddressPool?"),
        (POOL.replace("v1beta1", "v1beta9"), "apiVersion", "write metallb.io/v1beta1"),
        (POOL.replace("name: lan, ", ""), "metadata.name", "is required"),
        (POOL.replace("name: lan", "name: ''"), "metadata.name", "'' is not a name"),
        (POOL.partition("spec")[0], "spec", "is required"),
        (POOL.replace("apiVersion: metallb.io/v1beta1\n", ""), "apiVersion", "write metallb.io/v1beta1"),
        ("a: 1", "apiVersion", "is required"),
        ("- a", "", "a manifest is a mapping with apiVersion, kind and metadata"),
        ("kind: [", "line 2", "not valid YAML"),
    ],
)
def test_what_cannot_be_an_object(text: str, path: str, sentence: str) -> None:
    """A wrong kind, version or shape gives one problem that says what to write."""
    ((told, why),) = problems(text)
    assert (told, sentence in why) == (path, True), why


def test_somebody_elses_kinds_are_passed_over() -> None:
    """A Deployment beside our manifests is no mistake, and is named."""
    parsed = parse("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n", "-")
    assert (parsed.problems, parsed.passed_over) == ((), (Ref("Deployment", "shop", "web"),))


def test_other_fields_of_kubernetes_kinds_are_passed_over() -> None:
    """We read a part of a Service; a MetalLB kind is read whole."""
    service = only("apiVersion: v1\nkind: Service\nmetadata: {name: a, uid: x}\nspec: {odd: 1, ports: [{port: 80}]}\n")
    assert cast(Service, service).spec.ports == (ServicePort(port=80),)


def test_the_older_peer_is_read() -> None:
    """v1beta1 of BGPPeer is read as v1beta2."""
    text = "kind: BGPPeer\nmetadata: {name: tor}\nspec: {myASN: 64500, peerASN: 64501, peerAddress: 10.0.0.1}\n"
    one, other = (
        cast(BGPPeer, only(f"apiVersion: metallb.io/{version}\n{text}")) for version in ("v1beta1", "v1beta2")
    )
    assert one == other
    assert encode(one)["apiVersion"] == "metallb.io/v1beta2"


def test_documents_before_a_mistake_count() -> None:
    """A text that is no YAML gives what stood before, and the place of the mistake."""
    parsed = parse(f"{POOL}---\nkind: [\n", "site.yaml")
    assert [document.source.document for document in parsed.documents] == [1]
    assert [problem.source for problem in parsed.problems] == [Source("site.yaml", 2)]


def test_an_object_is_written_without_defaults() -> None:
    """Text holds what matters, in the order of Kubernetes."""
    host = Host(metadata=Metadata(name="node-a"), spec=HostSpec(drain=True))
    assert to_text((host,)) == (
        "apiVersion: pierhead.io/v1alpha1\nkind: Host\nmetadata:\n  name: node-a\nspec:\n  drain: true\n"
    )


def test_a_secret_is_not_shown() -> None:
    """Passwords do not reach logs by way of repr, and can be read from either map."""
    secret = cast(
        Secret,
        only("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {one: aGk=}\nstringData: {other: ho}\n"),
    )
    assert [secret.text(key) for key in ("one", "other", "none")] == ["hi", "ho", None]
    assert "hi" not in repr(secret)
    assert "ho'" not in repr(secret)


@settings(deadline=None, max_examples=50)
@given(
    labels=st.dictionaries(st.text(), st.text()),
    address=st.ip_addresses().filter(lambda address: address == parse_address(address)),
    mark=st.text(),
)
def test_what_is_written_is_read_back(labels: dict[str, str], address: IPAddress, mark: str) -> None:
    """Any VirtualIP comes back from its text as an equal value."""
    spec = {"address": str(address), "pool": "lan", "renewedFor": mark}
    metadata = {"name": vip_name(address), "labels": labels}
    vip = cast(VirtualIP, decode(Kind.VIRTUAL_IP, {"metadata": metadata, "spec": spec}, strict=True))
    assert only(to_text((vip,))) == vip


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from(list("abkind: {}[],-\n&*!'\"|>#?%v1/.")), max_size=80))
def test_no_text_raises(text: str) -> None:
    """Whatever is in a file, reading it gives values."""
    parse(text, "-")


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_has_a_schema(kind: Kind) -> None:
    """CRDs and checks can be written from the types."""
    assert adapter(kind).json_schema()["title"] == kind.title
    assert KINDS_BY_TITLE[kind.title] is kind


def test_a_problem_is_one_line() -> None:
    """`file:document:path: sentence`, as `pierhead check` prints it."""
    ref = Ref("IPAddressPool", "metallb-system", "lan")
    problem = Problem(ref, "spec.addresses", "overlaps with wan")
    assert str(problem) == "spec.addresses: IPAddressPool metallb-system/lan: overlaps with wan"
    located = locate(problem, {ref: Source("site.yaml", 3)})
    assert str(located) == "site.yaml:3:spec.addresses: IPAddressPool metallb-system/lan: overlaps with wan"
    assert locate(located, {}) == located
    assert locate(problem, {}) == problem


def test_the_namespace_of_a_cluster_scoped_object_is_no_part_of_its_name() -> None:
    """A Host written with a namespace is still the Host of its name."""
    host = Host(metadata=Metadata(name="node-a", namespace="odd"))
    assert (ref_of(host), kind_of(host)) == (Ref("Host", "", "node-a"), Kind.HOST)
    assert str(ref_of(replace(host, metadata=Metadata(name="b")))) == "Host b"


VIP = {"metadata": {"name": "192.0.2.1"}, "spec": {"address": "192.0.2.1", "pool": "lan"}}


def mistakes(kind: Kind, content: dict[str, object], strict: bool = True) -> list[str]:
    """The paths of what is wrong with an object."""
    try:
        decode(kind, content, strict=strict)
    except ValidationError as error:
        return [problem.path for problem in problems_of(error, None, None)]
    return []


def test_programs_pass_over_what_a_newer_one_added() -> None:
    """One added field breaks no older host, at any depth; an operator's misspelling is a mistake."""
    newer = {**VIP, "spec": {**cast(dict[str, object], VIP["spec"]), "layer2": {"colour": "red"}, "weight": 3}}
    assert mistakes(Kind.VIRTUAL_IP, newer) == ["spec.layer2.colour", "spec.weight"]
    assert decode(Kind.VIRTUAL_IP, newer, strict=False) == decode(
        Kind.VIRTUAL_IP, {**VIP, "spec": {**cast(dict[str, object], VIP["spec"]), "layer2": {}}}, strict=True
    )


@pytest.mark.parametrize(
    ("kind", "content", "path"),
    [
        (Kind.VIRTUAL_IP, {**VIP, "metadata": {"name": "192.0.2.2"}}, "metadata.name"),
        (Kind.SERVICE, {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 0}]}}, "spec.ports[0].port"),
        (Kind.SERVICE, {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 70000}]}}, "spec.ports[0].port"),
        (Kind.SERVICE, {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}, {"port": 80}]}}, "spec.ports[1]"),
        (Kind.SERVICE, {"metadata": {"name": "x"}, "spec": {"type": "LoadBalancer"}}, "spec.ports"),
        (Kind.ENDPOINT_SLICE, {"metadata": {"name": "x"}, "ports": [{"port": 80000}]}, "ports[0].port"),
        (Kind.ENDPOINT_SLICE, {"metadata": {"name": "x"}, "endpoints": [{"nodeName": "a b"}]}, "endpoints[0].nodeName"),
        (Kind.SERVICE, {"metadata": {"name": "../x"}}, "metadata.name"),
        (Kind.SERVICE, {"metadata": {"name": "x", "namespace": "a/b"}}, "metadata.namespace"),
        (Kind.HOST, {"metadata": {"name": "x" * 254}}, "metadata.name"),
        (Kind.HOST, {"metadata": {"name": "node_1"}}, "metadata.name"),
        (Kind.BGP_PEER, {"metadata": {"name": "x"}, "spec": {"myASN": 1, "interface": 'e" x'}}, "spec.interface"),
        (Kind.BGP_PEER, {"metadata": {"name": "x"}, "spec": {"myASN": 1, "vrf": "a\nb"}}, "spec.vrf"),
    ],
)
def test_a_name_a_port_or_an_address_that_cannot_be_is_a_mistake(
    kind: Kind, content: dict[str, object], path: str
) -> None:
    """Checked where text is read, so that nobody after it has to; reading leniently forgives none of them."""
    assert (mistakes(kind, content), mistakes(kind, content, strict=False)) == ([path], [path])


@pytest.mark.parametrize(
    "interface",
    [
        {"name": "eth 0"},
        {"name": "eth0/1"},
        {"name": "."},
        {"name": "x" * 16},
        {"name": "eth0", "hardwareAddress": "02:00:00:00:00:01 } ; } ; chain x { type filter hook input"},
        {"name": "eth0", "hardwareAddress": ":".join(["02"] * 20)},
        {"name": "eth0", "hardwareAddress": "01:00:5e:00:00:01"},
        {"name": "eth0", "hardwareAddress": "00:00:00:00:00:00"},
        {"name": "eth0", "addresses": ["fe80::1%x\n/64"]},
        {"name": "eth0", "addresses": ["192.0.2.1/0.0.0.255"]},
    ],
)
def test_a_host_cannot_say_what_is_no_name_and_no_address(interface: dict[str, object]) -> None:
    """One host's own object is read by all its fellows."""
    content = {"metadata": {"name": "node-a"}, "status": {"interfaces": [interface]}}
    assert len(mistakes(Kind.HOST, content, strict=False)) == 1


def test_what_hosts_tell_in_words_is_one_short_line() -> None:
    """A foreign daemon's words are told, but neither its line ends nor a megabyte of them."""
    session = {"name": "tor", "peer": "192.0.2.1", "state": "up\x1b[2J\nlog bug", "message": "x" * 5000}
    content = {"metadata": {"name": "node-a"}, "status": {"bgpSessions": [session]}}
    told = cast(Host, decode(Kind.HOST, content, strict=False)).status.bgp_sessions[0]
    assert (told.state, len(told.message)) == ("up [2J log bug", FREE_TEXT_MAX)


def test_metadata_of_others_is_kept() -> None:
    """What garbage collection and finalizers go by is read and written back untouched."""
    metadata = {
        "name": "x",
        "namespace": "shop",
        "uid": "0f7c",
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Namespace", "name": "shop", "uid": "1", "blockOwnerDeletion": True}
        ],
        "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
        "deletionTimestamp": "2026-11-21T11:00:00Z",
    }
    assert encode(decode(Kind.SERVICE, {"metadata": metadata}, strict=True))["metadata"] == metadata


def test_an_endpoint_port_may_have_no_number() -> None:
    """discovery.k8s.io/v1: the port is optional."""
    piece = cast(EndpointSlice, decode(Kind.ENDPOINT_SLICE, {"metadata": {"name": "x"}, "ports": [{}]}, strict=True))
    assert piece.ports[0].port is None


def test_a_list_is_read_like_several_documents() -> None:
    """`kubectl get -o yaml` prints one; the API server's own lists tell the kind of their entries once."""
    pool = "\n".join(f"    {line}" for line in POOL.splitlines()).replace("    api", "  - api", 1)
    text = f"apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n{pool}\n{pool}\n---\n{POOL}"
    parsed = parse(text, "dump.yaml")
    assert parsed.problems == ()
    assert [document.source.document for document in parsed.documents] == [1, 2, 3]
    wrong = parse(text.replace("[192", "[x192", 1), "dump.yaml")
    assert [problem.source for problem in wrong.problems] == [Source("dump.yaml", 1)]
    typed = parse(
        "apiVersion: v1\nkind: NamespaceList\nitems:\n- metadata: {name: shop}\n- metadata: {name: bank}\n", "-"
    )
    assert [str(ref_of(document.manifest)) for document in typed.documents] == ["Namespace shop", "Namespace bank"]
    assert parse("apiVersion: v1\nkind: List\nitems: []\n", "-") == Parsed()


@pytest.mark.parametrize(
    ("api_version", "kind", "is_mistake"),
    [
        ("metallb.io/v1beta1", "IPAddresPool", True),
        ("metallb.io/v1beta1", "Pool", True),
        ("pierhead.io/v1alpha1", "Hosts", True),
        ("v1", "Servce", True),
        ("discovery.k8s.io/v1", "EndpointSlices", True),
        ("v1", "ConfigMap", False),
        ("apps/v1", "Deployment", False),
        ("serving.knative.dev/v1", "Service", False),
        ("example.com/v1", "IPAddressPools", False),
        ("frrk8s.metallb.io/v1beta1", "BGPSessionState", False),
    ],
)
def test_a_kind_nobody_reads_is_a_mistake_or_somebody_elses(api_version: str, kind: str, is_mistake: bool) -> None:
    """A misspelling in a group we know is one; other groups are passed over."""
    parsed = parse(f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x}}\n", "-")
    assert (len(parsed.problems), len(parsed.passed_over)) == (int(is_mistake), int(not is_mistake))

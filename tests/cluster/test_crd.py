"""The API server takes our definitions, keeps what our types say, and refuses what `check` refuses."""

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from appliance.api.kind import Kind
from appliance.api.manifest import decode, encode, parse, problems_of
from appliance.api.metallb import COUNT_MAX
from appliance.api.problem import Problem
from appliance.api.schema import crd_name, served_kinds
from appliance.config.compile import compile_config
from tests.cluster.control_plane import MakeControlPlane
from tests.cluster.definitions import NAMESPACE, Api, Content, collection, place
from tests.unit.hostile.content import HOSTILE, examples, leaves, with_value
from tests.unit.hostile.content import Path as Place

ROOT = Path(__file__).parents[2]
_FURTHER: tuple[object, ...] = (
    *("179", "true", "yes", "90s", "1h30m", "0", "0s", "2s", "1.5h", "-5s", ".5s", "22000s", "1:1", "65536:1", "1:2:3"),
    *("large:1:2:4294967296", "large:1:2:4294967295", "00001:0001", "192.0.2.7", " 192.0.2.7 ", "10.0.0.0/08"),
    *("10.0.0.9-10.0.0.1", "10.0.0.1 - 10.0.0.9", "fd00::ff-fd00::1", "fd00::1-fd00::ff", "10.0.0.5/24", "10.0.0.0/33"),
    *("::ffff:10.0.0.0/120", "10.0.0.1-::ffff:10.0.0.9", "fd00::9-fd00::1.2.3.4", "fd00::-fd00::1", "10.0.0.1-fd00::1"),
    *("127.0.0.1-127.0.0.2", "ff00::/16", "10.0.0.0-10.0.0.1-10.0.0.2", "-", "/", "1-", "-1", 10**20, True, {}, []),
)
_VALUES = tuple(value for value in (*HOSTILE, *_FURTHER) if not isinstance(value, bytes))  # what JSON can hold
_VARIANTS: Mapping[Kind, tuple[Mapping[Place, object], ...]] = {
    Kind.BGP_ADVERTISEMENT: (
        {("spec", "serviceSelectors"): None},
        {("spec", "aggregationLength"): 32, ("spec", "aggregationLengthV6"): None},
    ),
    Kind.BGP_PEER: (
        {("spec", "dynamicASN"): None, ("spec", "interface"): None, ("spec", "password"): None},
        {
            ("spec", "peerASN"): None,
            ("spec", "peerAddress"): None,
            ("spec", "sourceAddress"): None,
            ("spec", "passwordSecret"): None,
            ("spec", "ebgpMultiHop"): None,
        },
    ),
    Kind.COMMUNITY: ({("spec", "communities", 0, "value"): "64500:1"},),
    Kind.CONFIGURATION_STATE: ({("status", "conditions", 0, "lastTransitionTime"): "2026-01-01T00:00:00Z"},),
}


@pytest.fixture(scope="module")
def api(make_control_plane: MakeControlPlane) -> Iterator[Api]:
    """A control plane with our definitions, for this file alone: others bring theirs in their own way."""
    control_plane = make_control_plane()
    api = Api(control_plane)
    api.install()
    yield api
    api.close()
    control_plane.stop()


def right(kind: Kind) -> list[Content]:
    """Objects of a kind that are right and between them hold every field."""
    made = []
    for example in examples(kind):
        for changes in _VARIANTS.get(kind, ({},)):
            content: Content = example
            for path, value in changes.items():
                content = with_value(content, path, value)
            content = _without_nothing(content)
            metadata: Content = {"name": content["metadata"]["name"]}
            made.append({**content, "metadata": metadata | ({"namespace": NAMESPACE} if kind.namespaced else {})})
    return made


def _without_nothing(content: Any) -> Any:
    match content:
        case dict():
            return {name: _without_nothing(entry) for name, entry in content.items() if entry is not None}
        case list():
            return [_without_nothing(entry) for entry in content]
        case _:
            return content


def check(content: Mapping[str, object]) -> tuple[Problem, ...]:
    """What is wrong with an object that stands alone, as `pierhead check` has it."""
    kind = next(kind for kind in served_kinds() if kind.title == content["kind"])
    try:
        manifest = decode(kind, content, strict=True)
    except ValidationError as error:
        return problems_of(error, None, None)
    return compile_config([manifest]).problems


def told(kind: Kind, content: Content) -> Content:
    """What our types read of an object of the server, without what only a server writes."""
    kept = {name: content["metadata"][name] for name in ("name", "namespace", "labels") if name in content["metadata"]}
    return encode(decode(kind, {**content, "metadata": kept}, strict=True))


def holds(whole: object, part: object) -> bool:
    """Whether everything of a part stands in a whole, which may say more."""
    match part:
        case dict():
            return isinstance(whole, dict) and all(name in whole and holds(whole[name], part[name]) for name in part)
        case list():
            return isinstance(whole, list) and len(whole) == len(part) and all(map(holds, whole, part))
        case _:
            return whole == part


@pytest.mark.parametrize("kind", served_kinds())
def test_a_definition_is_established(api: Api, kind: Kind) -> None:
    """Its names are accepted and its schema is structural; the server has nothing else to say of it."""
    conditions = api.definition(crd_name(kind))["status"]["conditions"]
    assert {(each["type"], each["status"]) for each in conditions} == {
        ("NamesAccepted", "True"),
        ("Established", "True"),
    }


def test_definitions_are_replaced_by_themselves(api: Api) -> None:
    """A release that brings them again changes nothing."""
    before = {kind: api.definition(crd_name(kind))["metadata"]["generation"] for kind in served_kinds()}
    folder = str(ROOT / "charts/pierhead/files/crds")
    api.control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", folder)
    assert {kind: api.definition(crd_name(kind))["metadata"]["generation"] for kind in served_kinds()} == before


@pytest.mark.parametrize("kind", served_kinds())
def test_an_object_comes_back_as_it_was(api: Api, kind: Kind) -> None:
    """Every field of every type is kept, on its way to the server and back; none is pruned or changed."""
    for content in right(kind):
        created = api.create(kind, content)
        assert (created.status, created.content.get("message")) == (201, None)
        version = created.content["metadata"]["resourceVersion"]
        content["metadata"]["resourceVersion"] = version
        written = api.status(kind, content)
        assert (written.status, written.content.get("message"), written.warnings) == (200, None, ())
        del content["metadata"]["resourceVersion"]
        stored = api.get(kind, content["metadata"]["name"])
        assert holds(stored, content)
        assert told(kind, stored) == told(kind, content)
        api.request("DELETE", place(kind, content["metadata"]["name"]))


def test_between_them_those_objects_hold_every_field() -> None:
    """So that a new field is tried without being listed."""
    for kind in served_kinds():
        every = {tuple(step for step in path if isinstance(step, str)) for path in leaves(examples(kind)[0])}
        tried = {tuple(step for step in path if isinstance(step, str)) for made in right(kind) for path in leaves(made)}
        assert {path for path in every - tried if path[0] != "metadata"} == set()


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a right object after some changes: where, what the server says, and what `check` says."""

    kind: Kind
    changes: Mapping[Place, object]
    path: str
    sentence: str
    said: str = ""
    variant: int = 0

    def content(self) -> Content:
        """The object with its mistake."""
        content = right(self.kind)[self.variant]
        for path, value in self.changes.items():
            content = _with(content, path, value)
        return dict(_without_nothing(content))


def _with(content: Any, path: Place, value: object) -> Any:
    """A copy with another value at a path, be anything there or not."""
    if not path:
        return value
    first, *rest = path
    copy: Any = dict(content) if isinstance(content, Mapping) else list(content)
    if isinstance(copy, dict):
        copy[first] = _with(copy.get(first, {}), tuple(rest), value)
    else:
        copy[first] = _with(copy[first], tuple(rest), value)
    return copy


def _pool(text: str, sentence: str) -> Mistake:
    return Mistake(Kind.IP_ADDRESS_POOL, {("spec", "addresses"): ["192.0.2.0/28", text]}, "spec.addresses[1]", sentence)


def _peer(path: str, sentence: str, said: str = "", variant: int = 0, **changes: object) -> Mistake:
    return Mistake(
        Kind.BGP_PEER, {("spec", name): value for name, value in changes.items()}, path, sentence, said, variant
    )


_SELECTORS = ("spec", "nodeSelectors", 0, "matchExpressions", 0)
_NOT_THE_NAME = "is not the name of the address in spec.address: IPv4 as it is, IPv6 as eight groups joined by '-'"
_HOLD = "a hold time is 0 or 3 to 65535 seconds"
_BESIDE = "cannot stand beside an aggregation length: an aggregate attracts traffic of Services not selected"
MISTAKES = (
    _pool("192.0.2.7", "'192.0.2.7' is neither a CIDR nor a range; write a single address as /32 or /128"),
    _pool("192.0.2.0/33", "'192.0.2.0/33' is not a CIDR"),
    _pool("192.0.2/24", "'192.0.2/24' is not a CIDR"),
    _pool("198.51.100.1-198.51.100.256", "'198.51.100.256' is not an IP address"),
    _pool("198.51.100.1-", "'' is not an IP address"),
    _pool("198.51.100.1-fd00::1", "'198.51.100.1-fd00::1' begins and ends in different address families"),
    _pool("198.51.100.9 - 198.51.100.10-", "' 198.51.100.10-' is not an IP address"),
    _pool("198.51.100.10-198.51.100.9", "'198.51.100.10-198.51.100.9' ends before it begins"),
    _pool("198.52.0.1-198.51.255.255", "'198.52.0.1-198.51.255.255' ends before it begins"),
    _pool("fd00::a-fd00::9", "'fd00::a-fd00::9' ends before it begins"),
    _pool("fd00::10-fd00::f", "'fd00::10-fd00::f' ends before it begins"),
    _pool("fd00::1-fd00::", "'fd00::1-fd00::' ends before it begins"),
    _pool("127.0.0.0/24", "127.0.0.0/24 holds loopback addresses (127.0.0.0/8)"),
    _pool("169.254.1.1-169.254.1.9", "169.254.1.1-169.254.1.9 holds link-local addresses (169.254.0.0/16)"),
    _pool("239.0.0.0/24", "239.0.0.0/24 holds multicast addresses (224.0.0.0/4)"),
    _pool("fe80::/64", "fe80::/64 holds link-local addresses (fe80::/10)"),
    _pool("ff05::1-ff05::9", "ff05::1-ff05::9 holds multicast addresses (ff00::/8)"),
    Mistake(
        Kind.BGP_ADVERTISEMENT,
        {("spec", "serviceSelectors"): [{"matchLabels": {"a": "b"}}], ("spec", "aggregationLength"): 24},
        "spec.serviceSelectors",
        _BESIDE,
    ),
    Mistake(Kind.BGP_ADVERTISEMENT, {("spec", "aggregationLengthV6"): 64}, "spec.serviceSelectors", _BESIDE, variant=1),
    *(
        Mistake(
            kind,
            {_SELECTORS: {"key": "rack", "operator": operator, "values": values}},
            "spec.nodeSelectors[0].matchExpressions[0].values",
            sentence,
        )
        for kind in (Kind.L2_ADVERTISEMENT, Kind.BGP_ADVERTISEMENT, Kind.BGP_PEER)
        for operator, values, sentence in (
            ("In", None, "operator In needs at least one value"),
            ("NotIn", [], "operator NotIn needs at least one value"),
            ("Exists", ["a"], "operator Exists takes no values"),
        )
    ),
    _peer("spec.dynamicASN", "cannot stand beside peerASN; write one of them", dynamicASN="external"),
    _peer("spec.peerASN", "is required where there is no dynamicASN", peerASN=None),
    _peer("spec.peerASN", "is required where there is no dynamicASN", peerASN=0),
    _peer("spec.interface", "cannot stand beside peerAddress; write one of them", interface="eth0"),
    _peer("spec.peerAddress", "is required where there is no interface", peerAddress=None, sourceAddress=None),
    _peer("spec.peerAddress", "'router.example' is not an IP address", peerAddress="router.example"),
    _peer("spec.peerAddress", "is no router's address", "224.0.0.5 is no router's address", peerAddress="224.0.0.5"),
    _peer("spec.peerAddress", "is no router's address", "0.0.0.0 is no router's address", peerAddress="0.0.0.0"),
    _peer("spec.interface", "is a pattern to BIRD; name one interface", "'eth*' is a pattern to", 1, interface="eth*"),
    _peer("spec.peerPort", "0 is not a port", peerPort=0),
    _peer("spec.ebgpMultiHop", "is for a peer of another AS, but this peer's is our own", ebgpMultiHop=True),
    _peer(
        "spec.ebgpMultiHop",
        "is for a peer of another AS, but this peer's is our own",
        variant=1,
        ebgpMultiHop=True,
        dynamicASN="internal",
    ),
    _peer(
        "spec.sourceAddress",
        "is of another family than the peer's address",
        "fd00::1 and the peer's 192.0.2.1 are of different families",
        sourceAddress="fd00::1",
    ),
    _peer("spec.routerID", "is not an IPv4 address", "fd00::1 is not an IPv4 address", routerID="fd00::1"),
    _peer("spec.passwordSecret", "cannot stand beside password; write one of them", password="open sesame"),
    _peer(
        "spec.password",
        "a password has at most 80 bytes, no double quote and no line end",
        variant=1,
        password='say "friend"',
    ),
    _peer(
        "spec.password",
        "a password has at most 80 bytes, no double quote and no line end",
        variant=1,
        password="é" * 41,
    ),
    _peer("spec.holdTime", "'soon' is not a duration such as 90s or 1m30s", holdTime="soon"),
    _peer("spec.holdTime", "'-90s' is not a duration such as 90s or 1m30s", holdTime="-90s"),
    _peer("spec.holdTime", _HOLD, holdTime="2900ms", keepaliveTime="1s"),
    _peer("spec.holdTime", _HOLD, holdTime="18h12m16s"),
    _peer("spec.keepaliveTime", f"{_HOLD}, and this is a third of it", _HOLD, holdTime=None, keepaliveTime="900ms"),
    _peer(
        "spec.keepaliveTime",
        "is more than the hold time",
        "31 seconds are more than the hold time of 30",
        holdTime="30s",
        keepaliveTime="31s",
    ),
    _peer("spec.connectTime", "a connect time is 1 to 65535 whole seconds", connectTime="1500ms"),
    _peer("spec.connectTime", "a connect time is 1 to 65535 whole seconds", connectTime="0s"),
    *(
        Mistake(
            Kind.COMMUNITY,
            {("spec", "communities", 0, "value"): text},
            "spec.communities[0].value",
            f"'{text}' is not a community such as 64500:100 or large:64500:1:2",
        )
        for text in ("64500", "65536:1", "1:2:3", "large:1:2:4294967296", "large:1:2", "no-export")
    ),
    *(
        Mistake(
            kind,
            {("metadata", "name"): name, ("spec", "address"): address},
            "metadata.name",
            _NOT_THE_NAME,
            f"is {wanted} for the address ",
        )
        for kind in (Kind.VIRTUAL_IP, Kind.BACKENDS)
        for name, address, wanted in (
            ("192.0.2.2", "192.0.2.1", "192.0.2.1"),
            ("2001-db8--1", "2001:db8::1", "2001-0db8-0000-0000-0000-0000-0000-0001"),
            (
                "2001-0db8-0000-0000-0000-0000-0000-0002",
                "2001:db8::1",
                "2001-0db8-0000-0000-0000-0000-0000-0001",
            ),
        )
    ),
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.kind.title}-{mistake.path}")
def test_the_server_says_what_check_says(api: Api, mistake: Mistake) -> None:
    """A mistake of one object is told at `kubectl apply`, of the same field and in the same words."""
    content = mistake.content()
    answer = api.create(mistake.kind, content, "dryRun=All")
    assert (answer.status, (mistake.path, mistake.sentence) in answer.causes) == (422, True), answer.content
    said = [problem.text for problem in check(content) if problem.path == mistake.path]
    assert any(text.startswith(mistake.said or mistake.sentence) for text in said), said


def test_a_password_is_in_no_answer(api: Api) -> None:
    """What the server says of a wrong one does not show it."""
    content = _with(right(Kind.BGP_PEER)[1], ("spec", "password"), 'secret "thing"')
    answer = api.create(Kind.BGP_PEER, content, "dryRun=All")
    assert (answer.status, "secret" in str(answer.content)) == (422, False)


@dataclass(frozen=True, slots=True)
class Right:
    """What is unusual, and right."""

    kind: Kind
    spec: Mapping[str, object]
    name: str = "unusual"


_TIMERS: tuple[Mapping[str, object], ...] = (
    {"holdTime": "0s", "keepaliveTime": "0s"},
    {"holdTime": "1h30m", "keepaliveTime": ".5h"},
    {"holdTime": "0"},
    {"holdTime": "3s", "keepaliveTime": "3000ms"},
    {"keepaliveTime": "1s"},
    {"connectTime": "65535s"},
)
_ROUTERS: tuple[Mapping[str, object], ...] = (
    {"peerAddress": "::ffff:192.0.2.1"},
    {"peerAddress": " 192.0.2.1"},
    {"peerAddress": "2001:db8::1"},
    {"password": "é" * 40},
    {"password": "", "passwordSecret": {"name": ""}},
    {"passwordSecret": {"name": "x"}},
    {"ebgpMultiHop": True},
    {"dynamicASN": "external", "peerASN": 0},
    {"nodeSelectors": [{}]},
)
RIGHT = (
    *(
        Right(Kind.IP_ADDRESS_POOL, {"addresses": [text]})
        for text in (
            *("192.0.2.1/32", "192.0.2.5/24", " 192.0.2.0/24 ", "192.0.2.0/08", "192.0.2.1-192.0.2.1", "2001:db8::/64"),
            *("192.0.2.1 - 192.0.2.9", "2001:db8::1-2001:db8::f", "2001:DB8::F-2001:db8::10", "10.0.0.0-11.0.0.0"),
            *("2001:db8::ffff-2001:db8::1:0", "2001:db8::-2001:db8::ffff", "::ffff:192.0.2.1-192.0.2.9"),
        )
    ),
    Right(Kind.IP_ADDRESS_POOL, {"addresses": [f"2001:db8:0:{n:x}::1000-2001:db8:0:{n:x}::ffff" for n in range(2000)]}),
    Right(Kind.L2_ADVERTISEMENT, {"nodeSelectors": [{"matchLabels": {"n": str(n)}} for n in range(1000)]}),
    *(
        Right(Kind.BGP_PEER, {"myASN": 64500, "peerASN": 4200000000, "peerAddress": "192.0.2.1", **further})
        for further in (*_TIMERS, *_ROUTERS)
    ),
    Right(Kind.BGP_PEER, {"myASN": 64500, "dynamicASN": "internal", "interface": "eth0.100"}),
    Right(
        Kind.COMMUNITY,
        {
            "communities": [
                {"name": text, "value": text} for text in ("0:0", "65535:65535", "007:1", "large:0:1:4294967295")
            ]
        },
    ),
    Right(
        Kind.COMMUNITY,
        {"communities": [{"name": f"n{n}", "value": "large:4294967295:4294967295:1"} for n in range(1000)]},
    ),
    Right(Kind.BGP_ADVERTISEMENT, {"serviceSelectors": [{}], "aggregationLength": 32, "aggregationLengthV6": 128}),
    Right(Kind.BGP_ADVERTISEMENT, {"aggregationLength": 1, "localPref": 4294967295, "serviceSelectors": []}),
    Right(Kind.BFD_PROFILE, {}),
    Right(Kind.VIRTUAL_IP, {"address": "192.0.2.1", "pool": ""}, "192.0.2.1"),
    Right(Kind.VIRTUAL_IP, {"address": "2001:db8::1", "pool": "x"}, "2001-0db8-0000-0000-0000-0000-0000-0001"),
)


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: f"{case.kind.title}-{str(case.spec)[:60]}")
def test_what_is_right_is_taken(api: Api, case: Right) -> None:
    """However it is written, and as long as it may be; and its rules cost no more than the server allows."""
    metadata = {"name": case.name} | ({"namespace": NAMESPACE} if case.kind.namespaced else {})
    content = {"apiVersion": case.kind.api_version, "kind": case.kind.title, "metadata": metadata, "spec": case.spec}
    answer = api.create(case.kind, content, "dryRun=All&fieldValidation=Strict")
    assert (answer.status, answer.content.get("message")) == (201, None)
    assert [str(problem) for problem in check(content)] == []


# What takes more than one object, more counting than CEL has, or more than the server lets a rule cost.
ONLY_CHECK = (
    Right(Kind.IP_ADDRESS_POOL, {"addresses": ["192.0.2.0/24", "192.0.2.7/32"]}),
    Right(Kind.IP_ADDRESS_POOL, {"addresses": ["2001:db8::2:0-2001:db8::1:0"]}),
    Right(Kind.IP_ADDRESS_POOL, {"addresses": ["126.0.0.1-128.0.0.1"]}),
    Right(Kind.IP_ADDRESS_POOL, {"addresses": ["0.0.0.0/0"]}),
    Right(Kind.IP_ADDRESS_POOL, {"addresses": ["192.0.2.0/24"], "serviceAllocation": {"namespaces": ["shop", "shop"]}}),
    Right(Kind.L2_ADVERTISEMENT, {"interfaces": ["eth0", "eth0"]}),
    Right(Kind.L2_ADVERTISEMENT, {"interfaces": ["."]}),
    Right(Kind.L2_ADVERTISEMENT, {"nodeSelectors": [{"matchLabels": {"no label": "x"}}]}),
    Right(Kind.L2_ADVERTISEMENT, {"nodeSelectors": [{}, {}]}),
    Right(Kind.L2_ADVERTISEMENT, {"ipAddressPools": ["nowhere"]}),
    Right(Kind.BGP_ADVERTISEMENT, {"peers": ["nobody"]}),
    Right(Kind.BGP_ADVERTISEMENT, {"communities": ["no-such-alias"]}),
    Right(Kind.BGP_PEER, {"myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1", "bfdProfile": "none"}),
    Right(Kind.COMMUNITY, {"communities": [{"name": "a", "value": "1:1"}, {"name": "a", "value": "1:2"}]}),
)


@pytest.mark.parametrize("case", ONLY_CHECK, ids=lambda case: f"{case.kind.title}-{str(case.spec)[:60]}")
def test_what_only_check_can_see(api: Api, case: Right) -> None:
    """The list in decision 26 is the whole one: these are taken, and the allocator tells of them."""
    metadata = {"name": case.name, "namespace": NAMESPACE}
    content = {"apiVersion": case.kind.api_version, "kind": case.kind.title, "metadata": metadata, "spec": case.spec}
    assert api.create(case.kind, content, "dryRun=All&fieldValidation=Strict").status == 201
    assert check(content) != ()


@pytest.mark.parametrize("kind", served_kinds())
def test_the_server_refuses_nothing_that_check_takes(api: Api, kind: Kind) -> None:
    """Whatever stands in whichever field: who was told that a file is right can apply it."""
    drawn = random.Random(kind.title)
    for content in right(kind):
        known = {str(problem) for problem in check(content)}
        assert api.create(kind, content, "dryRun=All").status == 201
        places = [path for path in leaves(content) if path[0] == "spec"]
        for path in places:
            for value in drawn.sample(_VALUES, 16):
                spoilt = with_value(content, path, value)
                answer = api.create(kind, spoilt, "dryRun=All")
                found = {str(problem) for problem in check(spoilt)} - known
                assert answer.status == 201 or found, (path, value, answer.content["message"])


def test_what_nobody_knows_is_pruned_and_told(api: Api) -> None:
    """kubectl refuses a misspelt field; who does not ask for that is warned, and the rest is stored."""
    content = _with(right(Kind.L2_ADVERTISEMENT)[0], ("spec", "interface"), "eth0")
    strict = api.create(Kind.L2_ADVERTISEMENT, content, "dryRun=All&fieldValidation=Strict")
    assert (strict.status, 'unknown field "spec.interface"' in strict.content["message"]) == (400, True)
    warned = api.create(Kind.L2_ADVERTISEMENT, content, "dryRun=All&fieldValidation=Warn")
    assert (warned.status, "interface" in warned.content["spec"]) == (201, False)
    assert any("spec.interface" in warning for warning in warned.warnings)


def test_an_address_never_changes(api: Api) -> None:
    """A VirtualIP is its address, for as long as it is there."""
    content = right(Kind.VIRTUAL_IP)[0]
    stored = api.create(Kind.VIRTUAL_IP, content).content
    stored["spec"]["address"] = "192.0.2.9"
    answer = api.request("PUT", place(Kind.VIRTUAL_IP, "192.0.2.1"), stored)
    assert (answer.status, ("spec.address", "cannot be changed") in answer.causes) == (422, True)
    api.request("DELETE", place(Kind.VIRTUAL_IP, "192.0.2.1"))


def test_an_epoch_only_grows(api: Api) -> None:
    """With every owner; no host can make the site forget who took an address over, nor take it by an old number."""
    content = right(Kind.VIRTUAL_IP)[0]
    api.create(Kind.VIRTUAL_IP, content)

    def write(owner: Content | None) -> int:
        stored = api.get(Kind.VIRTUAL_IP, "192.0.2.1")
        stored["status"] = {} if owner is None else {"owner": owner}
        return api.status(Kind.VIRTUAL_IP, stored).status

    assert write({"host": "node-a"}) == 200
    assert write({"host": "node-b"}) == 422
    assert write({"host": "node-b", "epoch": 2}) == 200
    assert write({"host": "node-b", "epoch": 2, "since": "2026-01-01T00:00:00Z"}) == 200
    assert [write({"host": "node-a", "epoch": epoch}) for epoch in (1, 2)] == [422, 422]
    assert [write(None), write({"host": "node-b"})] == [422, 422]
    assert write({"host": "node-a", "epoch": 7}) == 200
    late = {
        **content,
        "metadata": {"name": "192.0.2.1", "resourceVersion": "1"},
        "status": {"owner": {"host": "node-c"}},
    }
    # Who read an old version is told so, not that it is wrong: it reads again and goes on from there.
    assert api.apply(Kind.VIRTUAL_IP, late, "agent", "/status").status == 409
    without = api.get(Kind.VIRTUAL_IP, "192.0.2.1")
    del without["status"]
    assert api.status(Kind.VIRTUAL_IP, without).status == 422
    api.request("DELETE", place(Kind.VIRTUAL_IP, "192.0.2.1"))


def test_a_peer_has_one_shape_in_both_versions(api: Api) -> None:
    """What v1beta1 never knew survives a client of v1beta1, and what it wrote is read as v1beta2."""
    content = right(Kind.BGP_PEER)[0]
    api.create(Kind.BGP_PEER, content)
    old = api.request("GET", place(Kind.BGP_PEER, content["metadata"]["name"], "v1beta1"))
    assert any("metallb.io/v1beta1 BGPPeer is deprecated; write metallb.io/v1beta2" in each for each in old.warnings)
    assert old.content["apiVersion"] == "metallb.io/v1beta1"
    old.content["spec"]["holdTime"] = "270s"
    path = place(Kind.BGP_PEER, content["metadata"]["name"], "v1beta1")
    assert api.request("PUT", path, old.content).status == 200
    stored = api.get(Kind.BGP_PEER, content["metadata"]["name"])
    assert told(Kind.BGP_PEER, stored) == told(Kind.BGP_PEER, _with(content, ("spec", "holdTime"), "270s"))
    api.request("DELETE", path)
    written = {**content, "apiVersion": "metallb.io/v1beta1", "spec": {"myASN": 1, "peerASN": 2, "peerAddress": "::1"}}
    assert api.request("POST", collection(Kind.BGP_PEER, "v1beta1"), written).status == 201
    assert api.get(Kind.BGP_PEER, content["metadata"]["name"])["spec"]["peerPort"] == 179
    api.request("DELETE", path)


def test_managers_keep_each_others_fields(api: Api) -> None:
    """Allocator and owner of a VirtualIP, agent and operator of a Host: each part has its own writer."""
    vip = {"apiVersion": "pierhead.io/v1alpha1", "kind": "VirtualIP", "metadata": {"name": "192.0.2.1"}}
    spec = {"address": "192.0.2.1", "pool": "lan", "layer2": {"candidates": ["node-b", "node-a"]}}
    assert api.apply(Kind.VIRTUAL_IP, {**vip, "spec": spec}, "allocator").status == 201
    owner = {"owner": {"host": "node-b", "epoch": 1, "since": "2026-01-01T00:00:00Z"}}
    assert api.apply(Kind.VIRTUAL_IP, {**vip, "status": owner}, "agent", "/status").status == 200
    spec = {"address": "192.0.2.1", "pool": "lan", "layer2": {"candidates": ["node-a", "node-b", "node-c"]}}
    assert api.apply(Kind.VIRTUAL_IP, {**vip, "spec": spec}, "allocator").status == 200
    stored = api.get(Kind.VIRTUAL_IP, "192.0.2.1")
    assert (stored["spec"], stored["status"]) == (spec, owner)
    host = {"apiVersion": "pierhead.io/v1alpha1", "kind": "Host", "metadata": {"name": "node-a"}}
    labelled = {**host, "metadata": {"name": "node-a", "labels": {"rack": "r1"}}}
    assert api.apply(Kind.HOST, labelled, "agent").status == 201
    drained = {**host, "metadata": {"name": "node-a", "labels": {"team": "x"}}, "spec": {"drain": True}}
    assert api.apply(Kind.HOST, drained, "operator").status == 200
    for condition in ("Drained", "Delivering"):
        conditions = [{"type": condition, "status": "True"}]
        status = {**host, "status": {"conditions": conditions}}
        assert api.apply(Kind.HOST, status, condition.lower(), "/status").status == 200
    assert api.apply(Kind.HOST, labelled, "agent").status == 200
    stored = api.get(Kind.HOST, "node-a")
    assert stored["metadata"]["labels"] == {"rack": "r1", "team": "x"}
    assert stored["spec"] == {"drain": True}
    assert {each["type"] for each in stored["status"]["conditions"]} == {"Drained", "Delivering"}
    api.request("DELETE", place(Kind.HOST, "node-a"))
    api.request("DELETE", place(Kind.VIRTUAL_IP, "192.0.2.1"))


def test_ports_of_backends_stand_in_the_order_they_were_written(api: Api) -> None:
    """They are merged by protocol and port; what the allocator wrote is what it reads."""
    backends: Content = {"apiVersion": "pierhead.io/v1alpha1", "kind": "Backends", "metadata": {"name": "192.0.2.1"}}
    for numbers in ((80, 443), (443, 80), (22, 443, 53, 80), (53, 22)):
        ports = [{"protocol": "TCP", "port": number} for number in numbers]
        api.apply(Kind.BACKENDS, {**backends, "spec": {"address": "192.0.2.1", "ports": ports}}, "allocator")
        assert api.get(Kind.BACKENDS, "192.0.2.1")["spec"]["ports"] == ports
    api.request("DELETE", place(Kind.BACKENDS, "192.0.2.1"))


@dataclass(frozen=True, slots=True)
class Table:
    """What `kubectl get` shows of an object."""

    kind: Kind
    name: str
    asked: str
    columns: Mapping[str, str]
    spec: Mapping[str, object] = field(default_factory=dict)
    status: Mapping[str, object] = field(default_factory=dict)


TABLES = (
    Table(
        Kind.VIRTUAL_IP,
        "2001-0db8-0000-0000-0000-0000-0000-0001",
        "vip",
        {
            "NAME": "2001-0db8-0000-0000-0000-0000-0000-0001",
            "ADDRESS": "2001:db8::1",
            "SERVICE": "shop/echo,shop/mail",
            "POOL": "lan",
            "OWNER": "node-a",
            "MODE": "Layer2,BGP",
            "AGE": "0s",
        },
        {"address": "2001:db8::1", "pool": "lan", "overview": {"service": "shop/echo,shop/mail", "mode": "Layer2,BGP"}},
        {"owner": {"host": "node-a", "epoch": 3}},
    ),
    Table(
        Kind.HOST,
        "node-a",
        "hosts",
        {"NAME": "node-a", "DRAIN": "false", "OWNED": "0", "ANNOUNCED": "7", "VERSION": "1.0", "AGE": "0s"},
        status={"version": "1.0", "announced": 7},
    ),
    Table(
        Kind.IP_ADDRESS_POOL,
        "lan",
        "ipaddresspools",
        {
            "NAME": "lan",
            "AUTO ASSIGN": "true",
            "AVOID BUGGY IPS": "false",
            "ADDRESSES": '["192.0.2.0/24"]',
            "ASSIGNED IPV4": "3",
            "AVAILABLE IPV4": "253",
        },
        {"addresses": ["192.0.2.0/24"]},
        {"assignedIPv4": 3, "assignedIPv6": 0, "availableIPv4": 253, "availableIPv6": 0},
    ),
    Table(
        Kind.BGP_PEER,
        "tor",
        "bgppeers",
        {"NAME": "tor", "ADDRESS": "192.0.2.1", "ASN": "64501", "BFD PROFILE": "fast", "MULTI HOPS": "true"},
        {"myASN": 64500, "peerASN": 64501, "peerAddress": "192.0.2.1", "bfdProfile": "fast", "ebgpMultiHop": True},
    ),
    Table(
        Kind.SERVICE_L2_STATUS,
        "l2-1",
        "servicel2statuses",
        {"NAME": "l2-1", "ALLOCATED NODE": "node-a", "SERVICE NAME": "echo", "SERVICE NAMESPACE": "shop"},
        status={"node": "node-a", "serviceName": "echo", "serviceNamespace": "shop"},
    ),
    Table(
        Kind.CONFIGURATION_STATE,
        "controller",
        "configurationstates",
        {"NAME": "controller", "RESULT": "Invalid", "ERRORSUMMARY": "wrong", "AGE": "0s"},
        status={"result": "Invalid", "errorSummary": "wrong"},
    ),
)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.asked)
def test_the_columns_of_kubectl(api: Api, table: Table) -> None:
    """What operators look for first."""
    kind = table.kind
    metadata = {"name": table.name} | ({"namespace": NAMESPACE} if kind.namespaced else {})
    content: Content = {"apiVersion": kind.api_version, "kind": kind.title, "metadata": metadata}
    content |= {"spec": dict(table.spec)} if table.spec else {}
    stored = api.create(kind, content)
    assert stored.status == 201, stored.content
    assert api.status(kind, {**stored.content, "status": dict(table.status)}).status == 200
    titles, row = api.control_plane.kubectl("get", table.asked, table.name, f"--namespace={NAMESPACE}").splitlines()
    shown = dict(zip(re.split(r" {2,}", titles.strip()), re.split(r" {2,}", row.strip()), strict=True))
    shown |= {"AGE": "0s"} if "AGE" in shown else {}
    assert shown == dict(table.columns)
    api.request("DELETE", place(kind, table.name))


def test_everything_of_ours_is_a_category(api: Api) -> None:
    """`kubectl get pierhead` shows it."""
    content = {"apiVersion": "pierhead.io/v1alpha1", "kind": "Host", "metadata": {"name": "node-z"}}
    api.create(Kind.HOST, content)
    assert "host.pierhead.io/node-z" in api.control_plane.kubectl("get", "pierhead", "-o", "name")
    api.request("DELETE", place(Kind.HOST, "node-z"))


def _written() -> Iterator[tuple[str, str]]:
    """The manifests of the tree: own ones, those in documents, and those that `convert` is to make."""
    for path in sorted((ROOT / "tests/cluster/manifests").glob("*.yaml")):
        yield path.name, path.read_text()
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("charts/**/*.md")]):
        for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", path.read_text(), flags=re.DOTALL)):
            if "kind:" in text:
                yield f"{path.name}-{number}", text


MANIFESTS = dict(_written())


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_of_the_tree_are_taken(api: Api, name: str) -> None:
    """By `kubectl apply --dry-run=server`, and by `pierhead check`."""
    parsed = parse(MANIFESTS[name], name)
    assert parsed.problems == ()
    namespaces = {document.manifest.metadata.namespace for document in parsed.documents} - {"", NAMESPACE}
    for namespace in sorted(namespaces):
        content = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        assert api.request("POST", "/api/v1/namespaces", content).status in (201, 409)
    applied = api.control_plane.kubectl("apply", "--dry-run=server", "-f", "-", text=MANIFESTS[name])
    assert len(applied.splitlines()) == len(parsed.documents) + len(parsed.passed_over)


def test_counts_that_mean_any_larger_number_are_taken(api: Api) -> None:
    """A pool of 2**64 addresses has as many as a number can say."""
    pool = {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": "wide", "namespace": NAMESPACE},
        "spec": {"addresses": ["2001:db8::/64"]},
    }
    stored = api.create(Kind.IP_ADDRESS_POOL, pool).content
    counts = {"assignedIPv4": 0, "assignedIPv6": 0, "availableIPv4": 0, "availableIPv6": COUNT_MAX}
    assert api.status(Kind.IP_ADDRESS_POOL, {**stored, "status": counts}).content["status"] == counts
    api.request("DELETE", place(Kind.IP_ADDRESS_POOL, "wide"))

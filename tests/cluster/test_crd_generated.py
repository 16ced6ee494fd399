"""Whatever our programs can write of our own kinds, the API server takes and gives back."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import Enum
from ipaddress import ip_network
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Ge, Le, Lt, MaxLen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.api import address, community, text
from appliance.api.address import parse_address, vip_name
from appliance.api.kind import Kind, Object
from appliance.api.manifest import adapter, decode, encode
from appliance.api.meta import Metadata
from appliance.api.pierhead import Backends, Host, VirtualIP
from tests.cluster.control_plane import MakeControlPlane
from tests.cluster.definitions import Api, place

OURS = tuple(kind for kind in Kind if kind.group == "pierhead.io")
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_ADDRESSES = st.ip_addresses().map(parse_address)
_HOST_NAMES = st.sampled_from(["node-a", "a" * 63, f"{'b' * 63}.{'c' * 63}", "0", "a.b"])
_INTERFACES = st.sampled_from(["eth0", "bond0.100", "!#$&'()*+,-.0-9", "wg_[0]"])
_VALUES: Mapping[object, st.SearchStrategy[Any]] = {
    address.parse_address: _ADDRESSES,
    address.parse_network: st.ip_addresses().map(str).map(ip_network),
    address.parse_interface_address: st.ip_addresses().map(str).map(address.parse_interface_address),
    address.parse_hardware_address: st.sampled_from([b"\x02\0\0\0\0\x01", b"\xfe\xff\xff\xff\xff\xff"]),
    community.parse_community: st.sampled_from(
        [community.CommunityNumber((1, 65535)), community.CommunityNumber((1, 2, 2**32 - 1))]
    ),
    text.parse_object_name: _HOST_NAMES,
    text.parse_interface_name: _INTERFACES,
    text.clean_text: _TEXT.map(text.clean_text),
}
_OPTIONAL_NAMES: Mapping[str, st.SearchStrategy[Any]] = {
    "_parse_optional_object_name": _HOST_NAMES | st.just(""),
    "_parse_optional_interface_name": _INTERFACES | st.just(""),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Anything that a field of a type may hold."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, *extras = arguments
        for extra in extras:
            validator = getattr(extra, "func", None)
            if validator in _VALUES:
                return _VALUES[validator]
            if (name := getattr(validator, "__name__", "")) in _OPTIONAL_NAMES:
                return _OPTIONAL_NAMES[name]
        return _bounded(inner, [bound for extra in extras for bound in getattr(extra, "metadata", ())])
    if origin in (Union, UnionType):
        return st.one_of(*(st.none() if each is NoneType else values(each) for each in arguments))
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(_TEXT, values(arguments[1]), max_size=2)
    if dataclasses.is_dataclass(hint):
        return _objects(hint)  # type: ignore[arg-type]  # a class, though the guard allows instances too
    return _plain(hint)


def _bounded(hint: Any, bounds: list[object]) -> st.SearchStrategy[Any]:
    """Numbers from the least to the greatest, lists up to their end."""
    least = next((int(str(bound.ge)) for bound in bounds if isinstance(bound, Ge)), None)
    most = next((int(str(bound.le)) for bound in bounds if isinstance(bound, Le)), None)
    below = next((int(str(bound.lt)) for bound in bounds if isinstance(bound, Lt)), None)
    longest = next((bound.max_length for bound in bounds if isinstance(bound, MaxLen)), 3)
    if least is not None:
        most = most if most is not None else below - 1 if below is not None else None
        numbers = st.integers(least, most)
        return numbers | st.none() if NoneType in get_args(hint) else numbers
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=min(longest, 5)).map(tuple)
    return values(hint)


def _plain(hint: Any) -> st.SearchStrategy[Any]:
    if hint is bool:
        return st.booleans()
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    return st.integers(0, 9) if hint is int else _TEXT


def _objects(cls: type) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls, include_extras=True)
    fields = {entry.name: values(hints[entry.name]) for entry in dataclasses.fields(cls) if entry.name != "metadata"}
    given_name = {"metadata": st.just(Metadata(name="node-a"))} if "metadata" in hints else {}
    return st.builds(cls, **fields, **given_name)


def named(manifest: Object) -> Object:
    """The object under the name it must have, with each condition once."""
    match manifest:
        case VirtualIP() | Backends():
            return replace(manifest, metadata=Metadata(name=vip_name(manifest.spec.address)))
        case Host():
            conditions = {condition.type: condition for condition in manifest.status.conditions}
            return replace(manifest, status=replace(manifest.status, conditions=tuple(conditions.values())))
        case _:
            return manifest


def is_readable(kind: Kind, manifest: Object) -> bool:
    """Whether a store would take it: what could not be read back is never written."""
    try:
        return decode(kind, encode(manifest), strict=True) == manifest
    except ValidationError:
        return False


@pytest.fixture(scope="module")
def api(make_control_plane: MakeControlPlane) -> Iterator[Api]:
    """A control plane with our definitions, for this file alone."""
    control_plane = make_control_plane()
    api = Api(control_plane)
    api.install()
    yield api
    api.close()
    control_plane.stop()


@pytest.mark.parametrize("kind", OURS)
def test_what_a_program_can_write_is_taken_and_given_back(api: Api, kind: Kind) -> None:
    """Any spec, as it is created, and any status, on its own way."""
    manifests = _objects(kind.cls).map(named).filter(lambda manifest: is_readable(kind, manifest))

    @settings(max_examples=25, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(manifests)
    def try_one(manifest: Any) -> None:
        content = encode(manifest)
        created = api.create(kind, content, "dryRun=All&fieldValidation=Strict")
        assert (created.status, created.content.get("message")) == (201, None)
        assert _part(kind, created.content, "spec") == _part(kind, content, "spec")
        base = api.create(kind, {**content, "status": {}})
        assert base.status == 201
        answer = api.status(kind, {**base.content, "status": content.get("status", {})})
        api.request("DELETE", place(kind, manifest.metadata.name))
        assert (answer.status, answer.content.get("message")) == (200, None)
        assert _part(kind, answer.content, "status") == _part(kind, content, "status")

    try_one()


def _part(kind: Kind, content: Mapping[str, Any], part: str) -> object:
    """Spec or status of an object as our types read it."""
    return getattr(adapter(kind).validate_python({**content, "metadata": {"name": "x"}}, extra="ignore"), part)

"""Manifests with something in every field, made from the types, so that a new field is tried without being listed."""

import base64
import dataclasses
from collections.abc import Iterator, Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic.alias_generators import to_camel

from appliance.api import address, community, core, duration, text
from appliance.api.kind import Kind

Path = tuple[str | int, ...]

# By the validator that stands in the annotation: what a field of that type may well hold.
_EXAMPLES: dict[object, object] = {
    address.parse_address: "192.0.2.1",
    address.parse_network: "192.0.2.1/32",
    address.parse_range: "192.0.2.0/28",
    address.parse_interface_address: "192.0.2.11/24",
    address.parse_hardware_address: "02:00:00:00:00:0b",
    community.parse_community: "64500:1",
    duration.parse_duration: "90s",
    text.parse_object_name: "node-b",
    text.parse_interface_name: "eth0",
    core.decode_base64: base64.b64encode(b"open sesame").decode(),
}
_TEXTS = {
    "host": "node-b",
    "interface": "eth0",
    "ip": "192.0.2.1",
    "clusterIPs": "10.96.0.1",
    "clusterIP": "10.96.0.1",
    "podCIDRs": "10.244.0.0/24",
    "addresses": "10.244.1.1",
    "communities": "64500:1",
    "type": "LoadBalancer",
    "annotations": "192.0.2.1",
    "loadBalancerIP": "192.0.2.1",
}


def example(kind: Kind) -> dict[str, object]:
    """An object of a kind with a value in every field, lists and maps with one entry."""
    content = _object(kind.cls)
    if kind in (Kind.VIRTUAL_IP, Kind.BACKENDS):
        content = with_value(content, ("metadata", "name"), "192.0.2.1")
    if kind is Kind.SECRET:
        content["type"] = core.BASIC_AUTH
    return {"apiVersion": kind.api_version, "kind": kind.title, **content}


def examples(kind: Kind) -> tuple[dict[str, object], ...]:
    """Objects of a kind that between them use every field as it may be used."""
    whole = example(kind)
    if kind is Kind.BGP_SESSION:
        unnumbered = with_value(with_value(whole, ("spec", "neighbor"), None), ("spec", "sourceAddress"), None)
        return whole, with_value(unnumbered, ("spec", "families"), [4, 6])
    return (whole,)


def leaves(content: object, path: Path = ()) -> Iterator[Path]:
    """The path of every value that is no map and no list; keys of free maps are reached by their values."""
    match content:
        case Mapping():
            for key, entry in content.items():
                yield from leaves(entry, (*path, key))
        case list():
            for index, entry in enumerate(content):
                yield from leaves(entry, (*path, index))
        case _:
            yield path


def with_value(content: Any, path: Path, value: object) -> Any:
    """A copy with another value at a path."""
    if not path:
        return value
    first, *rest = path
    copy: Any = dict(content) if isinstance(content, Mapping) else list(content)
    copy[first] = with_value(content[first], tuple(rest), value)
    return copy


def _object(cls: type) -> dict[str, object]:
    hints = get_type_hints(cls, include_extras=True)
    found: dict[str, object] = {}
    for entry in dataclasses.fields(cls):
        hint = hints[entry.name]
        name = _alias(hint) or to_camel(entry.name)
        found[name] = _value(hint, name)
    return found


def _alias(hint: object) -> str | None:
    if get_origin(hint) is not Annotated:
        return None
    return next((alias for extra in get_args(hint)[1:] if (alias := getattr(extra, "alias", None))), None)


def _value(hint: Any, name: str) -> object:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, *extras = arguments
        for extra in extras:
            validator = getattr(extra, "func", None)
            if name == "namespace":
                return "lan"
            if validator in _EXAMPLES:
                return _EXAMPLES[validator]
            optional = _OPTIONAL.get(getattr(validator, "__name__", ""))
            if optional is not None:
                return optional
        return _value(inner, name)
    if origin in (Union, UnionType):
        return _value(next(each for each in arguments if each is not NoneType), name)
    if origin is tuple:
        return [_value(arguments[0], name)]
    if origin in (Mapping, dict) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return {_KEYS.get(name, "rack"): _value(arguments[1], name)}
    if dataclasses.is_dataclass(hint):
        return _object(hint)  # type: ignore[arg-type]  # a class, though the guard allows instances too
    return _plain(hint, name)


def _plain(hint: Any, name: str) -> object:
    if hint is bool:
        return False
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint)).value
    if hint in (int, float):
        return _NUMBERS.get(name, 30)
    return _TEXTS.get(name, "x")


_NUMBERS = {"keepaliveSeconds": 10}
_KEYS = {"data": "password", "stringData": "password", "annotations": "metallb.io/loadBalancerIPs"}
_OPTIONAL = {
    "_parse_optional_object_name": "lan",
    "_parse_optional_interface_name": "eth0",
    "_parse_session_password": "open sesame",
    "clean_text": "x",
}

_INJECTION = "\nprotocol kernel evil { ipv4 { import all; export all; }; }\n"
HOSTILE: tuple[object, ...] = (
    # out of a quoted text, a list, a block
    f'x"; }}{_INJECTION}#',
    f"2001:db8::2%x as 64999;{_INJECTION}",
    "192.0.2.1%eth0",
    "02:00:00:00:00:01 }; }; chain evil { type filter hook input priority 0; policy drop; };",
    ":".join(["02"] * 20),
    "01:00:5e:00:00:01",
    "x\n}",
    "x\r}",
    "x\x00y",
    "\x1b[2J",
    '"',
    "'",
    "\\",
    "/*",
    "#",
    "$(reboot)",
    "*",
    "-eth0",
    "eth?",
    "../../../etc/passwd",
    ".",
    "..",
    "",
    " ",
    "x" * 253,
    "x" * 5000,
    "ethernet-interface-0",
    "é",
    "\u202e",
    "\ud800",
    # addresses that nobody can be reached at
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "127.0.0.1",
    "169.254.1.1",
    "192.0.2.255",
    "192.0.2.0",
    "::",
    "::1",
    "ff02::1",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:10.0.0.1",
    "2001:db8::1",
    "0.0.0.0/0",
    "::/0",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "192.0.2.0/24",
    "10.0.0.0/0.0.0.255",
    "0.0.0.0-255.255.255.255",
    "::/0-::",
    # numbers
    0,
    -1,
    1,
    2,
    4,
    6,
    33,
    65535,
    65536,
    2**32 - 1,
    2**32,
    2**63,
    2**64,
    10**400,
    0.5,
    float("inf"),
    float("nan"),
    "9" * 5000,
    "9" * 400 + "h",
    # other shapes
    True,
    None,
    [],
    {},
    [[[]]],
    {"x": {"y": 1}},
    b"\xff",
)

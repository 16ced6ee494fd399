"""What operators may ask for beyond MetalLB, each by one annotation: reservations on a pool, a quota on a Namespace."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from appliance.api.address import IPAddress, parse_address
from appliance.api.core import Namespace
from appliance.api.kind import Object, ref_of
from appliance.api.metallb import IPAddressPool
from appliance.api.problem import Problem

RESERVED = "pierhead.io/reserved"
QUOTA = "pierhead.io/address-quota"


@dataclass(frozen=True, slots=True)
class Extras:
    """Addresses reserved for Services (`namespace/name`), the most addresses of Namespaces, and what is unreadable."""

    reserved: Mapping[IPAddress, str] = field(default_factory=dict)
    quotas: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def extras_of(manifests: Iterable[Object]) -> Extras:
    """Read `address=namespace/name, ...` from pools and a number from Namespaces; a mistake drops only its entry."""
    reserved: dict[IPAddress, str] = {}
    quotas: dict[str, int] = {}
    problems: list[Problem] = []
    for manifest in manifests:
        annotations = manifest.metadata.annotations
        if isinstance(manifest, IPAddressPool):
            for entry in _entries(annotations.get(RESERVED, "")):
                address, service = _reservation(entry)
                if address is None:
                    problems.append(_problem(manifest, RESERVED, f"{entry!r} is not address=namespace/name"))
                else:
                    reserved[address] = service
        elif isinstance(manifest, Namespace) and QUOTA in annotations:
            if annotations[QUOTA].isdecimal():
                quotas[manifest.metadata.name] = int(annotations[QUOTA])
            else:
                problems.append(_problem(manifest, QUOTA, f"{annotations[QUOTA]!r} is not a number of addresses"))
    return Extras(reserved, quotas, tuple(problems))


def _entries(text: str) -> Iterator[str]:
    return (entry.strip() for entry in text.split(",") if entry.strip())


def _reservation(entry: str) -> tuple[IPAddress | None, str]:
    written, _, service = entry.partition("=")
    namespace, _, name = service.strip().partition("/")
    try:
        return (parse_address(written) if namespace and name else None), f"{namespace}/{name}"
    except ValueError:
        return None, ""


def _problem(manifest: Object, annotation: str, sentence: str) -> Problem:
    return Problem(ref_of(manifest), f"metadata.annotations[{annotation}]", sentence)

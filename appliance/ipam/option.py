"""What operators may ask for beyond MetalLB, each by one annotation of a pool or a Namespace."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from appliance.api.address import IPAddress, parse_address
from appliance.api.core import Namespace
from appliance.api.duration import parse_duration
from appliance.api.kind import Object, ref_of
from appliance.api.metallb import IPAddressPool
from appliance.api.problem import Problem

RESERVED = "pierhead.io/reserved"
QUARANTINE = "pierhead.io/quarantine"
QUOTA = "pierhead.io/address-quota"
_YEAR_SECONDS = 366 * 86400.0


@dataclass(frozen=True, slots=True)
class Options:
    """Services (`namespace/name`) by reserved address, quotas by Namespace, quarantine seconds by pool, mistakes."""

    reserved: Mapping[IPAddress, str] = field(default_factory=dict)
    quotas: Mapping[str, int] = field(default_factory=dict)
    quarantines: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def options_of(manifests: Iterable[Object], before: Options | None = None) -> Options:
    """Read the annotations; in the place of one that cannot be read stands what was in force before."""
    last = before or Options()
    reserved: dict[IPAddress, str] = {}
    quotas: dict[str, int] = {}
    quarantines: dict[str, float] = {}
    problems: list[Problem] = []
    for manifest in manifests:
        match manifest:
            case IPAddressPool():
                reserved |= _reservations(manifest, last, problems)
                quarantines |= _quarantine(manifest, last, problems)
            case Namespace():
                quotas |= _quota(manifest, last, problems)
            case _:
                continue
    return Options(reserved, quotas, quarantines, tuple(problems))


def _reservations(pool: IPAddressPool, last: Options, problems: list[Problem]) -> dict[IPAddress, str]:
    """`address=namespace/name, ...`, each address one of the pool's."""
    reserved: dict[IPAddress, str] = {}
    for entry in _entries(pool.metadata.annotations.get(RESERVED, "")):
        address, service = _reservation(entry)
        if address is None:
            problems.append(_problem(pool, RESERVED, f"{entry!r} is not address=namespace/name"))
            return {kept: service for kept, service in last.reserved.items() if _is_in(kept, pool)}
        if _is_in(address, pool):
            reserved[address] = service
        else:
            problems.append(_problem(pool, RESERVED, f"{address} is not an address of this pool"))
    return reserved


def _entries(text: str) -> Iterator[str]:
    return (entry.strip() for entry in text.split(",") if entry.strip())


def _reservation(entry: str) -> tuple[IPAddress | None, str]:
    written, _, service = entry.partition("=")
    namespace, _, name = service.strip().partition("/")
    try:
        return (parse_address(written) if namespace and name else None), f"{namespace}/{name}"
    except ValueError:
        return None, ""


def _is_in(address: IPAddress, pool: IPAddressPool) -> bool:
    return any(address in run for run in pool.spec.addresses)


def _quarantine(pool: IPAddressPool, last: Options, problems: list[Problem]) -> dict[str, float]:
    name, written = pool.metadata.name, pool.metadata.annotations.get(QUARANTINE, "").strip()
    if not written:
        return {}
    try:
        seconds = parse_duration(written)
    except ValueError as error:
        problems.append(_problem(pool, QUARANTINE, str(error)))
        return {name: last.quarantines[name]} if name in last.quarantines else {}
    if seconds > _YEAR_SECONDS:
        problems.append(_problem(pool, QUARANTINE, f"{written!r} is longer than a year, so a year it is"))
    return {name: min(seconds, _YEAR_SECONDS)} if seconds else {}


def _quota(namespace: Namespace, last: Options, problems: list[Problem]) -> dict[str, int]:
    name, written = namespace.metadata.name, namespace.metadata.annotations.get(QUOTA, "").strip()
    if not written:
        return {}
    if written.isascii() and written.isdecimal():
        return {name: int(written)}
    problems.append(_problem(namespace, QUOTA, f"{written!r} is not a number of addresses"))
    return {name: last.quotas[name]} if name in last.quotas else {}


def _problem(manifest: Object, annotation: str, sentence: str) -> Problem:
    return Problem(ref_of(manifest), f"metadata.annotations[{annotation}]", sentence)

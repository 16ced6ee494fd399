"""What allocation says of one Service, read off the objects of a store."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from appliance.advertise.explain import Assigned
from appliance.api.address import IPAddress
from appliance.api.core import Service
from appliance.api.pierhead import VirtualIP
from appliance.config.model import Config
from appliance.ipam.ledger import Ledger, Terms
from appliance.ipam.option import Options
from appliance.ipam.quarantine import quarantine_of
from appliance.ipam.reason import Reason
from appliance.ipam.reconcile import reconcile
from appliance.ipam.request import Request, read_request
from appliance.ipam.withheld import Withheld, unreleased


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an allocator goes by: the configuration, which class it serves, and the time in seconds since 1970.

    `unusable` are the addresses with a VirtualIP that it can read (UNREADABLE) or write (NAME_TAKEN) no longer.
    """

    config: Config
    options: Options
    now: float
    own_class: str | None = None
    cluster_ips_known: bool = False
    taken: Mapping[IPAddress, Reason] = field(default_factory=dict)
    unusable: Mapping[IPAddress, Reason] = field(default_factory=dict)


def assigned(
    service: Service,
    services: Iterable[Service],
    vips: Collection[VirtualIP],
    site: Circumstances,
) -> Assigned:
    """The addresses a Service holds by its VirtualIPs, or what an allocator would say of it now."""
    asked = read_request(service, site.cluster_ips_known, site.own_class)
    if not isinstance(asked, Request):
        return Assigned(unserved=asked)
    held, pools = _held(vips)
    if asked.service in held:
        return Assigned(held[asked.service], pools.get(asked.service, ""), mistake=asked.mistake)
    if asked.mistake:
        return Assigned(mistake=asked.mistake)
    options = site.options
    ledger = Ledger(site.config.pools.values(), Terms(options.reserved, options.quotas, site.taken))
    for other in services:
        request = read_request(other, site.cluster_ips_known, site.own_class)
        if isinstance(request, Request) and request.service in held:
            ledger.hold(request, held[request.service])
    for address, reason in site.unusable.items():
        ledger.withhold(address, Withheld(reason))
    for vip in vips:
        cause = _cause(vip, ledger, site)
        if cause is not None:
            ledger.withhold(vip.spec.address, cause)
    decision = reconcile(asked.service, asked, (), ledger)
    return Assigned(pool=decision.pool, refusal=decision.refusal)


def _cause(vip: VirtualIP, ledger: Ledger, site: Circumstances) -> Withheld | None:
    """Why an address that has a VirtualIP is not to be given: it lists somebody who has gone, or is in quarantine."""
    address = vip.spec.address
    left = unreleased((str(entry.reference) for entry in vip.spec.services), ledger.users(address))
    if left is not None:
        return left
    stock = ledger.stock_at(address)
    seconds = site.options.quarantines.get(stock.pool.name, 0.0) if stock else 0.0
    quarantine = quarantine_of(vip.spec, seconds, site.now)
    return Withheld(Reason.QUARANTINED, quarantine.last_holder) if quarantine is not None else None


def _held(vips: Iterable[VirtualIP]) -> tuple[Mapping[str, tuple[IPAddress, ...]], Mapping[str, str]]:
    """Addresses and pool of every Service (`namespace/name`), IPv4 first."""
    held: dict[str, tuple[IPAddress, ...]] = {}
    pools: dict[str, str] = {}
    for vip in sorted(vips, key=lambda vip: (vip.spec.address.version, int(vip.spec.address))):
        for entry in vip.spec.services:
            service = str(entry.reference)
            held[service] = (*held.get(service, ()), vip.spec.address)
            pools[service] = vip.spec.pool
    return held, pools

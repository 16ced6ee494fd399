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
from appliance.ipam.withheld import Withheld


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an allocator goes by: the configuration, which class it serves, and the time in seconds since 1970."""

    config: Config
    options: Options
    now: float
    own_class: str | None = None
    cluster_ips_known: bool = False
    taken: Mapping[IPAddress, Reason] = field(default_factory=dict)


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
    ledger = _ledger(vips, site)
    for other in services:
        request = read_request(other, site.cluster_ips_known, site.own_class)
        if isinstance(request, Request) and request.service in held:
            ledger.hold(request, held[request.service])
    decision = reconcile(asked.service, asked, (), ledger)
    return Assigned(pool=decision.pool, refusal=decision.refusal)


def _ledger(vips: Iterable[VirtualIP], site: Circumstances) -> Ledger:
    """A ledger without holdings, that withholds what is reserved, in quarantine, or a host's own."""
    options = site.options
    ledger = Ledger(site.config.pools.values(), Terms(options.reserved, options.quotas, site.taken))
    for vip in vips:
        stock = ledger.stock_at(vip.spec.address)
        seconds = options.quarantines.get(stock.pool.name, 0.0) if stock else 0.0
        quarantine = quarantine_of(vip.spec, seconds, site.now)
        if quarantine is not None:
            ledger.withhold(vip.spec.address, Withheld(Reason.QUARANTINED, quarantine.last_holder))
    return ledger


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

"""What allocation says of one Service, read off the objects of a store."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from appliance.advertise.explain import Allotment
from appliance.api.address import IPAddress
from appliance.api.core import Service
from appliance.api.pierhead import VirtualIP
from appliance.config.model import Config
from appliance.ipam.extra import Extras
from appliance.ipam.ledger import Ledger
from appliance.ipam.quarantine import rest_of
from appliance.ipam.reconcile import reconcile
from appliance.ipam.request import Request, read_request


@dataclass(frozen=True, slots=True)
class Terms:
    """What an allocator goes by: the configuration and what it adds to it, which class it serves, and the time."""

    config: Config
    extras: Extras
    now: datetime
    own_class: str | None = None
    cluster_ips_known: bool = False


def allotment(
    service: Service,
    services: Iterable[Service],
    vips: Collection[VirtualIP],
    terms: Terms,
) -> Allotment:
    """The addresses a Service holds by its VirtualIPs, or what an allocator would say of it now."""
    asked = read_request(service, terms.cluster_ips_known, terms.own_class)
    if not isinstance(asked, Request):
        return Allotment(unserved=asked)
    held, pools = _held(vips)
    if asked.service in held:
        return Allotment(held[asked.service], pools.get(asked.service, ""), mistake=asked.mistake)
    if asked.mistake:
        return Allotment(mistake=asked.mistake)
    ledger = _ledger(vips, terms)
    for other in services:
        request = read_request(other, terms.cluster_ips_known, terms.own_class)
        if isinstance(request, Request) and request.service in held:
            ledger.hold(request, held[request.service])
    decision = reconcile(asked.service, asked, (), ledger)
    return Allotment(pool=decision.pool, refusal=decision.refusal)


def _ledger(vips: Iterable[VirtualIP], terms: Terms) -> Ledger:
    """A ledger without holdings, that keeps back what is reserved or in quarantine."""
    ledger, extras = Ledger(), terms.extras
    ledger.set_pools(terms.config.pools.values(), extras.reserved, extras.quotas)
    for vip in vips:
        stock = ledger.stock_at(vip.spec.address)
        seconds = extras.quarantines.get(stock.pool.name, 0.0) if stock else 0.0
        rest = rest_of(vip, seconds, terms.now)
        if rest is not None:
            ledger.close(vip.spec.address, rest.last_holder, is_resting=True)
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

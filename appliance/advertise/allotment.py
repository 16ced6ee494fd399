"""What allocation says of one Service, read off the objects of a store."""

from collections.abc import Iterable, Mapping

from appliance.advertise.explain import Allotment
from appliance.api.address import IPAddress
from appliance.api.core import Service
from appliance.api.pierhead import VirtualIP
from appliance.config.model import Config
from appliance.ipam.ledger import Ledger
from appliance.ipam.reconcile import reconcile
from appliance.ipam.request import Request, read_request


def allotment(
    service: Service,
    services: Iterable[Service],
    vips: Iterable[VirtualIP],
    config: Config,
    *,
    cluster_ips_known: bool = False,
    own_class: str | None = None,
) -> Allotment:
    """The addresses a Service holds by its VirtualIPs, or what an allocator would say of it now."""
    asked = read_request(service, cluster_ips_known, own_class)
    if not isinstance(asked, Request):
        return Allotment(unserved=asked)
    held, pools = _held(vips)
    if asked.service in held:
        return Allotment(held[asked.service], pools.get(asked.service, ""), mistake=asked.mistake)
    if asked.mistake:
        return Allotment(mistake=asked.mistake)
    ledger = Ledger(config.pools.values())
    for other in services:
        request = read_request(other, cluster_ips_known, own_class)
        if isinstance(request, Request) and request.service in held:
            ledger.hold(request, held[request.service])
    decision = reconcile(asked.service, asked, (), ledger)
    return Allotment(pool=decision.pool, refusal=decision.refusal)


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

"""What of a site needs somebody's attention now, worst first."""

from collections.abc import Iterator

from appliance.api.core import Service
from appliance.overview.row import Attention, HostHealth, SessionHealth, Severity, VipHealth
from appliance.overview.site import Site

_VIP_SENTENCES = {
    VipHealth.NO_OWNER: "nobody answers for it",
    VipHealth.NO_ROUTE: "no host announces it",
    VipHealth.UNANNOUNCED: "no advertisement announces it",
}


def attention(site: Site, *, load_balancer_class: str | None = None) -> tuple[Attention, ...]:
    """Everything to look at; Services of another `load_balancer_class` are somebody else's."""
    found = [*_vips(site), *_hosts(site), *_sessions(site), *_pools(site), *_services(site, load_balancer_class)]
    return tuple(sorted(found, key=lambda each: (-each.severity, each.kind, each.name, each.sentence)))


def _vips(site: Site) -> Iterator[Attention]:
    for address in site.addresses():
        row = site.vip(address)
        if row is None or row.health.severity < Severity.WAITING:
            continue
        match row.health:
            case VipHealth.CONFLICT:
                sentence = f"{', '.join(row.conflicts)} answers for it too"
            case VipHealth.TWO_OWNERS:
                sentence = "more than one host answers for it"
            case health:
                sentence = _VIP_SENTENCES[health]
        yield Attention(row.health.severity, "VIP", str(address), sentence)


def _hosts(site: Site) -> Iterator[Attention]:
    for name in site.host_names():
        row = site.host(name)
        if row is None or row.health.severity < Severity.WAITING:
            continue
        sentence = "is drained" if row.health is HostHealth.DRAINED else row.detail
        yield Attention(row.health.severity, "host", name, sentence)


def _sessions(site: Site) -> Iterator[Attention]:
    for name in site.host_names():
        for row in site.sessions(name):
            if row.health is SessionHealth.DOWN:
                said = f": {row.message}" if row.message else ""
                yield Attention(Severity.BAD, "session", f"{name} {row.name}", f"{row.peer} is {row.state}{said}")
            elif row.health is SessionHealth.WITHOUT_BFD:
                sentence = f"{row.peer} is {row.state}, and its BFD session is {row.bfd}"
                yield Attention(Severity.WAITING, "session", f"{name} {row.name}", sentence)


def _pools(site: Site) -> Iterator[Attention]:
    for ref in site.pool_refs():
        row = site.pool(ref)
        for version, usage in sorted(row.usage.items()) if row else ():
            if usage.severity >= Severity.WAITING:
                sentence = f"{usage.assigned} of {usage.total} IPv{version} addresses are given ({usage.percent:.0f} %)"
                yield Attention(usage.severity, "pool", ref.name, sentence)


def _services(site: Site, load_balancer_class: str | None) -> Iterator[Attention]:
    for ref, service in sorted(site.services.items()):
        if is_pending(service, load_balancer_class):
            yield Attention(Severity.WAITING, "Service", ref.path, "has no address")


def is_pending(service: Service, load_balancer_class: str | None = None) -> bool:
    """Whether a Service waits for an address of ours."""
    spec = service.spec
    is_ours = spec.type == "LoadBalancer" and (spec.load_balancer_class or None) == load_balancer_class
    return is_ours and not any(entry.ip for entry in service.status.load_balancer.ingress)

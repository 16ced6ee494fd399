"""What of a site needs somebody's attention now, worst first."""

from collections.abc import Iterable, Iterator

from appliance.api.address import IPAddress
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
    found = [*_vips(site), *_pools(site), *_services(site, load_balancer_class)]
    for host in site.host_names():
        found += [*_host(site, host), *_within(site, host), *_sessions(site, host)]
    return _worst_first(found)


def host_attention(site: Site, host: str) -> tuple[Attention, ...]:
    """What to look at on one host, and the conflicts that it sees; what others say of it is left out."""
    conflicts = (
        _conflict(address, (seen.conflict,))
        for address in site.addresses()
        if (seen := site.verdicts(address).get(host)) and seen.conflict
    )
    return _worst_first([*_within(site, host), *_sessions(site, host), *conflicts])


def _worst_first(found: Iterable[Attention]) -> tuple[Attention, ...]:
    return tuple(sorted(found, key=lambda each: (-each.severity, each.kind, each.name, each.sentence)))


def _vips(site: Site) -> Iterator[Attention]:
    for address in site.addresses():
        row = site.vip(address)
        if row is None or row.health.severity < Severity.WAITING:
            continue
        match row.health:
            case VipHealth.CONFLICT:
                yield _conflict(address, row.conflicts)
            case VipHealth.TWO_OWNERS:
                yield Attention(row.health.severity, "VIP", str(address), "more than one host answers for it")
            case health:
                yield Attention(health.severity, "VIP", str(address), _VIP_SENTENCES[health])


def _conflict(address: IPAddress, others: Iterable[str]) -> Attention:
    sentence = f"{', '.join(others)} answers for it too"
    return Attention(VipHealth.CONFLICT.severity, "VIP", str(address), sentence)


def _host(site: Site, name: str) -> Iterator[Attention]:
    """What others say of a host, and whether it is drained; what it says of itself is said elsewhere."""
    row = site.host(name)
    match row.health if row else None:
        case HostHealth.FAILED | HostHealth.AGENT_DOWN as health if row:
            yield Attention(health.severity, "host", name, row.detail)
        case HostHealth.DRAINED as health:
            yield Attention(health.severity, "host", name, "is drained")


def _within(site: Site, name: str) -> Iterator[Attention]:
    """What a host says is wrong with it: to whoever asks its agent, else in the store."""
    view, manifest = site.agents.get(name), site.hosts.get(name)
    if view is None or not view.is_live:
        for condition in manifest.status.conditions if manifest else ():
            if condition.type in _FALSE_CONDITIONS and condition.status == "False":
                sentence = condition.message or _FALSE_CONDITIONS[condition.type]
                yield Attention(Severity.BAD, "host", name, sentence)
        return
    if (feed := view.feed) is not None:
        if feed.source != "live":
            yield Attention(Severity.WAITING, "host", name, f"its feed is not live (it is from: {feed.source})")
        yield from (Attention(Severity.WAITING, "host", name, f"feed: {problem}") for problem in feed.problems)
    if (program := view.program) is not None:
        yield from (Attention(Severity.WAITING, "host", name, f"not ready: {each}") for each in program.waits_for)
        yield from (
            Attention(Severity.BAD, "host", name, f"nobody answers on {each}") for each in program.isolated_links
        )
        if not program.bird.reachable:
            yield Attention(Severity.BAD, "host", name, "BIRD does not answer")
        if program.bird.refused:
            yield Attention(Severity.BAD, "host", name, f"BIRD refused its configuration: {program.bird.refused}")
        for fault in program.bird.faults:
            yield Attention(Severity.BAD, "session", f"{name} {fault.session}", fault.reason.replace("-", " "))


_FALSE_CONDITIONS = {
    "BirdReachable": "BIRD does not answer",
    "ConfigurationAccepted": "BIRD refused its configuration",
    "Delivering": "its forwarder has no rules yet",
}


def _sessions(site: Site, host: str) -> Iterator[Attention]:
    for row in site.sessions(host):
        if row.health is SessionHealth.DOWN:
            said = f": {row.message}" if row.message else ""
            yield Attention(Severity.BAD, "session", f"{host} {row.name}", f"{row.peer} is {row.state}{said}")
        elif row.health is SessionHealth.WITHOUT_BFD:
            sentence = f"{row.peer} is {row.state}, and its BFD session is {row.bfd}"
            yield Attention(Severity.WAITING, "session", f"{host} {row.name}", sentence)


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

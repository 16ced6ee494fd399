"""What the agent has to say in the store, from what it decided and sees."""

from collections.abc import Iterable, Iterator

from appliance.agent.publish import Report
from appliance.agent.status import Known
from appliance.api.pierhead import AddressConflict, Condition, HostInterface, HostStatus, VirtualIP
from appliance.desired.interface import can_carry
from appliance.host.link import Link
from appliance.l2.verdict import Role


def report_of(known: Known, links: Iterable[Link], chosen: tuple[str, ...], pending_drain: bool | None) -> Report:
    """The whole report of this host."""
    owned = tuple(vip for vip in known.feed.vips.values() if _is_owned(vip, known))
    return Report(
        name=known.host,
        labels=dict(known.labels),
        status=_host_status(known, tuple(_interfaces(links, chosen)), owned),
        drain=pending_drain,
        registered=known.feed.hosts.get(known.host),
        owned=owned,
    )


def _is_owned(vip: VirtualIP, known: Known) -> bool:
    """Whether this host answers for a VIP and may say so: one that hears nobody may not be the only one who does."""
    if known.isolated:
        return False
    holding = known.holdings.get(vip.spec.address)
    return holding is not None and holding.role is Role.OWNER


def _host_status(known: Known, interfaces: tuple[HostInterface, ...], owned: tuple[VirtualIP, ...]) -> HostStatus:
    return HostStatus(
        version=known.version,
        interfaces=interfaces,
        conditions=tuple(_conditions(known)),
        bgp_sessions=known.bgp_sessions,
        bfd_sessions=known.bfd_sessions,
        conflicts=tuple(_conflicts(known)),
        owned=tuple(vip.metadata.name for vip in owned),
        announced=sum(decision.bgp.is_announced for decision in known.desired.vips.values()) if known.desired else 0,
        feed_revision=known.feed_status.revision,
    )


def _conditions(known: Known) -> Iterator[Condition]:
    bird = known.bird
    answer = "BIRD answers" if bird.reachable else "BIRD's control socket does not answer"
    yield Condition(type="BirdReachable", status=_status(bird.reachable), message=answer)
    yield Condition(type="ConfigurationAccepted", status=_status(not bird.refused), message=bird.refused)
    yield Condition(type="Drained", status=_status(known.drained))


def _status(holds: bool) -> str:
    return "True" if holds else "False"


def _interfaces(links: Iterable[Link], chosen: tuple[str, ...]) -> Iterator[HostInterface]:
    for link in links:
        if can_carry(link.name, link.resolves, link.enslaved, chosen):
            addresses = tuple(address for address in link.addresses if not address.is_link_local)
            yield HostInterface(name=link.name, hardware_address=link.hardware_address, addresses=addresses, up=link.up)


def _conflicts(known: Known) -> Iterator[AddressConflict]:
    for address, seen in sorted(known.conflicts.items(), key=lambda entry: (entry[0].version, int(entry[0]))):
        yield AddressConflict(address=address, hardware_address=seen.hardware_address, interface=seen.interface)

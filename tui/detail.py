"""Everything that is known of one VIP, host, session or pool, as lines."""

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.api.address import IPAddress
from appliance.api.meta import Ref
from appliance.overview.row import SessionHealth, SessionRow, Severity
from appliance.overview.site import Site


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text: how much it matters, or whether it is the title of what follows."""

    text: str
    severity: Severity | None = None
    is_title: bool = False


def of_vip(site: Site, address: IPAddress) -> Iterator[Line]:
    """A VIP: what it is, and what each host that was heard says of it."""
    row = site.vip(address)
    if row is None:
        yield Line(f"{address} is gone", Severity.BAD)
        return
    yield Line(f"State      {row.health.text}", row.health.severity)
    yield Line(f"Service    {', '.join(row.services) or 'none'}")
    yield Line(f"Pool       {row.pool or 'none'}")
    yield Line(f"Mode       {row.mode.value}")
    yield Line(f"Owner      {row.owner or 'nobody'}{f' since {row.since}' if row.since else ''}")
    for conflict in row.conflicts:
        yield Line(f"Conflict   {conflict} answers for it too", Severity.BAD)
    manifest = site.vips.get(address)
    if manifest is not None and manifest.spec.layer2 is not None:
        yield Line(f"Candidates {', '.join(manifest.spec.layer2.candidates) or 'any host'}")
    yield Line("")
    yield Line("What the hosts say", is_title=True)
    said = False
    for host, view in sorted(site.agents.items()):
        verdict = view.vips.get(str(address))
        if verdict is None:
            continue
        said = True
        stale = "" if view.is_live else " (an old answer)"
        if verdict.layer2 is not None:
            yield Line(f"{host}{stale}: layer 2 {verdict.layer2.role.value}: {verdict.layer2.reason}")
        if verdict.bgp is not None:
            peers = ", ".join(verdict.bgp.peers) or "all peers"
            told = f"announced to {peers}" if verdict.bgp.announced else "not announced"
            yield Line(f"{host}{stale}: BGP {told}: {verdict.bgp.reason}")
    if not said:
        yield Line("No agent was asked: this is what the store says.", Severity.QUIET)


def of_host(site: Site, name: str) -> Iterator[Line]:
    """A host: how it is, its sessions, its interfaces, and the VIPs it would have to hand over."""
    row = site.host(name)
    if row is None:
        yield Line(f"host {name} is gone", Severity.BAD)
        return
    yield Line(f"State      {row.health.text}{f', {row.detail}' if row.detail else ''}", row.health.severity)
    yield Line(f"Agent      {row.version or 'unknown'}{', feed ' + row.feed if row.feed else ''}")
    owns, announces = ("unknown" if count is None else count for count in (row.owned, row.announced))
    yield Line(f"Owns       {owns}, announces {announces}")
    yield Line(f"Drained    {'yes' if row.drained else 'no'}", Severity.WAITING if row.drained else None)
    manifest = site.hosts.get(name)
    for interface in manifest.status.interfaces if manifest else ():
        addresses = " ".join(map(str, interface.addresses))
        text = f"Interface  {interface.name} {'up' if interface.up else 'DOWN'} {addresses}"
        yield Line(text, None if interface.up else Severity.BAD)
    yield Line("")
    yield Line("BGP sessions", is_title=True)
    sessions = site.sessions(name)
    for session in sessions:
        bfd = f", BFD {session.bfd}" if session.bfd else ""
        text = f"{session.name} {session.peer} {session.state}{bfd} {session.message}".rstrip()
        yield Line(text, None if session.health is SessionHealth.UP else session.health.severity)
    if not sessions:
        yield Line("none", Severity.QUIET)
    rows = (site.vip(address) for address in site.addresses())
    owned = [str(vip.address) for vip in rows if vip and vip.owner == name]
    yield Line("")
    yield Line("If it were drained", is_title=True)
    yield Line(f"it would hand over: {', '.join(owned) or 'nothing'}")


def of_session(site: Site, row: SessionRow) -> Iterator[Line]:
    """A BGP session as it is now."""
    now = next((each for each in site.sessions(row.host) if (each.name, each.peer) == (row.name, row.peer)), None)
    if now is None:
        yield Line(f"{row.host} has no session {row.name} any more", Severity.BAD)
        return
    yield Line(f"State      {now.health.text}", now.health.severity)
    yield Line(f"Host       {now.host}")
    yield Line(f"Peer       {now.name}, {now.peer}")
    yield Line(f"BGP        {now.state}{f' since {now.since}' if now.since else ''}")
    yield Line(f"BFD        {now.bfd or 'no BFD session with this peer'}")
    if now.message:
        yield Line(f"Message    {now.message}", Severity.WAITING)


def of_pool(site: Site, ref: Ref) -> Iterator[Line]:
    """A pool: how full it is, and who holds what."""
    row = site.pool(ref)
    if row is None:
        yield Line(f"pool {ref.path} is gone", Severity.BAD)
        return
    for version, usage in sorted(row.usage.items()):
        text = f"IPv{version}       {usage.assigned} of {usage.total} addresses are given ({usage.percent:.0f} %)"
        yield Line(text, usage.severity)
    yield Line(f"Addresses  {', '.join(row.addresses)}")
    yield Line(f"Automatic  {'yes' if row.auto_assign else 'no: only who asks for it gets one of it'}")
    yield Line("")
    yield Line("Who holds what", is_title=True)
    held = [vip for vip in map(site.vip, site.addresses()) if vip and vip.pool == row.name]
    for vip in held:
        yield Line(f"{vip.address!s:<16} {', '.join(vip.services) or 'nobody'}")
    if not held:
        yield Line("nobody holds anything", Severity.QUIET)

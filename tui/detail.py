"""Everything that is known of one VIP, host or session, as lines."""

from collections.abc import Iterator

from appliance.api.address import IPAddress
from appliance.overview.site import Site


def of_vip(site: Site, address: IPAddress) -> Iterator[str]:
    """A VIP: what it is, and what each host that was heard says of it."""
    row = site.vip(address)
    if row is None:
        yield f"{address} is gone"
        return
    yield f"VIP {address}: {row.health.text}"
    yield ""
    yield f"Services   {', '.join(row.services) or 'none'}"
    yield f"Pool       {row.pool or 'none'}"
    yield f"Mode       {row.mode.value}"
    yield f"Owner      {row.owner or 'nobody'}{f' since {row.since}' if row.since else ''}"
    for conflict in row.conflicts:
        yield f"Conflict   {conflict} answers for it too"
    manifest = site.vips.get(address)
    if manifest is not None and manifest.spec.layer2 is not None:
        yield f"Candidates {', '.join(manifest.spec.layer2.candidates) or 'any host'}"
    yield ""
    said = False
    for host, view in sorted(site.agents.items()):
        verdict = view.vips.get(str(address))
        if verdict is None:
            continue
        said = True
        stale = "" if view.is_live else " (an old answer)"
        if verdict.layer2 is not None:
            yield f"{host}{stale}: layer 2 {verdict.layer2.role.value}: {verdict.layer2.reason}"
        if verdict.bgp is not None:
            peers = ", ".join(verdict.bgp.peers) or "all peers"
            told = f"announced to {peers}" if verdict.bgp.announced else "not announced"
            yield f"{host}{stale}: BGP {told}: {verdict.bgp.reason}"
    if not said:
        yield "No agent was asked: this is what the store says."


def of_host(site: Site, name: str) -> Iterator[str]:
    """A host: how it is, its sessions, its interfaces, and the VIPs it would have to hand over."""
    row = site.host(name)
    if row is None:
        yield f"host {name} is gone"
        return
    yield f"Host {name}: {row.health.text}{f', {row.detail}' if row.detail else ''}"
    yield ""
    yield f"Agent      {row.version or 'unknown'}{', feed ' + row.feed if row.feed else ''}"
    owns, announces = ("unknown" if count is None else count for count in (row.owned, row.announced))
    yield f"Owns       {owns}, announces {announces}"
    yield f"Drained    {'yes' if row.drained else 'no'}"
    manifest = site.hosts.get(name)
    for interface in manifest.status.interfaces if manifest else ():
        addresses = " ".join(map(str, interface.addresses))
        yield f"Interface  {interface.name} {'up' if interface.up else 'DOWN'} {addresses}"
    for session in site.sessions(name):
        bfd = f", BFD {session.bfd}" if session.bfd else ""
        yield f"Session    {session.name} {session.peer} {session.state}{bfd} {session.message}".rstrip()
    rows = (site.vip(address) for address in site.addresses())
    owned = [str(vip.address) for vip in rows if vip and vip.owner == name]
    yield ""
    yield f"Drained, it would hand over: {', '.join(owned) or 'nothing'}"

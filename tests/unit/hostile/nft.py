"""What a host makes of its feed for nftables, and which statements may stand in it."""

import re
from collections.abc import Iterator

from appliance.api.kind import Kind, Object
from appliance.api.pierhead import Host
from appliance.forward.listing import KernelTables
from appliance.forward.machine import Device, DevicesChanged, Forwarding, ObjectsChanged
from tests.unit.forward.site import backend, behind, host, port, vip
from tests.unit.hostile.bird import remembered
from tests.unit.hostile.test_api import accepted

FORWARDER_KINDS = (Kind.VIRTUAL_IP, Kind.BACKENDS, Kind.HOST)
_VIP = "192.0.2.1"
_ON_A, _ON_B = backend("10.244.1.2", "node-a"), backend("10.244.2.2", "node-b")
_WHOLE: tuple[Object, ...] = (
    host("node-a", "192.0.2.10/24"),
    host("node-b", "192.0.2.11/24"),
    vip(_VIP),
    behind(_VIP, port(_ON_A, _ON_B)),
)


def texts(kind: Kind, me: str) -> Iterator[tuple[Object | None, str]]:
    """What host `me` tells its kernel at first, and for each spoilt object what it changes, and changes back."""
    core = Forwarding(me)
    core.handle(ObjectsChanged(_WHOLE))
    core.handle(DevicesChanged((Device("eth0", 2),)))
    yield None, core.take_over(KernelTables(), 0.0).text
    distinct = {_meaning(manifest): manifest for manifest in accepted(kind)}
    for moment, manifest in enumerate(distinct.values(), start=1000):
        for objects in ((remembered(manifest),), _WHOLE):
            core.handle(ObjectsChanged(objects))
            change = core.change(float(moment))
            if change is not None:
                yield manifest, change.text


def _meaning(manifest: Object) -> str:
    """What of an object a packet could notice: most of what a host says of itself is nothing to it."""
    match manifest:
        case Host():
            return repr((manifest.metadata.name, manifest.spec, manifest.status.interfaces))
        case _:
            return repr((manifest.metadata.name, getattr(manifest, "spec", None)))


_NUMBER, _SYMBOL, _HOST = r"(?:0x[0-9a-f]+|\d+)", r"[a-z0-9_]+", r"to_[-a-z0-9.]{1,64}"
_ADDRESS, _TABLE = r"[0-9a-f.:]{2,39}", r"(?:netdev|ip6?) pierhead"
_PART = rf"(?:{_ADDRESS}|{_NUMBER})"
_KEY = rf"{_PART}(?: \. {_PART})*"
_ELEMENT = rf"{_KEY}(?: : (?:goto (?:{_SYMBOL}|{_HOST})|{_KEY}))?"
_STATEMENTS = (
    rf"(?:add|delete|flush) chain {_TABLE} (?:{_SYMBOL}|{_HOST})",
    rf"(?:add|delete) (?:map|set) {_TABLE} {_SYMBOL}(?: \{{ typeof numgen inc mod 1021(?: : verdict)?; \}})?",
    rf"(?:add|delete) element {_TABLE} {_SYMBOL} \{{ {_ELEMENT}(?:, {_ELEMENT})* \}}",
    rf"add rule netdev pierhead {_HOST} (?:counter|meta protocol (ip6?) fwd \1 to {_ADDRESS} device \"eth0\")",
    rf"add rule ip6? pierhead {_HOST} (?:ip ttl|ip6 hoplimit) > 1 counter dup to {_ADDRESS} device \"eth0\"",
    rf"add rule ip6? pierhead {_HOST} drop",
    rf"add rule ip6? pierhead targets_{_SYMBOL} meta l4proto {_SYMBOL} dnat ip6? addr \. port to [a-z0-9@ ._]+",
    rf"add rule {_TABLE} (?:ingress|first|next|datagram)_{_SYMBOL} [-a-z0-9@,>{{}} ._]+",
)
_STATEMENT = re.compile("|".join(f"(?:{pattern})" for pattern in _STATEMENTS))


def strange(text: str) -> list[str]:
    """The lines of a change that nobody meant to write; the structure is reviewed as it stands."""
    changes = text[text.rfind("\n}\n") + 3 :] if "\n}\n" in text else text
    return [line for line in changes.splitlines() if not _STATEMENT.fullmatch(line)]

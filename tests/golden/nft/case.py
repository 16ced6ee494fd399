"""Sites worth reading as rules, and changes of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.api.core import Protocol, SessionAffinity, TrafficPolicy
from appliance.api.kind import Object, ref_of
from appliance.forward.listing import KernelTables
from appliance.forward.machine import Device, DevicesChanged, FailedHostsChanged, Forwarding, ObjectsChanged
from tests.unit.forward.site import backend, behind, host, port, vip

HERE = Path(__file__).parent
BUCKETS_SHOWN = 6

_VIP4, _VIP6 = "192.168.1.240", "2001:db8:1::f0"
_A = host("node-a", "192.168.1.11/24", "2001:db8:1::11/64")
_B = host("node-b", "192.168.1.12/24", "2001:db8:1::12/64")
_C = host("node-c", "192.168.1.13/24")
_ON_A = (backend("10.244.1.2", "node-a"), backend("10.244.1.3", "node-a"))
_ON_B, _ON_C = backend("10.244.2.2", "node-b"), backend("10.244.3.2", "node-c")
_ON6 = (backend("2001:db8:244:1::2", "node-a"), backend("2001:db8:244:2::2", "node-b"))


@dataclass(frozen=True, slots=True)
class Case:
    """What host a is told first, and what it is told then, if anything: the text is that of the last."""

    objects: Sequence[Object]
    then: Sequence[ObjectsChanged | FailedHostsChanged] = ()
    devices: tuple[Device, ...] = (Device("eth0", 2),)

    def texts(self) -> list[str]:
        """Every transaction, the first in place of whatever was there."""
        core = Forwarding("node-a")
        core.handle(DevicesChanged(self.devices))
        core.handle(ObjectsChanged(self.objects))
        texts = [core.take_over(KernelTables(), 0.0).text]
        for moment, event in enumerate(self.then, start=1000):
            core.handle(event)
            change = core.change(float(moment))
            texts.append(change.text if change else "")
        return texts


def _site(*objects: Object) -> tuple[Object, ...]:
    return (_A, _B, _C, *objects)


_CLUSTER = _site(vip(_VIP4), behind(_VIP4, port(*_ON_A, _ON_B, _ON_C)), vip(_VIP6), behind(_VIP6, port(*_ON6)))
_DATAGRAMS = _site(vip(_VIP4), behind(_VIP4, port(*_ON_A, _ON_B, protocol=Protocol.UDP, number=53)))
_ANOTHER = ObjectsChanged((vip("192.168.1.241"), behind("192.168.1.241", port(*_ON_A, _ON_B, _ON_C, number=443))))
_SETTLED = ObjectsChanged(())

CASES: Mapping[str, Case] = {
    "empty": Case((), devices=()),
    "alone": Case((_A, vip(_VIP4), behind(_VIP4, port(*_ON_A[:1])))),
    "cluster": Case(_CLUSTER),
    "datagrams": Case(_DATAGRAMS),
    "by_address": Case(
        _site(
            vip(_VIP4),
            behind(
                _VIP4,
                port(*_ON_A, _ON_B, affinity=SessionAffinity.CLIENT_IP),
                port(*_ON_A, _ON_B, affinity=SessionAffinity.CLIENT_IP, protocol=Protocol.UDP, number=53),
            ),
        )
    ),
    "passing": Case(
        _site(vip(_VIP4), behind(_VIP4, port(_ON_B, _ON_C), port(_ON_B, _ON_C, protocol=Protocol.SCTP, number=36412)))
    ),
    "local": Case(
        _site(
            vip(_VIP4),
            behind(_VIP4, port(*_ON_A, policy=TrafficPolicy.LOCAL)),
            vip(_VIP6),
            behind(_VIP6, port(*_ON6[1:], policy=TrafficPolicy.LOCAL)),
        )
    ),
    "nobody": Case(_site(vip(_VIP4), behind(_VIP4, port()))),
    "then_a_vip": Case(
        _CLUSTER,
        [_ANOTHER],
    ),
    "then_a_vip_settled": Case(_CLUSTER, [_ANOTHER, _SETTLED]),
    "then_no_vip": Case(_CLUSTER, [ObjectsChanged((), (ref_of(vip(_VIP6)),))]),
    "then_a_backend": Case(_CLUSTER, [ObjectsChanged((behind(_VIP4, port(*_ON_A[:1], _ON_B, _ON_C)),))]),
    "then_not_ready": Case(
        _CLUSTER, [ObjectsChanged((behind(_VIP4, port(_ON_A[0], replace(_ON_A[1], serving=False), _ON_B, _ON_C)),))]
    ),
    "then_a_host_failed": Case(_CLUSTER, [FailedHostsChanged(frozenset({"node-b"}))]),
    "then_datagrams_gained": Case(_DATAGRAMS, [_SETTLED, FailedHostsChanged(frozenset({"node-b"}))]),
}


def readable(text: str) -> str:
    """A text with the first few buckets of each ring alone; nft takes it all the same."""
    return "".join(_shown(line) for line in text.splitlines(keepends=True))


def _shown(line: str) -> str:
    match = re.fullmatch(
        r"((?:add|delete) element \w+ pierhead (?:ingress|first|next|own|gained)_\w+) \{ (.*) \}\n", line
    )
    if not match:
        return line
    first = [one for one in match[2].split(", ") if int(one.partition(" ")[0]) < BUCKETS_SHOWN]
    return f"{match[1]} {{ {', '.join(first)} }}\n" if first else ""


def golden(name: str) -> Path:
    """Where a case's text is kept."""
    return HERE / f"{name}.nft"

"""Plans worth reading as rules; rings of five buckets instead of 1021, so that they can be read."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from appliance.api.address import Family
from appliance.api.core import Protocol
from appliance.forward.hop import Fellow, NextHop
from appliance.forward.plan import Choice, ForwardPlan, PortKey, PortPlan, Target

HERE = Path(__file__).parent

_VIP4, _VIP6 = ip_address("192.168.1.240"), ip_address("2001:db8:1::f0")
_FIRST: Choice = ("node-a", "node-b", "node-c", "node-a", "node-b")
_NEXT: Choice = ("node-b", None, None, "node-c", None)
_BOTH4 = (Target(ip_address("10.244.1.2"), 8080), Target(ip_address("10.244.1.3"), 8080))
_BOTH6 = (Target(ip_address("2001:db8:244:1::2"), 8080), Target(ip_address("2001:db8:244:1::3"), 8080))


def _fellow(name: str, last: int) -> Fellow:
    hops = {
        Family.IPV4: NextHop(ip_address(f"192.168.1.{last}"), "eth0"),
        Family.IPV6: NextHop(ip_address(f"2001:db8:1::{last}"), "eth0"),
    }
    return Fellow(name, (f"02:00:00:00:00:{last}",), hops)


_BARE = ForwardPlan("node-a", ("eth0",), (_fellow("node-b", 12), _fellow("node-c", 13)), (), (), {}, ())


def _with(*ports: PortPlan) -> ForwardPlan:
    return replace(_BARE, addresses=tuple(dict.fromkeys(port.key.address for port in ports)), ports=ports)


_TCP4, _TCP6 = PortKey(_VIP4, Protocol.TCP, 80), PortKey(_VIP6, Protocol.TCP, 80)
_UDP4, _SCTP4 = PortKey(_VIP4, Protocol.UDP, 53), PortKey(_VIP4, Protocol.SCTP, 36412)

CASES: Mapping[str, ForwardPlan] = {
    "empty": replace(_BARE, devices=(), fellows=()),
    "alone": _with(PortPlan(_TCP4, False, targets=_BOTH4[:1])),
    "cluster": _with(
        PortPlan(_TCP4, False, _FIRST, _NEXT, None, _BOTH4), PortPlan(_TCP6, False, _FIRST, _NEXT, None, _BOTH6)
    ),
    "by_address": _with(
        PortPlan(_UDP4, True, _FIRST, _NEXT, None, _BOTH4), PortPlan(_TCP4, True, _FIRST, _NEXT, None, _BOTH4[:1])
    ),
    "passing": _with(PortPlan(_TCP4, False, _FIRST, _FIRST, _FIRST), PortPlan(_SCTP4, False, _FIRST, _FIRST, _FIRST)),
    "local": _with(PortPlan(_TCP4, False, targets=_BOTH4), PortPlan(_TCP6, False)),
    "nobody": _with(PortPlan(_TCP4, False, kept=False)),
}


def golden(name: str) -> Path:
    """Where a case's text is kept."""
    return HERE / f"{name}.nft"

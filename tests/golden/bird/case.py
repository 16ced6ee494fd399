"""Configurations whose text is kept beside this file; run as a module, it writes those texts anew."""

from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path

from appliance.api.address import Family
from appliance.api.community import CommunityNumber
from appliance.api.metallb import DynamicASN
from appliance.api.pierhead import BFDOptions
from appliance.bird.model import AnnouncedRoute, BirdConfig, Drain, Part, Session, Watch, WatchTiming
from appliance.bird.render import render

HERE = Path(__file__).parent
IPV4, IPV6 = frozenset({Family.IPV4}), frozenset({Family.IPV6})
ROUTER_ID = IPv4Address("192.168.1.11")

TOR = Session(
    name="tor-router",
    neighbor=ip_address("192.168.1.1"),
    peer_asn=64501,
    local_asn=64500,
    hold_seconds=9,
    keepalive_seconds=2.6,
    password="a'b\\c#d;/*",
    bfd=BFDOptions(),
    families=IPV4,
)
REFLECTOR = Session(
    name="route.reflector",
    neighbor=ip_address("2001:db8:ffff::1"),
    peer_asn=64500,
    local_asn=64500,
    port=1790,
    source_address=ip_address("2001:db8:1::11"),
    router_id=IPv4Address("10.9.9.9"),
    connect_seconds=10,
    bfd=BFDOptions(receive_milliseconds=100, transmit_milliseconds=200, multiplier=5, passive=True),
    multihop=True,
    graceful_restart=True,
    families=IPV4 | IPV6,
    vrf="red",
)
UNNUMBERED = Session(
    name="uplink",
    interface="eth0.100",
    peer_asn=DynamicASN.EXTERNAL,
    local_asn=4200000000,
    families=IPV4 | IPV6,
)
LINK_LOCAL = Session(
    name="neighbour",
    neighbor=ip_address("fe80::1"),
    interface="eth1",
    peer_asn=64502,
    local_asn=64500,
    families=IPV6,
)

TAGGED = AnnouncedRoute(
    ip_network("10.0.100.1/32"),
    150,
    (CommunityNumber((64500, 1, 2)), CommunityNumber((65535, 65281)), CommunityNumber((64500, 100))),
)
PLAIN = AnnouncedRoute(ip_network("10.0.100.2/32"))
FOR_TOR = AnnouncedRoute(ip_network("10.0.100.2/32"), 0, (CommunityNumber((64500, 7)),), ("tor-router",))
AGGREGATE = AnnouncedRoute(ip_network("2001:db8:100::/120"), 50)

WATCHES = (
    Watch("node-c", ip_address("192.168.1.13"), "eth0"),
    Watch("node-b", ip_address("192.168.1.12"), "bond0.20"),
    Watch("node-b", ip_address("2001:db8:1::12"), "eth0"),
    Watch("odd\nhost", ip_address("192.168.1.14"), "odd'name"),
)

CASES = {
    "empty": BirdConfig(router_id=ROUTER_ID),
    "watch": BirdConfig(router_id=ROUTER_ID, watches=WATCHES, timing=WatchTiming(100, 5), kernel_table=20600),
    "external": BirdConfig(router_id=ROUTER_ID, sessions=(TOR,), announcements=(TAGGED, PLAIN, FOR_TOR, AGGREGATE)),
    "internal": BirdConfig(
        router_id=ROUTER_ID, sessions=(TOR, REFLECTOR), announcements=(AGGREGATE, FOR_TOR, PLAIN, TAGGED)
    ),
    "unnumbered": BirdConfig(router_id=ROUTER_ID, sessions=(UNNUMBERED, LINK_LOCAL), announcements=(PLAIN, AGGREGATE)),
    "last_choice": BirdConfig(
        router_id=ROUTER_ID, sessions=(TOR, REFLECTOR), announcements=(PLAIN,), drain=Drain.LAST_CHOICE
    ),
    "withdrawn": BirdConfig(router_id=ROUTER_ID, sessions=(TOR,), announcements=(PLAIN,), drain=Drain.WITHDRAWN),
}


PART = BirdConfig(router_id=ROUTER_ID, sessions=(TOR,), announcements=(PLAIN,), watches=WATCHES)


def golden(name: str) -> Path:
    """Where a case's text is kept."""
    return HERE / f"{name}.conf"


def reply(name: str) -> str:
    """What BIRD 2.0.12 answered in a real session."""
    return (HERE / "reply" / f"{name}.txt").read_text()


if __name__ == "__main__":
    for name, config in CASES.items():
        golden(name).write_text(render(config))
    golden("part").write_text(render(PART, Part()))

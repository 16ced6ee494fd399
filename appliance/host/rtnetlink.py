"""What rtnetlink(7) says of links, addresses and routes: the numbers of its messages, and their fixed parts."""

import struct
from collections.abc import Mapping

from appliance.host.netlink import NetlinkMessage

NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26

GROUP_LINK = 0x1
GROUP_IPV4_ADDRESS, GROUP_IPV4_ROUTE = 0x10, 0x40
GROUP_IPV6_ADDRESS, GROUP_IPV6_ROUTE = 0x100, 0x400

# ifinfomsg: family, hardware type, index, flags, mask of changes.
# ifaddrmsg: family, prefix length, flags, scope, index.
# rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags.
LINK_HEADER = struct.Struct("=BxHiII")
ADDRESS_HEADER = struct.Struct("=BBBBI")
ROUTE_HEADER = struct.Struct("=BBBBBBBBI")

_RTA_TABLE = 15


def table_of(route: NetlinkMessage, found: Mapping[int, bytes]) -> int:
    """The table of a route, given its attributes: the header has room for the lower ones."""
    own = found.get(_RTA_TABLE)
    table: int = struct.unpack("=I", own)[0] if own else ROUTE_HEADER.unpack_from(route.content)[4]
    return table

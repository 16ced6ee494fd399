"""Where the fields of a packet are: of a packet itself, and of the packet an ICMP error answers (RFC 792, RFC 4443)."""

from dataclasses import dataclass

from appliance.api.address import Family
from appliance.api.core import Protocol

PROTOCOL_NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17, Protocol.SCTP: 132}


@dataclass(frozen=True, slots=True)
class Fields:
    """How one family's packets are matched; `client` hashes a client's address, `flow` its address and port.

    `table` is what nft calls the family. An error is matched by the packet in it, one of ours on the way to a client:
    the VIP is its source.
    """

    table: str
    address_type: str
    destination: str
    source: str
    hop_limit: str
    client: str
    flow: str
    is_fragment: str
    is_error: str
    error_key: str
    error_client: str
    error_flow: str

    @property
    def port_match(self) -> str:
        """What a map of ports is asked with."""
        return f"{self.destination} . meta l4proto . th dport"

    @property
    def port_type(self) -> str:
        """The type of a map or set of ports."""
        return f"type {self.address_type} . inet_proto . inet_service"

    @property
    def datagram_flow(self) -> str:
        """What tells one flow of datagrams from another."""
        return f"{self.source} . meta l4proto . th sport . {self.destination} . th dport"


_FIELDS = {
    Family.IPV4: Fields(
        table="ip",
        address_type="ipv4_addr",
        destination="ip daddr",
        source="ip saddr",
        hop_limit="ip ttl",
        client="ip saddr",
        flow="ip saddr . th sport",
        is_fragment="ip frag-off & 0x3fff != 0",
        # 0x45: an inner header without options, so that its ports stand where they are looked for
        is_error="icmp type { destination-unreachable, time-exceeded, parameter-problem } @th,64,8 0x45",
        error_key="@th,160,32 . @th,136,8 . @th,224,16",
        error_client="@th,192,32",
        error_flow="@th,192,32 . @th,240,16",
    ),
    Family.IPV6: Fields(
        table="ip6",
        address_type="ipv6_addr",
        destination="ip6 daddr",
        source="ip6 saddr",
        hop_limit="ip6 hoplimit",
        client="ip6 saddr",
        flow="ip6 saddr . th sport",
        is_fragment="exthdr frag exists",
        is_error="icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
        error_key="@th,128,128 . @th,112,8 . @th,384,16",
        error_client="@th,256,128",
        error_flow="@th,256,128 . @th,400,16",
    ),
}


def fields_of(family: Family) -> Fields:
    """The fields of a family's packets."""
    return _FIELDS[family]

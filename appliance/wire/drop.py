"""Why a frame was not understood."""

from enum import Enum


class Drop(Enum):
    """A reason to pass over bytes from the network."""

    TRUNCATED = "too short for what it says it is"
    ETHERTYPE = "neither ARP nor IPv6, or VLAN-tagged"
    NOT_ETHERNET_IPV4 = "ARP for other address kinds than Ethernet and IPv4"
    OPERATION = "an ARP operation other than request and reply"
    NOT_NEIGHBOR_DISCOVERY = "IPv6, but no Neighbor Solicitation or Advertisement"
    HOP_LIMIT = "hop limit below 255, so it crossed a router"
    CHECKSUM = "wrong checksum"
    MALFORMED = "breaks a rule of RFC 4861 section 7.1"

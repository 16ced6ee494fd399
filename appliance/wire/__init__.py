"""Frames: Ethernet, ARP and NDP as bytes."""

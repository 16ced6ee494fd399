"""This machine: links, packets, BIRD, nftables, files."""

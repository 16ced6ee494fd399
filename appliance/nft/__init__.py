"""nftables as text."""

"""Foreign configuration to manifests."""

"""Pierhead: addresses for Services of bare-metal Kubernetes clusters, announced from hosts."""

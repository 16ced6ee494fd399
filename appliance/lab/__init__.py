"""A small site in network namespaces."""

"""Which host and which backend a connection goes to."""

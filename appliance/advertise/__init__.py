"""Which host announces what."""

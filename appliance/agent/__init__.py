"""The agent: one per host."""

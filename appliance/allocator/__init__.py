"""The allocator: one per site."""

"""The collection: what its roles say of themselves, and what they refuse."""

"""Layer-2 ownership: who answers for an address, and when that moves."""

"""Stores, as far as they are values."""

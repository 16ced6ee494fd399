"""Hostile text in every field of every kind."""

"""Manifests to meaning: every default, reference and overlap, with all problems collected."""

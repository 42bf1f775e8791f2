"""Verbs of the mass survey."""

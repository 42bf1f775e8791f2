"""Verbs of the reference-run job."""

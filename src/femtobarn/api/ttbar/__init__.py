"""Verbs of the top-pair job."""

"""Verbs of the tag-and-probe job."""

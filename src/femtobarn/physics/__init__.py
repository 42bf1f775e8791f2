"""Object selections, pairings and event weights: what several analyses share."""

from __future__ import annotations

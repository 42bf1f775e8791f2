"""The analyses that ship with femtobarn: physics only, no imports between them."""

from __future__ import annotations

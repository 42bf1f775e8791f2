"""femtobarn: from public LHC data to a physics result, with nothing silently lost on the way."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"

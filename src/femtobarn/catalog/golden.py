"""Golden JSON: certified luminosity sections, ``{run: [[first, last], ...]}``."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np

from femtobarn.errors import ConfigError, DataError
from femtobarn.kernels.lumimask import LumiMask

__all__ = ["read_golden_json"]


def read_golden_json(path: Path) -> LumiMask:
    """Read a certification file; reversed or overlapping ranges are refused."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("no such lumi mask", where=str(path)) from error
    except ValueError as error:
        raise ConfigError(f"is not valid JSON: {error}", where=str(path)) from error
    rows: list[tuple[int, int, int]] = []
    try:
        for run, ranges in raw.items():
            rows += [(int(run), int(first), int(last)) for first, last in ranges]
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError("is not of the form {run: [[first, last], ...]}", where=str(path)) from error
    rows.sort()
    for run, first, last in rows:
        if first > last:
            raise ConfigError(f"run {run}: the range [{first}, {last}] is reversed", where=str(path))
    for (run, _, last), (later, first, _) in pairwise(rows):
        if run == later and first <= last:
            raise ConfigError(f"run {run}: ranges overlap at section {first}", where=str(path))
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return LumiMask(table[:, 0], table[:, 1], table[:, 2])

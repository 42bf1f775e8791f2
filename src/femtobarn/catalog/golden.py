"""Golden JSON: certified luminosity sections, ``{run: [[first, last], ...]}``."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np

from femtobarn.errors import DataError
from femtobarn.kernels.lumimask import LumiMask

__all__ = ["read_golden_json"]


def read_golden_json(path: Path) -> LumiMask:
    """Read a certification file.

    Raises
    ------
    DataError
        Naming file and run: no such file, truncated, of another form, ranges reversed or overlapping.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("no such certification file", where=str(path), action="check the path") from error
    except (OSError, ValueError) as error:
        raise DataError(f"is not valid JSON, perhaps cut short: {error}", where=str(path),
                        action="download it again") from error  # fmt: skip
    rows: list[tuple[int, int, int]] = []
    try:
        for run, ranges in raw.items():
            rows += [(int(run), int(first), int(last)) for first, last in ranges]
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError("is not of the form {run: [[first, last], ...]}", where=str(path),
                        action="name a certification (golden) JSON") from error  # fmt: skip
    rows.sort()
    for run, first, last in rows:
        if first > last:
            raise DataError(f"run {run}: the range [{first}, {last}] is reversed", where=str(path),
                            action="correct the range in the file")  # fmt: skip
    for (run, _, last), (later, first, _) in pairwise(rows):
        if run == later and first <= last:
            raise DataError(f"run {run}: ranges overlap at section {first}", where=str(path),
                            action="correct the ranges in the file")  # fmt: skip
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return LumiMask(table[:, 0], table[:, 1], table[:, 2])

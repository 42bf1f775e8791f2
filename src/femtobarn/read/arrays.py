"""A NumPy file of masses that a survey kept, as an input: one array, and the name that says what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from femtobarn.errors import DataError
from femtobarn.read.columns import Column
from femtobarn.read.schema import Schema, find_schema
from femtobarn.records import FileRef

__all__ = ["ArrayFile"]


class ArrayFile:
    """A ``.npy`` file of one dimension; an entry is a value."""

    def __init__(self, ref: FileRef) -> None:
        path = Path(ref.url)
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read as an array: {error}", where=ref.url) from error
        if values.ndim != 1 or values.dtype.kind not in "fiu":
            raise DataError(
                f"is no list of numbers ({values.dtype}, {values.ndim} dimensions)", where=ref.url
            )
        self.schema: Schema = find_schema("survey-arrays")
        self.tree = ""
        self.entries = len(values)
        self.size = path.stat().st_size
        self.uuid = hashlib.sha256(path.name.encode() + values.tobytes()).hexdigest()[:32]
        self.branches: frozenset[str] = frozenset()
        self.objects: Mapping[str, Any] = {"values": values, "name": path.stem}

    def clusters(self, branches: Sequence[str] = ()) -> list[int]:
        del branches
        return [0, self.entries]

    def read(self, branches: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        del branches, start, stop
        return {}

    def stored_bytes(self, branches: Sequence[str]) -> int:
        del branches
        return self.size

    def close(self) -> None:
        self.objects = {}

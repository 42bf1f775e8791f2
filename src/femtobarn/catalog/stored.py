"""What a store holds, as values for ranking; a record is decoded when somebody asks for it: few ever do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from femtobarn.catalog.attributes import ATTRIBUTES, Attribute, quantity
from femtobarn.catalog.lumisections import LumiTable, Profile, Sections, SectionsByRun, lumi_table
from femtobarn.catalog.quantity import Quantity
from femtobarn.catalog.runrecords import Pair
from femtobarn.catalog.runtable import RunTable

__all__ = ["StoredRecords", "StoredRuns", "StoredSections"]

#: Lumisections that tell whether luminosities are sums since the start of the fill.
_SAMPLE: Final = 2000


@dataclass(frozen=True)
class StoredRecords:
    """Everything a store holds, ready for ranking."""

    pairs: tuple[Pair, ...]
    runs: RunTable
    lumisections: Sections | None


class StoredRuns(Mapping[int, Mapping[str, Quantity]]):
    """Rows of a table of runs, with what their fills add.

    Parameters
    ----------
    rows : {run: (fill, payload, source)}
    fills : {fill: payload}
    """

    def __init__(self, rows: Mapping[int, tuple[int | None, str, str]], fills: Mapping[int, str]) -> None:
        self._rows, self._fills = rows, fills

    def __getitem__(self, run: int) -> Mapping[str, Quantity]:
        fill, payload, source = self._rows[run]
        values = json.loads(payload)
        if fill is not None and fill in self._fills:
            of_fill = json.loads(self._fills[fill])
            values = {n: v for n, v in of_fill.items() if n.startswith("fill_")} | values
        return {name: _quantity(name, value, source) for name, value in values.items()}

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _quantity(name: str, value: Any, source: str) -> Quantity:
    attribute = ATTRIBUTES.get(name, Attribute(name, "text"))
    if isinstance(value, list):
        value = tuple(str(item) for item in value)
    return quantity(value, attribute, f"{source}: {name}")


class StoredSections:
    """Lumisections of a store, a table a run.

    Parameters
    ----------
    payloads : {run: its lumisections, in order}
        At least one.
    source : name of the store
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, payloads: Mapping[int, Sequence[str]], source: str) -> None:
        self._payloads, self._source = payloads, source
        sample: list[str] = []
        for rows in payloads.values():
            sample += rows
            if len(sample) >= _SAMPLE:
                break
        self._per_section = _table(sample, source).per_section
        self._made: dict[int, LumiTable] = {}

    def __len__(self) -> int:
        return sum(map(len, self._payloads.values()))

    def profile(self, run: int) -> Profile | None:
        """The run's profile; None without lumisections in stable beams."""
        return self._of(run).profile(run) if run in self._payloads else None

    def attributes(self, run: int) -> dict[str, Quantity]:
        """What lumisections say of a run as a whole."""
        return self._of(run).attributes(run) if run in self._payloads else {}

    def by_run(self) -> Mapping[int, Mapping[str, Quantity]]:
        """{run: what its lumisections say of it}."""
        return SectionsByRun(self, frozenset(self._payloads))

    def _of(self, run: int) -> LumiTable:
        if run not in self._made:
            self._made[run] = _table(self._payloads[run], self._source, self._per_section)
        return self._made[run]


def _table(payloads: Sequence[str], source: str, per_section: Mapping[str, bool] | None = None) -> LumiTable:
    rows = json.loads(f"[{','.join(payloads)}]")
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: np.array([row.get(name) for row in rows], dtype=object) for name in names}
    return lumi_table(columns, source, per_section)

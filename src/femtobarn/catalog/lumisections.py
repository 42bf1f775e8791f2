"""Lumisection records: what they say of a run, and a run's luminosity profile.

In some exports the luminosities are cumulative since the start of the fill, in others one value a
lumisection; which of the two is told from the numbers, and nothing is summed before that is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from femtobarn.catalog.quantity import Quantity
from femtobarn.catalog.runtable import canonical, read_rows
from femtobarn.errors import DataError, missing_file

__all__ = [
    "LS_SECONDS", "LumiTable", "Profile", "Sections", "SectionsByRun", "is_cumulative", "lumi_table",
    "read_lumisections",
]  # fmt: skip

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Length of a lumisection, 2^18 orbits of the LHC [s].
LS_SECONDS: Final = 23.31
_NUMBERS: Final[tuple[str, ...]] = ("init_lumi", "end_lumi", "pileup", "recorded_lumi", "delivered_lumi")
_CUMULATIVE: Final[tuple[str, ...]] = ("recorded_lumi", "delivered_lumi")
_STABLE: Final = ("beam1_stable", "beam2_stable")
#: Of the pileup of a run's lumisections [%].
_QUANTILES: Final = (10, 50, 90)
_IMPOSSIBLE_PILEUP: Final = 200.0


def is_cumulative(run: Ints, values: Floats) -> bool | None:
    """Whether a column grows from lumisection to lumisection within each run; None if it never changes.

    ``run`` and ``values`` are in the order of run and lumisection.
    """
    steps = np.diff(values)[(run[1:] == run[:-1])]
    steps = steps[np.isfinite(steps) & (steps != 0)]
    if not len(steps):
        return None
    # A luminosity per lumisection falls and fluctuates; a sum can only grow (rare corrections apart).
    return bool(np.mean(steps > 0) > 0.95)


@dataclass(frozen=True)
class Profile:
    """Luminosity and pileup of a run against time in stable beams.

    Attributes
    ----------
    minutes : (n,) float64
        Since the first lumisection in stable beams; one entry a lumisection, also for missing ones.
    luminosity : (n,) float64, 1e34 cm-2 s-1; NaN in gaps
    pileup : (n,) float64; NaN in gaps
    """

    run: int
    minutes: Floats
    luminosity: Floats
    pileup: Floats

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "minutes": self.minutes,
            "luminosity": self.luminosity,
            "pileup": self.pileup,
        }


@dataclass(frozen=True)
class LumiTable:
    """Lumisections as columns, sorted by run and number; a missing number is NaN.

    ``per_section`` says of the luminosity columns whether they hold one lumisection each.
    """

    run: Ints
    number: Ints
    columns: Mapping[str, Floats]
    flags: Mapping[str, npt.NDArray[np.bool_]]
    source: str
    per_section: Mapping[str, bool]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.run)

    def rows(self, run: int) -> slice:
        """Where a run's lumisections are."""
        low, high = np.searchsorted(self.run, [run, run + 1])
        return slice(int(low), int(high))

    def luminosity(self, run: int, column: str) -> float | None:
        """Integrated luminosity of a run [pb-1]: last - first of a cumulative column, else the sum."""
        if column not in self.columns:
            return None
        values = self.columns[column][self.rows(run)]
        values = values[np.isfinite(values)]
        if not len(values):
            return None
        return float(values.sum()) if self.per_section[column] else float(values[-1] - values[0])

    def stable(self, where: slice) -> npt.NDArray[np.bool_]:
        """Lumisections with both beams stable; all of them if nobody says."""
        known = [self.flags[name][where] for name in _STABLE if name in self.flags]
        return np.logical_and.reduce(known) if known else np.ones(where.stop - where.start, dtype=np.bool_)

    def profile(self, run: int) -> Profile | None:
        """The run's profile; None without lumisections in stable beams."""
        where = self.rows(run)
        keep = self.stable(where)
        number = self.number[where][keep]
        if not len(number):
            return None
        at = number - number[0]
        minutes = np.arange(int(at[-1]) + 1) * LS_SECONDS / 60.0
        drawn = {}
        for name in ("init_lumi", "pileup"):
            drawn[name] = np.full(len(minutes), np.nan)
            if name in self.columns:
                drawn[name][at] = self.columns[name][where][keep]
        return Profile(run, minutes.astype(np.float64), drawn["init_lumi"], drawn["pileup"])

    def attributes(self, run: int) -> dict[str, Quantity]:
        """What lumisections say of a run as a whole."""
        where = self.rows(run)
        count = where.stop - where.start
        if not count:
            return {}
        source = f"{self.source}: lumisections"
        found: dict[str, Quantity] = {"ls_count": Quantity(count, "", source)}
        for column in _CUMULATIVE:
            total = self.luminosity(run, column)
            if total is not None:
                found[column] = Quantity(total, "pb-1", source)
        if "pileup" in self.columns:
            pileup = self.columns["pileup"][where]
            pileup = pileup[np.isfinite(pileup) & (pileup > 0)]
            if len(pileup):
                found["ls_pileup_mean"] = Quantity(float(pileup.mean()), "", source)
                found["ls_pileup_std"] = Quantity(float(pileup.std()), "", source)
                for percent, value in zip(_QUANTILES, np.percentile(pileup, _QUANTILES), strict=True):
                    found[f"ls_pileup_q{percent}"] = Quantity(float(value), "", source)
                found["ls_pileup_n"] = Quantity(len(pileup), "", source)
        ready = [flag[where] for name, flag in self.flags.items() if name.endswith("_ready")]
        if ready:
            found["ls_ready_fraction"] = Quantity(float(np.logical_and.reduce(ready).mean()), "", source)
        if any(name in self.flags for name in _STABLE):
            found["n_stable_ls"] = Quantity(int(self.stable(where).sum()), "", source)
        return found

    def by_run(self) -> Mapping[int, Mapping[str, Quantity]]:
        """{run: what its lumisections say of it}."""
        return SectionsByRun(self, frozenset(np.unique(self.run).tolist()))


class Sections(Protocol):
    """Lumisections, wherever they are."""

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def profile(self, run: int) -> Profile | None: ...

    def attributes(self, run: int) -> dict[str, Quantity]: ...

    def by_run(self) -> Mapping[int, Mapping[str, Quantity]]: ...


@dataclass(frozen=True)
class SectionsByRun(Mapping[int, Mapping[str, Quantity]]):
    """{run: what its lumisections say of it}, worked out for a run when it is asked for."""

    sections: Sections
    runs: frozenset[int]

    def __getitem__(self, run: int) -> Mapping[str, Quantity]:
        if run not in self.runs:
            raise KeyError(run)
        return self.sections.attributes(run)

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self.runs))

    def __len__(self) -> int:
        return len(self.runs)


def read_lumisections(path: str | Path) -> LumiTable:
    """Read lumisections from CSV, Parquet or JSON.

    Raises
    ------
    DataError
        Naming file and column: unreadable, no run or lumisection number, or a lumisection twice.
    """
    path = Path(path)
    if path.suffix.lower() in (".parquet", ".pq", ".csv"):
        columns = _arrow(path)
    else:
        rows = [row for _, row in read_rows(path, "run_number")]
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: np.array([row.get(name) for row in rows], dtype=object) for name in names}
    return lumi_table(columns, str(path))


def _arrow(path: Path) -> dict[str, npt.NDArray[Any]]:
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    try:
        if path.suffix.lower() == ".csv":
            table = pyarrow.csv.read_csv(path)
        else:
            table = pyarrow.parquet.read_table(path)
    except FileNotFoundError as error:
        raise missing_file(path) from error
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from error
    return {name: table[name].to_numpy() for name in table.column_names}


def lumi_table(
    columns: Mapping[str, npt.NDArray[Any]], source: str, per_section: Mapping[str, bool] | None = None
) -> LumiTable:
    """Sort and check columns of lumisections; ``per_section`` where more of them have told already."""
    named = {canonical(name): values for name, values in columns.items()}
    for key in ("run_number", "lumisection_number"):
        if key not in named:
            raise DataError(f"has no column {key!r}", where=source,
                            action=f"its columns are {', '.join(list(columns)[:12])}")  # fmt: skip
    run = _integers(named["run_number"], "run_number", source)
    number = _integers(named["lumisection_number"], "lumisection_number", source)
    if not len(run):
        raise DataError("holds no lumisection", where=source)
    order = np.lexsort((number, run))
    run, number = run[order], number[order]
    twice = np.flatnonzero((run[1:] == run[:-1]) & (number[1:] == number[:-1]))
    if len(twice):
        raise DataError(f"lumisection {number[twice[0]]} of run {run[twice[0]]} appears twice", where=source)
    numbers: dict[str, Floats] = {
        name: _floats(named[name], name, source)[order] for name in _NUMBERS if name in named
    }
    warnings = []
    if "pileup" in numbers:
        bad = numbers["pileup"] > _IMPOSSIBLE_PILEUP
        if bad.any():
            numbers["pileup"][bad] = np.nan
            warnings.append(
                f"{source}: {int(bad.sum())} pileup values above {_IMPOSSIBLE_PILEUP:g} were rejected"
            )
    flags = {
        name: _booleans(values)[order]
        for name, values in named.items()
        if name.endswith(("_ready", "_stable", "_present")) or name in ("physics_flag", "cms_active")
    }
    told = per_section or {}
    per_section = {
        name: told[name] if name in told else not is_cumulative(run, numbers[name])
        for name in _CUMULATIVE if name in numbers
    }  # fmt: skip
    return LumiTable(run, number, numbers, flags, Path(source).name, per_section, tuple(warnings))


def _integers(values: npt.NDArray[Any], name: str, source: str) -> Ints:
    numbers = _floats(values, name, source)
    if np.any(~np.isfinite(numbers)) or np.any(numbers != np.floor(numbers)):
        row = int(np.argmax(~np.isfinite(numbers) | (numbers != np.floor(numbers))))
        raise DataError(f"{name} is {values[row]!r}, not a whole number", where=f"{source}, row {row + 1}")
    return numbers.astype(np.int64)


def _floats(values: npt.NDArray[Any], name: str, source: str) -> Floats:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        pass
    out = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        if value is None or value == "":
            continue
        try:
            out[i] = float(value)
        except (TypeError, ValueError) as error:
            raise DataError(f"{name} is {value!r}, not a number", where=f"{source}, row {i + 1}") from error
    return out


def _booleans(values: Sequence[Any] | npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    array = np.asarray(values)
    if array.dtype == np.bool_:
        return array
    return np.array([str(value).strip().lower() in ("true", "1", "1.0") for value in array], dtype=np.bool_)

"""Tools around tag and probe: joining ntuples, filling histograms of them, what is left of a run."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.catalog import read_fileset, write_fileset
from femtobarn.config.located import load_file
from femtobarn.errors import ConfigError, DataError, UsageError, missing_file, nearest
from femtobarn.hists import Axis, Sparse, write_hists
from femtobarn.run.directory import RunDirectory
from femtobarn.run.files import replacing, write_text
from femtobarn.run.ledger import read_ledger

__all__ = ["Merged", "merge_parquet", "migrate_pickle", "prepare_histograms", "unprocessed"]

_VERDICTS: Final = ("passing", "failing")


@dataclass(frozen=True, slots=True)
class Merged:
    """What was joined."""

    files: int
    rows: int


def _parquet_files(source: str) -> list[Path]:
    """Parquet files of a folder (with those below it), of a pattern, or one file; in order of their parts."""
    path = Path(source)
    found = list(path.rglob("*.parquet")) if path.is_dir() else list(path.parent.glob(path.name))
    if not found:
        raise UsageError("there are no Parquet files", where=source)

    def order(item: Path) -> tuple[str, int, str]:
        stem, _, number = item.stem.rpartition("-part")
        return str(item.parent / stem), int(number) if number.isdigit() else 0, item.name

    return sorted(found, key=order)


def merge_parquet(source: str, target: str | Path) -> Merged:
    """Join Parquet files, one row group in memory at a time.

    Raises
    ------
    DataError
        A file has other columns than the first; the difference is named.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = Path(target)
    paths = [path for path in _parquet_files(source) if path.absolute() != out.absolute()]
    rows = 0
    try:
        first = pq.read_schema(paths[0]).remove_metadata()
        with replacing(out) as scratch, pq.ParquetWriter(scratch, first, compression="zstd") as writer:
            for path in paths:
                with pq.ParquetFile(path) as file:
                    _same_columns(path, file.schema_arrow, paths[0], first)
                    for group in range(file.metadata.num_row_groups):
                        table = file.read_row_group(group)
                        rows += table.num_rows
                        writer.write_table(table.replace_schema_metadata(None))
    except pa.ArrowInvalid as error:
        raise DataError(f"cannot be read as Parquet: {error}", where=source) from error
    return Merged(len(paths), rows)


def _same_columns(path: Path, schema: Any, first: Path, wanted: Any) -> None:
    if schema.remove_metadata().equals(wanted):
        return
    mine, theirs = (
        dict(zip(schema.names, schema.types, strict=True)),
        dict(zip(wanted.names, wanted.types, strict=True)),
    )
    different = [name for name in dict.fromkeys([*theirs, *mine]) if mine.get(name) != theirs.get(name)]
    shown = ", ".join(
        f"{name} ({mine.get(name, 'absent')}, not {theirs.get(name, 'absent')})" for name in different[:5]
    )
    raise DataError(f"has other columns than {first}: {shown or 'in another order'}", where=str(path),
                    action="join files of one method and dataset only")  # fmt: skip


def prepare_histograms(
    source: str, target: str | Path, *, axes: Sequence[str], binning: str | None = None
) -> int:
    """Fill pass and fail histograms of ntuples: the axes asked for, then the pair's mass.

    A target ``.zip`` gets one UHI histogram a verdict, ``<filter>/passing``; a ``.root`` file gets one mass
    histogram a bin and verdict, ``bin0_el_pt_20p00To30p00_Pass``, as fitters read them.

    Returns
    -------
    int
        The number of histograms.
    """
    if not axes:
        raise UsageError("name at least one axis")
    folder = Path(source)
    if not folder.is_dir():
        raise UsageError("no such folder", where=source)
    parameters = _binning(binning)
    try:
        chosen = (*(parameters.axis(name) for name in axes), parameters.mass_axis())
    except ValueError as error:
        raise ConfigError(str(error), where=binning) from error
    found: dict[str, Sparse] = {}
    for verdict in _VERDICTS:
        for path in _parquet_files(str(folder)):
            if not path.name.startswith(f"{verdict}_"):
                continue
            name = path.name.removeprefix(f"{verdict}_").partition("_NTuples")[0]
            one = Sparse.of(chosen, *_columns(path, [*axes, "pair_mass"]))
            key = f"{name}/{verdict}"
            found[key] = found[key] + one if key in found else one
    if not found:
        raise DataError("there are no passing_* and failing_* files", where=source,
                        action="name the folder of a get_passing_and_failing_probes method")  # fmt: skip
    out = Path(target)
    if out.suffix == ".root":
        return _write_root(out, found, axes)
    with replacing(out) as scratch:
        write_hists(scratch, (), {}, None, found)
    return len(found)


def _binning(path: str | None) -> Any:
    from femtobarn.analyses.tagprobe.parameters import TagProbeParameters

    if path is None:
        return TagProbeParameters.model_validate({})
    value = load_file(Path(path)).value
    if not isinstance(value, dict):
        raise ConfigError("must be a table <variable>_bins: edges", where=path)
    return TagProbeParameters.model_validate({"binning": value})


def _columns(path: Path, names: Sequence[str]) -> tuple[list[Any], Any]:
    """Columns of a file and its weights."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        there = file.schema_arrow.names
        for name in names:
            if name not in there:
                raise DataError(f"has no column {name!r}", where=str(path), near=nearest(name, there))
        weighted = "weight" in there
        table = file.read(columns=[*names, *(["weight"] if weighted else [])])
    values = [np.asarray(table[name].to_numpy()) for name in names]
    return values, np.asarray(table["weight"].to_numpy()) if weighted else 1.0


def _write_root(out: Path, found: dict[str, Sparse], axes: Sequence[str]) -> int:
    from femtobarn.export.th1 import Histogram1D, root_file

    filters = {name.rpartition("/")[0] for name in found}
    made = []
    for name, histogram in sorted(found.items()):
        which, _, verdict = name.rpartition("/")
        prefix = f"{which}_" if len(filters) > 1 else ""
        values, variances = histogram.dense()
        for number, place in enumerate(
            itertools.product(*(range(1, axis.nbins + 1) for axis in histogram.axes[:-1]))
        ):
            parts = "_".join(_bin_name(axis, i) for axis, i in zip(histogram.axes[:-1], place, strict=True))
            title = f"{prefix}bin{number}_{parts}_{'Pass' if verdict == 'passing' else 'Fail'}"
            mass = histogram.axes[-1]
            inside, squares = values[place][1:-1], variances[place][1:-1]
            made.append(Histogram1D(title, np.asarray(mass.edges), inside, squares, float(inside.sum())))
    write_text(out, root_file(made))
    return len(made)


def _bin_name(axis: Axis, i: int) -> str:
    low, high = (f"{edge:.2f}".replace("-", "m").replace(".", "p") for edge in axis.edges[i - 1 : i + 1])
    return f"{axis.name}_{low}To{high}"


def unprocessed(fileset: str, run: str, out: str | Path) -> tuple[int, int]:
    """Write the fileset of the ranges that a run has not processed; (ranges, events)."""
    folder = RunDirectory(Path(run))
    manifest = folder.manifest()
    done: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for entry in read_ledger(folder.ledger_path).values():
        if entry.good:
            done.setdefault((entry.dataset, entry.file), []).append((entry.start, entry.stop))
    entries = {(item["dataset"], item["path"]): item["entries"] for item in manifest["inputs"]}
    left, count, events = [], 0, 0
    for dataset in read_fileset(Path(fileset), shared=True):
        files = []
        for ref in dataset.files:
            key = (dataset.name, ref.url)
            known = entries.get(key) or ref.entries
            if known is None:
                # Never opened: all of it is left, whatever it holds.
                files.append(ref)
                count += 1
                continue
            rest = list(_gaps(ref.steps or ((0, known),), done.get(key, [])))
            if rest:
                files.append(replace(ref, steps=tuple(rest), entries=known))
                count += len(rest)
                events += sum(stop - start for start, stop in rest)
        if files:
            left.append(replace(dataset, files=tuple(files)))
    write_fileset(Path(out), left)
    return count, events


def _gaps(steps: Sequence[tuple[int, int]], done: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What of these ranges none of the others covers."""
    for start, stop in steps:
        at = start
        for low, high in sorted(done):
            if high <= at or low >= stop:
                continue
            if low > at:
                yield at, low
            at = max(at, high)
        if at < stop:
            yield at, stop


def migrate_pickle(file: str, *, trust: bool, out: str | None = None) -> tuple[Path, int]:
    """Histograms of the older tool's pickle as UHI; unpickled in a process of its own."""
    path = Path(file)
    if not path.is_file():
        raise missing_file(path, UsageError)
    if not trust:
        raise UsageError(
            "a pickle can run any program when it is read", where=file,
            action="if you made it yourself, say --trust; better: repeat the run, which writes hists.zip",
        )  # fmt: skip
    target = Path(out) if out else path.with_suffix(".zip")
    with replacing(target) as scratch:
        done = subprocess.run(  # noqa: S603 - our own module in our own interpreter
            [sys.executable, "-I", "-m", "femtobarn.export.unpickle", str(path), str(scratch)],
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            raise DataError(f"cannot be migrated: {last}", where=file)
    return target, int(done.stdout.strip().splitlines()[-1])

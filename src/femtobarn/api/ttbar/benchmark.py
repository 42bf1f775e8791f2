"""``ttbar bench``: how fast the job, or reading alone, is on given files."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import femtobarn
from femtobarn.api.inputs import Request, resolve
from femtobarn.api.runs import run
from femtobarn.errors import ConfigError, UsageError, nearest
from femtobarn.read import open_source
from femtobarn.read.read import require_columns
from femtobarn.records import Dataset
from femtobarn.run.files import SCHEMA_VERSION, read_json, write_json
from femtobarn.run.resources import peak_memory_mb

__all__ = ["TtbarBench", "io_levels", "scheme_of", "ttbar_bench"]

_CHUNK = 100_000


@dataclass(frozen=True)
class TtbarBench:
    """Where the metrics are, and what they say."""

    path: Path
    metrics: dict[str, Any]


def io_levels(lists: str | Path | None = None) -> dict[str, dict[str, list[str]]]:
    """Scheme -> percentage of a file's bytes -> branches that make it up; ours, or those of a survey.

    Raises
    ------
    ConfigError
        ``lists`` is not what ``ttbar bench --survey`` writes.
    """
    if lists is None:
        place = resources.files("femtobarn.analyses.ttbar") / "io_levels.json"
        return dict(json.loads(place.read_text(encoding="utf-8")))
    try:
        found = read_json(Path(lists))["levels"]
        return {
            str(scheme): {str(float(level)): [str(name) for name in names] for level, names in levels.items()}
            for scheme, levels in found.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError("holds no lists of branches", where=str(lists),
                          action="make them: femtobarn ttbar bench --survey") from error  # fmt: skip


def scheme_of(levels: Mapping[str, dict[str, list[str]]], scheme: str) -> dict[str, list[str]]:
    """The levels of a scheme."""
    if scheme not in levels:
        raise UsageError(f"there is no I/O scheme {scheme!r}", near=nearest(scheme, levels),
                         action="schemes: " + ", ".join(levels))  # fmt: skip
    return levels[scheme]


def _branches(scheme: str, percent: str | None, lists: str | None) -> list[str]:
    levels = scheme_of(io_levels(lists), scheme)
    if percent is None:
        return []
    known = {float(level): names for level, names in levels.items()}
    try:
        return list(known[float(percent)])
    except (KeyError, ValueError):
        shown = ", ".join(f"{level:g}" for level in sorted(known))
        raise UsageError(
            f"scheme {scheme!r} has no level of {percent} %", action=f"its levels: {shown}"
        ) from None


def ttbar_bench(
    files: Sequence[str] = (),
    *,
    out: str | Path,
    fileset: str | None = None,
    settings: Sequence[str] = (),
    io_percent: str | None = None,
    io_scheme: str = "nanoaod",
    io_lists: str | None = None,
    read_only: bool = False,
    executor: str | None = None,
    workers: int | None = None,
) -> TtbarBench:
    """Process files (or only read columns of them) and write ``tables/metrics.json``.

    Parameters
    ----------
    files, fileset, settings : as for ``run ttbar``
    out : path
        Directory; it becomes a run directory unless ``read_only``.
    io_percent : str, optional
        Reads the branches of this level of the scheme, too: so many percent of a file's bytes.
    io_scheme : str
        ``nanoaod``, ``legacy`` or ``poet``.
    io_lists : path, optional
        Lists of branches that a survey of other files made.
    read_only : bool
        Nothing is processed; bytes are those of the branches really read.
    """
    extra = _branches(io_scheme, io_percent, io_lists)
    if read_only and not extra:
        raise UsageError("--read-only needs a level of columns to read", action="add --io-percent P")
    request = Request(
        what="ttbar", files=tuple(files), fileset=fileset, settings=tuple(settings), out=str(out),
        executor=executor, workers=workers, fresh=True, command=("femtobarn", "ttbar", "bench"),
    )  # fmt: skip
    resolved = resolve(request)
    started, cpu = time.perf_counter(), time.process_time()
    entries, size, chunks = 0, 0, 0
    path, lanes = Path(out), 1
    if not read_only:
        finished = run(request, process_only=True)
        summary = finished.result.summary
        entries, size, chunks = summary.events_processed, summary.bytes_read, summary.total
        path, lanes = finished.path, workers or 1
        cpu_s = summary.cpu_s
    if extra:
        seen, read, parts = _read(resolved.datasets, extra)
        entries, size, chunks = max(entries, seen), size + read, chunks + parts
    wall = time.perf_counter() - started
    cpu_s = time.process_time() - cpu if read_only or lanes == 1 else cpu_s
    parameters = resolved.parameters
    metrics = {
        "schema_version": SCHEMA_VERSION, "entries": entries, "processtime": cpu_s, "bytesread": size,
        "columns": extra, "chunks": chunks, "walltime": wall, "num_workers": lanes, "af": "local",
        "dataset_source": parameters.source, "use_dask": (executor or "").startswith("dask"),
        "use_servicex": parameters.delivery == "servicex", "systematics": parameters.systematics,
        "n_files_max_per_sample": parameters.n_files_max, "cores_per_worker": 1, "chunksize": _CHUNK,
        "disable_processing": read_only, "io_file_percent": None if io_percent is None else float(io_percent),
        "agc_version": parameters.task, "use_inference": parameters.ml != "off",
        "use_triton": parameters.ml == "triton",
        "task": parameters.task, "mode": parameters.mode, "cpu_s": cpu_s, "femtobarn": femtobarn.__version__,
        "peak_rss_mb": peak_memory_mb(),
        "khz_per_core": entries / max(cpu_s, 1e-9) / 1000.0, "mb_per_s": size / max(wall, 1e-9) / 1e6,
    }  # fmt: skip
    write_json(path / "tables" / "metrics.json", metrics)
    return TtbarBench(path / "tables" / "metrics.json", metrics)


def _read(datasets: Sequence[Dataset], branches: Sequence[str]) -> tuple[int, int, int]:
    """Read these branches of all files: entries, compressed bytes, chunks."""
    entries, size, chunks = 0, 0, 0
    for dataset in datasets:
        for ref in dataset.files:
            source = open_source(ref)
            try:
                require_columns(source, branches, where=ref.url)
                for start in range(0, source.entries, _CHUNK):
                    source.read(list(branches), start, min(start + _CHUNK, source.entries))
                    chunks += 1
                entries += source.entries
                size += source.stored_bytes(branches)
            finally:
                source.close()
    return entries, size, chunks

"""A run directory: its manifest, what is written into it, and reading a finished run again."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

import femtobarn
from femtobarn.analysis import Analysis, Stored
from femtobarn.errors import StoreError, UsageError, nearest
from femtobarn.hists import (
    Compensated,
    Histogram,
    Spectra,
    read_hists,
    read_sparse,
    read_spectra,
    write_hists,
)
from femtobarn.outcome import CutRow, Outcome, Shard
from femtobarn.records import NOMINAL, Dataset
from femtobarn.run.arrays import write_arrays
from femtobarn.run.engine import RunResult, Summary
from femtobarn.run.files import (
    SCHEMA_VERSION,
    differences,
    read_json,
    replacing,
    strict,
    write_csv,
    write_json,
    write_parquet,
    write_text,
)
from femtobarn.run.fingerprint import digest, source_fingerprint, versions
from femtobarn.run.plan import Plan
from femtobarn.run.planfile import to_text
from femtobarn.run.store import Store, cache_root

__all__ = ["RunDirectory", "RunSettings"]

log: Final = logging.getLogger("femtobarn.run")

#: Tables written as one file a part.
_SHARDED: Final = "-part.parquet"
#: What a manifest must have, of whatever job.
_MANIFEST: Final = {"analysis": str, "config": dict, "execution": dict, "ledger": dict, "datasets": dict,
                    "warnings": list, "headline": str, "started": str}  # fmt: skip
_CONFIG: Final = {"analysis": str, "inputs": dict, "parameters": dict, "sizing": dict}
_LEDGER: Final = {"parts": ("total", "done", "failed"), "events": ("expected", "processed")}
#: Versions of libraries that a reader of a manifest may want; looked up without importing them.
_LIBRARIES: Final = ("awkward", "boost-histogram", "hist", "numba", "numpy", "scipy", "uhi", "uproot")


@dataclass(frozen=True)
class RunSettings:
    """What defines a run: with equal settings an existing directory is continued.

    ``inputs`` as given (release, files or fileset); ``sizing`` only what changes the parts.
    """

    analysis: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Any]
    sizing: Mapping[str, Any]
    model: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "analysis": self.analysis,
            "parameters": strict(self.parameters),
            "inputs": strict(self.inputs),
            "sizing": strict(self.sizing),
            "model": strict(self.model),
        }


class RunDirectory:
    """The files of one run.  Only this room writes them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def manifest_path(self) -> Path:
        return self.path / "manifest.json"

    @property
    def plan_path(self) -> Path:
        return self.path / "plan.json"

    @property
    def ledger_path(self) -> Path:
        return self.path / "ledger.jsonl"

    def manifest(self) -> dict[str, Any]:
        """The manifest of an existing run."""
        if not self.path.is_dir():
            beside = [item.parent.name for item in self.path.parent.glob("*/manifest.json")]
            near = nearest(self.path.name, beside)
            raise UsageError("no such run directory", where=str(self.path), near=near,
                             action="name the directory that a run was told to write (--out)")  # fmt: skip
        found = read_json(self.manifest_path)
        if not isinstance(found, dict):
            raise StoreError("is damaged: it is no table", where=str(self.manifest_path))
        return found

    def events_manifest(self) -> dict[str, Any]:
        """The manifest of a run over events, with what every later step relies on.

        Raises
        ------
        StoreError
            It was damaged, or edited into something else.
        """
        return _checked(self.manifest(), self.manifest_path)

    def differences(self, settings: RunSettings) -> list[str]:
        """What these settings change about the run that is already here."""
        return differences(self.events_manifest()["config"], settings.to_json())

    def begin(
        self,
        settings: RunSettings,
        analysis: Analysis,
        plan: Plan,
        *,
        command: Sequence[str],
        seed: int | None,
        salt: str,
        execution: Mapping[str, Any],
    ) -> None:
        """Write the manifest before the first part is processed."""
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "femtobarn": femtobarn.__version__,
            "analysis": analysis.name,
            "title": analysis.title,
            "command": list(command),
            "config": settings.to_json(),
            "parameters": strict(settings.parameters),
            "execution": strict(execution),
            "source": source_fingerprint(analysis),
            "salt": salt,
            "seed": seed,
            "origin": _origin(plan),
            "versions": {**versions(), **_libraries()} | {"platform": platform.platform()},
            "inputs": [
                {
                    "dataset": file.dataset, "path": file.ref.url, "uuid": file.uuid, "size": file.size,
                    "entries": file.entries, "schema": file.schema, "tree": file.tree, "error": file.error,
                }
                for file in plan.files
            ],
            "unused": dict(plan.unused),
            "resources": _resources(analysis, settings.parameters),
            "datasets": {
                d.name: {"metadata": dict(d.metadata), "kind": d.kind, "process": d.process,
                         "events": 0, "entries": plan.totals[d.name], "facts": {}, "sums": {}}
                for d in plan.datasets
            },
            "warnings": [],
            "failures": [],
            "ledger": Summary(len(plan.parts), 0, 0, 0, plan.events, 0, 1.0).to_json(),
            "started": _now(),
            "finished": None,
            "headline": "",
        }  # fmt: skip
        write_json(self.manifest_path, manifest)
        write_text(self.plan_path, to_text(plan))

    def complete(self, result: RunResult, warnings: Sequence[str]) -> None:
        """Write the raw results: histograms, cutflow, tables of rows; and close the account."""
        manifest = self.manifest()
        outcome = result.outcome
        for name, entry in manifest["datasets"].items():
            entry["events"], entry["entries"] = result.processed.get(name, (0, entry["entries"]))
            entry["facts"] = {key: list(values) for key, values in outcome.facts.get(name, {}).items()}
            entry["sums"] = {
                key: [total.value, total.compensation] for key, total in outcome.sums.get(name, {}).items()
            }
        manifest["ledger"] = result.summary.to_json()
        manifest["warnings"] = list(dict.fromkeys([*warnings, *_counted(outcome.warnings)]))
        manifest["failures"] = [
            {"dataset": e.dataset, "file": e.file, "start": e.start, "stop": e.stop, "error": e.error}
            for e in result.failures
        ]
        datasets = list(manifest["datasets"])
        categories = {
            name: ((), _processes(item, datasets), (NOMINAL.label,))
            for name, item in outcome.histograms.items()
        }
        with replacing(self.path / "hists.zip") as scratch:
            write_hists(scratch, outcome.histograms.values(), categories, outcome.spectra, outcome.sparse)
        self._remember(outcome.spectra)
        write_arrays(self.path, outcome.spectra, manifest["parameters"].get("arrays_format", "npy"))
        cutflow = {
            name: [
                {"cut": c.cut, "events": c.events, "sumw": c.sumw, "sumw2": c.sumw2}
                for c in outcome.cutflow(name)
            ]
            for name in datasets
        }
        write_json(self.path / "cutflow.json", {"schema_version": SCHEMA_VERSION, **cutflow})
        # Tables named *.parquet are ntuples: for the user's own use, not read again by later steps.
        manifest["tables"] = sorted(name for name in outcome.tables if not name.endswith(".parquet"))
        about = {"femtobarn_config": digest(manifest["config"]), "femtobarn": femtobarn.__version__}
        for name in outcome.tables:
            if name.endswith(_SHARDED):
                continue
            if name.endswith(".parquet"):
                write_parquet(self.path / "tables" / name, outcome.table(name))
            else:
                write_csv(self.path / "tables" / f"{name}.csv", outcome.table(name))
        _write_shards(self.path / "tables", outcome.tables, about)
        manifest["finished"] = _now()
        write_json(self.manifest_path, manifest)

    def note(self, **changes: Any) -> None:
        """Change keys of the manifest."""
        manifest = self.manifest()
        for key, value in changes.items():
            if key == "warnings":
                manifest[key] = list(dict.fromkeys([*manifest[key], *value]))
            else:
                manifest[key] = value
        write_json(self.manifest_path, manifest)

    def _remember(self, surveys: Mapping[str, Spectra]) -> None:
        """Keep surveys in the cache as well: a hundred thousand JSON entries take their time to read."""
        if surveys:
            bare = {name: replace(item, kept=[]) for name, item in surveys.items()}
            try:
                _surveys().save(_sha256(self.path / "hists.zip"), Outcome(spectra=bare))
            except StoreError as error:
                log.warning("%s", error)

    def _spectra(self) -> dict[str, Spectra]:
        """The surveys in ``hists.zip``: from the cache if it remembers this very file."""
        path = self.path / "hists.zip"
        known = _surveys().load(_sha256(path), part=0)
        return known.spectra if known is not None else read_spectra(path)

    def stored(self, analysis: Analysis) -> Stored:
        """The finished run, as inference, plots and reports are handed it."""
        manifest = self.manifest()
        if manifest["finished"] is None:
            raise StoreError("the run is not finished", where=str(self.path),
                             action=f"femtobarn resume {self.path}")  # fmt: skip
        entries = manifest["datasets"]
        datasets = tuple(Dataset(name, (), entry["metadata"]) for name, entry in entries.items())
        archive = self.path / "hists.zip"
        spectra = self._spectra()
        outcome = Outcome(
            histograms=read_hists(archive), spectra=spectra, sparse={} if spectra else read_sparse(archive)
        )
        for name, entry in entries.items():
            outcome.facts[name] = {key: tuple(values) for key, values in entry["facts"].items()}
            outcome.sums[name] = {key: Compensated(*pair) for key, pair in entry["sums"].items()}
        for name, rows in read_json(self.path / "cutflow.json").items():
            if name != "schema_version":
                outcome.cutflows[name] = {
                    row["cut"]: CutRow(row["events"], Compensated(row["sumw"]), Compensated(row["sumw2"]))
                    for row in rows
                }
        for name in manifest["tables"]:
            outcome.tables[name] = [Shard(0, _read_table(self.path / "tables" / f"{name}.csv"))]
        ledger = manifest["ledger"]
        return Stored(
            analysis=manifest["analysis"],
            datasets=datasets,
            parameters=analysis.parameters(**manifest["parameters"]),
            outcome=outcome,
            entries=MappingProxyType({n: (e["events"], e["entries"]) for n, e in entries.items()}),
            lost_fraction=ledger["lost_fraction"],
            origin=manifest["origin"],
            model=MappingProxyType(dict(manifest["config"].get("model") or {})),
            folder=self.path,
        )


def _checked(found: dict[str, Any], path: Path) -> dict[str, Any]:
    wrong = [name for name, kind in _MANIFEST.items() if not isinstance(found.get(name), kind)]
    execution = found.get("execution")
    if isinstance(execution, dict) and not isinstance(execution.get("network", {}), dict):
        wrong.append("execution.network")
    ledger = found.get("ledger") or {}
    config = found.get("config") or {}
    if isinstance(config, dict) and "inputs" in config:
        wrong += [f"config.{name}" for name in _CONFIG if not isinstance(config.get(name), _CONFIG[name])]
    for name, keys in _LEDGER.items() if isinstance(ledger, dict) else ():
        part = ledger.get(name)
        ok = isinstance(part, dict) and all(isinstance(part.get(key), int) for key in keys)
        wrong += [] if ok else [f"ledger.{name}"]
    if wrong:
        names = ", ".join(map(repr, wrong))
        raise StoreError(f"is damaged: {names} is absent or not what it should be", where=str(path),
                         action="begin the run anew: its parts are in the cache")  # fmt: skip
    return {"finished": None, **found}


def _write_shards(folder: Path, tables: Mapping[str, list[Shard]], about: Mapping[str, str]) -> None:
    """One file a part, numbered from 0 in the plan's order: ``x-part.parquet`` -> ``x-part0.parquet``.

    Rows are given up once they are written, part by part, so that those of a whole run are never in memory.
    """
    names = [name for name in tables if name.endswith(_SHARDED)]
    left = [(shard.part, name, number) for name in names for number, shard in enumerate(tables[name])]
    for _, name, number in sorted(left):
        stem = name.removesuffix(".parquet")
        write_parquet(folder / f"{stem}{number}.parquet", tables[name][number].columns, about)
        tables[name][number] = Shard(tables[name][number].part, {})


def _resources(analysis: Analysis, parameters: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The files besides the inputs that the results depend on, by hash."""
    declared = analysis.resources(analysis.parameters(**parameters))
    return {
        name: {"path": one.path, "sha256": hashlib.sha256(Path(one.path).read_bytes()).hexdigest()}
        for name, one in declared.items()
        if Path(one.path).is_file()
    }


def _surveys() -> Store:
    return Store(cache_root() / "surveys")


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise StoreError(f"cannot be read: {error}", where=str(path), action="repeat the run") from error


def _processes(histogram: Histogram, datasets: Sequence[str]) -> Sequence[str]:
    """Categories to list even if empty: the datasets, unless the analysis fills under names of its own."""
    return datasets if {key[1] for key in histogram.blocks} <= set(datasets) else ()


def _read_table(path: Path) -> dict[str, Any]:
    import pyarrow.csv

    table = pyarrow.csv.read_csv(path)
    # Not to_numpy(): that imports pandas wherever it is installed, which takes seconds.
    return {name: np.asarray(table[name].to_pylist()) for name in table.column_names}


def _counted(warnings: Mapping[str, int]) -> list[str]:
    return [f"{sentence} ({count}x)" if count > 1 else sentence for sentence, count in warnings.items()]


def _origin(plan: Plan) -> str:
    """``toy`` if any input says that it was generated here: its dataset, or the file itself."""
    stated = any(d.metadata.get("origin") == "toy" for d in plan.datasets)
    return "toy" if stated or any(file.toy for file in plan.files) else ""


@functools.cache
def _libraries() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")

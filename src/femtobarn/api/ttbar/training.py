"""``ttbar train``: a pair of classifiers that assign jets, from simulated top pairs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from femtobarn.api.inputs import Request, resolve
from femtobarn.errors import DataError, UsageError
from femtobarn.read import open_source, read_events
from femtobarn.records import Dataset
from femtobarn.run.files import SCHEMA_VERSION, write_json

__all__ = ["TtbarTrained", "ttbar_train"]

_CHUNK = 200_000


@dataclass(frozen=True)
class TtbarTrained:
    """Where the pair of models is, and what it is worth."""

    path: Path
    report: dict[str, Any]


def ttbar_train(
    files: Sequence[str] = (),
    *,
    out: str | Path,
    fileset: str | None = None,
    settings: Sequence[str] = (),
    trials: int = 8,
    folds: int = 3,
    seed: int = 0,
    events: int = 60_000,
) -> TtbarTrained:
    """Train on events with even and on events with odd numbers, and test each on the other.

    Parameters
    ----------
    files, fileset, settings : as for ``run ttbar``
        NanoAOD of the process ttbar with generated particles; without any, built-in simulation.
    out : path
        Directory of the pair; ``--set models=OUT`` uses it.
    trials, folds : int
        Settings that are tried, and folds that each is judged by.
    seed : int
        Of the search, the models and the built-in simulation: the same gives the same files.
    events : int
        Size of the built-in simulation.
    """
    from femtobarn.analyses.ttbar.models import check_library
    from femtobarn.analyses.ttbar.training import Search, train, write_models

    if trials < 1 or folds < 2 or seed < 0 or events < 1:
        raise UsageError("train needs --trials from 1, --folds from 2, --seed from 0, --events from 1")
    check_library("xgboost", "xgb", "ttbar train")
    folder = Path(out)
    if (folder / "models.json").exists():
        raise UsageError("holds a pair of models already", where=str(folder), action="choose another --out")
    with tempfile.TemporaryDirectory() as scratch:
        toy = not files and fileset is None
        given = [f"ttbar={_built_in(Path(scratch), seed, events)}"] if toy else list(files)
        # The nominal jets of nominal samples; the assignment's own columns are read here.
        request = Request(
            what="ttbar", files=given, fileset=fileset, settings=[*settings, "systematics=none"]
        )
        resolved = resolve(request)
        found = list(_labelled(resolved.datasets, resolved.analysis, resolved.parameters))
    joined = _joined(found)
    search = Search(trials, folds, seed)
    models, report = train(joined, search, cut=resolved.parameters.btag_cut)
    folder.mkdir(parents=True, exist_ok=True)
    inputs = (
        [f"built-in simulation: seed {seed}, {events} events"]
        if toy
        else [ref.url for d in resolved.datasets for ref in d.files]
    )
    write_models(folder, models, inputs, search)
    report |= {"schema_version": SCHEMA_VERSION, "signal_region": joined.looked_at, "inputs": inputs,
               "origin": "femtobarn toy simulation" if toy else "", "trials": trials, "folds": folds,
               "seed": seed}  # fmt: skip
    write_json(folder / "training.json", report)
    return TtbarTrained(folder, report)


def _built_in(folder: Path, seed: int, events: int) -> Path:
    from femtobarn.samples.formats.nanoaod import nano_counter
    from femtobarn.samples.formats.writing import write_tree
    from femtobarn.samples.ttbar import toy_events

    path = folder / "ttbar__nominal.root"
    write_tree(path, toy_events(seed, "ttbar__nominal", events), tree="Events", counter=nano_counter)
    return path


def _labelled(datasets: Sequence[Dataset], analysis: Any, parameters: Any) -> Iterator[Any]:
    """Matched events of all files."""
    from femtobarn.analyses.ttbar.matching import PARTICLES, labelled
    from femtobarn.analyses.ttbar.tasks import ml_columns
    from femtobarn.analysis import Context

    prepared, _ = analysis.prepare(datasets, parameters)
    for dataset in prepared:
        if dataset.process != "ttbar" or dataset.kind != "mc":
            raise UsageError(f"dataset {dataset.name!r} is no simulation of ttbar",
                             action="name the files: --files ttbar=x.root")  # fmt: skip
        for ref in dataset.files:
            source = open_source(ref, analysis.schemas(parameters))
            try:
                names = [*ml_columns(parameters, source.schema.name, dataset).needed, *PARTICLES]
                for start in range(0, source.entries, _CHUNK):
                    stop = min(start + _CHUNK, source.entries)
                    events = read_events(source, names, (), start, stop, where=ref.url)
                    yield labelled(events, Context(
                        dataset=dataset, parameters=parameters, schema=source.schema.name, part=None,
                        variations=analysis.variations(parameters, dataset), histograms=(), resources={},
                        peek=None,
                    ))  # fmt: skip
            finally:
                source.close()


def _joined(found: Sequence[Any]) -> Any:
    if not found:
        raise DataError("there are no events to train on")
    *arrays, counts = zip(*found, strict=True)
    kind = type(found[0])
    return kind(*(np.concatenate(one) for one in arrays), sum(counts))

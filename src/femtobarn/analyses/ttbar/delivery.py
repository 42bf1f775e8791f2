"""Delivery before the selection: only the columns, and only the events, that can end in a histogram.

What is asked for is a superset of what the selection keeps: thresholds leave room for rounding, jets for
every variation.  The selection then runs on the skim as it would have on the whole files, and the sums that
normalise it (events and generator weights before the skim) travel in the metadata of its dataset.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.analyses.ttbar import sanity
from femtobarn.analyses.ttbar.parameters import TtbarParameters
from femtobarn.analyses.ttbar.tasks import ISOLATION_MAX, POET, SIP3D_MAX, TASKS, columns, jet_cuts
from femtobarn.errors import DataError, UsageError
from femtobarn.physics.weights import GENERATOR
from femtobarn.read import Schema, find_schema, open_source, read_events
from femtobarn.records import Dataset, FileRef

__all__ = ["deliver", "preselection"]

#: GeV: no jet below passes in any variation; the smearing's factor never exceeds 1.44.
_JET_PT: Final = 15.0
#: Relative room on both sides of a threshold: files, servers and we compare in different precisions.
_ROOM: Final = 1e-6
_WEIGHTS: Final = ".weights"


def deliver(
    datasets: tuple[Dataset, ...], parameters: TtbarParameters, *, fresh: bool = False
) -> tuple[Dataset, ...]:
    """Datasets of skims in place of the given ones; those themselves if no delivery was asked for.

    Raises
    ------
    UsageError
        The files are listed with ranges of entries, or the server's client is not installed.
    LossError
        A file was not delivered.
    DataError
        A local file is not of the process that its dataset names (``sanity=error``).
    """
    if parameters.delivery == "none":
        return datasets
    from femtobarn.deliver import deliver as delivered

    samples = [sample for dataset in datasets for sample in _samples(dataset, parameters)]
    spec = {"General": {"OutputFormat": "root-ttree", "Delivery": "LocalCache"}, "Sample": samples}
    warned = {dataset.name: _examined(dataset, parameters) for dataset in datasets}
    found = delivered(spec, backend=parameters.delivery, ignore_local_cache=fresh)
    return tuple(
        _skim(dataset, found[dataset.name], found[dataset.name + _WEIGHTS], parameters, warned[dataset.name])
        for dataset in datasets
    )


def _samples(dataset: Dataset, parameters: TtbarParameters) -> Iterable[dict[str, Any]]:
    """The skim of a dataset, and one number of every event: its generator weight, where there is one."""
    from femtobarn.deliver import UprootRaw

    schema = find_schema(TASKS[parameters.task].schema)
    tables = [ref.url for ref in dataset.files if ref.url.endswith((".parquet", ".csv"))]
    if tables:
        raise UsageError("is no ROOT file: deliveries read trees", where=tables[0],
                         action="use delivery=none")  # fmt: skip
    if any(ref.steps for ref in dataset.files):
        raise UsageError(f"dataset {dataset.name!r} lists ranges of its files; a delivery takes whole files",
                         action="use a fileset without steps, or delivery=none")  # fmt: skip
    trees = {ref.tree or _tree_of(ref, schema) for ref in dataset.files}
    if len(trees) != 1:
        raise UsageError(f"the files of {dataset.name!r} name different trees: {', '.join(sorted(trees))}",
                         action="give each tree a dataset of its own")  # fmt: skip
    (tree,) = trees
    declared = columns(parameters, schema.name, dataset)
    names = [*declared.needed, *declared.optional, *(() if dataset.kind == "data" else sanity.COLUMNS)]
    branches = list(dict.fromkeys(schema.resolve(name).name for name in names))
    # By name, not as expressions: what a file does not have is the selection's to miss.
    common = {"treename": {tree: "servicex"}, "fail_on_missing_trees": True}
    skim = {**common, "filter_name": branches, "cut": preselection(parameters)}
    weighted = dataset.kind == "mc" and schema.name != POET
    one = schema.resolve(GENERATOR).name if weighted else f"num({schema.resolve('jet.pt').name})"
    files = [ref.url for ref in dataset.files]
    for name, query in ((dataset.name, skim), (dataset.name + _WEIGHTS, {**common, "expressions": [one]})):
        yield {"Name": name, "XRootDFiles": files, "Query": UprootRaw([query])}


def _tree_of(ref: FileRef, schema: Schema) -> str:
    """The tree with the events: as a local file has it, the usual one elsewhere."""
    if "://" in ref.url:
        return schema.trees[0]
    source = open_source(ref, (schema.name,))
    source.close()
    return source.tree


def preselection(parameters: TtbarParameters) -> str:
    """The cut of the delivery, as an expression of branches.

    At least one lepton that may pass all cuts, at most one that surely does; four jets that may pass in
    some variation, one of them tagged.
    """
    task, cuts = TASKS[parameters.task], jet_cuts(parameters)
    schema = find_schema(task.schema)

    def branch(name: str) -> str:
        return schema.resolve(name).name

    def leptons(room: float) -> str:
        counts = []
        for kind in ("electron", "muon"):
            wanted = [f"{branch(f'{kind}.pt')} > {task.lepton_pt * (1 - room)!r}"]
            if task.tight:
                wanted += [f"abs({branch(f'{kind}.eta')}) < {task.lepton_eta * (1 + room)!r}",
                           f"{branch(f'{kind}.sip3d')} < {SIP3D_MAX * (1 + room)!r}"]  # fmt: skip
            if task.tight and kind == "electron":
                wanted.append(f"{branch('electron.cutBased')} == 4")
            if task.tight and kind == "muon":
                wanted += [f"{branch('muon.tightId')} == 1",
                           f"{branch('muon.pfRelIso04_all')} < {ISOLATION_MAX * (1 + room)!r}"]  # fmt: skip
            counts.append(_count(wanted))
        return " + ".join(counts)

    jets = [f"{branch('jet.pt')} > {_JET_PT!r}"]
    if math.isfinite(cuts.eta_max):
        jets.append(f"abs({branch('jet.eta')}) < {cuts.eta_max * (1 + _ROOM)!r}")
    if cuts.id_bits:
        jets.append(f"({branch('jet.jetId')} & {cuts.id_bits}) != 0")
    # A negative threshold has its room on the other side.
    threshold = cuts.btag_cut - _ROOM * abs(cuts.btag_cut)
    tagged = [*jets, f"{branch(f'jet.{parameters.btag}')} >= {threshold!r}"]
    asked = (f"{leptons(_ROOM)} >= 1", f"{leptons(-_ROOM)} <= 1", f"{_count(jets)} >= 4",
             f"{_count(tagged)} >= 1")  # fmt: skip
    return " & ".join(f"({one})" for one in asked)


def _count(wanted: Sequence[str]) -> str:
    """How many objects of an event pass."""
    return "sum(" + " & ".join(f"({one})" for one in wanted) + ")"


def _examined(dataset: Dataset, parameters: TtbarParameters) -> str:
    """What is wrong with the local files of a dataset: a skim may be too small to tell."""
    if dataset.kind == "data":
        return ""
    for ref in dataset.files:
        if "://" in ref.url:
            continue
        source = open_source(ref, (TASKS[parameters.task].schema,))
        try:
            stop = min(sanity.EVENTS, source.entries)
            events = read_events(source, (), sanity.COLUMNS, 0, stop, where=ref.url)
        finally:
            source.close()
        found = sanity.mislabelled(dataset, events, where=ref.url)
        if found and parameters.sanity == "error":
            raise DataError(found, action=sanity.ADVICE)
        if found:
            return found
    return ""


def _skim(
    dataset: Dataset, files: Sequence[str], weights: Sequence[str], parameters: TtbarParameters, warned: str
) -> Dataset:
    """The dataset of the delivered files; the totals before the skim are in its metadata."""
    events, sums = 0, []
    for path in weights:
        source = open_source(FileRef(path))
        try:
            events += source.entries
            generator = find_schema(TASKS[parameters.task].schema).resolve(GENERATOR).name
            if generator in source.branches and source.entries:
                values = np.asarray(source.read([generator], 0, source.entries)[generator], dtype=np.float64)
                sums.append((math.fsum(values), math.fsum(abs(values)), int((values < 0).sum())))
        finally:
            source.close()
    meta = dict(dataset.metadata) | {"skim": parameters.delivery, "nevts": events}
    if sums:
        total, size, negative = zip(*sums, strict=True)
        meta |= {"sumw": math.fsum(total), "sumw_abs": math.fsum(size), "negative": sum(negative)}
    elif dataset.kind == "mc":
        meta |= {"sumw": float(events), "sumw_abs": float(events), "negative": 0}
    if warned:
        meta["warning"] = warned
    places = tuple(FileRef(str(Path(path)), tree="servicex") for path in files)
    return replace(dataset, files=places, metadata=meta)

"""``parsed_data/``: the events a survey selected, as trees that any program reads (TTree ``events``, GeV)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analysis import Analysis, Context
from femtobarn.read import Events, open_source, read_events
from femtobarn.records import TOY_TITLE, Dataset
from femtobarn.run.files import SCHEMA_VERSION, write_json
from femtobarn.run.plan import Plan

__all__ = ["PARSED_FOLDER", "parsed_files", "write_parsed"]

PARSED_FOLDER: Final = "parsed_data"
_IDS: Final = ("run", "lumi", "event")
_FIELDS: Final = ("pt", "eta", "phi", "mass")


def parsed_files(folder: Path) -> list[Path]:
    """The ROOT files of a folder of selected events, ours or the predecessor's."""
    return sorted(path for path in folder.glob("*.root") if path.is_file())


def write_parsed(folder: Path, analysis: Analysis, parameters: Any, plan: Plan) -> dict[str, int]:
    """Read the planned parts once more and write one file a dataset; events by dataset.

    Objects are those of the selection, leading ones first; b-jets are jets with ``btag`` set.  Memory holds
    one part.
    """
    import uproot

    target = folder / PARSED_FOLDER
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    written = {}
    for dataset in plan.datasets:
        number = 0
        with uproot.recreate(target / f"{dataset.name}.root") as file:
            tree: Any = None
            for columns in _columns(analysis, parameters, plan, dataset):
                if tree is None:
                    title = TOY_TITLE if any(item.toy for item in plan.files) else "events of a survey"
                    tree = file.mktree(
                        "events", {name: _kind(item) for name, item in columns.items()}, title=title,
                        counter_name=lambda name: f"n{name}",
                        field_name=lambda outer, inner: f"{outer}_{inner}" if outer else inner,
                    )  # fmt: skip
                tree.extend(columns)
                number += len(columns["run"])
        written[dataset.name] = number
    files = {str(i): item.ref.url for i, item in enumerate(plan.files)}
    write_json(target / "files.json", {"schema_version": SCHEMA_VERSION, "file_id": files, "events": written})
    return written


def _kind(column: Any) -> Any:
    return column.dtype if isinstance(column, np.ndarray) else column.type.content


def _columns(analysis: Analysis, parameters: Any, plan: Plan, dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Selected events of every part of a dataset."""
    from femtobarn.analyses.survey.process import select
    from femtobarn.outcome import Outcome

    resources = {name: item.load(Path(item.path)) for name, item in analysis.resources(parameters).items()}
    for part in plan.parts:
        file = plan.files[part.file]
        if part.dataset != dataset.name or file.error:
            continue
        with closing(open_source(file.ref, (file.schema,) if file.schema != "raw" else ())) as source:
            declared = analysis.columns_for(parameters, file.schema, dataset)
            optional = (*declared.optional, *_IDS)
            events = read_events(source, declared.needed, optional, part.start, part.stop, where=file.ref.url)
        bare = Dataset(dataset.name, (), dataset.metadata)
        context = Context(bare, parameters, file.schema, part=part, resources=resources)
        found = select(events, context, Outcome.empty(dataset.name))
        keep = found.selection.mask
        yield _event_columns(events, keep, found.weight, part.file) | _objects(found.objects, keep)


def _event_columns(
    events: Events, keep: NDArray[np.bool_], weight: NDArray[np.float64] | None, file: int
) -> dict[str, NDArray[Any]]:
    number = int(keep.sum())
    out: dict[str, NDArray[Any]] = {
        name: (events.flat(name)[keep] if name in events else np.zeros(number)).astype(np.int64)
        for name in _IDS
    }
    out["weight"] = np.ones(number) if weight is None else weight[keep]
    out["file_id"] = np.full(number, file, dtype=np.int32)
    return out


def _objects(objects: Any, keep: NDArray[np.bool_]) -> dict[str, Any]:
    """One record array a type."""
    import awkward as ak

    out = {}
    for kind, item in objects.items():
        fields = {name: getattr(item, name) for name in _FIELDS}
        if item.charge is not None:
            fields["charge"] = item.charge
        if "bjets" in objects and kind in ("jets", "bjets"):
            fields["btag"] = np.full(len(item.pt), kind == "bjets", dtype=np.int8)
        record = ak.zip({name: ak.unflatten(values, item.counts) for name, values in fields.items()})
        out[kind] = record[keep]
    if "bjets" in out:
        out["jets"] = ak.concatenate([out["jets"], out.pop("bjets")], axis=1)
    return {kind.capitalize(): item for kind, item in out.items()}

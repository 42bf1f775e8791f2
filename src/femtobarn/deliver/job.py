"""One file in, one file out: what the engine runs for a delivery."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

import femtobarn
from femtobarn.analysis import Analysis, Columns, Context
from femtobarn.deliver import forms, raw
from femtobarn.deliver.columns import needs
from femtobarn.deliver.formats import EXTENSIONS, TREE, Delivered, write
from femtobarn.deliver.funcadl import evaluate
from femtobarn.deliver.python_code import run_code
from femtobarn.deliver.queries import Query
from femtobarn.deliver.rootfile import events_of, find_tree, open_root, trees_of
from femtobarn.errors import DataError, FemtobarnError
from femtobarn.outcome import Outcome
from femtobarn.read.source import reading
from femtobarn.records import FileRef
from femtobarn.run.files import replacing

__all__ = ["ANALYSIS", "RECORD", "analysis", "output_of", "record_of", "transform"]

#: How workers find the job.
ANALYSIS: Final = "femtobarn.deliver.job:analysis"
#: Table of an outcome that describes the output.
RECORD: Final = "delivery"


def transform(ref: FileRef, query: Query, *, missing: str = "error") -> Delivered:
    """Run a query on one file.

    Raises
    ------
    DataError, QueryError
        With the file, the column and near names.
    """
    if query.codegen == "uproot":
        return _funcadl(ref, query, missing)
    if query.codegen == "uproot-raw":
        return _raw(ref, query)
    if query.codegen == "python":
        trees = run_code(query.text, ref.url)
        found = Delivered(trees)
        found.entries = found.events
        return found
    raise DataError(f"the query language {query.language} runs on a ServiceX server only", where=ref.url,
                    action="use --backend servicex")  # fmt: skip


def _funcadl(ref: FileRef, query: Query, missing: str) -> Delivered:
    term = forms.from_qastle(query.text)
    wanted = needs(term)
    with open_root(ref) as opened:
        tree = find_tree(opened.file, wanted.tree, where=ref.url)
        events = events_of(tree, wanted, where=ref.url, remote=opened.remote)
        read = opened.bytes_read
    columns = evaluate(term, events, missing=missing, where=ref.url)
    return Delivered({TREE: columns}, entries=len(events), bytes_read=read)


def _raw(ref: FileRef, query: Query) -> Delivered:
    found = Delivered()
    absent: list[str] = []
    with open_root(ref) as opened:
        file = opened.file
        present = set(trees_of(file))
        for one in raw.parse(query.text):
            if isinstance(one, raw.CopyQuery):
                found.objects |= _copies(file, one, ref.url)
                continue
            for name, out in one.trees:
                if name not in present and not one.fail_on_missing_trees:
                    absent.append(name)
                    continue
                tree = find_tree(file, name, where=ref.url)
                if out in found.trees:
                    raise DataError(f"two parts of the query make the tree {out!r}", where=ref.url,
                                    action="name them: treename: {in: out}")  # fmt: skip
                found.trees[out] = raw.read_tree(tree, one, where=ref.url)
                found.entries += int(tree.num_entries)
        found.bytes_read = opened.bytes_read
    found.absent = tuple(absent)
    return found


def _copies(file: Any, query: raw.CopyQuery, where: str) -> dict[str, Any]:
    """Histograms by name or pattern, deep in folders too."""
    found = {}
    with reading(where, ": its histograms"):
        for name, kind in file.classnames(cycle=False, filter_name=list(query.names)).items():
            if kind.startswith(("TH1", "TH2", "TH3", "TProfile")):
                found[name] = file[name]
    if not found:
        raise DataError(f"holds no histogram {' or '.join(map(repr, query.names))}", where=where)
    return found


def output_of(place: Path, kind: str) -> Path:
    """Where the output beside a stored outcome is."""
    return place.with_suffix(EXTENSIONS[kind])


def deliver_file(ref: FileRef, ctx: Context, place: Path) -> tuple[Outcome, int, int]:
    """Run the dataset's query on a file and write the output beside ``place``."""
    asked: Mapping[str, Any] = ctx.dataset.metadata
    query = Query(asked["codegen"], asked["query"])
    found = transform(ref, query, missing=asked["missing"])
    absent = {f"tree {name!r} is not in some files, which count as empty there": 1 for name in found.absent}
    if not found.trees and not found.objects:
        record = _record("", 0, "", found, ref)
    else:
        note = {
            "femtobarn": femtobarn.__version__, "query": query.text, "language": query.language,
            "query_sha256": query.digest, "input": ref.url, "input_uuid": ref.uuid, "input_size": ref.size,
            "format": asked["format"], "entries": found.entries,
        }  # fmt: skip
        record = _record(
            *_save(output_of(place, asked["format"]), asked["format"], found, note, ref), found, ref
        )
    outcome = Outcome(ctx.dataset.name, warnings=absent)
    outcome.add_table(RECORD, {key: [value] for key, value in record.items()},
                      part=ctx.part.number if ctx.part else 0)  # fmt: skip
    return outcome, found.bytes_read, found.entries


def _save(
    path: Path, kind: str, found: Delivered, note: Mapping[str, Any], ref: FileRef
) -> tuple[str, int, str]:
    """Write an output whole or not at all; its name, size and sha256."""
    with replacing(path) as scratch:
        ready = scratch.with_suffix(path.suffix)
        try:
            write(ready, kind, found, note)
            size = ready.stat().st_size
            with ready.open("rb") as file:
                checksum = hashlib.file_digest(file, "sha256").hexdigest()
            ready.replace(scratch)
        except FemtobarnError as error:
            raise type(error)(error.what, where=error.where or ref.url, near=error.near,
                              action=error.action) from None  # fmt: skip
        finally:
            ready.unlink(missing_ok=True)
    return path.name, size, checksum


def _record(name: str, size: int, checksum: str, found: Delivered, ref: FileRef) -> dict[str, Any]:
    columns = {tree: list(content) for tree, content in found.trees.items()}
    return {
        "file": name, "size": size, "sha256": checksum, "entries": found.entries, "events": found.events,
        "bytes_read": found.bytes_read, "columns": json.dumps(columns), "input": ref.url,
    }  # fmt: skip


def record_of(outcome: Outcome) -> dict[str, Any]:
    """What a stored outcome says about its output; ``file`` is empty if there was nothing to write."""
    return {name: np.asarray(column)[0].item() for name, column in outcome.table(RECORD).items()}


def _never(*_: Any) -> Outcome:
    raise NotImplementedError


analysis: Final = Analysis(
    name="deliver", title="Column delivery", process=_never, columns=Columns(()), whole_file=deliver_file
)

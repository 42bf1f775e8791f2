"""Where delivered files end up: beside their fileset, or in the cache; one an input, or joined."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import femtobarn
from femtobarn.deliver import cache
from femtobarn.deliver.formats import EXTENSIONS, Delivered, read_back, write
from femtobarn.deliver.job import RECORD, output_of
from femtobarn.deliver.spec import Sample, Spec
from femtobarn.errors import StoreError
from femtobarn.locks import locked
from femtobarn.outcome import Outcome
from femtobarn.run.files import SCHEMA_VERSION, replacing, write_json, write_text
from femtobarn.run.fingerprint import digest

__all__ = ["held", "place", "withdraw", "write_fileset"]

log: Final = logging.getLogger("femtobarn.deliver")

_UNSAFE: Final = re.compile(r"[^\w.+-]+")


@contextlib.contextmanager
def held(folder: Path | None) -> Iterator[None]:
    """Keep a folder to this delivery."""
    if folder is None:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot be made: {error.strerror or error}", where=str(folder)) from error
    with locked(folder):
        yield


def place(
    sample: Sample,
    rows: Sequence[dict[str, Any]],
    kind: str,
    folder: Path | None,
    *,
    merge: bool = False,
    target_size: int | None = None,
) -> list[Path]:
    """The files of a sample, whole and in order; each row is told where its output is.

    In a folder they are links to the cache (copies, where it is on another disk), verified like those.
    """
    ready = [row for row in rows if row["path"] is not None]
    if merge or target_size is not None:
        ready = _joined(sample, ready, kind, None if merge else target_size)
    if folder is None:
        found = [Path(row["path"]).resolve() for row in ready]
    else:
        inside = folder.resolve() / _UNSAFE.sub("_", sample.name)
        names = _names(ready, kind)
        found = [_link(row, inside / name) for row, name in zip(ready, names, strict=True)]
    for row, path in zip(ready, found, strict=True):
        row["path"] = str(path)
    return found


def _names(rows: Sequence[Mapping[str, Any]], kind: str) -> list[str]:
    """The inputs' own names, with a number where two are alike."""
    stems = [
        _UNSAFE.sub("_", re.sub(r"\.(root|parquet)$", "", str(row["input"]).split("?")[0].rsplit("/", 1)[-1]))
        for row in rows
    ]
    return [
        f"{stem}{f'-{i}' if stems.count(stem) > 1 else ''}{EXTENSIONS[kind]}" for i, stem in enumerate(stems)
    ]


def _link(row: Mapping[str, Any], target: Path) -> Path:
    source = Path(row["path"])
    if target.exists():
        with contextlib.suppress(OSError):
            if target.samefile(source):
                return target
        problem = cache.is_changed(target, row)
        if not problem:
            return target
        log.warning("%s %s; it is put there again", target, problem)
    with replacing(target) as scratch:
        try:
            os.link(source, scratch)
        except OSError:
            shutil.copyfile(source, scratch)
    return target


def _joined(
    sample: Sample, rows: Sequence[dict[str, Any]], kind: str, target: int | None
) -> list[dict[str, Any]]:
    """Fewer, larger outputs, in the order of the inputs; they are cached like the others."""
    groups: list[list[dict[str, Any]]] = []
    for row in rows:
        full = (
            groups
            and target is not None
            and sum(int(r["size"]) for r in groups[-1]) + int(row["size"]) > target
        )
        if not groups or full:
            groups.append([])
        groups[-1].append(row)
    found = []
    for number, group in enumerate(groups):
        made = group[0] if len(group) == 1 else _join(group, kind)
        name = sample.name if len(groups) == 1 else f"{sample.name}-{number}"
        found.append({**made, "input": f"{_UNSAFE.sub('_', name)}.root"})
        for row in group:
            row["joined"] = number
    return found


def _join(rows: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    store = cache.delivery_store()
    key = digest(["joined", kind, [row["key"] for row in rows], [row["sha256"] for row in rows]])
    record = cache.valid_record(store, key, kind)
    path = output_of(store.path(key), kind)
    if record is None:
        total = _concatenated([read_back(Path(row["path"]), kind) for row in rows])
        note = {"femtobarn": femtobarn.__version__, "joined": [row["input"] for row in rows], "format": kind}
        with replacing(path) as scratch:
            ready = scratch.with_suffix(path.suffix)
            try:
                write(ready, kind, total, note)
                record = {"file": path.name, "size": ready.stat().st_size, "sha256": cache.sha256_of(ready)}
                ready.replace(scratch)
            finally:
                ready.unlink(missing_ok=True)
        outcome = Outcome()
        outcome.add_table(RECORD, {name: [value] for name, value in record.items()})
        store.save(key, outcome)
    return {**record, "path": path, "key": key}


def _concatenated(parts: Sequence[Delivered]) -> Delivered:
    import awkward as ak

    trees: dict[str, list[Mapping[str, Any]]] = {}
    objects: dict[str, Any] = {}
    for part in parts:
        for name, columns in part.trees.items():
            trees.setdefault(name, []).append(columns)
        for name, item in part.objects.items():
            objects[name] = objects[name].to_hist() + item.to_hist() if name in objects else item
    return Delivered(
        {
            name: {column: ak.concatenate([each[column] for each in all_]) for column in all_[0]}
            for name, all_ in trees.items()
        },
        objects,
    )


def write_fileset(
    folder: Path | None,
    spec: Spec,
    found: Sequence[Any],
    summary: Mapping[str, Any],
    partial: bool,  # noqa: FBT001
) -> Path | None:
    """``<name>.yaml`` with the paths of all samples, and ``<name>.yaml.json`` that says what they are."""
    if folder is None:
        return None
    import yaml

    target = folder.resolve() / f"{spec.general.name}.yaml"
    urls = spec.general.delivery == "URLs"
    listed = {one.name: one.paths(urls=urls) for one in found}
    manifest = {
        "schema_version": SCHEMA_VERSION, "femtobarn": femtobarn.__version__, "spec": spec.file,
        "format": spec.general.format, "allow_missing": partial, "ledger": summary,
        "samples": {
            one.name: {
                "query": sample.query.text, "query_sha256": sample.query.digest,
                "language": sample.query.language,
                "entries": sum(int(row["entries"]) for row in one.rows), "events": one.events,
                "bytes_read": sum(int(row["bytes_read"]) for row in one.rows),
                "lost_fraction": one.lost_fraction, "warnings": list(one.warnings),
                "outputs": listed[one.name],
                "inputs": [{**row, "columns": json.loads(row.get("columns") or "{}")} for row in one.rows],
            }
            for one, sample in zip(found, spec.samples, strict=True)
        },
    }  # fmt: skip
    write_json(target.with_name(f"{target.name}.json"), manifest)
    write_text(target, yaml.safe_dump(listed, default_flow_style=False, sort_keys=False))
    return target


def withdraw(folder: Path | None, name: str) -> None:
    """A delivery that failed lists nothing, not even what an earlier one had."""
    if folder is None:
        return
    for ending in (".yaml", ".yaml.json"):
        (folder / f"{name}{ending}").unlink(missing_ok=True)

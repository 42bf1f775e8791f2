"""The plan as a file: inspected by people, shipped to other machines, read back and checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from femtobarn.analysis import Columns
from femtobarn.errors import ConfigError, StoreError
from femtobarn.records import Dataset, FileRef, Part
from femtobarn.run.planned import SCHEMA_VERSION, FilePlan, Plan

__all__ = ["from_json", "read_plan", "to_text"]

#: Keys of a file that are fields of its plan, not of its reference.
_OWN: Final = ("schema", "tree", "entries", "uuid", "size", "needed_bytes", "toy", "error")


def to_text(plan: Plan) -> str:
    """A plan as JSON text with one line a file and one line a part."""
    lines = []
    for name, value in plan.to_json().items():
        if isinstance(value, list):
            items = ",\n  ".join(_compact(item) for item in value)
            lines.append(f' "{name}": [\n  {items}\n ]')
        else:
            lines.append(f' "{name}": {_compact(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def read_plan(path: Path) -> Plan:
    """A plan that was written before, checked.

    Raises
    ------
    StoreError
        The file cannot be read.
    ConfigError
        It is not a plan, or one that loses or repeats events.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot be read: {error}", where=str(path)) from error
    return from_json(raw, where=str(path))


def from_json(raw: Mapping[str, Any], *, where: str) -> Plan:
    """The plan behind a JSON value."""
    if not isinstance(raw, dict) or raw.get("schema_version") != SCHEMA_VERSION:
        raise ConfigError(f"is not a plan of version {SCHEMA_VERSION}", where=where)
    try:
        files = tuple(FilePlan(**_file_fields(item)) for item in raw["files"])
        refs: dict[str, list[FileRef]] = {item["name"]: [] for item in raw["datasets"]}
        for file in files:
            refs[file.dataset].append(file.ref)
        plan = Plan(
            datasets=tuple(
                Dataset(item["name"], tuple(refs[item["name"]]), item["metadata"]) for item in raw["datasets"]
            ),
            files=files,
            parts=tuple(Part(*item) for item in raw["parts"]),
            totals={item["name"]: item["entries"] for item in raw["datasets"]},
            unused=dict(raw["unused"]),
            columns={
                item["name"]: Columns(tuple(item["columns"]["needed"]), tuple(item["columns"]["optional"]))
                for item in raw["datasets"]
                if item["columns"]
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"is not a plan: {type(error).__name__}: {error}", where=where) from error
    check_parts(plan.files, plan.parts, where=where)
    return plan


def _file_fields(item: Mapping[str, Any]) -> dict[str, Any]:
    ref = FileRef(
        item["url"],
        item.get("tree"),
        entries=item.get("entries", 0),
        size=item.get("size"),
        uuid=item.get("uuid"),
        checksum=item.get("checksum"),
        replicas=tuple(item.get("replicas", ())),
        steps=tuple((start, stop) for start, stop in item.get("steps", ())),
    )
    own = {name: item[name] for name in _OWN if name in item}
    return own | {
        "dataset": item["dataset"],
        "ref": ref,
        "missing_optional": tuple(item.get("missing_optional", ())),
    }


def check_parts(files: tuple[FilePlan, ...], parts: Iterable[Part], *, where: str) -> None:
    """Refuse parts that lie outside of their files or that hold an event twice.

    Raises
    ------
    ConfigError
    """
    last: dict[int, list[tuple[int, int]]] = {}
    for position, part in enumerate(parts):
        if part.number != position:
            raise ConfigError(
                f"part {part.number} is where part {position} should be", where=where,
                action="number the parts from 0 without gaps",
            )  # fmt: skip
        if not 0 <= part.file < len(files) or files[part.file].dataset != part.dataset:
            raise ConfigError(f"part {part.number} names no file of dataset {part.dataset!r}", where=where)
        if not 0 <= part.start <= part.stop <= files[part.file].entries:
            raise ConfigError(
                f"part {part.number} ({part.start}-{part.stop}) is not within the "
                f"{files[part.file].entries} entries of {files[part.file].ref.url}", where=where,
            )  # fmt: skip
        last.setdefault(part.file, []).append((part.start, part.stop))
    for number, ranges in last.items():
        for (_, end), (start, _) in zip(sorted(ranges), sorted(ranges)[1:], strict=False):
            if start < end:
                raise ConfigError(f"events {start}-{end} of {files[number].ref.url} are in two parts",
                                  where=where)  # fmt: skip

"""Efficiencies and scale factors as a HEPData submission: a table a working point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from femtobarn.export.hepdata import HepdataExport, dump, stem

__all__ = ["export_probe_hepdata"]


def export_probe_hepdata(
    rows: Sequence[Mapping[str, Any]], directory: Path, *, comment: str
) -> HepdataExport:
    """Write ``submission.yaml`` and the tables; a bin without a number holds a dash."""
    directory.mkdir(parents=True, exist_ok=True)
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["label"], row["filter"], row["region"]), []).append(row)
    documents: list[dict[str, Any]] = [{"comment": comment}]
    files = []
    for number, (key, members) in enumerate(groups.items(), 1):
        name = " ".join(filter(None, key))
        file = directory / f"{number:02d}_{stem(name)}.yaml"
        dump(file, _table(members))
        files.append(file)
        documents.append({
            "name": f"Scale factors {name}", "keywords": [], "data_file": file.name,
            "description": "Efficiency in data and simulation and their ratio; "
            f"combination of systematic errors: {members[0]['combination']}.",
        })  # fmt: skip
    submission = directory / "submission.yaml"
    with submission.open("w", encoding="utf-8") as stream:
        yaml.safe_dump_all(documents, stream, sort_keys=False, allow_unicode=True, width=10**6)
    return HepdataExport(directory, (submission, *files))


def _table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    independent = [
        {
            "header": {"name": variable} | ({"units": "GeV"} if variable.endswith(("pt", "et")) else {}),
            "values": [{"low": row["edges"][variable][0], "high": row["edges"][variable][1]} for row in rows],
        }
        for variable in rows[0]["edges"]
    ]
    columns = [
        ("Efficiency in data", "eff_data", "eff_data"),
        ("Efficiency in simulation", "eff_mc", "eff_mc"),
        ("Scale factor", "sf", "stat"),
    ]
    dependent = [
        {"header": {"name": text}, "values": [_value(row, key, errors) for row in rows]}
        for text, key, errors in columns
    ]
    return {"independent_variables": independent, "dependent_variables": dependent}


def _value(row: Mapping[str, Any], key: str, errors: str) -> dict[str, Any]:
    if row[key] is None:
        return {"value": "-"}
    out: dict[str, Any] = {"value": row[key]}
    found = []
    down, up = row[f"{errors}_down"], row[f"{errors}_up"]
    if down and up:
        found.append({"asymerror": {"minus": -down, "plus": up}, "label": "stat"})
    if key == "sf" and row["syst"]:
        found.append({"symerror": row["syst"], "label": "syst"})
    return out | ({"errors": found} if found else {})

"""Keys of the survey's configuration that choose objects and events."""

from __future__ import annotations

from typing import Any

from femtobarn.config.problems import shown
from femtobarn.config.survey_keys import TYPE_NAMES
from femtobarn.config.survey_sections import Sections
from femtobarn.errors import nearest

__all__ = ["read_cuts", "read_objects", "read_selection"]


def read_objects(s: Sections) -> None:
    """Types to combine."""
    chosen = s.sections.get("mass_calculation_task_config", {}).get("objects_to_calculate")
    if chosen is None:
        return
    path = ("mass_calculation_task_config", "objects_to_calculate")
    if not isinstance(chosen, list) or not chosen:
        s.problems.add(f"must be a list of types, not {shown(chosen)}", path=path)
        return
    names = []
    for i, item in enumerate(chosen):
        name = str(item).lower().replace("b_jets", "bjets").replace("-", "")
        if name not in TYPE_NAMES:
            s.problems.add(
                f"unknown type {shown(item)}",
                path=(*path, i),
                near=nearest(str(item), [kind.capitalize() for kind in TYPE_NAMES]),
            )
        names.append(name)
    s.put("objects", names, path)


def read_cuts(s: Sections) -> None:
    """Numbers of objects, kinematic cuts in GeV, isolation, thresholds of the tagging."""
    parsing = s.sections.get("parsing_task_config", {})
    scale = _cut_scale(s, parsing.get("kinematic_cuts") or {})
    for key in ("particle_counts", "kinematic_cuts"):
        table = parsing.get(key)
        if table is None:
            continue
        if not isinstance(table, dict):
            s.problems.add(f"must be a table, not {shown(table)}", path=("parsing_task_config", key))
            continue
        for kind in table:
            if kind not in TYPE_NAMES:
                s.problems.add(
                    "unknown type",
                    path=("parsing_task_config", key, kind),
                    near=nearest(str(kind), TYPE_NAMES),
                )
        made = {kind: dict(limits or {}) for kind, limits in table.items() if isinstance(limits or {}, dict)}
        if key == "kinematic_cuts":
            for limits in made.values():
                for name in ("pt_min", "pt_max"):
                    if isinstance(limits.get(name), int | float):
                        limits[name] *= scale
        s.put(key, made, ("parsing_task_config", key))
    isolation = parsing.get("rel_isolation_max")
    if isolation is not None:
        values = isolation if isinstance(isolation, dict) else {"electrons": isolation, "muons": isolation}
        s.put("selection.isolation", values, ("parsing_task_config", "rel_isolation_max"))
    thresholds = parsing.get("jet_btagging_thresholds")
    if thresholds is not None and parsing.get("jet_btag_threshold") is None:
        _threshold(s, thresholds)
    combined = parsing.get("combined_particle_counts")
    if combined is not None:
        _combined(s, combined)


def _threshold(s: Sections, thresholds: Any) -> None:
    path = ("parsing_task_config", "jet_btagging_thresholds")
    if (
        isinstance(thresholds, dict)
        and len(thresholds) == 1
        and isinstance(next(iter(thresholds.values())), int | float)
    ):
        s.put("tagging.threshold", next(iter(thresholds.values())), path)
    elif isinstance(thresholds, int | float):
        s.put("tagging.threshold", thresholds, path)
    else:
        s.problems.add(
            "several thresholds leave open which one counts",
            path=path,
            action="set jet_btag_threshold to the one you want",
        )


def _combined(s: Sections, combined: Any) -> None:
    path = ("parsing_task_config", "combined_particle_counts")
    entries = list(combined.items()) if isinstance(combined, dict) else list(enumerate(combined or ()))
    made = []
    for name, entry in entries:
        if not isinstance(entry, dict):
            s.problems.add(f"must be a table of types, min and max, not {shown(entry)}", path=(*path, name))
            continue
        # Without a list of types the name holds them: electrons_muons or electrons+muons.
        types = entry.get("types") or entry.get("particles") or str(name).replace("+", "_").split("_")
        types = [str(item).lower() for item in types]
        for kind in types:
            if kind not in TYPE_NAMES:
                s.problems.add(f"unknown type {kind!r}", path=(*path, name), near=nearest(kind, TYPE_NAMES))
        made.append({"types": types, "min": entry.get("min"), "max": entry.get("max")})
    s.put("combined_counts", made, path)


def _cut_scale(s: Sections, cuts: Any) -> float:
    """0.001 for a file in MeV, else 1."""
    path = ("parsing_task_config", "kinematic_cuts")
    unit = s.sections.get("femtobarn", {}).get("cut_unit")
    if unit is not None:
        if unit not in ("GeV", "MeV"):
            s.problems.add(f"{shown(unit)} is not GeV or MeV", path=("femtobarn", "cut_unit"))
        return 1e-3 if unit == "MeV" else 1.0
    values = [
        limits[name]
        for limits in (cuts.values() if isinstance(cuts, dict) else ())
        if isinstance(limits, dict)
        for name in ("pt_min", "pt_max")
        if isinstance(limits.get(name), int | float) and limits[name] > 0
    ]
    large = [value >= 1000 for value in values]
    if values and all(large):
        s.notes.append("all pt cuts are 1000 or more: taken as MeV (femtobarn.cut_unit: GeV if they are not)")
        return 1e-3
    if any(large):
        s.problems.add(
            "some pt cuts look like GeV and some like MeV",
            path=path,
            action="write all in GeV, or say femtobarn: {cut_unit: GeV|MeV}",
        )
    return 1.0


def read_selection(s: Sections, selection: Any) -> None:
    """``selection`` of our own block: identification, isolation, repeated events."""
    path = ("femtobarn", "selection")
    if not isinstance(selection, dict):
        s.problems.add(f"must be a table, not {shown(selection)}", path=path)
        return
    for key, value in selection.items():
        if key in ("ids", "isolation"):
            s.put(f"selection.{key}", value, (*path, key))
        elif key == "deduplicate":
            s.put("deduplicate", value, (*path, key))
        else:
            s.problems.add(
                "unknown key",
                path=(*path, key),
                near=nearest(str(key), ("ids", "isolation", "deduplicate")),
            )

"""Models from cabinetry's YAML: which histograms, which samples, which systematics.

The keys honoured are those of cabinetry 0.6 for histogram input; everything else a file says is listed, and
what would change the result silently is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import yaml

from femtobarn.errors import ConfigError, DataError, missing_file, nearest
from femtobarn.stats.histfactory.build import (
    ChannelAxis,
    ChannelSpec,
    NormFactorSpec,
    SampleSpec,
    SystematicSpec,
    WorkspaceSpec,
    build_workspace,
)
from femtobarn.stats.histfactory.cabinetry_values import wrong_values
from femtobarn.stats.histfactory.template_input import Reading, read_template
from femtobarn.stats.histfactory.workspace import Workspace

__all__ = ["CabinetryModel", "load_cabinetry"]

FloatArray = npt.NDArray[np.float64]

#: Keys understood, a section; True: honoured, False: known but without meaning here.
_KEYS: Final[Mapping[str, Mapping[str, bool]]] = {
    "General": {
        "Measurement": True,
        "POI": True,
        "InputPath": True,
        "HistogramFolder": False,
        "VariationPath": True,
        "Fixed": True,
        "Negative": True,
    },
    "Regions": {"Name": True, "Variable": True, "Binning": True, "RegionPath": True},
    "Samples": {
        "Name": True,
        "SamplePath": True,
        "Data": True,
        "DisableStaterror": True,
        "Regions": True,
        "RegionPath": True,
        "VariationPath": True,
    },
    "Systematics": {
        "Name": True,
        "Type": True,
        "Up": True,
        "Down": True,
        "Regions": True,
        "Samples": True,
        "Smoothing": True,
        "ModifierName": True,
    },
    "NormFactors": {"Name": True, "Samples": True, "Regions": True, "Nominal": True, "Bounds": True},
}
_TEMPLATE_KEYS: Final = ("Normalization", "Symmetrize", "VariationPath", "SamplePath", "RegionPath")
_NTUPLE_KEYS: Final = ("Filter", "Weight", "Tree")


@dataclass(frozen=True, slots=True)
class CabinetryModel:
    """What a YAML made.

    Attributes
    ----------
    not_honoured : tuple of str
        Statements of the file that had no effect.
    notes : tuple of str
        What deserves a look: dropped content, empty bins, large or one-sided effects.
    inputs : tuple of str
        Files read.
    axes : mapping
        Channel -> its variable and binning, where the file states them.
    """

    workspace: Workspace
    not_honoured: tuple[str, ...]
    notes: tuple[str, ...]
    inputs: tuple[str, ...]
    axes: Mapping[str, ChannelAxis]


def load_cabinetry(path: str | Path) -> CabinetryModel:
    """Read a cabinetry YAML and the histograms it names, and build the workspace.

    A relative InputPath is looked for from the working directory, then from the YAML's folder.

    Raises
    ------
    ConfigError
        With all problems of the file, or the histograms that are missing.
    DataError
        If a file cannot be read.
    """
    file = Path(path)
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise missing_file(path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"is not YAML: {getattr(error, 'problem', error)}", where=where) from None
    reading = Reading(str(path), file.parent)
    config = _checked(document, reading)
    _stop_if_wrong(reading)
    try:
        spec = _spec(config, reading)
    finally:
        for source in reading.files.values():
            source.close()
    _stop_if_wrong(reading)
    for region, dropped in reading.varied.items():
        events, key = max(dropped)
        reading.notes.append(
            f"{region}: events outside the binning were dropped from {len(dropped)} variations too "
            f"(most, {events:.6g}, from {key})"
        )
    built = build_workspace(spec)
    return CabinetryModel(
        built.workspace,
        tuple(reading.ignored),
        (*reading.notes, *built.notes),
        tuple(reading.files),
        built.axes,
    )


def _stop_if_wrong(reading: Reading) -> None:
    if reading.problems:
        lines = "\n".join(f"  {problem}" for problem in dict.fromkeys(reading.problems))
        raise ConfigError(f"the model cannot be built:\n{lines}", where=reading.where)


def _checked(document: Any, reading: Reading) -> dict[str, Any]:
    """Check sections and keys; sort every key into honoured, without meaning, refused and unknown."""
    if not isinstance(document, dict):
        reading.problems.append("must hold the sections General, Regions, Samples, ...")
        return {}
    for section in document:
        if section not in _KEYS:
            near = nearest(str(section), _KEYS)
            reading.problems.append(
                f"unknown section '{section}'" + (f" (did you mean {near[0]}?)" if near else "")
            )
    for section in ("General", "Regions", "Samples"):
        if not document.get(section):
            reading.problems.append(f"section {section} is missing or empty")
    for section, known in _KEYS.items():
        content = document.get(section)
        items = [content] if section == "General" else content
        for item in items if isinstance(items, list) else []:
            if isinstance(item, dict):
                _check_keys(section, item, known, reading)
    reading.problems += wrong_values(document)
    return document


def _check_keys(section: str, item: Mapping[str, Any], known: Mapping[str, bool], reading: Reading) -> None:
    label = section if section == "General" else f"{section} '{item.get('Name', '?')}'"
    for key in item:
        if key in _NTUPLE_KEYS:
            reading.problems.append(f"{label}: {key} needs ntuple input; this reads histograms")
        elif key not in known:
            near = nearest(str(key), known)
            reading.problems.append(
                f"{label}: unknown key '{key}'" + (f" (did you mean {near[0]}?)" if near else "")
            )
        elif not known[key]:
            reading.ignored.append(f"{label}: {key} = {item[key]}")
    needed = {"General": ("Measurement", "InputPath"), "Systematics": ("Name", "Type")}.get(
        section, ("Name",)
    )
    for key in needed:
        if key not in item:
            reading.problems.append(f"{label}: '{key}' is missing")
    for side in ("Up", "Down"):
        template = item.get(side)
        for key in template if isinstance(template, dict) else ():
            if key not in _TEMPLATE_KEYS:
                near = nearest(str(key), _TEMPLATE_KEYS)
                hint = f" (did you mean {near[0]}?)" if near else ""
                refused = "needs ntuple input" if key in _NTUPLE_KEYS else f"is unknown{hint}"
                reading.problems.append(f"{label}: {side} {key} {refused}")


def _names(value: Any) -> list[str] | None:
    """A name or list of names; None stands for all."""
    if value is None:
        return None
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _applies(item: Mapping[str, Any], region: str, sample: str | None = None) -> bool:
    regions, samples = _names(item.get("Regions")), _names(item.get("Samples"))
    return (regions is None or region in regions) and (sample is None or samples is None or sample in samples)


def _spec(config: Mapping[str, Any], reading: Reading) -> WorkspaceSpec:
    general = config["General"]
    samples = config["Samples"]
    _check_references(config, reading)
    data = [s for s in samples if s.get("Data")]
    if len(data) != 1:
        reading.problems.append(f"exactly one sample must have 'Data: true', not {len(data)}")
        data = data[:1]
    channels = [_channel(region, config, data, reading) for region in config["Regions"]]
    factors = tuple(
        NormFactorSpec(
            str(item["Name"]),
            float(1.0 if item.get("Nominal") is None else item["Nominal"]),
            tuple(float(b) for b in item.get("Bounds") or (0.0, 10.0)),  # type: ignore[arg-type]
        )
        for item in config.get("NormFactors") or []
    )
    fixed = tuple((str(item["Name"]), float(item["Value"])) for item in general.get("Fixed") or [])
    return WorkspaceSpec(
        channels=tuple(channels),
        measurement=str(general["Measurement"]),
        poi=str(general.get("POI") or ""),
        normfactors=factors,
        fixed=fixed,
        negative="zero" if general.get("Negative") == "zero" else "error",
    )


def _check_references(config: Mapping[str, Any], reading: Reading) -> None:
    regions = [str(r["Name"]) for r in config["Regions"]]
    samples = [str(s["Name"]) for s in config["Samples"]]
    for section in ("Samples", "Systematics", "NormFactors"):
        for item in config.get(section) or []:
            for key, known in (("Regions", regions), ("Samples", samples)):
                for name in _names(item.get(key)) or []:
                    if name not in known:
                        near = nearest(name, known) or tuple(known[:3])
                        text = f"{section} '{item['Name']}': there is no {key[:-1].lower()} '{name}'"
                        reading.problems.append(f"{text} (there is {', '.join(near)})")
    for item in config.get("Systematics") or []:
        if item.get("Type") not in ("Normalization", "NormPlusShape"):
            what = f"Systematics '{item['Name']}': Type '{item.get('Type')}'"
            reading.problems.append(f"{what} is neither Normalization nor NormPlusShape")
    _stop_if_wrong(reading)


def _channel(
    region: Mapping[str, Any], config: Mapping[str, Any], data: Sequence[Mapping[str, Any]], reading: Reading
) -> ChannelSpec:
    name = str(region["Name"])
    observed = np.zeros(0)
    for item in data:
        found = read_template(config["General"], region, item, {}, reading)
        observed = observed if found is None else found[0]
    samples = []
    for sample in config["Samples"]:
        if not sample.get("Data") and _applies({"Regions": sample.get("Regions")}, name):
            made = _sample(region, sample, config, reading)
            if made is not None:
                samples.append(made)
    return ChannelSpec(name, observed.tolist(), tuple(samples), _axis(region))


def _axis(region: Mapping[str, Any]) -> ChannelAxis | None:
    """Variable and binning of a region; ``$H_T$ [GeV]`` is a name and its unit."""
    if region.get("Binning") is None:
        return None
    name, _, unit = str(region.get("Variable") or "bin").partition(" [")
    return ChannelAxis(name, unit.removesuffix("]"), tuple(float(edge) for edge in region["Binning"]))


def _sample(
    region: Mapping[str, Any], sample: Mapping[str, Any], config: Mapping[str, Any], reading: Reading
) -> SampleSpec | None:
    channel, name = str(region["Name"]), str(sample["Name"])
    nominal = read_template(config["General"], region, sample, {}, reading)
    if nominal is None:
        return None
    systematics = []
    for item in config.get("Systematics") or []:
        if _applies(item, channel, name):
            made = _systematic(region, sample, item, config["General"], reading)
            if made is not None:
                systematics.append(made)
    factors = [str(f["Name"]) for f in config.get("NormFactors") or [] if _applies(f, channel, name)]
    return SampleSpec(
        name=name,
        nominal=nominal[0].tolist(),
        variances=None if sample.get("DisableStaterror") else nominal[1].tolist(),
        systematics=tuple(systematics),
        normfactors=tuple(factors),
    )


def _systematic(
    region: Mapping[str, Any],
    sample: Mapping[str, Any],
    item: Mapping[str, Any],
    general: Mapping[str, Any],
    reading: Reading,
) -> SystematicSpec | None:
    name = str(item.get("ModifierName") or item["Name"])
    up, down = item.get("Up") or {}, item.get("Down") or {}
    if item["Type"] == "Normalization":
        if up.get("Normalization") is None:
            reading.problems.append(f"Systematics '{item['Name']}': Up Normalization is missing")
            return None
        lower = down.get("Normalization")
        if lower is None and not down.get("Symmetrize"):
            reading.problems.append(f"Systematics '{item['Name']}': Down Normalization is missing")
            return None
        return SystematicSpec(name, float(up["Normalization"]), None if lower is None else float(lower))
    high = read_template(general, region, sample, up, reading)
    option = down.get("Symmetrize")
    mirrored = option is True
    low = None if mirrored else read_template(general, region, sample, down, reading)
    if high is None or (low is None and not mirrored):
        return None
    if option not in (None, True, False, "average", "max"):
        reading.problems.append(
            f"Systematics '{item['Name']}': Symmetrize '{option}' is not true, average or max"
        )
        return None
    return SystematicSpec(
        name,
        high[0].tolist(),
        None if low is None else low[0].tolist(),
        symmetrize="mirror" if mirrored else option if option in ("average", "max") else "none",
        smooth=_smoothed(item, str(region["Name"]), str(sample["Name"]), reading),
    )


def _smoothed(item: Mapping[str, Any], region: str, sample: str, reading: Reading) -> bool:
    smoothing = item.get("Smoothing")
    if not smoothing:
        return False
    if smoothing.get("Algorithm") != "353QH, twice":
        text = f"Systematics '{item['Name']}': smoothing '{smoothing.get('Algorithm')}' is not '353QH, twice'"
        reading.problems.append(text)
        return False
    return _applies(smoothing, region, sample)

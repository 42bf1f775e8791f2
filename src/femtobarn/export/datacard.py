"""A model as a Combine datacard: a text file, a ROOT file of shapes and the table of names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from femtobarn.errors import ConfigError, DataError
from femtobarn.stats.histfactory.model import Model
from femtobarn.stats.histfactory.transform import uncorrelated
from femtobarn.stats.histfactory.workspace import Channel, Modifier, Sample

__all__ = ["Datacard", "DatacardYields", "export_datacard", "legal_names", "read_datacard"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Datacard:
    """Files written, original name -> name in the card, and what Combine cannot hold."""

    card: Path
    shapes: Path
    mapping: Path
    names: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatacardYields:
    """Contents of a card by its own names: nominal templates and data."""

    processes: Mapping[str, Mapping[str, FloatArray]]
    data: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class _Column:
    """One process in one channel: a column of the card."""

    channel: Channel
    sample: Sample
    bin: str
    process: str
    number: int

    def of(self, name: str, kind: str) -> Modifier | None:
        return next((m for m in self.sample.modifiers if m.name == name and m.kind == kind), None)


def legal_names(names: Iterable[str]) -> dict[str, str]:
    """Unique names of letters, digits and underscores that begin with a letter."""
    out: dict[str, str] = {}
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "x"
        stem = stem if stem[0].isalpha() else f"n_{stem}"
        legal, k = stem, 1
        while legal in out.values():
            k += 1
            legal = f"{stem}_{k}"
        out[name] = legal
    return out


def export_datacard(model: Model, directory: str | Path) -> Datacard:
    """Write ``datacard.txt``, ``shapes.root`` and ``names.json``.

    The parameter of interest is Combine's own ``r``: samples that carry it are the signals (numbers <= 0).
    normsys -> lnN, histosys (with its norm part) -> shape, free norms -> rateParam, staterror -> autoMCStats,
    lumi -> lnN, shapesys -> one shape a bin.
    """
    workspace, notes = uncorrelated(model.workspace)
    flat = Model(workspace, measurement=model.measurement.name, interp=model.interpolation)
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    names = {
        "channels": legal_names(c.name for c in flat.channels),
        "processes": legal_names(flat.samples),
        "parameters": legal_names(item.name for item in flat.sets),
    }
    if flat.poi:
        names["parameters"][flat.poi] = "r"
    columns = _columns(flat, names)
    writer = _Writer(flat, names, columns)
    lines = writer.lines()
    shapes = folder / "shapes.root"
    _write_root(shapes, writer.templates)
    card = folder / "datacard.txt"
    card.write_text("\n".join(lines) + "\n", encoding="utf-8")
    mapping = folder / "names.json"
    kept = (*notes, *writer.notes)
    document = {"schema_version": 1, "names": names, "not_held": list(kept)}
    mapping.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Datacard(card, shapes, mapping, names, kept)


def _columns(model: Model, names: Mapping[str, Mapping[str, str]]) -> list[_Column]:
    carries = {s.name for c in model.channels for s in c.samples for m in s.modifiers if m.name == model.poi}
    signals = [s for s in model.samples if s in carries]
    backgrounds = [s for s in model.samples if s not in carries]
    numbers = {s: -k for k, s in enumerate(signals)} | {s: k + 1 for k, s in enumerate(backgrounds)}
    return [
        _Column(c, s, names["channels"][c.name], names["processes"][s.name], numbers[s.name])
        for c in model.channels
        for s in sorted(c.samples, key=lambda s: numbers[s.name])
    ]


class _Writer:
    """Lines of the card and the templates they refer to."""

    def __init__(self, model: Model, names: Mapping[str, Mapping[str, str]], columns: list[_Column]) -> None:
        self.model, self.names, self.columns = model, names, columns
        self.templates: dict[str, tuple[FloatArray, FloatArray]] = {}
        self.notes: list[str] = []
        self.rates: list[str] = []
        for column in columns:
            data = np.array(column.sample.data)
            sizes = np.zeros(data.size)
            for modifier in column.sample.modifiers:
                if modifier.kind == "staterror" and modifier.sizes:
                    sizes = np.array(modifier.sizes)
            self.templates[f"{column.bin}/{column.process}"] = (data, sizes**2)
        for channel in model.channels:
            observed = model.observed[model.bins[channel.name]]
            self.templates[f"{names['channels'][channel.name]}/data_obs"] = (observed, observed)

    def lines(self) -> list[str]:
        nuisances = self._nuisances()
        bins = list(self.names["channels"].values())
        observed = [float(self.model.observed[self.model.bins[c.name]].sum()) for c in self.model.channels]
        head = [
            f"# measurement {self.model.measurement.name}; names are mapped in names.json",
            f"imax {len(bins)}",
            f"jmax {len(self.names['processes']) - 1}",
            "kmax *",
            "-" * 40,
            *(f"shapes * {b} shapes.root {b}/$PROCESS {b}/$PROCESS_$SYSTEMATIC" for b in bins),
            "-" * 40,
            "bin " + " ".join(bins),
            "observation " + " ".join(repr(n) for n in observed),
            "-" * 40,
            "bin " + " ".join(c.bin for c in self.columns),
            "process " + " ".join(c.process for c in self.columns),
            "process " + " ".join(str(c.number) for c in self.columns),
            "rate " + " ".join(repr(float(sum(c.sample.data))) for c in self.columns),
            "-" * 40,
        ]
        stat = {c.bin for c in self.columns for m in c.sample.modifiers if m.kind == "staterror"}
        # 0: every bin gets its own parameter; 1: the signal's statistics count too.
        return head + nuisances + self.rates + [f"{b} autoMCStats 0 1" for b in bins if b in stat]

    def _nuisances(self) -> list[str]:
        rows: list[str] = []
        for item in self.model.sets:
            name = self.names["parameters"][item.name]
            if all(item.fixed) and item.kind not in {"staterror", "shapesys"}:
                self.notes.append(
                    f"'{item.name}' is fixed at {item.inits[0]:g}; the card has its nominal effect"
                )
                continue
            if item.kind == "shapefactor":
                self.notes.append(
                    f"'{item.name}' is a free shape (shapefactor), which a card cannot tie to bins"
                )
            elif item.kind == "normfactor":
                self._rate(item.name, name, item.bounds[0], item.inits[0])
            elif item.kind == "lumi":
                rows.append(self._lumi(item.name, name, item.widths[0] / item.auxdata[0]))
            elif item.kind == "shapesys":
                rows += self._shapesys(item.name, name)
                self.notes.append(f"'{item.name}' (shapesys) has a Gaussian in place of a Poisson constraint")
            elif item.kind in {"histosys", "normsys"}:
                rows.append(self._systematic(item.name, name))
        self.notes.append(
            f"interpolation {self.model.normsys_code}/{self.model.histosys_code} is Combine's own in the card"
        )
        return rows

    def _rate(self, name: str, legal: str, bounds: tuple[float, float], init: float) -> None:
        if name == self.model.poi:
            return
        for column in self.columns:
            if column.of(name, "normfactor"):
                span = f"[{bounds[0]:g},{bounds[1]:g}]"
                self.rates.append(f"{legal} rateParam {column.bin} {column.process} {init:g} {span}")

    def _lumi(self, name: str, legal: str, width: float) -> str:
        cells = [repr(1.0 + width) if c.of(name, "lumi") else "-" for c in self.columns]
        return f"{legal} lnN " + " ".join(cells)

    def _systematic(self, name: str, legal: str) -> str:
        if not any(column.of(name, "histosys") for column in self.columns):
            norms = [column.of(name, "normsys") for column in self.columns]
            cells = [f"{m.lo[0]!r}/{m.hi[0]!r}" if m and m.hi and m.lo else "-" for m in norms]
            return f"{legal} lnN " + " ".join(cells)
        cells = []
        for column in self.columns:
            shape, norm = column.of(name, "histosys"), column.of(name, "normsys")
            if shape is None and norm is None:
                cells.append("-")
                continue
            nominal = np.array(column.sample.data)
            for side in ("Up", "Down"):
                contents = nominal if shape is None else np.array(shape.hi if side == "Up" else shape.lo)
                factor = 1.0
                if norm is not None and norm.hi and norm.lo:
                    factor = norm.hi[0] if side == "Up" else norm.lo[0]
                self._template(column, legal + side, contents * factor)
            cells.append("1")
        return f"{legal} shape " + " ".join(cells)

    def _shapesys(self, name: str, legal: str) -> list[str]:
        rows = []
        for k, column in enumerate(self.columns):
            modifier = column.of(name, "shapesys")
            nominal = np.array(column.sample.data)
            for b, size in enumerate(modifier.sizes or () if modifier else ()):
                if size <= 0.0 or nominal[b] <= 0.0:
                    continue
                shift = np.zeros(nominal.size)
                shift[b] = size
                self._template(column, f"{legal}_bin{b}Up", nominal + shift)
                self._template(column, f"{legal}_bin{b}Down", nominal - shift)
                cells = ["1" if j == k else "-" for j in range(len(self.columns))]
                rows.append(f"{legal}_bin{b} shape " + " ".join(cells))
        return rows

    def _template(self, column: _Column, suffix: str, contents: FloatArray) -> None:
        if np.any(contents < 0.0):
            self.notes.append(f"{column.bin}/{column.process}_{suffix} has negative bins")
        self.templates[f"{column.bin}/{column.process}_{suffix}"] = (contents, np.zeros(contents.size))


def _write_root(path: Path, templates: Mapping[str, tuple[FloatArray, FloatArray]]) -> None:
    import hist
    import uproot

    with uproot.recreate(path) as file:
        for key, (values, variances) in templates.items():
            histogram = hist.Hist(
                hist.axis.Regular(values.size, 0.0, float(values.size), name="bin"),
                storage=hist.storage.Weight(),
            )
            view = histogram.view()
            view.value, view.variance = values, variances
            file[key] = histogram


def read_datacard(directory: str | Path) -> DatacardYields:
    """Read back the nominal templates and data of a card that :func:`export_datacard` wrote.

    Raises
    ------
    DataError, ConfigError
        If a template is missing or its sum is not the card's rate.
    """
    import uproot

    folder = Path(directory)
    try:
        rows = [line.split() for line in (folder / "datacard.txt").read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise DataError(f"cannot be read: {error}", where=str(folder / "datacard.txt")) from None
    table: dict[str, list[list[str]]] = {}
    for row in rows:
        if row and not row[0].startswith(("#", "-")):
            table.setdefault(row[0], []).append(row[1:])
    bins, processes, rates = table["bin"][1], table["process"][0], table["rate"][0]
    out: dict[str, dict[str, FloatArray]] = {}
    data: dict[str, FloatArray] = {}

    def template(file: Any, key: str) -> FloatArray:
        if key not in file:
            raise DataError(f"has no template '{key}'", where=str(folder / "shapes.root"))
        return np.asarray(file[key].values(), dtype=np.float64)

    with uproot.open(folder / "shapes.root") as file:
        for channel, process, rate in zip(bins, processes, rates, strict=True):
            values = template(file, f"{channel}/{process}")
            if abs(float(values.sum()) - float(rate)) > 1e-9 * max(1.0, abs(float(rate))):
                raise ConfigError(
                    f"the template of {process} in {channel} does not add up to its rate {rate}"
                )
            out.setdefault(channel, {})[process] = values
        for channel in table["bin"][0]:
            data[channel] = template(file, f"{channel}/data_obs")
    return DatacardYields(out, data)

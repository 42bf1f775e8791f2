"""CMS Run 1 as it was published: histogram files and candidate tables of the four-lepton example."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.analyses.h4l.quartet import Quartet, channel_of, fill, list_candidates
from femtobarn.analysis import Columns, Context
from femtobarn.errors import ConfigError, DataError
from femtobarn.kernels import FourVectors
from femtobarn.outcome import Outcome
from femtobarn.physics.pairing import pair_four_leptons
from femtobarn.read.columns import Events
from femtobarn.records import Dataset

__all__ = ["SCHEMAS", "columns", "prepare", "process", "routed"]

SCHEMAS: Final = ("cms-histograms", "cms-aod", "cms-candidates", "cms-dileptons", "cms-nanoaod")

_USED: Final = ("DoubleMu", "DoubleE", "ZZ4mu", "ZZ4e", "ZZ2mu2e", "HZZ", "TTBar", "DY50TuneZ", "DY10")
_ALTERNATIVES: Final = ("DY50Mag", "DY101Jets", "DYTo2mu", "TTJets")
_PUBLISHED: Final = re.compile(rf"^(?:.*_)?(?P<stem>{'|'.join((*_USED, *_ALTERNATIVES))})(?P<year>11|12)$")
_TABLE: Final = re.compile(r"^(?P<channel>4mu|4e|2e2mu)_(?P<year>20\d\d)$")

#: Channel -> how the published histograms spell it.
_SPELLING: Final = {"4mu": "4mu", "4e": "4e", "2e2mu": "2mu2e"}
#: Channels a dataset contributes to; all three for those not named.  The double-electron stream's own
#: 2e2mu events are in the double-muon stream, too: counting both counts them twice.
_ROUTING: Final = {
    "DoubleMu": ("4mu", "2e2mu"),
    "DoubleE": ("4e",),
    "ZZ4mu": ("4mu",),
    "ZZ4e": ("4e",),
    "ZZ2mu2e": ("2e2mu",),
}
_MASS_TOLERANCE: Final = 3e-5


def routed(dataset: Dataset, channels: Iterable[str]) -> tuple[str, ...]:
    """The channels that a dataset's events are taken for."""
    for stem, wanted in _ROUTING.items():
        if dataset.name.startswith(stem):
            return tuple(channel for channel in channels if channel in wanted)
    return tuple(channels)


def columns(schema: str) -> Columns:
    """Columns of the candidate tables; histogram files have none."""
    if schema == "cms-dileptons":
        pair = ("pt", "eta", "phi", "charge")
        return Columns(("run", "event", *(f"lepton{i}.{name}" for i in (1, 2) for name in pair)), ("mass",))
    if schema != "cms-candidates":
        return Columns(())
    fields = ("pid", "e", "px", "py", "pz", "eta", "phi", "charge")
    return Columns(("run", "event", "mass", *(f"lepton{i}.{name}" for i in range(1, 5) for name in fields)))


def prepare(datasets: Iterable[Dataset]) -> tuple[tuple[Dataset, ...], Mapping[str, str]]:
    """Every published file becomes a dataset of its own, named and normalised by its file's stem."""
    table = _normalisation()
    out: list[Dataset] = []
    unused: dict[str, str] = {}
    for dataset in datasets:
        rest = []
        # Where the file came from (a generator, say) is still true of the dataset it becomes.
        origin = {"origin": dataset.metadata["origin"]} if "origin" in dataset.metadata else {}
        collisions = {"kind": "data", "process": "data", **origin}
        for ref in dataset.files:
            stem = Path(ref.url).stem
            published, listed = _PUBLISHED.match(stem), _TABLE.match(stem)
            if published and published["stem"] in _ALTERNATIVES:
                unused[ref.url] = f"{published['stem']} is an alternative of a sample that is used"
            elif published:
                name = published["stem"] + published["year"]
                out.append(Dataset(name, (ref,), {**table.get(name, collisions), **origin}))
            elif listed or ref.url.endswith(".csv"):
                out.append(Dataset(stem, (ref,), collisions))
            else:
                rest.append(ref)
        if rest:
            out.append(Dataset(dataset.name, tuple(rest), dataset.metadata))
    _refuse_double_counting(out)
    return tuple(out), unused


def _refuse_double_counting(datasets: Iterable[Dataset]) -> None:
    tables, histograms = {}, {}
    for dataset in datasets:
        listed, published = _TABLE.match(dataset.name), _PUBLISHED.match(dataset.name)
        if listed:
            tables[listed["year"]] = dataset.name
        if published and dataset.kind == "data":
            histograms[f"20{published['year']}"] = dataset.name
    for year in sorted(set(tables) & set(histograms)):
        raise ConfigError(
            f"{tables[year]} and {histograms[year]} hold the same candidates: they would count twice",
            action="use the candidate tables or the histogram files of a year, not both",
        )


def _normalisation() -> dict[str, dict[str, Any]]:
    """Metadata of the simulated histogram files, by stem and year."""
    place = resources.files("femtobarn.catalog") / "tables" / "run1-histograms.csv"
    lines = [line for line in place.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {
        f"{row['name']}{row['year'][2:]}": {
            "kind": "mc",
            "process": row["group"],
            "group": row["group"],
            "xsec": float(row["xsec_pb"]),
            "kfactor": float(row["scale_factor"]),
            "sumw": float(row["generated"]),
            "lumi": float(row["lumi_pb"]) / 1000,
            "suspicious": row["suspicious"],
        }
        for row in csv.DictReader(lines)
    }


def process(events: Events, ctx: Context) -> Outcome:
    """One published file."""
    if ctx.schema == "cms-histograms":
        return _histograms(events, ctx)
    if ctx.schema == "cms-dileptons":
        return _pairs(events, ctx)
    return _candidates(events, ctx)


def _histograms(events: Events, ctx: Context) -> Outcome:
    out = ctx.outcome()
    for channel in routed(ctx.dataset, _SPELLING):
        for target, binning in (("m4l", "8TeV_low"), ("m4l_full", "full")):
            name = f"demo/mass{_SPELLING[channel]}_{binning}"
            source = events.objects.get(name)
            if source is None:
                raise DataError(f"histogram {name!r} is missing")
            histogram = out.histograms[target]
            (axis,) = histogram.spec.axes
            if not np.allclose(source.edges, axis.edges):
                raise DataError(f"histogram {name!r} has other bins than published")
            values, variances = np.array(source.values), np.array(source.variances)
            # What lies outside the plot's range is counted by the full-range histogram only.
            values[[0, -1]] = variances[[0, -1]] = 0
            for region in (channel, "4l"):
                histogram.fill_binned((region, ctx.dataset.name, "nominal"), values, variances)
    return out


def _pairs(events: Events, ctx: Context) -> Outcome:
    """A standard candle: the mass of each pair, as stated or (muons and electrons are light) massless."""
    out = ctx.outcome()
    out.add_cutflow(ctx.select(events))
    pt, eta, phi = (
        np.stack([events.flat(f"lepton{i}.{name}") for i in (1, 2)], axis=1) for name in ("pt", "eta", "phi")
    )
    mass = events.flat("mass") if "mass" in events else FourVectors.from_mass(pt, eta, phi, 0.0).sum().mass
    out.fill("m_pair", mass, region="pair")
    out.add_table("pairs", {"run": events.flat("run"), "event": events.flat("event"), "mass": mass})
    return out


def _candidates(events: Events, ctx: Context) -> Outcome:
    """A table of candidates: masses recomputed and checked, duplicates refused."""
    out = ctx.outcome()

    def leptons(name: str) -> Any:
        return np.stack([events.flat(f"lepton{i}.{name}") for i in range(1, 5)], axis=1)

    vectors = FourVectors(*(leptons(name).astype(np.float64) for name in ("px", "py", "pz", "e")))
    kinds, charge = np.abs(leptons("pid")).astype(np.int64), leptons("charge").astype(np.int64)
    pairs = pair_four_leptons(vectors, charge, kinds, z_mass=91.1876)
    rows = np.arange(len(events))
    quartet = Quartet(rows, vectors, leptons("eta"), leptons("phi"), kinds, charge, pairs, channel_of(kinds))
    _check_candidates(events, quartet)
    selection = ctx.select(events)
    out.add_cutflow(selection)
    weight = np.ones(len(events))
    fill(out, quartet, weight)
    list_candidates(out, quartet, weight, {name: events.flat(name) for name in ("run", "event")})
    return out


def _check_candidates(events: Events, quartet: Quartet) -> None:
    stated = events.flat("mass")
    off = np.abs(quartet.mass / stated - 1) > _MASS_TOLERANCE
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise DataError(
            f"row {row + 1}: the stated mass {stated[row]:g} GeV is not that of the four leptons "
            f"({quartet.mass[row]:g} GeV)"
        )
    identity = np.stack([events.flat("run"), events.flat("event")], axis=1)
    if len(np.unique(identity, axis=0)) < len(identity):
        raise DataError("the same event (run, event) is listed twice")

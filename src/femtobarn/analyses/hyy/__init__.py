"""The Higgs boson in the diphoton events of the ATLAS and CMS open data.

Two good photons, their mass, and a fit of a peak on a smoothly falling background.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from femtobarn.analyses.hyy import results
from femtobarn.analysis import Analysis, Columns, Context, Parameters, Selection
from femtobarn.catalog import RELEASES
from femtobarn.hists import HistSpec, regular
from femtobarn.kernels import FourVectors, leading, scatter
from femtobarn.outcome import Outcome
from femtobarn.physics.parameters import ReleaseName, Window
from femtobarn.physics.photons import outside_crack
from femtobarn.physics.samples import complete_datasets, release_sources
from femtobarn.physics.weights import FACTS, GENERATOR, weigh
from femtobarn.read.columns import Events
from femtobarn.records import Dataset

__all__ = ["HyyParameters", "analysis"]

Mask = NDArray[np.bool_]


class HyyParameters(Parameters):
    """What ``--set`` reaches."""

    release: ReleaseName = Field("atlas-2020", description="public release, or its alias")
    crack: Literal["on", "off"] = Field("on", description="veto the barrel-endcap transition (ATLAS 2025)")
    lumi: float | None = Field(
        None,
        gt=0,
        description="integrated luminosity (default: the release's)",
        json_schema_extra={"unit": "fb-1"},
    )
    xsec: dict[str, float] = Field(default_factory=dict, description="override of a sample's cross-section")
    background: Literal["polynomial", "exponential", "bernstein", "power"] = Field(
        "polynomial", description="shape of the background"
    )
    order: int = Field(4, ge=1, le=6, description="degree of the background, or its number of terms")
    signal: Literal["gaussian", "dcb"] = Field("gaussian", description="shape of the signal")
    mass: float = Field(
        125.0, gt=0, description="start of the mass, or its value", json_schema_extra={"unit": "GeV"}
    )
    width: float = Field(1.7, gt=0, description="start of the resolution", json_schema_extra={"unit": "GeV"})
    fix_mass: bool = Field(False, description="keep the mass where it starts")
    fix_width: bool = Field(False, description="keep the resolution where it starts")
    blind: Window | None = Field(
        None, description="hide the data in this window", json_schema_extra={"unit": "GeV"}
    )


@dataclass(frozen=True, slots=True)
class _Setup:
    """How a release selects photons: mass range, acceptance, thresholds and order of the cuts."""

    window: tuple[float, float]
    eta_max: float
    crack: tuple[float, float]
    pt: tuple[float, float]
    relative: tuple[float, float]
    cuts: tuple[str, ...]


_ATLAS_CRACK: Final = (1.37, 1.52)
_SETUPS: Final = {
    "atlas-2020": _Setup(
        (105, 160), 2.37, _ATLAS_CRACK, (25, 25), (0.35, 0.25),
        ("trigger", "two_good_photons", "isolation", "relative_pt", "mass_window"),
    ),
    "atlas-2025": _Setup(
        (100, 160), 2.37, _ATLAS_CRACK, (50, 30), (0.35, 0.35),
        ("two_photons", "tight", "pt", "isolation", "eta_crack", "mass", "relative_pt"),
    ),
    "cms-nanoaod": _Setup(
        (100, 180), 2.5, (1.4442, 1.566), (35, 25), (1 / 3, 1 / 4),
        ("two_photons", "eta_crack", "electron_veto", "pt", "mass", "relative_pt"),
    ),
}  # fmt: skip
#: The published candidate tables are drawn in the same range.
_TABLE: Final = "cms-diphotons"
_SCALE_FACTORS: Final = ("sf.photon", "sf.photon_trigger", "sf.pileup")


def _setup(release: str) -> _Setup:
    return _SETUPS.get(release, _SETUPS["cms-nanoaod"])


def columns(parameters: HyyParameters, schema: str, dataset: Dataset) -> Columns:
    """What the selection of this release reads."""
    if schema == _TABLE:
        return Columns(
            ("run", "event", *(f"photon{i}.{name}" for i in (1, 2) for name in ("pt", "eta", "phi")))
        )
    photon = ["pt", "eta", "phi"]
    optional = ["lumi"]
    if schema == "cms-nanoaod":
        photon.append("electronVeto")
        return Columns(("run", "event", *(f"photon.{n}" for n in photon)), (*optional, GENERATOR))
    photon += ["e", "tight_id", "ptcone"] + (["etcone"] if schema == "atlas-2020" else [])
    needed = ["run", "event", *(f"photon.{name}" for name in photon)]
    if schema == "atlas-2020":
        needed.append("trigger.photon")
    if dataset.kind == "mc":
        needed += [GENERATOR, "sf.photon", "sf.pileup"]
        optional += ["sf.photon_trigger", *(f"fact.{name}" for name in FACTS)]
    return Columns(tuple(needed), tuple(optional))


def process(events: Events, ctx: Context) -> Outcome:
    """Select two photons; fill their mass and list the candidates."""
    if ctx.schema == _TABLE:
        return _table(events, ctx)
    out = ctx.outcome()
    weight = weigh(events, _SCALE_FACTORS, out, is_data=ctx.is_data)
    rows, vectors, masks = _photons(events, ctx)
    selection = Selection(len(events), weight)
    for cut in _setup(ctx.schema).cuts:
        selection.require(cut, masks[cut])
    out.add_cutflow(selection)
    chosen = selection.mask[rows]
    identity = {name: events.flat(name)[rows[chosen]] for name in ("run", "lumi", "event") if name in events}
    _fill(out, vectors[chosen], weight[rows[chosen]], identity)
    return out


def _photons(events: Events, ctx: Context) -> tuple[NDArray[np.int64], FourVectors, dict[str, Mask]]:
    """Events with two photons, their vectors (n, 2), and every decision as a mask over all events."""
    setup = _setup(ctx.schema)
    pt = events.jagged("photon.pt")
    eta = events.jagged("photon.eta").values
    good = np.ones(len(pt.values), dtype=np.bool_)
    if ctx.schema == "atlas-2020":
        good = (
            events.jagged("photon.tight_id").values.astype(np.bool_)
            & (pt.values > setup.pt[0])
            & outside_crack(eta, eta_max=setup.eta_max, crack=setup.crack)
        )
    rows, index = leading(2, pt.offsets, good, pt.values)

    def photon(name: str) -> NDArray[Any]:
        return events.jagged(f"photon.{name}").values[index]

    def among(passed: Any) -> Mask:
        return scatter(len(events), rows, passed)

    vectors = FourVectors.from_mass(photon("pt"), photon("eta"), photon("phi"), 0.0)
    own, mass = vectors.pt, vectors.sum().mass
    inside = among((mass >= setup.window[0]) & (mass <= setup.window[1]))
    masks = {
        "two_photons": among(True),
        "two_good_photons": pt.where(good).counts == 2,
        "pt": among((own[:, 0] > setup.pt[0]) & (own[:, 1] > setup.pt[1])),
        "eta_crack": among(
            outside_crack(photon("eta"), eta_max=setup.eta_max, crack=setup.crack).all(axis=1)
        ),
        "mass": inside,
        "mass_window": inside,
        "relative_pt": among((own / mass[:, None] > setup.relative).all(axis=1)),
    }
    if ctx.parameters.crack == "off":
        masks["eta_crack"] = masks["two_photons"]
    if ctx.schema == "atlas-2020":
        masks["trigger"] = events.flat("trigger.photon")
        isolated = (photon("ptcone") / own < 0.065) & (photon("etcone") / own < 0.065)
        masks["isolation"] = among(isolated.all(axis=1))
    elif ctx.schema == "atlas-2025":
        masks["tight"] = among(photon("tight_id").all(axis=1))
        masks["isolation"] = among((photon("ptcone") / own < 0.055).all(axis=1))
    else:
        masks["electron_veto"] = among(photon("electronVeto").all(axis=1))
    return rows, vectors, masks


def _table(events: Events, ctx: Context) -> Outcome:
    """Published candidates, as they are."""
    out = ctx.outcome()
    out.add_cutflow(Selection(len(events)))
    pt, eta, phi = (
        np.stack([events.flat(f"photon{i}.{name}") for i in (1, 2)], axis=1) for name in ("pt", "eta", "phi")
    )
    identity = {name: events.flat(name) for name in ("run", "event")}
    _fill(out, FourVectors.from_mass(pt, eta, phi, 0.0), np.ones(len(events)), identity)
    return out


def _fill(
    out: Outcome, pair: FourVectors, weight: NDArray[np.float64], identity: Mapping[str, NDArray[Any]]
) -> None:
    total = pair.sum()
    own = -np.sort(-pair.pt, axis=1)
    values = {"myy": total.mass, "ptyy": total.pt, "photon1_pt": own[:, 0], "photon2_pt": own[:, 1]}
    for name, array in values.items():
        out.fill(name, array, weight=weight)
    n = len(weight)
    ids = {
        name: identity[name].astype(np.int64) if name in identity else np.full(n, -1)
        for name in ("run", "lumi", "event")
    }
    label = np.full(n, out.dataset, dtype=f"<U{max(len(out.dataset), 1)}")
    out.add_table("candidates", {"dataset": label, **ids, "myy": total.mass, "weight": weight})


def histograms(parameters: HyyParameters) -> tuple[HistSpec, ...]:
    """The diphoton mass in 1 GeV bins, and momenta."""
    low, high = _setup(parameters.release).window
    axes = (
        regular(round(high - low), low, high, "myy", label="Diphoton mass", unit="GeV"),
        regular(50, 0, 250, "ptyy", label="Diphoton pT", unit="GeV"),
        regular(50, 0, 250, "photon1_pt", label="pT of the leading photon", unit="GeV"),
        regular(50, 0, 250, "photon2_pt", label="pT of the other photon", unit="GeV"),
    )
    return tuple(HistSpec(axis.name, (axis,)) for axis in axes)


def prepare(
    datasets: tuple[Dataset, ...], parameters: HyyParameters
) -> tuple[tuple[Dataset, ...], Mapping[str, str]]:
    """Complete simulated datasets from the release's table."""
    return complete_datasets(datasets, RELEASES[parameters.release]), {}


def sources(parameters: HyyParameters) -> tuple[str, ...]:
    """The release's own diphoton files, with the signal where there is some."""
    if parameters.release not in ("atlas-2020", "atlas-2025"):
        return ()
    return release_sources(RELEASES[parameters.release], "GamGam", lambda sample: sample.name.endswith("_yy"))


def schemas(parameters: HyyParameters) -> tuple[str, ...]:
    """NanoAOD and the published tables for CMS; one schema for each ATLAS release."""
    return (
        (parameters.release,)
        if parameters.release in ("atlas-2020", "atlas-2025")
        else ("cms-nanoaod", _TABLE)
    )


analysis = Analysis(
    name="hyy",
    title="Higgs boson to two photons",
    parameters=HyyParameters,
    columns=columns,
    histograms=histograms,
    schemas=schemas,
    prepare=prepare,
    sources=sources,
    process=process,
    normalise=results.normalise,
    infer=results.infer,
    tables=results.tables,
    figures=results.figures,
    headline=results.headline,
)

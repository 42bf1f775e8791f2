"""Is there a Higgs boson in the four-lepton events of the ATLAS and CMS open data?

Every release has its own selection, as its analysis published it; from four chosen leptons on the road
is one: pair them into Z candidates, fill, list the candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from femtobarn.analyses import _discovery as discovery
from femtobarn.analyses import _run1 as run1
from femtobarn.analyses._four_leptons import Quartet, channel_of, fill, join, list_candidates, specs
from femtobarn.analysis import Analysis, Columns, Context, Resource
from femtobarn.catalog import RELEASES
from femtobarn.catalog.golden import read_golden_json
from femtobarn.errors import DataError
from femtobarn.hists import HistSpec, regular
from femtobarn.kernels import FourVectors, exactly, leading
from femtobarn.outcome import Outcome
from femtobarn.physics.leptons import ELECTRON, MASS, MUON, good_atlas_2020, good_nanoaod, kinematic_nanoaod
from femtobarn.physics.pairing import pair_four_leptons
from femtobarn.physics.parameters import ReleaseName, Window
from femtobarn.physics.samples import complete_datasets
from femtobarn.physics.weights import GENERATOR, event_weight, generator_weight
from femtobarn.read.columns import Events
from femtobarn.records import NOMINAL, Dataset, Variation

__all__ = ["H4lParameters", "analysis"]

Mask = NDArray[np.bool_]
Array = NDArray[np.float64]


class H4lParameters(discovery.DiscoveryParameters):
    """What ``--set`` reaches."""

    release: ReleaseName = Field("atlas-2020", description="public release, or its alias")
    selection: Literal["full", "loose", "kinematic"] = Field(
        "full",
        description="full; loose (ATLAS: charge and flavour only); kinematic (CMS: charge and pT only)",
    )
    m_z: float = Field(91.18, gt=0, description="mass the first pair is nearest to (ATLAS)",
                       json_schema_extra={"unit": "GeV"})  # fmt: skip
    z_windows: bool = Field(False, description="cut on the masses of both pairs (ATLAS 2020)")
    z1_window: Window = Field((50, 106), description="window of m12", json_schema_extra={"unit": "GeV"})
    z2_window: Window = Field((12, 115), description="window of m34", json_schema_extra={"unit": "GeV"})
    pt_order: Literal["sorted", "unsorted"] = Field(
        "sorted", description="unsorted: pT thresholds on electrons, then muons, in file order"
    )
    sfos: bool = Field(True, description="ask for two same-flavour neutral pairs (ATLAS 2025)")
    lumi_mask: str | None = Field(None, description="golden JSON applied to collision data")


#: Pair windows of the CMS selection, GeV, and its Z mass.
CMS_Z1: Final = (40.0, 120.0)
CMS_Z2: Final = (12.0, 120.0)
CMS_Z_MASS: Final = 91.1876

CMS_CUTS: Final = ("four_leptons", "charge", "pairs", "pt", "z_windows", "m4l_70")

#: Rows of the cutflow: (name, decision), in order, by release and selection.
STEPS: Final[Mapping[tuple[str, str], tuple[tuple[str, str], ...]]] = {
    ("atlas-2020", "loose"): (("four_leptons", "four"), ("charge", "neutral"), ("flavour", "flavour")),
    ("atlas-2020", "full"): (
        ("trigger", "trigger"), ("four_good_leptons", "four"), ("flavour", "flavour"),
        ("charge", "neutral_flavours"), ("pt", "pt_25_15_10"), ("z_windows", "z_windows"),
    ),
    ("atlas-2025", "loose"): (("four_leptons", "four"), ("charge", "neutral"), ("flavour", "flavour")),
    ("atlas-2025", "full"): (
        ("trigger", "trigger"), ("trigger_matched", "trigger_matched"), ("pt", "pt_20_15_10"),
        ("id_iso", "id_iso"), ("flavour", "flavour"), ("charge", "neutral"), ("sfos_pairs", "neutral_flavours"),
    ),
    ("atlas-2016", "loose"): (("four_leptons", "four"), ("charge", "neutral"), ("flavour", "flavour")),
    ("atlas-2016", "full"): (
        ("trigger", "trigger"), ("four_leptons", "four"), ("charge", "neutral"), ("flavour", "flavour"),
    ),
}  # fmt: skip

_SCALE_FACTORS: Final = ("sf.electron", "sf.muon", "sf.lepton_trigger", "sf.pileup")
_FACTS: Final = ("xsec", "filteff", "kfactor", "sumw", "nevts")
LEPTON_SCALE: Final = "lepton_scale"


def columns(parameters: H4lParameters, schema: str, dataset: Dataset) -> Columns:
    """What the selection of this release reads."""
    if schema.startswith("atlas"):
        return _atlas_columns(parameters, schema, dataset)
    if schema in ("cms-nanoaod", "cms-aod"):
        return _cms_columns(parameters)
    return run1.columns(schema)


def _atlas_columns(parameters: H4lParameters, schema: str, dataset: Dataset) -> Columns:
    lepton = ["pt", "eta", "phi", "e", "charge", "type"]
    full = parameters.selection == "full"
    if full and schema == "atlas-2020":
        lepton += ["ptcone", "etcone", "z0", "d0", "d0_error"]
    if full and schema == "atlas-2025":
        lepton += ["trigger_matched", "medium_id", "loose_id", "loose_iso"]
    needed = ["run", "event", *(f"lepton.{name}" for name in lepton)]
    if full:
        needed += ["trigger.electron", "trigger.muon"]
    optional = ["jet.pt", "jet.eta"]
    if dataset.kind == "mc":
        needed += [GENERATOR, *_SCALE_FACTORS]
        optional += ["lepton.pt_syst", *(f"fact.{name}" for name in _FACTS)]
    return Columns(tuple(needed), tuple(optional))


def _cms_columns(parameters: H4lParameters) -> Columns:
    kinematics = ("pt", "eta", "phi", "charge")
    impact = ("dxy", "dz", "dxyErr", "dzErr")
    muons = [f"muon.{name}" for name in kinematics]
    electrons = [f"electron.{name}" for name in kinematics]
    edm = ("isPF", "isPFIsolationValid", "hasGlobalTrack", "passPflowPreselection", "isEB", "isEE",
           "expectedMissingInnerHits", "superclusterEta")  # fmt: skip
    optional = [
        "run",
        "lumi",
        "event",
        GENERATOR,
        *(f"{k}.{name}" for k in ("muon", "electron") for name in edm),
    ]
    if parameters.selection == "kinematic":
        return Columns(tuple(muons), (*optional, *electrons))
    muons += ["muon.pfRelIso04_all", *(f"muon.{name}" for name in impact)]
    electrons += ["electron.pfRelIso03_all", *(f"electron.{name}" for name in impact)]
    return Columns((*muons, *electrons), tuple(optional))


def process(events: Events, ctx: Context) -> Outcome:
    """Select four leptons, fill the histograms and list the candidates of one part."""
    if ctx.schema.startswith("atlas"):
        return _atlas(events, ctx)
    if ctx.schema in ("cms-nanoaod", "cms-aod"):
        return _cms(events, ctx)
    return run1.process(events, ctx)


def _atlas(events: Events, ctx: Context) -> Outcome:
    out = ctx.outcome()
    generated = generator_weight(events, is_data=ctx.is_data)
    out.add_sum("sumw", generated)
    out.add_sum("sumw_abs", np.abs(generated))
    for name in _FACTS:
        if not ctx.is_data and f"fact.{name}" in events:
            out.add_fact(name, events.flat(f"fact.{name}"))
    weight = event_weight(events, _SCALE_FACTORS, is_data=ctx.is_data)
    jets = _count_jets(events)
    for variation in ctx.variations:
        sign = {"": 0.0, "up": 1.0, "down": -1.0}[variation.direction]
        if sign and "lepton.pt_syst" not in events:
            continue
        scale = 1 + sign * events.jagged("lepton.pt_syst").values if sign else 1.0
        quartet, masks, objects = _atlas_masks(events, ctx, scale)
        selection = ctx.select(events, weight)
        for cut, decision in STEPS[ctx.schema, ctx.parameters.selection]:
            if _wanted(cut, ctx.parameters):
                selection.require(cut, masks[decision])
        chosen = quartet.rows(selection.mask[quartet.events])
        own = weight[chosen.events]
        counted = None if jets is None else jets[chosen.events]
        fill(out, chosen, own, variation=variation.label, jets=counted)
        if variation == NOMINAL:
            out.add_cutflow(selection)
            list_candidates(out, chosen, own, {name: events.flat(name) for name in ("run", "event")})
            for kind, number in objects.items():
                out.add_sum(kind, float(number))
    return out


def _wanted(cut: str, parameters: H4lParameters) -> bool:
    return {"z_windows": parameters.z_windows, "sfos_pairs": parameters.sfos}.get(cut, True)


def _count_jets(events: Events) -> NDArray[np.int64] | None:
    """(n,) jets with pT > 30 GeV and |eta| < 4.4."""
    if "jet.pt" not in events or "jet.eta" not in events:
        return None
    pt = events.jagged("jet.pt")
    good = (pt.values > 30) & (np.abs(events.jagged("jet.eta").values) < 4.4)
    return pt.where(good).counts


def _atlas_masks(
    events: Events, ctx: Context, scale: Array | float
) -> tuple[Quartet, dict[str, Mask], dict[str, int]]:
    """The four-lepton events, every decision as a mask over all events, and object counts."""
    parameters = ctx.parameters
    full = parameters.selection == "full"
    stored = events.jagged("lepton.pt")
    pt = stored.values * scale
    types = events.jagged("lepton.type").values.astype(np.int64)
    good = good_atlas_2020(events, pt) if full and ctx.schema == "atlas-2020" else np.ones(len(pt), np.bool_)
    rows, index = exactly(4, stored.offsets, good)

    def lepton(name: str) -> NDArray[Any]:
        return events.jagged(f"lepton.{name}").values[index]

    energy = (events.jagged("lepton.e").values * scale)[index]
    eta, phi, charge = lepton("eta"), lepton("phi"), lepton("charge").astype(np.int64)
    vectors = FourVectors.from_energy(pt[index], eta, phi, energy)
    kinds = types[index]
    pairs = pair_four_leptons(vectors, charge, kinds, z_mass=parameters.m_z)
    quartet = Quartet(rows, vectors, eta, phi, kinds, charge, pairs, channel_of(kinds))

    def among(passed: NDArray[Any]) -> Mask:
        mask = np.zeros(len(events), dtype=np.bool_)
        mask[rows] = passed
        return mask

    ordered = -np.sort(-pt[index], axis=1)
    if parameters.pt_order == "unsorted":
        ordered = np.take_along_axis(pt[index], np.argsort(kinds != ELECTRON, axis=1, kind="stable"), axis=1)
    electrons = kinds == ELECTRON
    masks = {
        "four": among(np.ones(len(rows), dtype=np.bool_)),
        "flavour": among(quartet.channel != ""),
        "neutral": among(charge.sum(axis=1) == 0),
        "neutral_flavours": among(
            ((charge * electrons).sum(axis=1) == 0) & ((charge * ~electrons).sum(axis=1) == 0)
        ),
        "pt_25_15_10": among((ordered[:, :3] > (25, 15, 10)).all(axis=1)),
        "pt_20_15_10": among((ordered[:, :3] > (20, 15, 10)).all(axis=1)),
        "z_windows": among(
            _inside(pairs.m12, parameters.z1_window) & _inside(pairs.m34, parameters.z2_window)
        ),
    }
    if full:
        masks["trigger"] = events.flat("trigger.electron") | events.flat("trigger.muon")
    if full and ctx.schema == "atlas-2025":
        matched = events.jagged("lepton.trigger_matched")
        masks["trigger_matched"] = matched.where(matched.values).counts > 0
        identified = np.where(electrons, lepton("loose_id"), lepton("medium_id")) & lepton("loose_iso")
        masks["id_iso"] = among(identified.all(axis=1))
    objects = {
        f"{name}_{state}": int((which & keep).sum())
        for name, which in (("electron", types == ELECTRON), ("muon", types == MUON))
        for state, keep in (("all", np.ones_like(good)), ("good", good))
    }
    return quartet, masks, objects


def _inside(values: Array, window: tuple[float, float]) -> Mask:
    return (values > window[0]) & (values < window[1])


def _cms(events: Events, ctx: Context) -> Outcome:
    """CMS Run 1 on NanoAOD columns: channels 4mu, 4e, 2e2mu, in this order of preference."""
    out = ctx.outcome()
    weight = generator_weight(events, is_data=ctx.is_data)
    out.add_sum("sumw", weight)
    out.add_sum("sumw_abs", np.abs(weight))
    selection = ctx.select(events, weight)
    mask = ctx.resources.get("lumi_mask")
    if mask is not None and ctx.is_data:
        if "run" not in events or "lumi" not in events:
            raise DataError("a lumi mask cannot be applied: the file does not state run and lumi section")
        selection.require("lumi_mask", mask(events.flat("run"), events.flat("lumi")))
    passed = np.zeros((len(CMS_CUTS), len(events)), dtype=np.bool_)
    chosen: list[Quartet] = []
    for quartet, decisions in _cms_channels(events, ctx, out):
        alive = np.logical_and.accumulate(decisions, axis=0)
        # An event may offer several channels; it is taken once, in the first that passes everything.
        fresh = alive[-1] & ~passed[-1, quartet.events]
        passed[:, quartet.events] |= alive
        chosen.append(quartet.rows(fresh))
    for cut, mask in zip(CMS_CUTS, passed, strict=True):
        selection.require(cut, mask)
    out.add_cutflow(selection)
    if not chosen:
        return out
    candidates = join(chosen)
    fill(out, candidates, weight[candidates.events])
    identity = {name: events.flat(name) for name in ("run", "lumi", "event") if name in events}
    list_candidates(out, candidates, weight[candidates.events], identity)
    return out


def _cms_channels(events: Events, ctx: Context, out: Outcome) -> Iterator[tuple[Quartet, NDArray[np.bool_]]]:
    """For each channel the events with its four leptons, and (cuts, rows) decisions."""
    kinds = [(MUON, "muon")] + ([(ELECTRON, "electron")] if "electron.pt" in events else [])
    define = kinematic_nanoaod if ctx.parameters.selection == "kinematic" else good_nanoaod
    good = {kind: define(events, kind) for kind, _ in kinds}
    for kind, name in kinds:
        out.add_sum(f"{name}_all", float(len(good[kind])))
        out.add_sum(f"{name}_good", float(good[kind].sum()))

    def lead(kind: int, number: int) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Events with so many good leptons of a kind, and their columns (rows, number)."""
        name = dict(kinds)[kind]
        pt = events.jagged(f"{name}.pt")
        rows, index = leading(number, pt.offsets, good[kind], pt.values)
        taken = {
            field: events.jagged(f"{name}.{field}").values[index] for field in ("pt", "eta", "phi", "charge")
        }
        return rows, taken | {"kind": np.full(index.shape, kind), "mass": np.full(index.shape, MASS[kind])}

    channels = {"4mu": (MUON,), "4e": (ELECTRON,), "2e2mu": (MUON, ELECTRON)}
    for channel in run1.routed(ctx.dataset, channels):
        wanted = channels[channel]
        if not set(wanted) <= set(good):
            continue
        parts = [lead(kind, 4 // len(wanted)) for kind in wanted]
        rows = parts[0][0] if len(parts) == 1 else np.intersect1d(parts[0][0], parts[1][0])
        table = {
            field: np.concatenate([taken[field][np.searchsorted(own, rows)] for own, taken in parts], axis=1)
            for field in parts[0][1]
        }
        yield _cms_quartet(rows, table)


def _cms_quartet(
    rows: NDArray[np.int64], table: Mapping[str, NDArray[Any]]
) -> tuple[Quartet, NDArray[np.bool_]]:
    """Pair the leptons of one channel and decide its cuts."""
    vectors = FourVectors.from_mass(table["pt"], table["eta"], table["phi"], table["mass"])
    charge, kinds = table["charge"].astype(np.int64), table["kind"]
    pairs = pair_four_leptons(vectors, charge, kinds, z_mass=CMS_Z_MASS)
    quartet = Quartet(rows, vectors, table["eta"], table["phi"], kinds, charge, pairs, channel_of(kinds))
    first = -np.sort(-np.take_along_axis(table["pt"], pairs.first, axis=1), axis=1)
    neutral = np.array([(charge * (kinds == kind)).sum(axis=1) for kind in (ELECTRON, MUON)])
    decisions = np.array(
        [
            np.ones(len(rows), dtype=np.bool_),
            (neutral == 0).all(axis=0),
            pairs.exists,
            (first[:, 0] > 20) & (first[:, 1] > 10),
            _inside(pairs.m12, CMS_Z1) & _inside(pairs.m34, CMS_Z2),
            quartet.mass > 70,
        ]
    )
    return quartet, decisions


def prepare(
    datasets: tuple[Dataset, ...], parameters: H4lParameters
) -> tuple[tuple[Dataset, ...], Mapping[str, str]]:
    """Complete simulated datasets from the release's table; split published files into datasets."""
    unused: Mapping[str, str] = {}
    if parameters.release == "cms-run1":
        datasets, unused = run1.prepare(datasets)
    return complete_datasets(datasets, RELEASES[parameters.release]), unused


def schemas(parameters: H4lParameters) -> tuple[str, ...]:
    """The schemas that files of this release may have."""
    if parameters.release == "cms-run1":
        return run1.SCHEMAS
    return (parameters.release,)


def histograms(parameters: H4lParameters) -> tuple[HistSpec, ...]:
    """All histograms; the discovery plot has the release's published binning."""
    bins = {"atlas-2020": (34, 80, 250), "atlas-2016": (34, 80, 250), "atlas-2025": (68, 80, 250)}
    nbins, low, high = bins.get(parameters.release, (37, 70, 181))
    return specs(regular(nbins, low, high, "m4l", label="Four-lepton mass", unit="GeV"))


def variations(parameters: H4lParameters, dataset: Dataset) -> tuple[Variation, ...]:
    """Nominal, and the lepton momentum scale where simulation may state it."""
    if dataset.kind == "data" or parameters.release != "atlas-2020":
        return (NOMINAL,)
    return (NOMINAL, Variation(LEPTON_SCALE, "up"), Variation(LEPTON_SCALE, "down"))


def resources(parameters: H4lParameters) -> dict[str, Resource]:
    """The golden JSON, if one was named."""
    if parameters.lumi_mask is None:
        return {}
    return {"lumi_mask": Resource(parameters.lumi_mask, read_golden_json)}


analysis = Analysis(
    name="h4l",
    title="Higgs boson to four leptons",
    parameters=H4lParameters,
    columns=columns,
    histograms=histograms,
    schemas=schemas,
    variations=variations,
    resources=resources,
    prepare=prepare,
    process=process,
    normalise=discovery.normalise,
    infer=discovery.infer,
    tables=discovery.tables,
    figures=discovery.figures,
    headline=discovery.headline,
)

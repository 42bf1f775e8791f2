"""PHYSLITE-like events with a bump in one mass spectrum, as a TTree or an RNTuple (MeV, float32).

Objects of a smooth background are independent of each other, so no spectrum but the injected one has a
peak.  The signal is a particle that decays to an electron and a muon.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.catalog import write_fileset
from femtobarn.errors import UsageError
from femtobarn.records import TOY_TITLE, Dataset, FileRef
from femtobarn.samples.decays import produce, two_body
from femtobarn.samples.events import Floats, Ints
from femtobarn.samples.formats.branches import Branches, Jagged
from femtobarn.samples.formats.writing import BATCH, write_tree
from femtobarn.samples.streams import stream
from femtobarn.units import ELECTRON_MASS, MUON_MASS

__all__ = ["make_physlite"]

#: Type: container, mean number, threshold and mean of what exceeds it (GeV), largest |eta|, mass written?
_TYPES: Final = {
    "electrons": ("AnalysisElectrons", 0.9, 25.0, 30.0, 2.4, True),
    "muons": ("AnalysisMuons", 0.9, 25.0, 30.0, 2.4, False),
    "jets": ("AnalysisJets", 1.8, 30.0, 45.0, 4.4, True),
    "photons": ("AnalysisPhotons", 0.4, 25.0, 30.0, 2.3, True),
    "taus": ("AnalysisTauJets", 0.3, 20.0, 25.0, 2.4, True),
}
_CHARGED: Final = ("electrons", "muons", "taus")
_RUN: Final = 300_000


def make_physlite(
    out: Path,
    *,
    release: str = "physlite",
    events: int = 20_000,
    seed: int = 1,
    mass: float = 250.0,
    width: float = 5.0,
    signal: int = 160,
) -> Path:
    """Write ``survey.root`` with ``fileset.json`` and ``truth.json``.

    Parameters
    ----------
    out : folder
    release : ``physlite`` (tree CollectionTree) or ``physlite-rntuple`` (EventData)
    events : number of events, those with the signal included
    mass, width : float, GeV
        Of the particle that decays to an electron and a muon (Gaussian, resolution included).
    signal : events with it

    Returns
    -------
    pathlib.Path
        ``out/fileset.json``.
    """
    if not 0 <= signal <= events or events < 1 or seed < 0:
        raise UsageError(f"events={events}, signal={signal}, seed={seed} cannot be generated",
                         action="0 <= signal <= events, seed >= 0")  # fmt: skip
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rng = stream(seed, "physlite")
    objects = {kind: _background(rng, kind, events) for kind in _TYPES}
    chosen = np.sort(rng.choice(events, signal, replace=False))
    _inject(rng, objects, chosen, mass, width)
    mark = ":" if release == "physlite-rntuple" else "."
    branches = _branches(rng, objects, events, mark)
    path = out / "survey.root"
    if mark == ":":
        _write_ntuple(path, branches)
    else:
        write_tree(path, branches, tree="CollectionTree", counter=lambda branch: f"n{branch}")
    metadata = {"origin": "toy", "release": release, "nevts": events, "kind": "data"}
    write_fileset(out / "fileset.json", [Dataset("toy", (FileRef(path.name),), metadata)])
    truth = {
        "schema_version": 1, "label": TOY_TITLE, "job": "survey", "release": release,
        "seed": seed, "events": events, "mass_gev": mass, "width": width, "signal": signal,
        "combination": "e0m0",
    }  # fmt: skip
    (out / "truth.json").write_text(json.dumps(truth, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return out / "fileset.json"


def _background(rng: np.random.Generator, kind: str, events: int) -> dict[str, Any]:
    """Independent objects: counts (n,), and pt, eta, phi, charge of each."""
    _, mean, threshold, excess, eta_max, _ = _TYPES[kind]
    counts = rng.poisson(mean, events).astype(np.int64)
    total = int(counts.sum())
    return {
        "counts": counts,
        "pt": threshold + rng.exponential(excess, total),
        "eta": rng.uniform(-eta_max, eta_max, total),
        "phi": rng.uniform(-np.pi, np.pi, total),
        "charge": rng.choice([-1.0, 1.0], total),
    }


def _inject(
    rng: np.random.Generator, objects: Mapping[str, dict[str, Any]], chosen: Ints, mass: float, width: float
) -> None:
    """Give the chosen events one electron and one muon of the particle instead of their leptons."""
    n = len(chosen)
    masses = rng.normal(mass, width, n)
    electron, muon = two_body(
        rng, produce(rng, masses, pt_scale=40.0), masses, np.full(n, ELECTRON_MASS), np.full(n, MUON_MASS)
    )
    for kind, vector in (("electrons", electron), ("muons", muon)):
        item = objects[kind]
        event = np.repeat(np.arange(len(item["counts"])), item["counts"])
        keep = ~np.isin(event, chosen)
        added = _columns(vector, rng)
        order = np.argsort(np.concatenate([event[keep], chosen]), kind="stable")
        for name in ("pt", "eta", "phi", "charge"):
            item[name] = np.concatenate([item[name][keep], added[name]])[order]
        item["counts"][chosen] = 1


def _columns(vector: Floats, rng: np.random.Generator) -> dict[str, Floats]:
    pt = np.hypot(vector[:, 0], vector[:, 1])
    return {
        "pt": pt,
        "eta": np.arcsinh(vector[:, 2] / pt),
        "phi": np.arctan2(vector[:, 1], vector[:, 0]),
        "charge": rng.choice([-1.0, 1.0], len(pt)),
    }


def _branches(
    rng: np.random.Generator, objects: Mapping[str, dict[str, Any]], events: int, mark: str
) -> Branches:
    out: Branches = {}
    for kind, (container, _, _, _, _, with_mass) in _TYPES.items():
        item = objects[kind]
        columns = {"pt": item["pt"] * 1000, "eta": item["eta"], "phi": item["phi"]}
        if with_mass:
            heavy = kind in ("jets", "taus")
            share = 0.1 if kind == "jets" else 0.02
            columns["m"] = (
                item["pt"] * 1000 * share * rng.uniform(size=len(item["pt"])) if heavy else 0 * item["pt"]
            )
        if kind in _CHARGED:
            columns["charge"] = item["charge"]
        for name, column in columns.items():
            out[f"{container}AuxDyn{mark}{name}"] = Jagged(item["counts"], column.astype(np.float32))
    numbers = np.arange(events)
    out[f"EventInfoAuxDyn{mark}runNumber"] = np.full(events, _RUN, dtype=np.uint32)
    out[f"EventInfoAuxDyn{mark}lumiBlock"] = (1 + numbers // 1000).astype(np.uint32)
    out[f"EventInfoAuxDyn{mark}eventNumber"] = (1 + numbers).astype(np.uint64)
    return out


def _write_ntuple(path: Path, branches: Branches) -> None:
    """An RNTuple, a cluster a batch."""
    import awkward as ak
    import uproot

    whole: dict[str, Any] = {
        name: ak.unflatten(branch.content, branch.counts) if isinstance(branch, Jagged) else branch
        for name, branch in branches.items()
    }
    events = len(next(iter(whole.values())))
    with uproot.recreate(path) as file:
        target: Any = None
        for start in range(0, events, BATCH):
            part = ak.Array({name: item[start : start + BATCH] for name, item in whole.items()})
            if target is None:
                target = file.mkrntuple("EventData", part, TOY_TITLE)
            else:
                target.extend(part)

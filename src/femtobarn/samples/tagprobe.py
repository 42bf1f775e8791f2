"""Pairs of electrons from Z bosons whose every efficiency is known, in the formats tag and probe reads.

Each electron passes identification and trigger by chance, with probabilities that are functions of its
pT and |eta| alone: what a tag-and-probe run must give back.  Data and simulation have other ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from femtobarn.samples.decays import Z_WIDTH, breit_wigner, produce, two_body
from femtobarn.samples.events import Floats
from femtobarn.samples.formats.branches import Branches, Jagged
from femtobarn.samples.formats.nanoaod import nano_counter
from femtobarn.samples.formats.writing import write_tree
from femtobarn.samples.streams import stream
from femtobarn.units import ELECTRON_MASS, Z_MASS

__all__ = ["FORMATS", "TAGPROBE_FILTER", "make_tagprobe", "true_efficiency"]

#: Formats by the name ``data make --release`` takes: NanoAOD, the older tools' ntuples, tables of pairs.
FORMATS: Final = ("cms-nanoaod", "mini-ntuples", "nano-ntuples", "pairs-root", "pairs-parquet", "pairs-csv")
#: The trigger whose turn-on is known.
TAGPROBE_FILTER: Final = "HLT_Ele30_WPTight_Gsf"
_THRESHOLD: Final = 30.0
#: Resolution of the online pT relative to the offline one: the width of the turn-on.
_ONLINE: Final = 0.03
_RESOLUTION: Final = 0.015
_BARREL: Final = 1.4442
_LOWEST: Final = 7.0
_HIGHEST_ETA: Final = 2.5
_WPTIGHT: Final = 1 << 1
_NEGATIVE: Final = 0.03


@dataclass(frozen=True, slots=True)
class _Truth:
    """Plateaus in barrel and endcap."""

    trigger: tuple[float, float]
    identification: tuple[float, float]


_TRUTH: Final[Mapping[str, _Truth]] = MappingProxyType(
    {"data": _Truth((0.93, 0.88), (0.84, 0.74)), "mc": _Truth((0.96, 0.92), (0.88, 0.79))}
)


def true_efficiency(kind: str, what: str, pt: Floats, eta: Floats) -> Floats:
    """Probability that an electron passes.

    Parameters
    ----------
    kind : ``data`` or ``mc``
    what : ``trigger`` or ``identification``
    pt, eta : (n,) float, GeV

    Returns
    -------
    (n,) float
        The plateau of the region, for the trigger times a Gaussian turn-on at 30 GeV, 3 % of pT wide.
    """
    barrel, endcap = getattr(_TRUTH[kind], what)
    plateau = np.where(np.abs(eta) < _BARREL, barrel, endcap)
    if what == "identification":
        return np.asarray(plateau)
    # The online pT is pt (1 + width x) with normal x; it must exceed the threshold.
    return np.asarray(plateau * special.ndtr((pt - _THRESHOLD) / (_ONLINE * pt)))


@dataclass(frozen=True)
class _Events:
    """(n, 2) electrons; ``online`` is the pT of the trigger object, 0 if there is none."""

    pt: Floats
    eta: Floats
    phi: Floats
    charge: NDArray[np.int64]
    tight: NDArray[np.bool_]
    online: Floats
    sc: Floats
    r9: Floats
    from_z: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    weight: Floats
    pileup: Floats


def _generate(kind: str, events: int, seed: int, background: float) -> _Events:
    rng = stream(seed, "tagprobe", kind)
    mass = breit_wigner(rng, events, Z_MASS, Z_WIDTH, low=40.0, high=160.0)
    from_z = np.ones(events, dtype=np.bool_)
    if kind == "data" and background > 0:
        from_z = rng.uniform(size=events) >= background
        falling = 45.0 + rng.exponential(35.0, size=events)
        mass = np.where(from_z, mass, falling)
    electron = np.full(events, ELECTRON_MASS)
    pair = np.stack(two_body(rng, produce(rng, mass, pt_scale=20.0), mass, electron, electron), axis=1)
    pair = pair * (1.0 + _RESOLUTION * rng.normal(size=(events, 2, 1)))
    pt = np.hypot(pair[..., 0], pair[..., 1])
    eta = np.arcsinh(pair[..., 2] / pt)
    phi = np.arctan2(pair[..., 1], pair[..., 0])
    identified = true_efficiency(kind, "identification", pt, eta)
    # Fakes are identified and triggered less often: what makes the background of failing probes.
    identified = np.where(from_z[:, None], identified, 0.4)
    barrel, endcap = _TRUTH[kind].trigger
    fires = np.where(np.abs(eta) < _BARREL, barrel, endcap)
    online = pt * (1.0 + _ONLINE * rng.normal(size=pt.shape))
    first = np.where(rng.uniform(size=events) < 0.5, 1, -1)
    return _Events(
        pt=pt, eta=eta, phi=phi, charge=np.stack([first, -first], axis=1),
        tight=rng.uniform(size=pt.shape) < identified,
        online=np.where(rng.uniform(size=pt.shape) < fires, online, 0.0),
        sc=eta + 0.005 * rng.normal(size=pt.shape), r9=np.clip(rng.normal(0.93, 0.05, pt.shape), 0.2, 1.0),
        from_z=from_z, seen=(pt > _LOWEST) & (np.abs(eta) < _HIGHEST_ETA),
        weight=np.where(rng.uniform(size=events) < _NEGATIVE, -1.0, 1.0) * 100.0,
        pileup=rng.poisson(32.0, events).astype(np.float64),
    )  # fmt: skip


def _numbers(events: int, *, lumi: str) -> Branches:
    index = np.arange(events)
    return {
        "run": np.full(events, 367475, dtype=np.uint32),
        lumi: (1 + index // 500).astype(np.uint32),
        "event": (1 + index).astype(np.uint64),
    }


def _level(tight: NDArray[np.bool_], rest: Floats) -> NDArray[np.int32]:
    """NanoAOD's ``cutBased``: 4 is tight."""
    return np.where(tight, 4, np.where(rest > 0.93, 3, 1)).astype(np.int32)


def _write_nanoaod(path: Path, found: _Events, kind: str) -> None:
    """Electrons, trigger objects, flags and (of simulation) generator particles."""
    order = np.argsort(-found.pt, axis=1)

    def take(column: NDArray[Any]) -> NDArray[Any]:
        return np.take_along_axis(column, order, axis=1)

    seen = take(found.seen)
    counts = seen.sum(axis=1)
    columns: dict[str, NDArray[Any]] = {
        "pt": take(found.pt), "eta": take(found.eta), "phi": take(found.phi),
        "deltaEtaSC": take(found.sc - found.eta), "r9": take(found.r9),
        "mass": np.full(seen.shape, ELECTRON_MASS),
    }  # fmt: skip
    branches: Branches = _numbers(len(counts), lumi="luminosityBlock")
    branches |= {f"Electron_{name}": Jagged(counts, column[seen].astype(np.float32))
                 for name, column in columns.items()}  # fmt: skip
    branches["Electron_charge"] = Jagged(counts, take(found.charge)[seen].astype(np.int32))
    branches["Electron_cutBased"] = Jagged(counts, _level(take(found.tight), take(found.r9))[seen])
    online = take(found.online)
    there = seen & (online > 0.6 * _THRESHOLD)
    objects = there.sum(axis=1)
    bits = np.where(online > _THRESHOLD, _WPTIGHT | 1, 1)
    for name, column in {"pt": online, "eta": columns["eta"] + 0.002, "phi": columns["phi"]}.items():
        branches[f"TrigObj_{name}"] = Jagged(objects, column[there].astype(np.float32))
    branches["TrigObj_id"] = Jagged(objects, np.full(int(objects.sum()), 11, dtype=np.int32))
    branches["TrigObj_filterBits"] = Jagged(objects, bits[there].astype(np.int32))
    fired = (there & (online > _THRESHOLD)).any(axis=1)
    branches[TAGPROBE_FILTER] = np.asarray(fired)
    branches["HLT_Ele32_WPTight_Gsf"] = np.asarray((there & (online > 32.0)).any(axis=1))
    branches["PV_npvs"] = np.maximum(found.pileup * 0.7, 1).astype(np.int32)
    branches["MET_pt"] = (10.0 + 0.1 * found.pt.sum(axis=1)).astype(np.float32)
    if kind == "mc":
        branches |= _truth_branches(found, order, seen)
    write_tree(path, branches, tree="Events", counter=nano_counter)


def _truth_branches(found: _Events, order: NDArray[np.int64], seen: NDArray[np.bool_]) -> Branches:
    """A Z boson with its two electrons, stored in the order they were generated."""
    events = len(found.weight)
    three = np.full(events, 3)
    pdg = np.stack([np.full(events, 23), -11 * found.charge[:, 0], -11 * found.charge[:, 1]], axis=1)
    mothers = np.tile([-1, 0, 0], events)
    return {
        "GenPart_pdgId": Jagged(three, pdg.ravel().astype(np.int32)),
        "GenPart_genPartIdxMother": Jagged(three, mothers.astype(np.int32)),
        "Electron_genPartIdx": Jagged(seen.sum(axis=1), (1 + order)[seen].astype(np.int32)),
        "Electron_genPartFlav": Jagged(seen.sum(axis=1), np.ones(int(seen.sum()), dtype=np.uint8)),
        "genWeight": found.weight.astype(np.float32),
        "Pileup_nTrueInt": found.pileup.astype(np.float32),
    }


@dataclass(frozen=True)
class _Pairs:
    """One row a pair of a triggering, identified tag and a probe."""

    event: NDArray[np.int64]
    tag: NDArray[np.int64]
    probe: NDArray[np.int64]
    mass: Floats


def _pairs(found: _Events) -> _Pairs:
    good = found.seen & found.tight & (found.online > _THRESHOLD)
    rows: list[NDArray[np.int64]] = []
    for tag, probe in ((0, 1), (1, 0)):
        event = np.flatnonzero(good[:, tag] & found.seen[:, probe])
        rows.append(np.stack([event, np.full(len(event), tag), np.full(len(event), probe)]))
    event, tag, probe = np.concatenate(rows, axis=1)
    order = np.lexsort((tag, event))
    event, tag, probe = event[order], tag[order], probe[order]
    pt, eta, phi = found.pt, found.eta, found.phi
    cosh = np.cosh(eta[event, tag] - eta[event, probe])
    mass = np.sqrt(
        2.0 * pt[event, tag] * pt[event, probe] * (cosh - np.cos(phi[event, tag] - phi[event, probe]))
    )
    return _Pairs(event, tag, probe, mass)


def _flat(found: _Events, form: str, kind: str) -> dict[str, NDArray[Any]]:
    """Columns of a file of pairs, in the names of one of the formats."""
    pairs = _pairs(found)
    tag, probe = (pairs.event, pairs.tag), (pairs.event, pairs.probe)
    prefix, tag_prefix = ("probe_", "tag_") if form.startswith("pairs") else ("el_", "tag_Ele_")
    lumi = (
        "lumi"
        if form in ("mini-ntuples", *(name for name in FORMATS if name.startswith("pairs")))
        else "luminosityBlock"
    )
    passed = found.online[probe] > _THRESHOLD
    out: dict[str, NDArray[Any]] = {
        name: np.asarray(column)[pairs.event]
        for name, column in _numbers(len(found.weight), lumi=lumi).items()
    }
    charge = {"mini-ntuples": "q"}.get(form, "charge")
    for start, index in ((tag_prefix, tag), (prefix, probe)):
        for name, column in (("pt", found.pt), ("eta", found.eta), ("phi", found.phi), ("r9", found.r9)):
            out[f"{start}{name}"] = column[index].astype(np.float32)
        out[f"{start}{charge}"] = found.charge[index].astype(np.float32)
    sc = {
        "mini-ntuples": ("tag_sc_eta", "el_sc_eta"),
        "nano-ntuples": ("tag_Ele_superclusterEta", "el_superclusterEta"),
    }
    if form in sc:
        for name, index in zip(sc[form], (tag, probe), strict=True):
            out[name] = found.sc[index].astype(np.float32)
    out["mass" if form.startswith("pairs") else "pair_mass"] = pairs.mass.astype(np.float32)
    if form == "mini-ntuples":
        out["passHltEle30WPTightGsf"] = passed.astype(np.int32)
        out["passingCutBasedTight122XV1"] = found.tight[probe].astype(np.int32)
    else:
        out[TAGPROBE_FILTER] = passed
        out["cutBased >= 4" if form == "nano-ntuples" else "passing_tight"] = found.tight[probe]
    if kind == "mc":
        out["weight" if form.startswith("pairs") else "genWeight"] = found.weight[pairs.event]
        out["truePU" if form == "mini-ntuples" else "Pileup_nTrueInt"] = found.pileup[pairs.event]
        if form == "mini-ntuples":
            out["mcTrue"] = np.ones(len(pairs.event), dtype=np.int32)
    return out


def _write_flat(path: Path, columns: Mapping[str, NDArray[Any]], form: str) -> None:
    if form == "pairs-parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({name: pa.array(column) for name, column in columns.items()}), path)
    elif form == "pairs-csv":
        import pyarrow as pa
        import pyarrow.csv

        plain = {
            name: column.astype(np.int32) if column.dtype == np.bool_ else column
            for name, column in columns.items()
        }
        pyarrow.csv.write_csv(pa.table({name: pa.array(column) for name, column in plain.items()}), path)
    else:
        tree = {"mini-ntuples": "fitter_tree", "nano-ntuples": "Events"}.get(form, "pairs")
        write_tree(path, dict(columns), tree=tree, counter=nano_counter)


_TREES: Final = {
    "cms-nanoaod": "Events",
    "mini-ntuples": "fitter_tree",
    "nano-ntuples": "Events",
    "pairs-root": "pairs",
}


def make_tagprobe(
    out: Path, *, events: int = 60_000, seed: int = 1, release: str = "cms-nanoaod", background: float = 0.0
) -> Path:
    """Write toy data and simulation of Z -> ee with a runner, a binning and the truth.

    Parameters
    ----------
    out : pathlib.Path
        Folder, made if missing.
    events : int
        Of data and of simulation, each.
    seed : int
    release : one of :data:`FORMATS`
    background : float
        Share of data events that are no Z bosons.

    Returns
    -------
    pathlib.Path
        ``out/fileset.json``; beside it ``truth.json``, ``runner.json`` and ``binning.json``, ready for
        ``femtobarn tnp``, and ``fitter.json`` for ``femtobarn fit RUN --config``.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    suffix = {"pairs-parquet": "parquet", "pairs-csv": "csv"}.get(release, "root")
    fileset = {}
    for kind in ("data", "mc"):
        found = _generate(kind, events, seed, background)
        path = out / f"{kind}.{suffix}"
        if release == "cms-nanoaod":
            _write_nanoaod(path, found, kind)
        else:
            _write_flat(path, _flat(found, release, kind), release)
        fileset[kind] = {
            "files": {path.name: _TREES.get(release)},
            "metadata": {"isMC": kind == "mc", "origin": "toy", "release": release},
        }  # fmt: skip
    truth = {
        "schema_version": 1, "label": "femtobarn toy simulation", "job": "tagprobe", "release": release,
        "seed": seed, "events": events, "background": background, "filter": TAGPROBE_FILTER,
        "trigger": {"threshold_gev": _THRESHOLD, "relative_width": _ONLINE, "barrel_edge": _BARREL,
                    "plateau": {kind: list(one.trigger) for kind, one in _TRUTH.items()}},
        "identification": {kind: list(one.identification) for kind, one in _TRUTH.items()},
    }  # fmt: skip
    _dump(out / "truth.json", truth)
    _dump(out / "runner.json", _runner(release))
    _dump(out / "binning.json", _binning(release))
    _dump(out / "fitter.json", {"fit": {"fit_type": "dcb_cms", "variations": list(_VARIATIONS)}})
    return _dump(out / "fileset.json", fileset)


#: What the made samples are fitted with beside the nominal model: other shapes, one after the other.
_VARIATIONS: Final = ("altSig", "altBkg")


def _dump(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def _names(release: str) -> tuple[str, Callable[[str], str]]:
    """Prefix of the probe's columns, and the filters of a format by their common name."""
    prefix = "probe_" if release.startswith("pairs") else "el_"
    tight = {"mini-ntuples": "passingCutBasedTight122XV1", "cms-nanoaod": "cutBased >= 4",
             "nano-ntuples": "cutBased >= 4"}.get(release, "passing_tight")  # fmt: skip
    trigger = "passHltEle30WPTightGsf" if release == "mini-ntuples" else TAGPROBE_FILTER
    return prefix, lambda what: {"trigger": trigger, "tight": tight}[what]


_WORKFLOWS: Final = {
    "cms-nanoaod": "ElectronTagNProbeFromNanoAOD",
    "mini-ntuples": "ElectronTagNProbeFromMiniNTuples",
    "nano-ntuples": "ElectronTagNProbeFromNanoNTuples",
}


def _runner(release: str) -> dict[str, Any]:
    prefix, name = _names(release)
    workflow = _WORKFLOWS.get(release, "TagNProbeFromPairs")
    trigger, tight = name("trigger"), name("tight")
    arguments: dict[str, Any] = {"filters": {trigger: trigger, tight: tight}, "probes_pt_cut": 15}
    if release == "cms-nanoaod":
        arguments |= {"filterbit": {trigger: 1}, "trigger_pt": {trigger: _THRESHOLD}}
    if workflow == "TagNProbeFromPairs":
        arguments["columns"] = {one: one for one in ("tag_pt", "tag_eta", "probe_pt", "probe_eta", "mass")}
    variables = [f"{prefix}pt", f"{prefix}eta", f"{prefix}phi"]
    common = {"filter": [trigger, tight], "cut_and_count": False}
    one = {"vars": variables, "plateau_cut": 40, **common}
    methods = [
        {"name": "get_1d_pt_eta_phi_tnp_histograms", "args": one},
        {"name": "get_nd_tnp_histograms", "args": {"vars": variables[:2], **common}},
    ]
    return {"workflow": workflow, "workflow_args": arguments, "methods": methods}


def _binning(release: str) -> dict[str, Any]:
    prefix, _ = _names(release)
    eta = [-2.5, -2.0, -1.566, -1.4442, -0.8, 0.0, 0.8, 1.4442, 1.566, 2.0, 2.5]
    return {f"{prefix}pt_bins": [15, 20, 25, 28, 30, 32, 35, 40, 45, 50, 60, 100], f"{prefix}eta_bins": eta}

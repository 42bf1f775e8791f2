"""A simple detector for top and W events, and NanoAOD branches of CMS 2015 or POET ones.

Responses are round numbers in the right place: 2 to 4 % for jets at high momentum, a b-tag discriminant
that finds seven b jets in ten at 0.5 and two light jets in a hundred.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.samples.events import Bools, Floats, Ints
from femtobarn.samples.formats.branches import Branches, Jagged
from femtobarn.samples.topology import HardEvents
from femtobarn.units import ELECTRON_MASS, MUON_MASS

__all__ = ["nanoaod", "poet"]

_ELECTRON, _MUON = 11, 13


def _polar(p4: Floats) -> tuple[Floats, Floats, Floats]:
    pt = np.hypot(p4[..., 0], p4[..., 1])
    safe = np.maximum(pt, 1e-9)
    return pt, np.arcsinh(p4[..., 2] / safe), np.arctan2(p4[..., 1], p4[..., 0])


def _f4(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(np.float32)


class _Objects:
    """Columns of a collection in slots (n, s): sorted by falling pT, absent ones last, then flattened."""

    def __init__(self, present: Bools, pt: NDArray[Any], columns: dict[str, NDArray[Any]]) -> None:
        order = np.argsort(np.where(present, -pt, np.inf), axis=1, kind="stable")
        kept = np.take_along_axis(present, order, axis=1)
        self.counts: Ints = kept.sum(axis=1).astype(np.int64)
        self.columns = {
            name: np.take_along_axis(column, order, axis=1)[kept]
            for name, column in {"pt": pt, **columns}.items()
        }

    def branches(self, prefix: str) -> Branches:
        return {f"{prefix}_{name}": Jagged(self.counts, column) for name, column in self.columns.items()}


def _jets(rng: np.random.Generator, events: HardEvents) -> _Objects:
    """Jets from partons, and from prompt leptons (which the identification's lepton veto rejects)."""
    p4 = np.concatenate([events.parton, events.lepton], axis=1)
    flavour = np.abs(np.concatenate([events.parton_flavour, events.lepton_flavour], axis=1))
    present = np.concatenate([events.parton_present, events.lepton_present], axis=1)
    lepton = np.zeros_like(present)
    lepton[:, events.parton.shape[1] :] = True
    pt, eta, phi = _polar(p4)
    shape = pt.shape
    width = np.where(lepton, 0.02, np.sqrt(0.8**2 / np.maximum(pt, 5.0) + 0.04**2))
    pt = pt * np.maximum(1.0 + width * rng.normal(size=shape), 0.1)
    eta = eta + 0.02 * rng.normal(size=shape)
    phi = np.mod(phi + 0.02 * rng.normal(size=shape) + np.pi, 2 * np.pi) - np.pi
    present = present & (pt > 15.0) & (np.abs(eta) < 4.7)
    good = rng.uniform(size=shape) < 0.99
    heavy, charm = flavour == 5, flavour == 4
    tag = np.where(
        heavy,
        rng.beta(1.6, 0.8, shape),
        np.where(charm, rng.beta(0.9, 3.2, shape), rng.beta(0.6, 7.0, shape)),
    )
    gluon = flavour == 21
    columns = {
        "eta": _f4(eta),
        "phi": _f4(phi),
        "mass": _f4(pt * np.where(lepton, 0.01, 0.08 + 0.08 * rng.uniform(size=shape))),
        "btagCSVV2": _f4(np.where(lepton, 0.02 * rng.uniform(size=shape), tag)),
        "qgl": _f4(np.where(gluon, rng.beta(1.2, 2.2, shape), rng.beta(2.2, 1.2, shape))),
        # Bits 1 tight, 2 tight with lepton veto, as the 2015 files have them (6 or 2).
        "jetId": np.where(good & ~lepton, 6, np.where(good, 2, 0)).astype(np.int32),
    }
    return _Objects(present, _f4(pt), columns)


def _leptons(rng: np.random.Generator, events: HardEvents, kind: int) -> _Objects:
    """Prompt leptons of one flavour and two slots of soft, non-prompt ones."""
    n = len(events.lepton)
    pt, eta, phi = _polar(events.lepton)
    flavour = np.where(np.abs(events.lepton_flavour) == kind, events.lepton_flavour, 0)
    soft = (n, 2)
    pt = np.concatenate(
        [pt * (1 + 0.015 * rng.normal(size=pt.shape)), 5 + rng.exponential(8.0, soft)], axis=1
    )
    eta = np.concatenate([eta, rng.normal(0.0, 1.3, soft)], axis=1)
    phi = np.concatenate([phi, rng.uniform(-np.pi, np.pi, soft)], axis=1)
    sign = np.concatenate([-np.sign(flavour), np.where(rng.uniform(size=soft) < 0.5, 1, -1)], axis=1)
    prompt = np.zeros(pt.shape, dtype=np.bool_)
    prompt[:, : flavour.shape[1]] = True
    present = np.concatenate([(flavour != 0) & events.lepton_present, rng.uniform(size=soft) < 0.08], axis=1)
    present &= (pt > (5.0 if kind == _ELECTRON else 3.0)) & (
        np.abs(eta) < (2.5 if kind == _ELECTRON else 2.4)
    )
    shape = pt.shape
    columns: dict[str, NDArray[Any]] = {
        "eta": _f4(eta),
        "phi": _f4(phi),
        "mass": np.full(shape, ELECTRON_MASS if kind == _ELECTRON else MUON_MASS, dtype=np.float32),
        "charge": sign.astype(np.int32),
        "sip3d": _f4(np.where(prompt, np.abs(rng.normal(size=shape)) * 1.3, rng.exponential(9.0, shape))),
    }
    isolation = np.where(prompt, rng.exponential(0.03, shape), rng.exponential(0.6, shape))
    columns["pfRelIso04_all" if kind == _MUON else "pfRelIso03_all"] = _f4(isolation)
    tight = rng.uniform(size=shape) < np.where(prompt, 0.93 if kind == _MUON else 0.78, 0.2)
    if kind == _MUON:
        columns["tightId"] = tight
    else:
        columns["cutBased"] = np.where(tight, 4, rng.integers(0, 4, shape)).astype(np.int32)
    return _Objects(present, _f4(pt), columns)


def _particles(events: HardEvents) -> Branches:
    listed = events.particle_pdg != 0
    pt, eta, phi = _polar(events.particle)
    counts = listed.sum(axis=1).astype(np.int64)
    mass = np.sqrt(
        np.maximum(events.particle[..., 3] ** 2 - np.sum(events.particle[..., :3] ** 2, axis=-1), 0.0)
    )
    columns = {
        "pt": _f4(pt), "eta": _f4(eta), "phi": _f4(phi), "mass": _f4(mass),
        "pdgId": events.particle_pdg.astype(np.int32),
        "genPartIdxMother": events.particle_mother.astype(np.int32),
        "statusFlags": events.particle_flags.astype(np.int32),
    }  # fmt: skip
    return {f"GenPart_{name}": Jagged(counts, column[listed]) for name, column in columns.items()}


def nanoaod(
    rng: np.random.Generator, events: HardEvents, weight: Floats | None, *, run: int, first: int
) -> Branches:
    """Branches of NanoAOD; ``weight`` None is collision data (no generated particles).

    Parameters
    ----------
    run, first : int
        Run number, and number of the first event: (run, event) tell all events of a sample set apart.
    """
    n = len(events.parton)
    numbers = first + np.arange(n)
    out: Branches = {
        "run": np.full(n, run, dtype=np.uint32),
        "luminosityBlock": (1 + numbers // 1000).astype(np.uint32),
        "event": (1 + numbers).astype(np.uint64),
        **_jets(rng, events).branches("Jet"),
        **_leptons(rng, events, _ELECTRON).branches("Electron"),
        **_leptons(rng, events, _MUON).branches("Muon"),
    }
    if weight is not None:
        out["genWeight"] = _f4(weight)
        out |= _particles(events)
    return out


_POET: Final = {"Jet": "jet", "Electron": "electron", "Muon": "muon"}


def poet(branches: Branches) -> Branches:
    """The same events as a POET ntuple: energies instead of masses, Cartesian components, charges."""
    out: Branches = {name: item for name, item in branches.items() if not isinstance(item, Jagged)}
    for prefix, name in _POET.items():
        found = {
            key.removeprefix(f"{prefix}_"): item
            for key, item in branches.items()
            if isinstance(item, Jagged) and key.startswith(f"{prefix}_")
        }
        counts = found["pt"].counts
        pt, eta, phi, mass = (found[key].content.astype(np.float64) for key in ("pt", "eta", "phi", "mass"))
        pz = pt * np.sinh(eta)
        columns: dict[str, NDArray[Any]] = {
            "pt": _f4(pt), "eta": _f4(eta), "phi": _f4(phi),
            "e": _f4(np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)),
            "px": _f4(pt * np.cos(phi)), "py": _f4(pt * np.sin(phi)), "pz": _f4(pz),
        }  # fmt: skip
        if name == "jet":
            columns |= {"btag": found["btagCSVV2"].content, "ch": np.zeros(len(pt), dtype=np.int32)}
        else:
            columns["ch"] = found["charge"].content
        out |= {f"{name}_{key}": Jagged(counts, column) for key, column in columns.items()}
    return out

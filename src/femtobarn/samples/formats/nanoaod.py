"""Reduced NanoAOD as released for CMS Run 1 (GeV, cm), with the photon flags of later versions."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.samples.events import Bools, Floats, Jets, Leptons, Photons, RecoEvents, select_objects
from femtobarn.samples.formats.branches import Branches, EventNumbers, Format, Jagged, Stamp
from femtobarn.units import ELECTRON_MASS, MUON_MASS

__all__ = ["NANOAOD", "nano_counter"]


def nano_counter(branch: str) -> str:
    """NanoAOD's counter of a branch: ``Muon_pt`` -> ``nMuon``."""
    return "n" + branch.split("_", 1)[0]


def _f4(column: NDArray[Any]) -> NDArray[np.generic]:
    return column.astype(np.float32)


def _collection(prefix: str, counts: NDArray[np.int64], columns: dict[str, NDArray[np.generic]]) -> Branches:
    return {f"{prefix}_{name}": Jagged(counts, column) for name, column in columns.items()}


def _lepton_columns(leptons: Leptons, mass: float) -> dict[str, NDArray[np.generic]]:
    n = len(leptons.pt)
    relative = _relative_isolation(leptons)
    return {
        "pt": _f4(leptons.pt),
        "eta": _f4(leptons.eta),
        "phi": _f4(leptons.phi),
        "mass": _f4(np.full(n, mass)),
        "charge": leptons.charge.astype(np.int32),
        "pfRelIso03_all": _f4(relative),
        "dxy": _f4(leptons.d0),
        "dxyErr": _f4(leptons.d0_error),
        "dz": _f4(leptons.z0),
        "dzErr": _f4(leptons.z0_error),
        "jetIdx": np.full(n, -1, dtype=np.int32),
        "genPartIdx": np.full(n, -1, dtype=np.int32),
    }


def _relative_isolation(candidates: Leptons | Photons) -> Floats:
    return np.asarray((candidates.track_iso + np.maximum(candidates.calo_iso, 0.0)) / candidates.pt)


def _muons(leptons: Leptons) -> Branches:
    muons = select_objects(leptons, leptons.flavour == 13)
    columns = _lepton_columns(muons, MUON_MASS) | {
        "pfRelIso04_all": _f4(1.1 * _relative_isolation(muons)),
        "tightId": muons.id_level >= 3,
        "softId": muons.id_level >= 1,
    }
    return _collection("Muon", muons.counts, columns)


def _electrons(leptons: Leptons) -> Branches:
    electrons = select_objects(leptons, leptons.flavour == 11)
    columns = _lepton_columns(electrons, ELECTRON_MASS) | {
        "cutBasedId": electrons.id_level >= 2,
        "pfId": electrons.id_level >= 1,
    }
    return _collection("Electron", electrons.counts, columns)


def _photons(photons: Photons) -> Branches:
    n = len(photons.pt)
    barrel: Bools = np.abs(photons.eta) < 1.4442
    columns: dict[str, NDArray[np.generic]] = {
        "pt": _f4(photons.pt),
        "eta": _f4(photons.eta),
        "phi": _f4(photons.phi),
        "mass": _f4(np.zeros(n)),
        "charge": np.zeros(n, dtype=np.int32),
        "pfRelIso03_all": _f4(_relative_isolation(photons)),
        "r9": _f4(np.where(photons.converted, 0.90, 0.96)),
        "cutBased": photons.id_level.astype(np.int32),
        "electronVeto": photons.electron_veto,
        "pixelSeed": ~photons.electron_veto,
        "isScEtaEB": barrel,
        "isScEtaEE": np.abs(photons.eta) > 1.566,
        "jetIdx": np.full(n, -1, dtype=np.int32),
        "genPartIdx": np.full(n, -1, dtype=np.int32),
    }
    return _collection("Photon", photons.counts, columns)


def _jets(jets: Jets) -> Branches:
    columns: dict[str, NDArray[np.generic]] = {
        "pt": _f4(jets.pt),
        "eta": _f4(jets.eta),
        "phi": _f4(jets.phi),
        "mass": _f4(jets.mass),
        "puId": np.ones(len(jets.pt), dtype=bool),
        "btag": _f4(jets.btag),
    }
    return _collection("Jet", jets.counts, columns)


def _branches(events: RecoEvents, stamp: Stamp, numbers: EventNumbers) -> Branches:
    # No trigger bits: the four-lepton files of the Run 1 release have none either.
    branches: Branches = {
        "run": numbers.run.astype(np.int32),
        "luminosityBlock": numbers.section.astype(np.uint32),
        "event": numbers.event.astype(np.uint64),
        "PV_npvs": events.vertices.astype(np.int32),
        **_muons(events.leptons),
        **_electrons(events.leptons),
        **_photons(events.photons),
        **_jets(events.jets),
        "MET_pt": _f4(events.met),
        "MET_phi": _f4(events.met_phi),
    }
    if not stamp.is_data:
        branches["genWeight"] = _f4(events.weight)
    return branches


NANOAOD: Final = Format("Events", nano_counter, _branches)

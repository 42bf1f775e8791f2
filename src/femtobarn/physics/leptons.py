"""Lepton definitions of the public releases."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from femtobarn.read.columns import Events
from femtobarn.units import ELECTRON_MASS, MUON_MASS

__all__ = ["ELECTRON", "MUON", "good_atlas_2020", "good_nanoaod", "impact_significance", "kinematic_nanoaod"]

Mask = NDArray[np.bool_]

#: Absolute PDG numbers, as ``lep_type`` uses them.
ELECTRON, MUON = 11, 13
MASS = {ELECTRON: ELECTRON_MASS, MUON: MUON_MASS}


def good_atlas_2020(events: Events, pt: NDArray[np.float64]) -> Mask:
    """Good leptons of the ATLAS 2020 release's four-lepton analysis.

    Isolation ptcone30/pT < 0.3 and etcone20/pT < 0.3, |z0 sin(theta)| < 0.5 mm; electrons pT > 7 GeV,
    |eta| < 2.47, |d0|/sigma < 5; muons pT > 5 GeV, |eta| < 2.5, |d0|/sigma < 3.

    Parameters
    ----------
    events : Events
    pt : (m,) float, GeV
        Transverse momenta to cut on (they may be a systematic variation).
    """
    eta = events.jagged("lepton.eta").values
    electron = events.jagged("lepton.type").values == ELECTRON
    z0_sin_theta_cm = np.abs(events.jagged("lepton.z0").values / np.cosh(eta))
    d0_significance = np.abs(events.jagged("lepton.d0").values / events.jagged("lepton.d0_error").values)
    isolated = (events.jagged("lepton.ptcone").values / pt < 0.3) & (
        events.jagged("lepton.etcone").values / pt < 0.3
    )
    kinematic = np.where(electron, (pt > 7) & (np.abs(eta) < 2.47), (pt > 5) & (np.abs(eta) < 2.5))
    prompt = (z0_sin_theta_cm < 0.05) & (d0_significance < np.where(electron, 5, 3))
    good: Mask = isolated & kinematic & prompt
    return good


def impact_significance(
    dxy: NDArray[Any], dz: NDArray[Any], dxy_error: NDArray[Any], dz_error: NDArray[Any]
) -> NDArray[np.float64]:
    """SIP = sqrt(dxy^2 + dz^2) / sqrt(sigma_dxy^2 + sigma_dz^2); lengths in cm."""
    significance: NDArray[np.float64] = np.hypot(dxy, dz) / np.hypot(dxy_error, dz_error)
    return significance


def kinematic_nanoaod(events: Events, kind: int) -> Mask:
    """Acceptance of the CMS Run-1 example: muons pT > 5 GeV, |eta| < 2.4; electrons 7 GeV, 2.5.

    The electron's pseudorapidity is the supercluster's where the file states it.
    """
    name = "muon" if kind == MUON else "electron"
    pt = events.jagged(f"{name}.pt").values
    field = "superclusterEta" if f"{name}.superclusterEta" in events else "eta"
    eta = np.abs(events.jagged(f"{name}.{field}").values)
    inside: Mask = (pt > 5) & (eta < 2.4) if kind == MUON else (pt > 7) & (eta < 2.5)
    return inside


def good_nanoaod(events: Events, kind: int) -> Mask:
    """Good leptons of the CMS Run-1 four-lepton example on NanoAOD columns.

    Muons pT > 5 GeV, |eta| < 2.4; electrons pT > 7 GeV, |eta| < 2.5; relative particle-flow isolation
    below 0.4 (cone 0.4 for muons, 0.3 for electrons); SIP < 4, |dxy| < 0.5 cm, |dz| < 1 cm.  Columns
    that only EDM files have tighten the electron and muon definitions where they are present.
    """
    name = "muon" if kind == MUON else "electron"

    def column(field: str) -> NDArray[Any]:
        return events.jagged(f"{name}.{field}").values

    acceptance = kinematic_nanoaod(events, kind)
    isolation = column("pfRelIso04_all" if kind == MUON else "pfRelIso03_all") < 0.4
    dxy, dz = column("dxy"), column("dz")
    sip = impact_significance(dxy, dz, column("dxyErr"), column("dzErr"))
    good: Mask = acceptance & isolation & (sip < 4) & (np.abs(dxy) < 0.5) & (np.abs(dz) < 1)
    for field in ("isPF", "isPFIsolationValid", "hasGlobalTrack", "passPflowPreselection"):
        if f"{name}.{field}" in events:
            good &= column(field).astype(np.bool_)
    if f"{name}.isEB" in events:
        good &= column("isEB").astype(np.bool_) | column("isEE").astype(np.bool_)
    if f"{name}.expectedMissingInnerHits" in events:
        good &= column("expectedMissingInnerHits") <= 1
    return good

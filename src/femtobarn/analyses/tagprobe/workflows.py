"""The kinds of tag and probe: where pairs come from and what their columns are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

__all__ = ["RESONANCES", "WORKFLOWS", "Layout", "Resonance", "Workflow"]


@dataclass(frozen=True, slots=True)
class Resonance:
    """Where pairs come from: mass and windows in GeV, the particle's PDG number.

    Masses: R. L. Workman et al. (Particle Data Group), Prog. Theor. Exp. Phys. 2022, 083C01.
    """

    mass: float
    half_window: float
    window: tuple[float, float]
    pdg: int


RESONANCES: Final[Mapping[str, Resonance]] = MappingProxyType(
    {
        "Z": Resonance(91.1876, 30.0, (50.0, 130.0), 23),
        # Symmetric around the peak as far as the window of the fits goes.
        "JPsi": Resonance(3.0969, 0.3, (2.8, 3.4), 443),
    }
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a file with one pair a row; empty where the file has none."""

    pt: str
    eta: str
    sc_eta: str
    charge: str
    tag_pt: str
    tag_eta: str
    tag_sc_eta: str
    tag_charge: str
    lumi: str
    mass: str = "pair_mass"
    interactions: str = "truePU"
    generator: str = "genWeight"
    #: Column whose presence tells simulation where the fileset does not.
    simulated: str = "mcTrue"


def _mini(prefix: str, pt: str, *, charge: bool) -> Layout:
    return Layout(
        f"{prefix}{pt}", f"{prefix}eta", f"{prefix}sc_eta", f"{prefix}q" if charge else "",
        "tag_Ele_pt", "tag_Ele_eta", "tag_sc_eta", "tag_Ele_q" if charge else "", "lumi",
    )  # fmt: skip


def _nano(prefix: str, *, charge: bool) -> Layout:
    return Layout(
        f"{prefix}pt", f"{prefix}eta", f"{prefix}superclusterEta", f"{prefix}charge" if charge else "",
        "tag_Ele_pt", "tag_Ele_eta", "tag_Ele_superclusterEta", "tag_Ele_charge" if charge else "",
        "luminosityBlock", interactions="Pileup_nTrueInt", simulated="Pileup_nTrueInt",
    )  # fmt: skip


Source = Literal["nanoaod", "ntuples", "pairs", "energy"]


@dataclass(frozen=True, slots=True)
class Workflow:
    """One way from files to pairs.

    Attributes
    ----------
    source : where pairs come from
    probe, tag : collections of NanoAOD
    prefix, tag_prefix : of the columns of probe and tag
    kind : |id| of the trigger objects of a probe
    layout : columns of a file of pairs
    """

    source: Source
    probe: str = "Electron"
    tag: str = "Electron"
    prefix: str = "el_"
    tag_prefix: str = "tag_Ele_"
    kind: int = 11
    layout: Layout | None = None


WORKFLOWS: Final[Mapping[str, Workflow]] = MappingProxyType(
    {
        "ElectronTagNProbeFromNanoAOD": Workflow("nanoaod"),
        "PhotonTagNProbeFromNanoAOD": Workflow("nanoaod", "Photon", "Photon", "ph_", "tag_Ele_", 22),
        "MuonTagNProbeFromNanoAOD": Workflow("nanoaod", "Muon", "Muon", "mu_", "tag_Mu_", 13),
        "ElectronTagNProbeFromMiniNTuples": Workflow("ntuples", layout=_mini("el_", "pt", charge=True)),
        "PhotonTagNProbeFromMiniNTuples": Workflow(
            "ntuples", "Photon", "Electron", "ph_", layout=_mini("ph_", "et", charge=False)
        ),
        "ElectronTagNProbeFromNanoNTuples": Workflow("ntuples", layout=_nano("el_", charge=True)),
        "PhotonTagNProbeFromNanoNTuples": Workflow(
            "ntuples", "Photon", "Electron", "ph_", layout=_nano("ph_", charge=False)
        ),
        "ScaleAndSmearingNTuplesFromNanoAOD": Workflow("energy"),
        "TagNProbeFromPairs": Workflow("pairs", prefix="probe_", tag_prefix="tag_"),
    }
)

"""The published versions of the task: thresholds, columns, and which samples make the pseudo-data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from femtobarn.analyses.ttbar.parameters import TtbarParameters
from femtobarn.analysis import Columns
from femtobarn.kernels.multijet import JetCuts
from femtobarn.physics.weights import GENERATOR
from femtobarn.records import Dataset

__all__ = [
    "ISOLATION_MAX",
    "POET",
    "SIP3D_MAX",
    "TASKS",
    "Task",
    "columns",
    "jet_cuts",
    "ml_columns",
    "schemas",
]

POET: Final = "cms-poet"
NANOAOD: Final = "cms-nanoaod"


@dataclass(frozen=True, slots=True)
class Task:
    """One version of the selection.

    Attributes
    ----------
    lepton_pt, jet_pt : float, GeV
    lepton_eta, jet_eta : float
    tight : bool
        Leptons pass identification, isolation and impact parameter cuts, too.
    jet_id_bits : int
        Bits of ``Jet_jetId`` of which one is asked for (4: tight with lepton veto); 0 for none.
    schema : str
    pseudodata : tuple of str
        What is added to the mean of the two alternative ttbar samples to make pseudo-data.
    """

    name: str
    lepton_pt: float
    jet_pt: float
    lepton_eta: float = math.inf
    jet_eta: float = math.inf
    tight: bool = False
    jet_id_bits: int = 0
    schema: str = NANOAOD
    pseudodata: tuple[str, ...] = ("wjets",)


TASKS: Final[Mapping[str, Task]] = MappingProxyType(
    {
        task.name: task
        for task in (
            Task("v2", 30.0, 30.0, lepton_eta=2.1, jet_eta=2.4, tight=True, jet_id_bits=4),
            Task("v1.4", 25.0, 25.0, pseudodata=("wjets", "single_top_t_chan")),
            Task("v0", 25.0, 25.0, schema=POET),
        )
    }
)
SIP3D_MAX: Final = 4.0
ISOLATION_MAX: Final = 0.15


def schemas(parameters: TtbarParameters) -> tuple[str, ...]:
    """The schema that files of this version have."""
    return (TASKS[parameters.task].schema,)


def jet_cuts(parameters: TtbarParameters) -> JetCuts:
    """The jet selection of a task in a mode."""
    task = TASKS[parameters.task]
    compat = parameters.mode == "compat"
    poet = task.schema == POET
    return JetCuts(
        pt_min=task.jet_pt,
        eta_max=task.jet_eta,
        id_bits=task.jet_id_bits if parameters.jetid == "column" else 0,
        btag_cut=parameters.btag_cut,
        closed_control=compat and poet,
        energy_given=poet,
        # Upstream varies momenta only (version 0: not even those, in the mass).
        vary_vectors=2 if not compat else 0 if poet else 1,
        resort=not compat,
        seed=parameters.seed,
    )


def columns(parameters: TtbarParameters, schema: str, dataset: Dataset) -> Columns:
    """What the selection reads."""
    return _columns(parameters, schema, dataset, assign=False)


def ml_columns(parameters: TtbarParameters, schema: str, dataset: Dataset) -> Columns:
    """What the selection and the assignment of jets read."""
    return _columns(parameters, schema, dataset, assign=True)


def _columns(parameters: TtbarParameters, schema: str, dataset: Dataset, *, assign: bool) -> Columns:
    task = TASKS[parameters.task]
    jets = ["pt", "eta", "phi", "energy" if schema == POET else "mass", parameters.btag]
    if jet_cuts(parameters).id_bits:
        jets.append("jetId")
    electrons = ["pt", "eta", "cutBased", "sip3d"] if task.tight else ["pt"]
    muons = ["pt", "eta", "tightId", "sip3d", "pfRelIso04_all"] if task.tight else ["pt"]
    if assign or parameters.ml != "off":
        jets.append("qgl")
        electrons = list(dict.fromkeys([*electrons, "eta", "phi", "mass"]))
        muons = list(dict.fromkeys([*muons, "eta", "phi", "mass"]))
    numbers = ("run", "lumi", "event")
    needed = [
        *(f"jet.{name}" for name in jets),
        *(f"electron.{name}" for name in electrons),
        *(f"muon.{name}" for name in muons),
    ]
    if dataset.kind == "mc" and parameters.mode == "corrected" and schema != POET:
        needed.append(GENERATOR)
    if schema == POET:
        return Columns(tuple(needed), (*numbers, GENERATOR))
    return Columns((*numbers, *needed))

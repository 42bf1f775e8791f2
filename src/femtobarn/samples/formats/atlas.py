"""ATLAS open-data ntuples: 2016 (8 TeV, MeV), 2020 (13 TeV, MeV) and 2025 (13 TeV, GeV).

Names, types and units are those of the published files; lengths are mm there.  Tau leptons, large
jets and truth collections are not written.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.samples.events import Bools, Floats, Jets, Leptons, Photons, RecoEvents
from femtobarn.samples.formats.branches import Branches, EventNumbers, Format, Jagged, Stamp
from femtobarn.units import ELECTRON_MASS, MUON_MASS

__all__ = ["ATLAS_2016", "ATLAS_2020", "ATLAS_2025"]

_MEV_PER_GEV: Final = 1000.0
_MM_PER_CM: Final = 10.0
#: Factors the 2025 release keeps apart from the cross-section (toy values).
_KFACTOR: Final = 1.1
_FILTER_EFFICIENCY: Final = 0.5


def _counter(branch: str) -> str:
    return branch.split("_", 1)[0] + "_n"


def _counter_2016(branch: str) -> str:
    # That release counts jets twice: after (jet_n) and before (alljet_n) its quality cuts.
    return "alljet_n" if branch.startswith("jet_") else _counter(branch)


def _energy(leptons: Leptons) -> Floats:
    mass = np.where(leptons.flavour == 11, ELECTRON_MASS, MUON_MASS)
    return np.hypot(leptons.pt * np.cosh(leptons.eta), mass)


def _jet_energy(jets: Jets) -> Floats:
    return np.hypot(jets.pt * np.cosh(jets.eta), jets.mass)


def _f4(column: NDArray[np.generic]) -> NDArray[np.generic]:
    return column.astype(np.float32)


def _whole(value: float, n: int, dtype: str = "float32") -> NDArray[np.generic]:
    return np.full(n, value, dtype=dtype)


def _event_4_bytes(numbers: EventNumbers, stamp: Stamp) -> Branches:
    channel = numbers.run if stamp.is_data else np.full(len(numbers.run), stamp.number)
    return {
        "runNumber": numbers.run.astype(np.int32),
        "eventNumber": numbers.event.astype(np.int32),
        "channelNumber": channel.astype(np.int32),
    }


def _weights(events: RecoEvents, names: dict[str, Floats | None], stamp: Stamp, in_data: float) -> Branches:
    """Weight branches: ``in_data`` throughout collision data; None stands for a constant 1 in MC."""
    n = len(events)
    branches: Branches = {}
    for name, column in names.items():
        if stamp.is_data:
            branches[name] = _whole(in_data, n)
        else:
            branches[name] = _whole(1.0, n) if column is None else _f4(column)
    return branches


def _leptons_in_mev(leptons: Leptons, *, is_data: bool) -> Branches:
    def jagged(column: NDArray[np.generic]) -> Jagged:
        return Jagged(leptons.counts, column)

    def mev(column: Floats) -> Jagged:
        return jagged(_f4(column * _MEV_PER_GEV))

    truth: Bools = leptons.prompt if not is_data else np.zeros_like(leptons.prompt)
    return {
        "lep_truthMatched": jagged(truth),
        "lep_pt": mev(leptons.pt),
        "lep_eta": jagged(_f4(leptons.eta)),
        "lep_phi": jagged(_f4(leptons.phi)),
        "lep_E": mev(_energy(leptons)),
        "lep_z0": jagged(_f4(leptons.z0 * _MM_PER_CM)),
        "lep_type": jagged(leptons.flavour.astype(np.uint32)),
        "lep_ptcone30": mev(leptons.track_iso),
        "lep_etcone20": mev(leptons.calo_iso),
        "lep_trackd0pvunbiased": jagged(_f4(leptons.d0 * _MM_PER_CM)),
    }


def _jets_in_mev(jets: Jets) -> Branches:
    return {
        "jet_pt": Jagged(jets.counts, _f4(jets.pt * _MEV_PER_GEV)),
        "jet_eta": Jagged(jets.counts, _f4(jets.eta)),
        "jet_phi": Jagged(jets.counts, _f4(jets.phi)),
        "jet_E": Jagged(jets.counts, _f4(_jet_energy(jets) * _MEV_PER_GEV)),
        "jet_trueflav": Jagged(jets.counts, jets.flavour.astype(np.int32)),
    }


def _photons_2020(photons: Photons, *, is_data: bool) -> Branches:
    truth: Bools = photons.prompt if not is_data else np.zeros_like(photons.prompt)
    columns: dict[str, NDArray[np.generic]] = {
        "photon_truthMatched": truth,
        "photon_trigMatched": photons.fired,
        "photon_pt": _f4(photons.pt * _MEV_PER_GEV),
        "photon_eta": _f4(photons.eta),
        "photon_phi": _f4(photons.phi),
        "photon_E": _f4(photons.pt * np.cosh(photons.eta) * _MEV_PER_GEV),
        "photon_isTightID": photons.id_level >= 3,
        "photon_ptcone30": _f4(photons.track_iso * _MEV_PER_GEV),
        "photon_etcone20": _f4(photons.calo_iso * _MEV_PER_GEV),
        "photon_convType": photons.converted.astype(np.int32),
        "photon_pt_syst": _f4(np.zeros(len(photons.pt)) if is_data else np.full(len(photons.pt), 0.005)),
    }
    return {name: Jagged(photons.counts, column) for name, column in columns.items()}


def _branches_2020(events: RecoEvents, stamp: Stamp, numbers: EventNumbers) -> Branches:
    n, leptons, jets = len(events), events.leptons, events.jets
    weights: dict[str, Floats | None] = {
        "mcWeight": events.weight,
        "scaleFactor_PILEUP": events.sf_pileup,
        "scaleFactor_ELE": events.sf_electron,
        "scaleFactor_MUON": events.sf_muon,
        "scaleFactor_PHOTON": events.sf_photon,
        "scaleFactor_TAU": None,
        "scaleFactor_BTAG": None,
        "scaleFactor_LepTRIGGER": events.sf_lepton_trigger,
        "scaleFactor_PhotonTRIGGER": events.sf_photon_trigger,
    }
    scale_error = np.zeros_like(leptons.scale_error) if stamp.is_data else leptons.scale_error
    return {
        **_event_4_bytes(numbers, stamp),
        # Collision data carry zeros here: whoever multiplies them loses the data.
        **_weights(events, weights, stamp, 0.0),
        "trigE": events.trigger_e,
        "trigM": events.trigger_m,
        "trigP": events.trigger_p,
        **_leptons_in_mev(leptons, is_data=stamp.is_data),
        "lep_trigMatched": Jagged(leptons.counts, leptons.fired),
        "lep_charge": Jagged(leptons.counts, leptons.charge.astype(np.int32)),
        "lep_isTightID": Jagged(leptons.counts, leptons.id_level >= 3),
        # |d0| over its error.
        "lep_tracksigd0pvunbiased": Jagged(leptons.counts, _f4(np.abs(leptons.d0) / leptons.d0_error)),
        "lep_pt_syst": Jagged(leptons.counts, _f4(scale_error)),
        "met_et": _f4(events.met * _MEV_PER_GEV),
        "met_phi": _f4(events.met_phi),
        **_jets_in_mev(jets),
        "jet_MV2c10": Jagged(jets.counts, _f4(2.0 * jets.btag - 1.0)),
        "jet_jvt": Jagged(jets.counts, _whole(1.0, len(jets.pt))),
        **_photons_2020(events.photons, is_data=stamp.is_data),
        "XSection": _whole(1.0 if stamp.is_data else stamp.xsec, n),
        "SumWeights": _whole(1.0 if stamp.is_data else stamp.sumw, n),
    }


def _branches_2016(events: RecoEvents, stamp: Stamp, numbers: EventNumbers) -> Branches:
    n, leptons, jets = len(events), events.leptons, events.jets
    weights: dict[str, Floats | None] = {
        "mcWeight": events.weight,
        "scaleFactor_PILEUP": events.sf_pileup,
        "scaleFactor_ELE": events.sf_electron,
        "scaleFactor_MUON": events.sf_muon,
        "scaleFactor_BTAG": None,
        "scaleFactor_TRIGGER": events.sf_lepton_trigger,
        "scaleFactor_JVFSF": None,
        "scaleFactor_ZVERTEX": None,
    }
    return {
        **_event_4_bytes(numbers, stamp),
        **_weights(events, weights, stamp, 0.0),
        "pvxp_n": events.vertices.astype(np.int32),
        "trigE": events.trigger_e,
        "trigM": events.trigger_m,
        "passGRL": np.ones(n, dtype=bool),
        "hasGoodVertex": np.ones(n, dtype=bool),
        **_leptons_in_mev(leptons, is_data=stamp.is_data),
        "lep_trigMatched": Jagged(leptons.counts, leptons.fired.astype(np.uint16)),
        "lep_charge": Jagged(leptons.counts, _f4(leptons.charge)),
        # The error of d0 [mm] itself, in spite of the name: |d0| over it has unit width in the
        # published files.
        "lep_tracksigd0pvunbiased": Jagged(leptons.counts, _f4(leptons.d0_error * _MM_PER_CM)),
        "met_et": _f4(events.met * _MEV_PER_GEV),
        "met_phi": _f4(events.met_phi),
        "jet_n": np.asarray(jets.counts.astype(np.uint32)),
        **_jets_in_mev(jets),
        "jet_m": Jagged(jets.counts, _f4(jets.mass * _MEV_PER_GEV)),
        "jet_jvf": Jagged(jets.counts, _whole(1.0, len(jets.pt))),
        "jet_MV1": Jagged(jets.counts, _f4(jets.btag)),
    }


def _leptons_2025(leptons: Leptons) -> Branches:
    # Electrons first, each flavour by pT, as published.
    event = np.repeat(np.arange(len(leptons.counts)), leptons.counts)
    order = np.lexsort((-leptons.pt, leptons.flavour, event))
    electron = leptons.flavour == 11
    relative = np.where(electron, 0.20, 0.30)
    isolated = (leptons.track_iso < relative * leptons.pt) & (leptons.calo_iso < relative * leptons.pt)
    tight = (leptons.track_iso < 0.06 * leptons.pt) & (leptons.calo_iso < 0.06 * leptons.pt)
    columns: dict[str, NDArray[np.generic]] = {
        "lep_type": leptons.flavour.astype(np.int32),
        "lep_pt": _f4(leptons.pt),
        "lep_eta": _f4(leptons.eta),
        "lep_phi": _f4(leptons.phi),
        "lep_e": _f4(_energy(leptons)),
        "lep_charge": leptons.charge.astype(np.int32),
        "lep_ptvarcone30": _f4(leptons.track_iso),
        "lep_topoetcone20": _f4(leptons.calo_iso),
        "lep_z0": _f4(leptons.z0 * _MM_PER_CM),
        "lep_d0": _f4(leptons.d0 * _MM_PER_CM),
        "lep_d0sig": _f4(leptons.d0 / leptons.d0_error),
        "lep_isTightID": leptons.id_level >= 3,
        "lep_isMediumID": leptons.id_level >= 2,
        "lep_isLooseID": leptons.id_level >= 1,
        "lep_isTightIso": tight,
        "lep_isLooseIso": isolated,
        "lep_isTrigMatched": leptons.fired,
    }
    return {name: Jagged(leptons.counts, column[order]) for name, column in columns.items()}


def _photons_2025(photons: Photons) -> Branches:
    relative_track, relative_calo = photons.track_iso / photons.pt, photons.calo_iso / photons.pt
    columns: dict[str, NDArray[np.generic]] = {
        "photon_pt": _f4(photons.pt),
        "photon_eta": _f4(photons.eta),
        "photon_phi": _f4(photons.phi),
        "photon_e": _f4(photons.pt * np.cosh(photons.eta)),
        "photon_ptcone20": _f4(photons.track_iso),
        "photon_topoetcone40": _f4(photons.calo_iso),
        "photon_isLooseID": photons.id_level >= 1,
        "photon_isTightID": photons.id_level >= 3,
        "photon_isLooseIso": (relative_track < 0.05) & (relative_calo < 0.065),
        "photon_isTightIso": (relative_track < 0.05) & (relative_calo < 0.022),
    }
    return {name: Jagged(photons.counts, column) for name, column in columns.items()}


def _dataset_2025(stamp: Stamp, n: int) -> Branches:
    """Per-event copies of the dataset's numbers; in data they are fillers to be ignored."""
    if stamp.is_data:
        ones = {
            key: _whole(1.0, n, "float64")
            for key in ("num_events", "sum_of_weights", "sum_of_weights_squared")
        }
        return {**ones, **{key: _whole(0.0, n) for key in ("xsec", "filteff", "kfac")}}
    return {
        "num_events": _whole(n, n, "float64"),
        "sum_of_weights": _whole(stamp.sumw, n, "float64"),
        "sum_of_weights_squared": _whole(stamp.sumw2, n, "float64"),
        "xsec": _whole(stamp.xsec / (_KFACTOR * _FILTER_EFFICIENCY), n),
        "filteff": _whole(_FILTER_EFFICIENCY, n),
        "kfac": _whole(_KFACTOR, n),
    }


def _branches_2025(events: RecoEvents, stamp: Stamp, numbers: EventNumbers) -> Branches:
    n, jets = len(events), events.jets
    weights: dict[str, Floats | None] = {
        "mcWeight": events.weight,
        "ScaleFactor_PILEUP": events.sf_pileup,
        "ScaleFactor_ELE": events.sf_electron,
        "ScaleFactor_MUON": events.sf_muon,
        "ScaleFactor_PHOTON": events.sf_photon,
        "ScaleFactor_LepTRIGGER": events.sf_lepton_trigger,
        "ScaleFactor_BTAG": None,
        "ScaleFactor_FTAG": None,
        "ScaleFactor_JVT": None,
        "ScaleFactor_TAU": None,
    }
    channel = numbers.run if stamp.is_data else np.full(n, stamp.number)
    quantile = np.digitize(jets.btag, [0.3, 0.5, 0.7, 0.85]) + 1
    jet_columns: dict[str, NDArray[np.generic]] = {
        "jet_pt": _f4(jets.pt),
        "jet_eta": _f4(jets.eta),
        "jet_phi": _f4(jets.phi),
        "jet_e": _f4(_jet_energy(jets)),
        "jet_btag_quantile": quantile.astype(np.int32),
        "jet_jvt": np.ones(len(jets.pt), dtype=bool),
    }
    return {
        **_dataset_2025(stamp, n),
        **_weights(events, weights, stamp, 1.0),
        "channelNumber": channel.astype(np.uint32),
        "eventNumber": numbers.event.astype(np.uint64),
        "runNumber": numbers.run.astype(np.uint32),
        "trigE": events.trigger_e,
        "trigM": events.trigger_m,
        "trigP": events.trigger_p,
        **_leptons_2025(events.leptons),
        **{name: Jagged(jets.counts, column) for name, column in jet_columns.items()},
        **_photons_2025(events.photons),
        "met": _f4(events.met),
        "met_phi": _f4(events.met_phi),
    }


ATLAS_2016: Final = Format("mini", _counter_2016, _branches_2016)
ATLAS_2020: Final = Format("mini", _counter, _branches_2020)
ATLAS_2025: Final = Format("analysis", _counter, _branches_2025)

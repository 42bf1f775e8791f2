"""Pairs of electrons, photons or muons from NanoAOD events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.tagprobe.names import is_trigger, path_candidates
from femtobarn.analyses.tagprobe.pairs import Member, Pairs
from femtobarn.analyses.tagprobe.parameters import TagProbeParameters
from femtobarn.analysis import Context
from femtobarn.errors import DataError
from femtobarn.kernels.fourvec import FourVectors, delta_r
from femtobarn.kernels.pairs import matched, pairs_across, pairs_within
from femtobarn.outcome import Outcome
from femtobarn.physics.ecal import in_gap, photon_sc_position
from femtobarn.physics.filterbits import find_bit, has_bit, set_bits
from femtobarn.physics.truth import common_parent
from femtobarn.read.columns import Events

__all__ = ["TriggerObjects", "nanoaod_pairs", "trigger_mask"]

Mask = NDArray[np.bool_]
_RADIUS: Final = 0.1
_TITLE: Final = "TrigObj_filterBits"


class TriggerObjects:
    """Trigger objects of a part, and matching to them; counts the bits it is asked for."""

    def __init__(self, events: Events, ctx: Context, out: Outcome) -> None:
        self._events = events
        self._parameters: TagProbeParameters = ctx.parameters
        self._title = ctx.titles.get(_TITLE, "")
        self._out = out
        self._pt = events.jagged("TrigObj_pt")
        self._bits = events.jagged(_TITLE).values
        self._kind = np.abs(events.jagged("TrigObj_id").values.astype(np.int64))
        self._counted: set[int] = set()

    def select(self, name: str, kind: int, bit: int | str, threshold: float) -> Mask:
        """(k,) objects of a kind with a bit above a threshold."""
        wide = self._bits.dtype.itemsize > 4
        number, source = find_bit(
            bit, kind, title=self._title, version=self._parameters.nanoaod_version, wide=wide
        )
        if source == "table of NanoAOD v5-v12":
            self._out.warn(f"the file does not describe its filter bits: {bit!r} is taken from the {source} "
                           "(nanoaod_version says otherwise)")  # fmt: skip
        of_kind = self._kind == kind
        has = has_bit(self._bits, number)
        self._out.add_sum(f"filter|{name}|{kind}|{number}", float((of_kind & has).sum()))
        if kind not in self._counted:
            self._counted.add(kind)
            for each, count in set_bits(self._bits[of_kind]):
                self._out.add_sum(f"bit|{kind}|{each}", float(count))
        found: Mask = of_kind & has & (self._pt.values > threshold)
        return found

    def matched(self, collection: str, keep: Mask, eta: NDArray[Any], phi: NDArray[Any]) -> Mask:
        """(m,) objects of a collection near one of the kept trigger objects."""
        return matched(
            self._events.jagged(f"{collection}_eta").offsets, eta, phi, self._pt.offsets,
            self._events.jagged("TrigObj_eta").values, self._events.jagged("TrigObj_phi").values, keep,
            radius=_RADIUS,
        )  # fmt: skip


class _Objects:
    """One collection with the quantities that cuts and matching use."""

    def __init__(self, events: Events, name: str, parameters: TagProbeParameters) -> None:
        self.events, self.name = events, name
        self.offsets = events.jagged(f"{name}_eta").offsets
        self.derived: dict[str, Callable[[], NDArray[Any]]] = {}
        if name == "Photon":
            self.derived["charge"] = lambda: np.zeros(len(self.values("pt")))
        if f"{name}_mass" not in events:
            self.derived["mass"] = lambda: np.zeros(len(self.values("eta")))
        if f"{name}_superclusterEta" not in events:
            self.derived |= self._supercluster()
        self.eta = np.asarray(self.values("eta"))
        self.phi = np.asarray(self.values("phi"))
        if parameters.use_sc_eta and name != "Muon":
            self.eta = np.asarray(self.values("superclusterEta"))
        if parameters.use_sc_phi and name == "Photon":
            self.phi = np.asarray(photon_sc_position(events)[1])

    def _supercluster(self) -> dict[str, Callable[[], NDArray[Any]]]:
        if self.name == "Electron" and "Electron_deltaEtaSC" in self.events:
            return {"superclusterEta": lambda: self.values("eta") + self.values("deltaEtaSC")}
        if self.name == "Photon" and "PV_z" in self.events:
            return {"superclusterEta": lambda: photon_sc_position(self.events)[0]}
        return {}

    def values(self, column: str) -> NDArray[Any]:
        """(m,) a column of all objects."""
        full = f"{self.name}_{column}"
        if full in self.events:
            return np.asarray(self.events.jagged(full).values)
        if column in self.derived:
            return self.derived[column]()
        raise DataError(f"there is no column {full!r}")

    def member(self, index: NDArray[np.int64]) -> Member:
        return Member(f"{self.name}_", index, self.derived)


def nanoaod_pairs(
    events: Events, ctx: Context, out: Outcome, good: Mask, weights: Mapping[str, NDArray[np.float64]],
    *, simulated: bool,
) -> tuple[Pairs, _Objects, TriggerObjects]:  # fmt: skip
    """All pairs of the good events that pass the cuts on tag and probe."""
    parameters: TagProbeParameters = ctx.parameters
    triggers = TriggerObjects(events, ctx, out)
    probes = _Objects(events, parameters.source.probe, parameters)
    kind = parameters.tag_collection
    tags = probes if kind == probes.name else _Objects(events, kind, parameters)
    tag = _tags(tags, parameters, triggers) & np.repeat(good, np.diff(tags.offsets))
    probe = _probe_cuts(probes, parameters) & np.repeat(good, np.diff(probes.offsets))
    if tags is probes:
        event, first, second = pairs_within(tags.offsets, tag, probe)
    else:
        event, first, second = pairs_across(tags.offsets, tag, probes.offsets, probe)
    keep = np.ones(len(event), dtype=np.bool_)
    if tags is not probes:
        local = first - tags.offsets[event]
        keep &= probes.values("electronIdx")[second] != local
        keep &= delta_r(tags.eta[first], tags.phi[first], probes.eta[second], probes.phi[second]) > _RADIUS
    if probes.name != "Photon":
        keep &= _charges(tags.values("charge")[first], probes.values("charge")[second], parameters.charge)
    if simulated and parameters.truth_match:
        keep &= _from_resonance(events, tags, probes, event, first, second, parameters)
    event, first, second = event[keep], first[keep], second[keep]
    extra = _pair_columns(tags, probes, first, second)
    return Pairs(events, event, tags.member(first), probes.member(second), extra, weights), probes, triggers


def _tags(tags: _Objects, parameters: TagProbeParameters, triggers: TriggerObjects) -> Mask:
    """(m,) objects that pass the tag's identification, kinematics and trigger matching."""
    trigger = parameters.tag_trigger
    keep: Mask = (tags.values("pt") > parameters.tags_pt_cut) & (
        np.abs(tags.eta) < parameters.tags_abseta_cut
    )
    if parameters.avoid_ecal_transition_tags:
        keep &= ~in_gap(tags.eta)
    kind = 13 if tags.name == "Muon" else 11
    near = triggers.select("tag", kind, trigger.bit, trigger.pt)
    if tags.name == "Muon":
        keep &= (tags.values("tightId") != 0) & (tags.values("pfRelIso04_all") < 0.15)
        return keep & triggers.matched("Muon", near, tags.eta, tags.phi)
    if tags.name == "Electron":
        keep &= tags.values("cutBased") >= 4
        return keep & triggers.matched("Electron", near, tags.eta, tags.phi)
    electrons = _Objects(tags.events, "Electron", parameters)
    fired = triggers.matched("Electron", near, electrons.eta, electrons.phi)
    electron = tags.values("electronIdx").astype(np.int64)
    has = electron >= 0
    place = np.repeat(electrons.offsets[:-1], np.diff(tags.offsets)) + np.where(has, electron, 0)
    matched_one = np.zeros(len(has), dtype=np.bool_)
    matched_one[has] = fired[place[has]]
    keep &= (tags.values("cutBased") >= 3) & (tags.values("pixelSeed") != 0)
    return keep & matched_one


def _probe_cuts(probes: _Objects, parameters: TagProbeParameters) -> Mask:
    keep: Mask = probes.values("pt") > parameters.probe_threshold
    keep &= np.abs(probes.eta) < parameters.probes_abseta_cut
    if parameters.avoid_ecal_transition_probes:
        keep &= ~in_gap(probes.eta)
    return keep


def _charges(first: NDArray[Any], second: NDArray[Any], wanted: str) -> Mask:
    if wanted == "any":
        return np.ones(len(first), dtype=np.bool_)
    same: Mask = np.sign(first.astype(np.float64)) * np.sign(second.astype(np.float64)) > 0
    opposite: Mask = np.sign(first.astype(np.float64)) * np.sign(second.astype(np.float64)) < 0
    return same if wanted == "same" else opposite


def _from_resonance(
    events: Events, tags: _Objects, probes: _Objects, event: NDArray[np.int64], first: NDArray[np.int64],
    second: NDArray[np.int64], parameters: TagProbeParameters,
) -> Mask:  # fmt: skip
    """(p,) pairs whose members come from one decay of the resonance."""
    for name in ("GenPart_pdgId", f"{tags.name}_genPartIdx", f"{probes.name}_genPartIdx"):
        if name not in events:
            raise DataError(f"matching with the truth needs the column {name!r}, which is not there",
                            action="set truth_match to false, or isMC if these are data")  # fmt: skip
    keep = common_parent(
        events.jagged("GenPart_pdgId"), events.jagged("GenPart_genPartIdxMother"), event,
        tags.values("genPartIdx")[first], probes.values("genPartIdx")[second], pdg_id=parameters.peak.pdg,
    )  # fmt: skip
    # 1: prompt electron or muon; 11: photon that is a prompt electron (NanoAOD's genPartFlav).
    for objects, index in ((tags, first), (probes, second)):
        wanted = 11 if objects.name == "Photon" else 1
        keep &= objects.values("genPartFlav")[index] == wanted
    return keep


def _pair_columns(
    tags: _Objects, probes: _Objects, first: NDArray[np.int64], second: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    def vectors(objects: _Objects, index: NDArray[np.int64]) -> FourVectors:
        pt, eta, phi, mass = (objects.values(name)[index] for name in ("pt", "eta", "phi", "mass"))
        return FourVectors.from_mass(pt, eta, phi, mass)

    total = vectors(tags, first) + vectors(probes, second)
    pt = total.pt
    return {
        # The inputs have single precision, and so has what a mass says: beyond it lies rounding, which
        # must not move a pair across the edge of a bin.
        "pair_mass": total.mass.astype(np.float32).astype(np.float64),
        "pair_pt": pt,
        "pair_eta": np.arcsinh(total.pz / np.where(pt > 0, pt, 1.0)),
        "pair_dR": delta_r(
            tags.values("eta")[first], tags.values("phi")[first],
            probes.values("eta")[second], probes.values("phi")[second],
        ),
    }  # fmt: skip


def trigger_mask(
    name: str, pairs: Pairs, probes: _Objects, triggers: TriggerObjects, parameters: TagProbeParameters
) -> Mask:
    """(p,) pairs whose probe is matched to an object of a trigger filter (and whose event fired it)."""
    path = parameters.filters[name]
    if not is_trigger(path):
        raise ValueError(f"{name!r} is no trigger")
    kind = parameters.source.kind
    if parameters.is_photon_filter.get(name):
        kind = 22
    if parameters.is_electron_filter.get(name):
        kind = 11
    bit, threshold = parameters.filterbit.get(name), parameters.trigger_pt.get(name)
    if bit is None:
        raise DataError(
            f"the filter {name!r} needs its bit", action=f"add filterbit: {{{name!r}: number or name}}"
        )
    near = triggers.select(name, kind, bit, threshold or 0.0)
    passed = triggers.matched(probes.name, near, probes.eta, probes.phi)[pairs.probe.index]
    if parameters.require_event_to_pass_hlt_filter:
        flags = [each for each in path_candidates(path) if each in pairs.events]
        if not flags:
            raise DataError(
                f"there is no event flag {' or '.join(path_candidates(path))}",
                action="correct the name (femtobarn data probe FILE lists them), or set "
                "require_event_to_pass_hlt_filter to false",
            )
        passed &= pairs.events.flat(flags[0]).astype(np.bool_)[pairs.event]
    return np.asarray(passed)

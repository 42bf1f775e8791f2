"""Which candidates are out, and why: every refusal has a code and a sentence, and nothing vanishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from femtobarn.catalog.runrecords import Run
from femtobarn.kernels.lumimask import LumiMask

__all__ = ["CODES", "Candidate", "Certification", "Reason", "Rules", "Verdict", "judge"]

CODES: Final = (
    "SELF", "LATER_THAN_RUN", "WRONG_CLASS", "WRONG_RECO", "NOT_PROMOTED", "BLOCKLISTED", "NOT_GOLDEN",
    "TRACKER_NOT_GOOD", "COMPONENT_OUT", "LS_NOT_READY", "TOO_SHORT", "FIELD_MISMATCH", "ENERGY_MISMATCH",
    "APV_MISMATCH", "RETIRED",
)  # fmt: skip

#: Fields that differ by more than this are different fields [T]; energies likewise [GeV a beam].
FIELD_TOLERANCE: Final = 0.5
ENERGY_TOLERANCE: Final = 100.0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run is no candidate."""

    code: str
    detail: str

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "detail": self.detail}


@dataclass(frozen=True)
class Certification:
    """A certification file: its name and which lumisections it calls good."""

    name: str
    good: LumiMask

    def says(self, run: int) -> bool | None:
        """Whether it holds the run; None for runs outside its first to last run."""
        runs = self.good.runs
        if not len(runs) or not int(runs[0]) <= run <= int(runs[-1]):
            return None
        return bool(np.any(runs == run))


@dataclass(frozen=True)
class Rules:
    """What a reference has to fulfil.  Everything that is None or empty is not asked for.

    Attributes
    ----------
    earlier_only : bool
        Whether later runs are out; if not, they are flagged.
    match : subset of {field, energy, apv}
        Conditions that have to agree; the others are only flagged.
    promoted : set of run numbers, optional
        The closed list; None means an open one.
    """

    earlier_only: bool = True
    any_class: bool = False
    promoted: frozenset[int] | None = None
    blocklist: frozenset[int] = frozenset()
    retired: frozenset[int] = frozenset()
    golden: Certification | None = None
    tracker_good: Certification | None = None
    components: tuple[str, ...] = ()
    min_ls: int | None = None
    min_ready: float | None = None
    match: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        return {
            "earlier_only": self.earlier_only, "any_class": self.any_class,
            "golden": self.golden.name if self.golden else None,
            "tracker_good": self.tracker_good.name if self.tracker_good else None,
            "blocklist": sorted(self.blocklist), "retired": sorted(self.retired),
            "require_components": list(self.components), "min_ls": self.min_ls,
            "min_ready": self.min_ready, "match": sorted(self.match),
        }  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A run that may become the reference; ``run_class`` and ``recos`` are empty if nobody says."""

    number: int
    record: Run
    run_class: str = ""
    recos: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Verdict:
    """The reasons why a run is out (none: it is in) and what should be known about it."""

    reasons: tuple[Reason, ...] = ()
    flags: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def judge(candidate: Candidate, target: Candidate, wanted_reco: str, rules: Rules) -> Verdict:
    """All reasons against a candidate, in the order of ``CODES``, and all flags."""
    reasons: list[Reason] = []
    flags: list[str] = []
    number = candidate.number

    def out(code: str, detail: str) -> None:
        reasons.append(Reason(code, detail))

    if number == target.number:
        out("SELF", "a run is no reference for itself")
    elif number > target.number:
        if rules.earlier_only:
            out("LATER_THAN_RUN", f"run {number} was taken after run {target.number}")
        else:
            flags.append("LATER_THAN_RUN")
    if not candidate.run_class and rules.promoted is not None and number in rules.promoted:
        flags.append("CLASS_UNKNOWN")  # whoever wrote the list knows
    elif not rules.any_class and candidate.run_class != target.run_class:
        out("WRONG_CLASS", f"is {candidate.run_class or 'of no known class'}, not {target.run_class}")
    if candidate.recos and wanted_reco not in candidate.recos:
        out("WRONG_RECO", f"was certified as {', '.join(sorted(candidate.recos))}, not {wanted_reco}")
    if rules.promoted is not None and number not in rules.promoted:
        out("NOT_PROMOTED", "is not on the list of references")
    if number in rules.blocklist:
        out("BLOCKLISTED", "is on the block list")
    _certified(number, "NOT_GOLDEN", "GOLDEN_UNKNOWN", rules.golden, reasons, flags)
    _certified(number, "TRACKER_NOT_GOOD", "TRACKER_GOOD_UNKNOWN", rules.tracker_good, reasons, flags)
    _record_rules(candidate.record, rules, reasons, flags)
    _conditions(candidate.record, target.record, rules, reasons, flags)
    if number in rules.retired:
        out("RETIRED", "is on the list of retired references")
    return Verdict(tuple(reasons), tuple(flags))


def _certified(
    number: int, code: str, unknown: str, file: Certification | None, reasons: list[Reason], flags: list[str]
) -> None:
    if file is None:
        return
    said = file.says(number)
    if said is None:
        flags.append(unknown)
    elif not said:
        reasons.append(Reason(code, f"has no good lumisection in {file.name}"))


def _record_rules(run: Run, rules: Rules, reasons: list[Reason], flags: list[str]) -> None:
    """Rules about the run's own record; what is not known is flagged, not held against it."""
    components = run.get("components").value
    if rules.components and not isinstance(components, tuple):
        flags.append("COMPONENTS_UNKNOWN")
    elif rules.components:
        missing = [name for name in rules.components if name not in components]  # type: ignore[operator]
        if missing:
            reasons.append(Reason("COMPONENT_OUT", f"{', '.join(missing)} did not take part"))
    ready = run.get("ls_ready_fraction").number
    if rules.min_ready is not None and ready is None:
        flags.append("READINESS_UNKNOWN")
    elif rules.min_ready is not None and ready is not None and ready < rules.min_ready:
        reasons.append(Reason("LS_NOT_READY", f"the tracker was ready in {ready:.0%} of its lumisections, "
                                              f"less than {rules.min_ready:.0%}"))  # fmt: skip
    if rules.min_ls is None:
        return
    length = run.get("n_stable_ls").number
    if length is None:
        length = run.get("last_lumisection_number").number
    if length is None:
        flags.append("LENGTH_UNKNOWN")
    elif length < rules.min_ls:
        reasons.append(Reason("TOO_SHORT", f"has {length:.0f} lumisections, fewer than {rules.min_ls}"))


def _first_known(run: Run, *names: str) -> float | None:
    return next((n for n in (run.get(name).number for name in names) if n is not None), None)


def _conditions(candidate: Run, target: Run, rules: Rules, reasons: list[Reason], flags: list[str]) -> None:
    """Field, energy and readout mode: out if they have to match, else flagged."""
    for rule, code, names, tolerance, unit in (
        ("field", "FIELD_MISMATCH", ("b_field", "fill_b_field"), FIELD_TOLERANCE, "T"),
        ("energy", "ENERGY_MISMATCH", ("fill_energy", "energy"), ENERGY_TOLERANCE, "GeV"),
    ):
        ours, theirs = _first_known(target, *names), _first_known(candidate, *names)
        if ours is None or theirs is None or abs(ours - theirs) <= tolerance:
            continue
        if rule in rules.match:
            reasons.append(Reason(code, f"{theirs:g} {unit} against {ours:g} {unit}"))
        else:
            flags.append(code)
    ours_apv, theirs_apv = target.get("apv_mode").value, candidate.get("apv_mode").value
    if ours_apv is not None and theirs_apv is not None and ours_apv != theirs_apv:
        if "apv" in rules.match:
            reasons.append(Reason("APV_MISMATCH", f"read out in {theirs_apv}, the run in {ours_apv}"))
        else:
            flags.append("APV_MISMATCH")

"""What tag and probe can be told: workflow, cuts, filters, methods, binning."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from femtobarn.analyses.tagprobe.names import expression, is_trigger
from femtobarn.analyses.tagprobe.workflows import RESONANCES, WORKFLOWS, Resonance, Workflow
from femtobarn.analysis import Parameters
from femtobarn.errors import FemtobarnError, nearest
from femtobarn.hists import Axis, regular, variable
from femtobarn.stats.passfail.sideband import subtract_sidebands

__all__ = ["DEFAULT_BINS", "Method", "Sidebands", "TagProbeParameters", "TagTrigger", "file_safe"]

METHODS: Final = (
    "get_tnp_arrays",
    "get_passing_and_failing_probes",
    "get_1d_pt_eta_phi_tnp_histograms",
    "get_nd_tnp_histograms",
    "get_ntuples",
)
_GAP: Final = {1.4: 1.4442, 1.5: None, 1.6: 1.566}


def _eta_edges() -> tuple[float, ...]:
    """48 bins of 0.1 up to 2.5 with the edges of the gap between barrel and endcap in place of 1.4-1.6."""
    steps = [round(0.1 * i, 1) for i in range(26)]
    positive = [value for edge in steps if (value := _GAP.get(edge, edge)) is not None]
    return tuple(-edge for edge in positive[:0:-1]) + tuple(positive)


_PT: Final = (5, 10, 12.5, 15, 17.5, 20, 22.5, 25, 30, 35, 40, 45, 50, 60, 80, 100, 150, 200, 250, 300, 350,
              400)  # fmt: skip
_PHI: Final = (0.18, 0.52, 0.87, 1.22, 1.57, 1.92, 2.27, 2.62, 2.97, 3.32)
#: Edges by the last word of a variable's name.
DEFAULT_BINS: Final[Mapping[str, tuple[float, ...]]] = {
    "pt": tuple(map(float, _PT)),
    "et": tuple(map(float, _PT)),
    "eta": _eta_edges(),
    "phi": tuple(-edge for edge in _PHI[::-1]) + _PHI,
}
_MASS_BINS: Final = 80
_UNITS: Final = {"pt": "GeV", "et": "GeV", "mass": "GeV", "mll": "GeV"}
_LABELS: Final = {"pt": "Probe $p_T$", "et": "Probe $E_T$", "eta": r"Probe $\eta$", "phi": r"Probe $\phi$"}
_SAFE: Final = ((">=", "gte"), ("<=", "lte"), (">", "gt"), ("<", "lt"), (" ", "_"))
_THRESHOLDS: Final = re.compile(r"(?:Ele|Photon|Mu)(\d+)")


def file_safe(name: str) -> str:
    """A filter's name as a part of a path: ``cutBased >= 2`` is ``cutBased_gte_2``."""
    for symbol, word in _SAFE:
        name = name.replace(symbol, word)
    return name.replace("/", "_")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TagTrigger(_Frozen):
    """The trigger that the tag fired: event flag, threshold and bit of its trigger object."""

    path: str = Field(default="HLT_Ele30_WPTight_Gsf", description="event flag")
    pt: float = Field(
        default=30.0, description="threshold of the trigger object", json_schema_extra={"unit": "GeV"}
    )
    bit: int | str = Field(default=1, description="filter bit, by number or name")


class Sidebands(_Frozen):
    """Mass windows of the sideband subtraction."""

    peak: tuple[float, float] = Field(default=(81.0, 101.0), description="where the signal is",
                                      json_schema_extra={"unit": "GeV"})  # fmt: skip
    low: tuple[float, float] = Field(default=(60.0, 75.0), description="below it",
                                     json_schema_extra={"unit": "GeV"})  # fmt: skip
    high: tuple[float, float] = Field(default=(107.0, 122.0), description="above it",
                                      json_schema_extra={"unit": "GeV"})  # fmt: skip


Regions = dict[str, tuple[float, float]]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _all_or_names(value: Any) -> Any:
    return "all" if value == "all" else value


class Method(_Frozen):
    """One task of the runner: what to write of the pairs."""

    name: str = Field(description="kind of output")
    number: int = Field(1, ge=1, description="counts methods of the same name")
    filter: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field((), description="names of filters")
    cut_and_count: bool = Field(True, description="narrow mass window; false adds the mass axis")
    mass_range: float | tuple[float, float] | None = Field(None, description="another window",
                                                           json_schema_extra={"unit": "GeV"})  # fmt: skip
    vars: Any = Field(None, description="columns; 'all' for everything")
    flat: bool = Field(True, description="one row a pair; false: one row an event, with lists")
    weight: str | None = Field("weight", description="weight column; null counts pairs")
    plateau_cut: float | None = Field(None, description="pt cut of the eta and phi histograms",
                                      json_schema_extra={"unit": "GeV"})  # fmt: skip
    eta_regions_pt: Regions = Field({"barrel": (0.0, 1.4442), "endcap": (1.566, 2.5)},
                                    description="|eta| regions of the pt histograms")  # fmt: skip
    phi_regions_eta: Regions = Field(
        {"entire": (0.0, 3.32)}, description="|phi| regions of the eta histograms"
    )
    eta_regions_phi: Regions = Field(
        {"entire": (0.0, 2.5)}, description="|eta| regions of the phi histograms"
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in METHODS:
            near = nearest(name, METHODS)
            hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
            raise ValueError(f"there is no method {name!r}{hint}; methods: {', '.join(METHODS)}")
        return name

    @field_validator("mass_range")
    @classmethod
    def _a_window(cls, given: float | tuple[float, float] | None) -> float | tuple[float, float] | None:
        if isinstance(given, tuple) and not given[0] < given[1]:
            raise ValueError(f"must be two rising numbers, not {list(given)}")
        if isinstance(given, float) and given <= 0:
            raise ValueError(f"must be a positive half width, not {given:g}")
        return given

    @property
    def label(self) -> str:
        """``get_tnp_arrays_1``."""
        return f"{self.name}_{self.number}"

    @property
    def filtered(self) -> bool:
        return self.name not in ("get_tnp_arrays", "get_ntuples")

    @property
    def histograms(self) -> bool:
        return "histograms" in self.name


def _numbered(methods: Any) -> Any:
    """Methods with their numbers: the same name again is ``_2``."""
    if not isinstance(methods, Sequence) or isinstance(methods, str):
        return methods
    seen: dict[str, int] = {}
    out = []
    for method in methods:
        if isinstance(method, Mapping):
            name = str(method.get("name"))
            seen[name] = seen.get(name, 0) + 1
            args = {key: value for key, value in (method.get("args") or {}).items() if value is not None}
            kept = {key: value for key, value in method.items() if key != "args"}
            weight = (
                {"weight": None} if "weight" in (method.get("args") or {}) and "weight" not in args else {}
            )
            method = {**kept, **args, **weight, "number": seen[name]}  # noqa: PLW2901
        out.append(method)
    return out


#: Defaults that a workflow changes.
_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "MuonTagNProbeFromNanoAOD": {
        "tags_pt_cut": 26.0, "tags_abseta_cut": 2.4, "probes_abseta_cut": 2.4,
        "avoid_ecal_transition_tags": False,
        "tag_trigger": {"path": "HLT_IsoMu24", "pt": 24.0, "bit": "1mu"},
    },
}  # fmt: skip


class TagProbeParameters(Parameters):
    """All parameters of tag and probe, in the older tool's names."""

    workflow: str = Field("ElectronTagNProbeFromNanoAOD", description="where pairs come from")
    filters: dict[str, str] = Field({}, description="what passing means: name -> trigger path or expression")
    filterbit: dict[str, int | str | None] = Field(
        {}, description="filter bit of a trigger, by number or name"
    )
    trigger_pt: dict[str, float | None] = Field({}, description="threshold of a trigger")
    is_photon_filter: dict[str, bool] = Field({}, description="match photon trigger objects")
    is_electron_filter: dict[str, bool] = Field({}, description="match electron trigger objects")
    methods: Annotated[tuple[Method, ...], BeforeValidator(_numbered)] = Field((), description="tasks")
    tags_pt_cut: float = Field(35.0, description="tag pt", json_schema_extra={"unit": "GeV"})
    probes_pt_cut: float | None = Field(None, description="probe pt; null: from the filter's threshold",
                                        json_schema_extra={"unit": "GeV"})  # fmt: skip
    tags_abseta_cut: float = Field(2.5, description="tag |eta|")
    probes_abseta_cut: float = Field(2.5, description="probe |eta|")
    cutbased_id: str | None = Field(None, description="condition on every probe")
    extra_zcands_mask: str | None = Field(None, description="condition on every pair")
    extra_filter: str | None = Field(None, description="user code, file.py::function")
    extra_filter_args: dict[str, Any] = Field({}, description="its named arguments")
    use_sc_eta: bool = Field(False, description="cut and match with supercluster eta")
    use_sc_phi: bool = Field(False, description="match with supercluster phi")
    avoid_ecal_transition_tags: bool = Field(True, description="no tags in the gap 1.4442-1.566")
    avoid_ecal_transition_probes: bool = Field(False, description="no probes in the gap")
    require_event_to_pass_hlt_filter: bool = Field(True, description="a trigger filter needs its event flag")
    start_from_diphotons: bool = Field(True, description="photons: tag is a photon, too")
    tag_trigger: TagTrigger = Field(default_factory=TagTrigger, description="trigger that the tag fired")
    truth_match: bool = Field(True, description="simulation: both come from one decay of the resonance")
    charge: Literal["opposite", "same", "any"] = Field("opposite", description="charges of the pair")
    arbitration: Literal["all", "best_mass", "random"] = Field("all", description="pairs kept of an event")
    seed: int = Field(1, ge=0, description="of the random arbitration")
    keep_null_rows: bool = Field(False, description="rows for events without a pair (calibration ntuples)")
    resonance: Literal["Z", "JPsi"] = Field("Z", description="what decays")
    nanoaod_version: int | None = Field(None, ge=1, description="where the file does not describe its bits")
    columns: dict[str, str] = Field({}, description="flat pairs: tag_pt, tag_eta, probe_pt, ... -> column")
    lead_pt_cut: float = Field(
        20.0, description="calibration: leading electron", json_schema_extra={"unit": "GeV"}
    )
    sublead_pt_cut: float = Field(10.0, description="calibration: second electron",
                                  json_schema_extra={"unit": "GeV"})  # fmt: skip
    eta_cut: float = Field(2.5, description="calibration: supercluster |eta|")
    trigger_paths: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (), description="calibration: events need one of the triggers that start so"
    )
    avoid_ecal_transition: bool = Field(False, description="calibration: none in the gap")
    sidebands: Sidebands | None = Field(
        None, description="mass windows; adds tables/efficiency_sideband of histograms with a mass axis"
    )
    binning: dict[str, tuple[float, ...]] = Field({}, description="<variable>_bins -> edges")

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            own = _DEFAULTS.get(str(values.get("workflow")), {})
            return {**own, **values}
        return values

    @field_validator("workflow")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in WORKFLOWS:
            near = nearest(name, WORKFLOWS)
            hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
            raise ValueError(f"there is no workflow {name!r}{hint}; workflows: {', '.join(WORKFLOWS)}")
        return name

    @field_validator("binning")
    @classmethod
    def _rising(cls, binning: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
        for name, edges in binning.items():
            if len(edges) < 2 or any(b <= a for a, b in pairwise(edges)):
                raise ValueError(f"{name}: edges must be at least two and rise strictly")
        return binning

    @model_validator(mode="after")
    def _fits(self) -> TagProbeParameters:
        safe: dict[str, str] = {}
        for name in self.filters:
            other = safe.setdefault(file_safe(name), name)
            if other != name:
                raise ValueError(f"filters {other!r} and {name!r} would be written under the same name")
        self._check_conditions()
        energy = self.source.source == "energy"
        for method in self.methods:
            if (method.name == "get_ntuples") != energy:
                raise ValueError(f"methods: {self.workflow} has no method {method.name}")
            for name in method.filter:
                if name not in self.filters:
                    near = nearest(name, self.filters)
                    hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
                    raise ValueError(f"methods: {method.name} asks for the filter {name!r}, "
                                     f"which is not among the filters{hint}")  # fmt: skip
            if method.filtered and not method.filter:
                raise ValueError(f"methods: {method.name} needs a filter")
            if method.histograms:
                for name in self.variables(method):
                    self.axis(name)
                self._check_sidebands(method)
        if self.source.source == "pairs":
            missing = [
                n for n in ("tag_pt", "tag_eta", "probe_pt", "probe_eta", "mass") if n not in self.columns
            ]
            if missing:
                raise ValueError(f"columns: {', '.join(missing)} must be named")
        return self

    def _check_conditions(self) -> None:
        """Refuse what is no expression; in flat files the whole text may be a column's name."""
        if self.source.source != "nanoaod":
            return
        given = {"cutbased_id": self.cutbased_id, "extra_zcands_mask": self.extra_zcands_mask}
        given |= {f"filters.{name}": text for name, text in self.filters.items() if not is_trigger(text)}
        for name, text in given.items():
            if text:
                try:
                    expression(text)
                except FemtobarnError as error:
                    raise ValueError(f"{name}: {error}") from error

    def _check_sidebands(self, method: Method) -> None:
        if self.sidebands is not None and not method.cut_and_count:
            edges = np.asarray(self.mass_axis().edges)
            nothing = np.zeros(len(edges) - 1)
            one = self.sidebands
            subtract_sidebands(edges, nothing, nothing, one.peak, (one.low, one.high))

    @property
    def source(self) -> Workflow:
        """The workflow's description."""
        return WORKFLOWS[self.workflow]

    @property
    def tag_collection(self) -> str:
        """NanoAOD collection of the tag: photons may be probed with electrons."""
        if self.source.probe == "Photon" and not self.start_from_diphotons:
            return "Electron"
        return self.source.tag

    @property
    def peak(self) -> Resonance:
        return RESONANCES[self.resonance]

    @property
    def probe_threshold(self) -> float:
        """The probe's pt cut: as given, else 3 GeV below the threshold of the only filter, else 5 GeV."""
        if self.probes_pt_cut is not None:
            return self.probes_pt_cut
        if len(self.filters) == 1:
            text = next(iter(self.filters.values()))
            numbers = _THRESHOLDS.findall(text)
            if numbers:
                second = len(numbers) > 1 and not text.endswith("Leg1")
                return float(numbers[1 if second else 0]) - 3.0
        return 5.0

    def variables(self, method: Method) -> tuple[str, ...]:
        """Variables of a histogram method."""
        if method.vars is None:
            prefix = self.source.prefix
            return (f"{prefix}pt", f"{prefix}eta", f"{prefix}phi")
        if not isinstance(method.vars, list | tuple) or not all(
            isinstance(name, str) for name in method.vars
        ):
            raise ValueError(f"methods: vars of {method.name} must be a list of variables")
        if "1d" in method.name and len(method.vars) != 3:
            raise ValueError(f"methods: vars of {method.name} must be three: pt, eta and phi")
        return tuple(method.vars)

    def axis(self, name: str, *, called: str | None = None) -> Axis:
        """The axis of a variable."""
        word = name.rpartition("_")[2]
        edges = self.binning.get(f"{name}_bins") or DEFAULT_BINS.get(word)
        if edges is None:
            raise ValueError(f"binning: there are no edges for {name}: give {name}_bins")
        return variable(list(edges), called or name, label=_label(word, name), unit=_UNITS.get(word, ""))

    def mass_axis(self) -> Axis:
        """The axis ``mll``."""
        edges = self.binning.get("mll_bins")
        if edges is not None:
            steps = np.diff(edges)
            if np.allclose(steps, steps[0], rtol=1e-9):
                return regular(len(steps), edges[0], edges[-1], "mll", label="Pair mass", unit="GeV")
            return variable(list(edges), "mll", label="Pair mass", unit="GeV")
        low, high = self.peak.window
        return regular(_MASS_BINS, low, high, "mll", label="Pair mass", unit="GeV")

    def window(self, method: Method) -> tuple[float, float]:
        """Mass window of a method, both ends excluded."""
        peak, given = self.peak, method.mass_range
        if given is None:
            if method.cut_and_count and method.name != "get_ntuples":
                return max(peak.mass - peak.half_window, peak.window[0] if peak.pdg == 443 else 0.0), min(
                    peak.mass + peak.half_window, peak.window[1] if peak.pdg == 443 else np.inf
                )
            return peak.window
        if isinstance(given, tuple):
            return given
        return peak.mass - given, peak.mass + given


def _label(word: str, name: str) -> str:
    return _LABELS.get(word, name)

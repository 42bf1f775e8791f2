"""The runner, settings and binning JSON of tag and probe, as its predecessor reads them.

Every key is known or an error with the nearest name; a key that another workflow knows is said to be
not used; what has no effect here is said.  Built-in defaults < ``workflow_args`` < settings, and only
keys that are there override.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from femtobarn.config.located import Located, load_file
from femtobarn.config.problems import Problems, shown
from femtobarn.errors import UsageError, nearest

__all__ = ["FACTORIES", "TnpConfig", "read_tnp_config", "trigger_workflow"]

_PAIRS: Final = frozenset({
    "filters", "tags_pt_cut", "probes_pt_cut", "tags_abseta_cut", "probes_abseta_cut", "cutbased_id",
    "extra_zcands_mask", "extra_filter", "extra_filter_args", "use_sc_eta", "use_sc_phi",
    "avoid_ecal_transition_tags", "avoid_ecal_transition_probes", "charge", "arbitration", "seed",
    "resonance", "sidebands",
})  # fmt: skip
_NANO: Final = _PAIRS | {
    "filterbit", "trigger_pt", "is_photon_filter", "is_electron_filter", "tag_trigger", "truth_match",
    "require_event_to_pass_hlt_filter", "nanoaod_version",
}  # fmt: skip
_ENERGY: Final = frozenset({
    "lead_pt_cut", "sublead_pt_cut", "eta_cut", "trigger_paths", "avoid_ecal_transition", "keep_null_rows",
    "extra_filter", "extra_filter_args",
})  # fmt: skip
#: Keys that each workflow knows.
KEYS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "ElectronTagNProbeFromNanoAOD": _NANO,
        "PhotonTagNProbeFromNanoAOD": _NANO | {"start_from_diphotons"},
        "MuonTagNProbeFromNanoAOD": _NANO,
        "ElectronTagNProbeFromMiniNTuples": _PAIRS,
        "PhotonTagNProbeFromMiniNTuples": _PAIRS,
        "ElectronTagNProbeFromNanoNTuples": _PAIRS,
        "PhotonTagNProbeFromNanoNTuples": _PAIRS,
        "ScaleAndSmearingNTuplesFromNanoAOD": _ENERGY,
        "TagNProbeFromPairs": _PAIRS | {"columns"},
    }
)
#: Keys for which null is a value.
_NULLABLE: Final = (
    "cutbased_id", "extra_filter", "extra_zcands_mask", "nanoaod_version", "probes_pt_cut", "sidebands",
)  # fmt: skip
_EVERY: Final = frozenset().union(*KEYS.values())

#: Ready-made measurements of a trigger: tag pt, probe pt, filter bit by name.
FACTORIES: Final[Mapping[str, tuple[float, float, str]]] = MappingProxyType(
    {
        "ElePt_WPTight_Gsf": (30.0, 27.0, "WPTight"),
        "ElePt_CaloIdVT_GsfTrkIdT": (30.0, 112.0, "CaloIdVT_GsfTrkIdT"),
        "ElePt1_ElePt2_CaloIdL_TrackIdL_IsoVL_Leg1": (30.0, 20.0, "Leg1"),
        "ElePt1_ElePt2_CaloIdL_TrackIdL_IsoVL_Leg2": (30.0, 9.0, "Leg2"),
        "DoubleElePt_CaloIdL_MW_SeededLeg": (35.0, 30.0, "MW_seeded"),
        "DoubleElePt_CaloIdL_MW_UnseededLeg": (35.0, 30.0, "MW_unseeded"),
    }
)
_COMMON: Final = frozenset({"cut_and_count", "mass_range", "vars", "flat", "weight", "uproot_options"})
_ARGUMENTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "get_tnp_arrays": _COMMON,
        "get_passing_and_failing_probes": _COMMON | {"filter"},
        "get_1d_pt_eta_phi_tnp_histograms": (_COMMON - {"flat"})
        | {"filter", "plateau_cut", "eta_regions_pt", "phi_regions_eta", "eta_regions_phi"},
        "get_nd_tnp_histograms": (_COMMON - {"flat"}) | {"filter"},
        "get_ntuples": _COMMON - {"cut_and_count"},
    }
)
#: Arguments of the older tool's methods that leave its work undone or say how it is done.
_REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "compute": "everything is computed in one pass",
        "scheduler": "say --executor on the command line",
        "progress": "progress is shown on a terminal",
    }
)
_UPROOT: Final = ("allow_read_errors_with_report", "timeout")


@dataclass(frozen=True)
class TnpConfig:
    """Runner, settings and binning, understood.

    Attributes
    ----------
    parameters : mapping
        Of the analysis ``tagprobe``.
    origins : {parameter: file:line}
        Where each was said.
    allow_missing : bool
        Whether every method allows read errors.
    timeout : float or None
        The longest time for reading that a method asks for, s.
    notes : tuple of str
        Keys that are not used, options without effect.
    """

    parameters: Mapping[str, Any]
    file: str
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    allow_missing: bool = False
    timeout: float | None = None
    notes: tuple[str, ...] = ()


def trigger_workflow(
    name: str, trigger: str, threshold: float, *, source: str = "nanoaod", bit: int | str | None = None
) -> dict[str, Any]:
    """``workflow`` and ``workflow_args`` that measure a trigger with one of the :data:`FACTORIES`.

    Parameters
    ----------
    name : of the factory
    trigger : the path (``nanoaod``), or the column of the filter (ntuples)
    threshold : float, GeV
        Of the trigger object.
    source : ``nanoaod``, ``mini`` or ``nano``
        NanoAOD, MiniNTuples or NanoNTuples.
    bit : int or str, optional
        Another filter bit.  Leg2 before NanoAOD v13 is the bit ``2e``: both legs of the double trigger.

    Raises
    ------
    UsageError
        There is no such factory or source.
    """
    if name not in FACTORIES:
        raise UsageError(f"there is no trigger measurement {name!r}", near=nearest(name, FACTORIES),
                         action="choose one of " + ", ".join(FACTORIES))  # fmt: skip
    workflows = {"nanoaod": "NanoAOD", "mini": "MiniNTuples", "nano": "NanoNTuples"}
    if source not in workflows:
        raise UsageError(f"there is no source {source!r}", near=nearest(source, workflows),
                         action="choose one of " + ", ".join(workflows))  # fmt: skip
    tag, probe, filter_bit = FACTORIES[name]
    arguments: dict[str, Any] = {"tags_pt_cut": tag, "probes_pt_cut": probe, "filters": {trigger: trigger}}
    if source == "nanoaod":
        found = filter_bit if bit is None else bit
        arguments |= {"filterbit": {trigger: found}, "trigger_pt": {trigger: threshold}}
    arguments["cutbased_id"] = "passingCutBasedTight122XV1" if source == "mini" else "cutBased >= 4"
    return {"workflow": f"ElectronTagNProbeFrom{workflows[source]}", "workflow_args": arguments}


def read_tnp_config(runner: Path, settings: Path | None = None, binning: Path | None = None) -> TnpConfig:
    """Read the JSON files of a tag-and-probe run (all but the fileset).

    Raises
    ------
    ConfigError
        Every unknown key and wrong value at once, ``file:line: key: message``.
    """
    return _Adapter(load_file(runner)).config(
        load_file(settings) if settings is not None else None,
        load_file(binning) if binning is not None else None,
    )


class _Adapter:
    """Three files on their way to parameters."""

    def __init__(self, runner: Located) -> None:
        self._runner = runner
        self._problems = Problems()
        self._parameters: dict[str, Any] = {}
        self._origins: dict[str, str] = {}
        self._notes: list[str] = []
        self._reads_may_fail: list[bool] = []
        self._timeouts: list[float] = []

    def config(self, settings: Located | None, binning: Located | None) -> TnpConfig:
        value = self._table(self._runner)
        for key in value:
            if key not in ("workflow", "workflow_args", "methods"):
                self._add(
                    self._runner,
                    "unknown key",
                    (key,),
                    near=nearest(str(key), ("workflow", "workflow_args", "methods")),
                )
        workflow = value.get("workflow")
        if workflow not in KEYS:
            near = nearest(str(workflow), KEYS) if workflow is not None else ()
            what = "is missing" if workflow is None else f"there is no workflow {shown(workflow)}"
            self._add(self._runner, what, ("workflow",), near=near, action="workflows: " + ", ".join(KEYS))
            self._problems.raise_if_any()
        self._put("workflow", workflow, self._runner, ("workflow",))
        arguments = value.get("workflow_args") or {}
        if not isinstance(arguments, dict):
            self._add(self._runner, f"must be a table, not {shown(arguments)}", ("workflow_args",))
            arguments = {}
        self._settings(str(workflow), arguments, self._runner, ("workflow_args",))
        if settings is not None:
            self._settings(str(workflow), self._table(settings), settings, ())
        self._methods(value.get("methods"))
        if binning is not None:
            self._binning(self._table(binning), binning)
        self._problems.raise_if_any()
        return TnpConfig(
            parameters=self._parameters,
            file=self._runner.file,
            origins=MappingProxyType(self._origins),
            allow_missing=bool(self._reads_may_fail) and all(self._reads_may_fail),
            timeout=max(self._timeouts, default=None),
            notes=tuple(dict.fromkeys(self._notes)),
        )

    def _table(self, located: Located) -> dict[str, Any]:
        if located.value is None:
            return {}
        if not isinstance(located.value, dict):
            self._add(located, "must be a table", ())
            return {}
        return dict(located.value)

    def _add(
        self, located: Located, message: str, path: tuple[Any, ...], *, near: Any = (), action: str = ""
    ) -> None:
        self._problems.add(message, path=path, where=located.where(path), near=near, action=action)

    def _put(self, name: str, value: Any, located: Located, path: tuple[Any, ...]) -> None:
        self._parameters[name] = value
        self._origins[name] = located.where(path)

    def _settings(
        self, workflow: str, given: Mapping[str, Any], located: Located, path: tuple[Any, ...]
    ) -> None:
        known = KEYS[workflow]
        for key, value in given.items():
            if key in known:
                # Nothing means the default where nothing is no value of its own.
                if value is None and key not in _NULLABLE:
                    continue
                found = self._located_plugin(value, located) if key == "extra_filter" else value
                self._put(key, found, located, (*path, key))
            elif key in _EVERY:
                self._notes.append(f"{located.where((*path, key))}: {key} is not used by {workflow}")
            else:
                self._add(located, "unknown key", (*path, key), near=nearest(str(key), known))

    @staticmethod
    def _located_plugin(value: Any, located: Located) -> Any:
        """A user's file: in the working directory, else beside the JSON."""
        if not isinstance(value, str):
            return value
        file, separator, function = value.rpartition("::")
        if not separator:
            return value
        path = Path(file)
        if not path.exists() and (Path(located.file).parent / path).exists():
            path = Path(located.file).parent / path
        return f"{path.absolute()}::{function}"

    def _methods(self, methods: Any) -> None:
        if not isinstance(methods, list) or not methods:
            self._add(
                self._runner,
                "name at least one method",
                ("methods",),
                action="methods: " + ", ".join(_ARGUMENTS),
            )
            return
        out = []
        for number, method in enumerate(methods):
            path = ("methods", number)
            if not isinstance(method, dict) or not isinstance(method.get("args") or {}, dict):
                self._add(self._runner, "must be a table of name and args", path)
                continue
            for key in method:
                if key not in ("name", "args"):
                    self._add(
                        self._runner, "unknown key", (*path, key), near=nearest(str(key), ("name", "args"))
                    )
            name = method.get("name")
            if name not in _ARGUMENTS:
                known = "methods: " + ", ".join(_ARGUMENTS)
                what = f"there is no method {shown(name)}"
                self._add(
                    self._runner, what, (*path, "name"), near=nearest(str(name), _ARGUMENTS), action=known
                )
                continue
            out.append({"name": name, "args": self._arguments(str(name), method.get("args") or {}, path)})
        self._put("methods", out, self._runner, ("methods",))

    def _arguments(self, name: str, given: Mapping[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, value in given.items():
            place = (*path, "args", key)
            if key in _REFUSED:
                self._add(self._runner, f"is not supported: {_REFUSED[key]}", place)
            elif key not in _ARGUMENTS[name]:
                self._add(self._runner, "unknown argument", place, near=nearest(str(key), _ARGUMENTS[name]))
            elif key != "uproot_options":
                kept[key] = value
        self._uproot(given.get("uproot_options"), (*path, "args", "uproot_options"))
        return kept

    def _uproot(self, options: Any, path: tuple[Any, ...]) -> None:
        if options is None:
            self._reads_may_fail.append(False)
            return
        if not isinstance(options, dict):
            self._add(self._runner, f"must be a table, not {shown(options)}", path)
            return
        for key in options:
            if key not in _UPROOT:
                self._add(self._runner, "unknown option", (*path, key), near=nearest(str(key), _UPROOT),
                          action="known: " + ", ".join(_UPROOT))  # fmt: skip
        allowed = options.get("allow_read_errors_with_report")
        if allowed is not None and not isinstance(allowed, bool | list):
            self._add(
                self._runner, "must be true or a list of exceptions", (*path, "allow_read_errors_with_report")
            )
        self._reads_may_fail.append(bool(allowed))
        timeout = options.get("timeout")
        if timeout is not None:
            if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
                self._add(
                    self._runner, f"must be a number of seconds, not {shown(timeout)}", (*path, "timeout")
                )
            else:
                self._timeouts.append(float(timeout))

    def _binning(self, given: Mapping[str, Any], located: Located) -> None:
        out = {}
        for key, edges in given.items():
            if not str(key).endswith("_bins"):
                self._add(
                    located,
                    "must be the name of a variable with _bins",
                    (key,),
                    near=nearest(f"{key}_bins", ()),
                )
            elif not isinstance(edges, list) or not all(
                isinstance(edge, int | float) and not isinstance(edge, bool) for edge in edges
            ):
                self._add(located, f"must be a list of numbers, not {shown(edges)}", (key,))
            else:
                out[key] = edges
                self._origins[f"binning.{key}"] = located.where((key,))
        self._put("binning", out, located, ())

"""The fitter's ``FIT.json``, as the older tag-and-probe tool reads it, with keys of our own beside its."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from femtobarn.config.located import Located, load_file
from femtobarn.config.problems import Problems, shown
from femtobarn.errors import nearest

__all__ = ["COMBINATIONS", "VARIATIONS", "FitterConfig", "read_fitter_config"]

#: Every way to fit again; those after ``binning`` need inputs of their own.
VARIATIONS: Final = (
    "nominal", "altSig", "altBkg", "altSigBkg", "massRangeUp", "massRangeDown", "binning", "altMC", "tagSel",
    "puUp", "puDown",
)  # fmt: skip
DEFAULT_VARIATIONS: Final = VARIATIONS[:7]
COMBINATIONS: Final = ("quadrature", "envelope", "rms2024")
_MASSES: Final = ("Z", "Z_muon", "JPsi", "JPsi_muon")
#: Keys by section; "old" ones are those of the older tool, the rest are ours.
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("info_level", "mass", "input", "fit", "output", "scale_factors"),
    "input": ("root_files_DATA", "root_files_MC"),
    "fit": (
        "bin", "bin_ranges", "fit_type", "use_cdf", "sigmoid_eff", "interactive", "x_min", "x_max", "abseta",
        "numerator", "denominator", "hist_pass_name", "hist_fail_name",
        "shared_shape", "variations", "alt_signal", "alt_background", "mass_range_shift", "mc_efficiency",
    ),
    "output": ("plot_dir", "results_file"),
    "scale_factors": ("data_mc_pair", "combination", "variation_inputs"),
}  # fmt: skip


@dataclass(frozen=True)
class FitterConfig:
    """What is fitted, and how.

    Attributes
    ----------
    data, mc : {label: ROOT file}
    pairs : {name: (data label, mc label)}
        Scale factors that are made.
    bins : tuple of str
        Chosen bins; empty for all.
    model : str
        ``SIGNAL_BACKGROUND``.
    alternatives : (signal, background)
        Of the variations altSig and altBkg; None chooses others than the nominal ones.
    window : (low, high) or None
    mass_range_shift : float
        By how much the variations massRangeUp and massRangeDown move both ends (GeV; None: 5 % of the range).
    mc_efficiency : ``count`` or ``fit``
        Simulation's efficiency in scale factors: counted in the fit range, or fitted.
    combination : str
    variation_inputs : {variation: {"data": label, "mc": label}}
        Other samples a variation uses.
    notes : what a reader must know
    """

    resonance: str = "Z"
    data: Mapping[str, Path] = field(default_factory=dict)
    mc: Mapping[str, Path] = field(default_factory=dict)
    pairs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    bins: tuple[str, ...] = ()
    ranges: tuple[tuple[float, float], ...] = ()
    model: str = "dcb_cms"
    alternatives: tuple[str | None, str | None] = (None, None)
    variations: tuple[str, ...] = DEFAULT_VARIATIONS
    window: tuple[float, float] | None = None
    mass_range_shift: float | None = None
    shared_shape: bool = False
    mc_efficiency: str = "count"
    combination: str = "quadrature"
    variation_inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    numerator: str | None = None
    denominator: str | None = None
    abseta: int | None = None
    hist_names: tuple[str, str] | None = None
    plot_dir: str = ""
    results_file: str = ""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values, for the manifest."""
        return {
            "resonance": self.resonance,
            "data": {name: str(path) for name, path in self.data.items()},
            "mc": {name: str(path) for name, path in self.mc.items()},
            "pairs": {name: list(pair) for name, pair in self.pairs.items()},
            "bins": list(self.bins),
            "ranges": [list(ends) for ends in self.ranges],
            "model": self.model,
            "alternatives": list(self.alternatives),
            "variations": list(self.variations),
            "window": None if self.window is None else list(self.window),
            "mass_range_shift": self.mass_range_shift,
            "shared_shape": self.shared_shape,
            "mc_efficiency": self.mc_efficiency,
            "combination": self.combination,
            "variation_inputs": {name: dict(one) for name, one in self.variation_inputs.items()},
            "numerator": self.numerator,
            "denominator": self.denominator,
            "abseta": self.abseta,
            "hist_names": None if self.hist_names is None else list(self.hist_names),
        }


def stored_fitter_config(content: Mapping[str, Any]) -> FitterConfig:
    """A configuration back from a manifest."""
    return FitterConfig(
        resonance=content["resonance"],
        data={name: Path(path) for name, path in content["data"].items()},
        mc={name: Path(path) for name, path in content["mc"].items()},
        pairs={name: (pair[0], pair[1]) for name, pair in content["pairs"].items()},
        bins=tuple(content["bins"]),
        ranges=tuple((ends[0], ends[1]) for ends in content["ranges"]),
        model=content["model"],
        alternatives=(content["alternatives"][0], content["alternatives"][1]),
        variations=tuple(content["variations"]),
        window=None if content["window"] is None else (content["window"][0], content["window"][1]),
        mass_range_shift=content["mass_range_shift"],
        shared_shape=content["shared_shape"],
        mc_efficiency=content["mc_efficiency"],
        combination=content["combination"],
        variation_inputs=content["variation_inputs"],
        numerator=content["numerator"],
        denominator=content["denominator"],
        abseta=content["abseta"],
        hist_names=None
        if content["hist_names"] is None
        else (content["hist_names"][0], content["hist_names"][1]),
    )


def read_fitter_config(path: Path, *, needs_input: bool = True) -> FitterConfig:
    """Read FIT.json.

    Parameters
    ----------
    needs_input : bool
        False if the histograms come from a run: the section ``input`` may then be absent.

    Raises
    ------
    ConfigError
        Every unknown key and wrong value at once, ``file:line: section.key: message``.
    """
    return _Adapter(load_file(path), path.parent, needs_input=needs_input).config()


class _Adapter:
    """One file on its way to a :class:`FitterConfig`."""

    def __init__(self, located: Located, folder: Path, *, needs_input: bool) -> None:
        self._top = located.value
        self._folder = folder
        self._needs_input = needs_input
        self._problems = Problems(where=located.where)
        self._notes: list[str] = []

    def config(self) -> FitterConfig:
        self._check_keys()
        self._problems.raise_if_any()
        fit, factors, output = (self._section(name) for name in ("fit", "scale_factors", "output"))
        data, mc = self._files("root_files_DATA"), self._files("root_files_MC")
        if self._needs_input and not data and not mc:
            self._problems.add(
                "names no files", path=("input",), action="give root_files_DATA and root_files_MC"
            )
        names = fit.get("hist_pass_name"), fit.get("hist_fail_name")
        if bool(names[0]) != bool(names[1]):
            self._problems.add("hist_pass_name and hist_fail_name belong together", path=("fit",))
        model = self._model(fit)
        self._refusals(fit)
        made: dict[str, Any] = {
            "resonance": self._choice((), "mass", _MASSES, "Z"),
            "data": data,
            "mc": mc,
            "pairs": self._pairs(factors, data, mc),
            "bins": self._bins(fit),
            "ranges": self._ranges(fit),
            "model": model,
            "alternatives": (fit.get("alt_signal"), fit.get("alt_background")),
            "variations": self._variations(fit),
            "window": self._window(fit),
            "mass_range_shift": self._number(fit, "mass_range_shift"),
            "shared_shape": bool(fit.get("shared_shape", False)),
            "mc_efficiency": self._choice(("fit",), "mc_efficiency", ("count", "fit"), "count"),
            "combination": self._choice(("scale_factors",), "combination", COMBINATIONS, "quadrature"),
            "variation_inputs": self._inputs(factors, {*data, *mc}),
            "numerator": fit.get("numerator"),
            "denominator": fit.get("denominator"),
            "abseta": fit.get("abseta"),
            "hist_names": (str(names[0]), str(names[1])) if names[0] and names[1] else None,
            "plot_dir": str(output.get("plot_dir") or ""),
            "results_file": str(output.get("results_file") or ""),
        }
        self._problems.raise_if_any()
        return FitterConfig(**made, notes=tuple(self._notes))

    def _section(self, name: str) -> dict[str, Any]:
        value = self._top.get(name) if name else self._top
        return value if isinstance(value, dict) else {}

    def _check_keys(self) -> None:
        if not isinstance(self._top, dict):
            self._problems.add("must be an object with input and fit")
            return
        for section, known in _KEYS.items():
            value = self._top if not section else self._top.get(section)
            path = (section,) if section else ()
            if value is not None and not isinstance(value, dict):
                self._problems.add("must be an object", path=path)
                continue
            for key in value or {}:
                if key not in known:
                    everywhere = [name for names in _KEYS.values() for name in names]
                    near = nearest(str(key), known) or nearest(str(key), everywhere)
                    self._problems.add("unknown key", path=(*path, key), near=near)

    def _files(self, key: str) -> dict[str, Path]:
        value = self._section("input").get(key) or {}
        if not isinstance(value, dict):
            self._problems.add("must be an object {label: file}", path=("input", key))
            return {}
        return {str(label): self._found(str(name)) for label, name in value.items()}

    def _found(self, name: str) -> Path:
        """Relative paths: the current folder first, then the configuration's."""
        path = Path(name)
        beside = self._folder / path
        return beside if not path.is_absolute() and not path.exists() and beside.exists() else path

    def _pairs(
        self, factors: Mapping[str, Any], data: Mapping[str, Path], mc: Mapping[str, Path]
    ) -> dict[str, tuple[str, str]]:
        given = factors.get("data_mc_pair")
        if given is None:
            return {"SF": (next(iter(data)), next(iter(mc)))} if len(data) == len(mc) == 1 else {}
        if not isinstance(given, dict):
            self._problems.add("must be an object {name: [data, mc]}", path=("scale_factors", "data_mc_pair"))
            return {}
        out = {}
        for name, pair in given.items():
            path = ("scale_factors", "data_mc_pair", name)
            if not isinstance(pair, list) or len(pair) != 2:
                self._problems.add(f"must be [data label, mc label], not {shown(pair)}", path=path)
                continue
            for label, known in zip(pair, (data, mc), strict=True):
                if known and label not in known:
                    self._problems.add(
                        f"no input is called {label!r}", path=path, near=nearest(str(label), known)
                    )
            out[str(name)] = (str(pair[0]), str(pair[1]))
        return out

    def _bins(self, fit: Mapping[str, Any]) -> tuple[str, ...]:
        value = fit.get("bin") or ()
        return (str(value),) if isinstance(value, str | int) else tuple(str(one) for one in value)

    def _ranges(self, fit: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
        out = []
        for i, ends in enumerate(fit.get("bin_ranges") or ()):
            good = isinstance(ends, list) and len(ends) == 2 and all(isinstance(e, int | float) for e in ends)
            if not good or not ends[0] < ends[1]:
                self._problems.add(
                    f"must be two rising numbers, not {shown(ends)}", path=("fit", "bin_ranges", i)
                )
                continue
            out.append((float(ends[0]), float(ends[1])))
        return tuple(out)

    def _model(self, fit: Mapping[str, Any]) -> str:
        model = fit.get("fit_type", "dcb_cms")
        if not isinstance(model, str) or model.count("_") != 1:
            self._problems.add(f"must be SIGNAL_BACKGROUND, not {shown(model)}", path=("fit", "fit_type"))
            return "dcb_cms"
        return model

    def _refusals(self, fit: Mapping[str, Any]) -> None:
        """Keys of the older tool that mean nothing here, or that we refuse."""
        if fit.get("interactive"):
            self._problems.add(
                "there is no interactive fit here", path=("fit", "interactive"),
                action="fit one bin with your own starts: femtobarn fit RUN --bin N --start NAME=VALUE",
            )  # fmt: skip
        if fit.get("sigmoid_eff"):
            self._notes.append(
                "fit.sigmoid_eff has no effect: the efficiency is fitted itself, within 0 and 1"
            )
        if fit.get("use_cdf") is not None:
            self._notes.append("fit.use_cdf has no effect: every bin is an exact integral")
        plots = str(self._section("output").get("plot_dir") or "plots")
        if plots.strip("./") != "plots":
            self._notes.append(f"output.plot_dir ({plots}) has no effect: figures are in plots/ of the run")

    def _variations(self, fit: Mapping[str, Any]) -> tuple[str, ...]:
        given = fit.get("variations")
        if given is None:
            inputs = self._section("scale_factors").get("variation_inputs") or {}
            own = [name for name in VARIATIONS if name in inputs and name not in DEFAULT_VARIATIONS]
            return (*DEFAULT_VARIATIONS, *own)
        if not isinstance(given, list):
            self._problems.add("must be a list", path=("fit", "variations"))
            return ("nominal",)
        for i, name in enumerate(given):
            if name not in VARIATIONS:
                self._problems.add(
                    f"unknown variation {name!r}",
                    path=("fit", "variations", i),
                    near=nearest(str(name), VARIATIONS),
                )
        return tuple(dict.fromkeys(["nominal", *map(str, given)]))

    def _window(self, fit: Mapping[str, Any]) -> tuple[float, float] | None:
        low, high = self._number(fit, "x_min"), self._number(fit, "x_max")
        if low is None and high is None:
            return None
        if low is None or high is None or not low < high:
            self._problems.add("x_min and x_max must be two rising numbers", path=("fit", "x_min"))
            return None
        return low, high

    def _number(self, section: Mapping[str, Any], key: str) -> float | None:
        value = section.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self._problems.add(f"must be a number, not {shown(value)}", path=("fit", key))
            return None
        return float(value)

    def _choice(self, section: tuple[str, ...], key: str, known: tuple[str, ...], default: str) -> str:
        value = self._section(section[0] if section else "").get(key, default)
        if value not in known:
            self._problems.add(
                f"must be one of {', '.join(known)}, not {shown(value)}",
                path=(*section, key), near=nearest(str(value), known),
            )  # fmt: skip
            return default
        return str(value)

    def _inputs(self, factors: Mapping[str, Any], known: set[str]) -> dict[str, dict[str, str]]:
        out: dict[str, dict[str, str]] = {}
        for name, one in (factors.get("variation_inputs") or {}).items():
            path = ("scale_factors", "variation_inputs", name)
            if name not in VARIATIONS:
                self._problems.add(
                    f"unknown variation {name!r}", path=path, near=nearest(str(name), VARIATIONS)
                )
            elif not isinstance(one, dict) or not set(one) <= {"data", "mc"}:
                self._problems.add('must be an object with "data" or "mc"', path=path)
            else:
                for label in one.values():
                    if known and label not in known:
                        self._problems.add(
                            f"no input is called {label!r}", path=path, near=nearest(str(label), known)
                        )
                out[str(name)] = {str(k): str(v) for k, v in one.items()}
        return out

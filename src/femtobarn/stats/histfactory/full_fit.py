"""One entry for everything a fit can be asked: plain options in, the fit.json object out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from femtobarn.errors import FemtobarnError, FitError, UsageError
from femtobarn.stats.histfactory.build import ChannelAxis
from femtobarn.stats.histfactory.cabinetry import load_cabinetry
from femtobarn.stats.histfactory.fitting import FitResult, fit
from femtobarn.stats.histfactory.goodness import Goodness, goodness_of_fit
from femtobarn.stats.histfactory.impacts import GroupImpacts, Impact, group_impacts, ranking
from femtobarn.stats.histfactory.likelihood import Data
from femtobarn.stats.histfactory.model import Model
from femtobarn.stats.histfactory.patch import apply_patch_file
from femtobarn.stats.histfactory.profiling import ProfileResult, scan, scan2d
from femtobarn.stats.histfactory.results import FitReport, to_fit_json
from femtobarn.stats.histfactory.tables import (
    Table,
    correlation_table,
    observed_table,
    prefit_covariance,
    pruning_table,
    pulls_table,
    ranking_table,
    smoothing_table,
    toys_table,
    yields_table,
)
from femtobarn.stats.histfactory.testing import Limit, Significance, hypotest, limit, significance
from femtobarn.stats.histfactory.toy_study import ToyCLs, ToyStudy, toy_hypotest, toys
from femtobarn.stats.histfactory.transform import (
    PruneRow,
    correlate,
    decorrelate,
    prune,
    select_channels,
    smooth,
)
from femtobarn.stats.histfactory.workspace import Workspace, read_document
from femtobarn.stats.histfactory.workspace_reader import parse_workspace

#: Tested values of a limit's figure.
_CURVE: Final = 25

__all__ = ["FitOptions", "FitOutcome", "LoadedModel", "fit_workspace", "load_model", "prepare", "run_fit"]


@dataclass(frozen=True, slots=True)
class FitOptions:
    """What to do with a model; the defaults are a fit with its errors and nothing else.

    Attributes
    ----------
    measurement, poi : str or None
        Measurement by name (None: the first) and another parameter of interest.
    interp : mapping
        ``{"normsys": "code4", "histosys": "code4p"}``.
    fix : mapping
        Parameter -> value.
    channels : tuple of str
        Channels kept; empty keeps all.
    patch : str or None
        JSON patch, or ``SET:NAME``.
    prune : float or None
        Threshold.
    smooth : bool
        Smooth every shape (353QH, twice).
    correlate : tuple of (A, B, R)
    decorrelate : tuple of (parameter, ``channel`` or ``sample``)
    profile : tuple of str
        Parameters, or ``all``.
    scan : tuple of (parameter, low, high, points)
    scan2d : tuple of (parameter, parameter)
    hypotest : tuple of float
    limit, significance, ranking : bool
    gof : ``saturated``, ``toys`` or None
    toys, seed : int
        Number of toys (0: none).  With ``hypotest`` its values are also tested by toys.
    asimov : mapping or None
        Fit the Asimov data of these parameter values (others at their init) in place of the observation.
    postfit : bool
        Make the post-fit yields table (the pre-fit one is always made).
    """

    measurement: str | None = None
    poi: str | None = None
    interp: Mapping[str, str] = field(default_factory=dict)
    fix: Mapping[str, float] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    patch: str | None = None
    prune: float | None = None
    smooth: bool = False
    correlate: tuple[tuple[str, str, float], ...] = ()
    decorrelate: tuple[tuple[str, Literal["channel", "sample"]], ...] = ()
    profile: tuple[str, ...] = ()
    scan: tuple[tuple[str, float, float, int], ...] = ()
    scan2d: tuple[tuple[str, str], ...] = ()
    hypotest: tuple[float, ...] = ()
    limit: bool = False
    cl: float = 0.95
    significance: bool = False
    ranking: bool = False
    gof: Literal["saturated", "toys"] | None = None
    toys: int = 0
    seed: int = 1
    asimov: Mapping[str, float] | None = None
    postfit: bool = False
    engine: Literal["own", "pyhf"] = "own"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to fit, how it was treated, what was noticed, and the axes of its channels."""

    model: Model
    pruning: tuple[PruneRow, ...] | None
    notes: tuple[str, ...]
    inputs: tuple[str, ...]
    read_cpu_s: float
    smoothing: Table | None = None
    axes: Mapping[str, ChannelAxis] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FitOutcome:
    """The fit.json object, the tables by file name (without folder), and the model they belong to."""

    fit_json: dict[str, Any]
    tables: Mapping[str, Table]
    model: Model
    result: FitResult

    @property
    def ok(self) -> bool:
        return self.result.ok


def load_model(path: str | Path, options: FitOptions | None = None) -> LoadedModel:
    """Read a pyhf workspace (JSON) or a cabinetry model (YAML) and treat it as the options say.

    Raises
    ------
    ConfigError, DataError, UsageError
        With all problems of the input.
    """
    asked = options or FitOptions()
    begin = time.process_time()
    file = Path(path)
    if file.suffix.lower() in {".yml", ".yaml"}:
        if asked.patch:
            raise UsageError("a patch changes a workspace JSON, not a YAML model")
        made = load_cabinetry(file)
        notes = tuple(f"not honoured: {text}" for text in made.not_honoured) + made.notes
        return _timed(prepare(made.workspace, asked, notes=notes, inputs=made.inputs, axes=made.axes), begin)
    document = read_document(file)
    if asked.patch:
        document = apply_patch_file(document, asked.patch)
    return _timed(prepare(parse_workspace(document, where=str(path)), asked, inputs=(str(path),)), begin)


def _timed(loaded: LoadedModel, begin: float) -> LoadedModel:
    return replace(loaded, read_cpu_s=time.process_time() - begin)


def prepare(
    workspace: Workspace,
    options: FitOptions | None = None,
    *,
    notes: Sequence[str] = (),
    inputs: Sequence[str] = (),
    axes: Mapping[str, ChannelAxis] | None = None,
) -> LoadedModel:
    """Select, smooth, prune, split and correlate as asked, then compile (``patch`` is done on reading)."""
    asked = options or FitOptions()
    begin = time.process_time()
    if asked.channels:
        workspace = select_channels(workspace, asked.channels)
    smoothing = None
    if asked.smooth:
        rough, workspace = workspace, smooth(workspace)
        smoothing = smoothing_table(rough, workspace)
    pruning = None
    if asked.prune is not None:
        workspace, pruning = prune(workspace, asked.prune)
    for name, by in asked.decorrelate:
        workspace = decorrelate(workspace, name, by)
    for first, second, rho in asked.correlate:
        workspace = correlate(workspace, first, second, rho)
    model = Model(workspace, measurement=asked.measurement, interp=asked.interp)
    if asked.poi is not None and asked.poi != model.poi:
        model = model.with_poi(asked.poi)
    spent = time.process_time() - begin
    return LoadedModel(model, pruning, tuple(notes), tuple(inputs), spent, smoothing, axes or {})


def fit_workspace(model: Model, options: FitOptions | None = None) -> dict[str, Any]:
    """Do what the options ask of a model and return the fit.json object."""
    loaded = LoadedModel(model, None, (), (), 0.0)
    return run_fit(loaded, options).fit_json


def run_fit(loaded: LoadedModel, options: FitOptions | None = None) -> FitOutcome:
    """Fit, then everything else that was asked.

    A failed fit ends there: its outcome has ``status: failed`` and nothing derived from it.  What fails later
    is a warning and leaves its key out.
    """
    asked = options or FitOptions()
    model = loaded.model
    begin = time.process_time()
    _check_parameters(model, asked)
    data = _data(model, asked)
    if asked.engine == "pyhf":
        from femtobarn.stats.histfactory.pyhf_engine import fit_with_pyhf

        result = fit_with_pyhf(model, data=data, fixed=asked.fix)
    else:
        result = fit(model, data=data, fixed=asked.fix)
    fit_cpu = time.process_time() - begin
    work = _Work(model, asked, data, result)
    report = (
        work.report(loaded.pruning, loaded.notes) if result.ok else FitReport(result, warnings=loaded.notes)
    )
    total = time.process_time() - begin + loaded.read_cpu_s
    timing = {"read_cpu_s": loaded.read_cpu_s, "fit_cpu_s": fit_cpu, "total_cpu_s": total}
    out = to_fit_json(model, report)
    out["timing"] = timing
    return FitOutcome(out, work.tables(report, loaded), model, result)


def _data(model: Model, asked: FitOptions) -> Data | None:
    if asked.asimov is None:
        return None
    point = model.init.copy()
    for name, value in asked.asimov.items():
        point[model.indices(name)] = value
    return model.asimov(point)


def _check_parameters(model: Model, asked: FitOptions) -> None:
    """Unknown names are found before the first minimisation, all at once."""
    problems: list[str] = []
    names = [*asked.fix, *(s[0] for s in asked.scan), *(n for pair in asked.scan2d for n in pair)]
    names += [name for name in asked.profile if name != "all"]
    names += list(asked.asimov or ())
    for name in dict.fromkeys(names):
        try:
            model.indices(name)
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems))
    if asked.hypotest or asked.limit or asked.significance or asked.ranking:
        model.poi_index()


class _Work:
    """The requests on one best fit; what fails is remembered, with the reason as a warning."""

    def __init__(self, model: Model, asked: FitOptions, data: Data | None, result: FitResult) -> None:
        self.model, self.asked, self.data, self.result = model, asked, data, result
        self.warnings: list[str] = []
        self.failed: list[str] = []
        self.common: dict[str, Any] = {"data": data, "fixed": asked.fix, "result": result}

    def attempt(self, what: str, call: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return call(self.model, *args, **self.common, **kwargs)
        except FitError as error:
            self.warnings.append(f"{what}: {error}")
            self.failed.append(what)
            return None

    def report(self, pruning: Sequence[PruneRow] | None, notes: Sequence[str]) -> FitReport:
        asked = self.asked
        impacts: tuple[Impact, ...] | None = self.attempt("ranking", ranking) if asked.ranking else None
        groups: GroupImpacts | None = self.attempt("groups", group_impacts) if asked.ranking else None
        goodness: Goodness | None = None
        if asked.gof:
            count = asked.toys or 500
            goodness = self.attempt(
                "goodness of fit", goodness_of_fit, method=asked.gof, toys=count, seed=asked.seed
            )
        upper: Limit | None = (
            self.attempt("limit", limit, cl=asked.cl, points=_CURVE) if asked.limit else None
        )
        discovery: Significance | None = (
            self.attempt("significance", significance) if asked.significance else None
        )
        scans = [self.attempt(f"scan of {s[0]}", scan, *s) for s in asked.scan]
        maps = [self.attempt(f"scan of {a}, {b}", scan2d, a, b) for a, b in asked.scan2d]
        tests = [self.attempt(f"test of {mu:g}", hypotest, mu) for mu in asked.hypotest]
        thrown, tested, profiles = self.toys(), self.toy_hypotests(), self.profiles()
        return FitReport(
            mle=self.result,
            profiles=profiles,
            goodness=goodness,
            ranking=impacts,
            groups=groups,
            scans=[s for s in scans if s is not None],
            scans2d=[s for s in maps if s is not None],
            hypotests=[t for t in tests if t is not None],
            limit=upper,
            significance=discovery,
            toys=thrown,
            toy_hypotests=tested,
            pruning=pruning,
            failed=self.failed,
            warnings=[*notes, *self.warnings],
        )

    def profiles(self) -> dict[str, ProfileResult]:
        from femtobarn.stats.histfactory.profiling import profile

        labels: list[str] = []
        for name in self.asked.profile:
            places = range(len(self.model.names)) if name == "all" else self.model.indices(name)
            labels += [self.model.names[i] for i in places if not self.result.fixed[i]]
        out: dict[str, ProfileResult] = {}
        for label in dict.fromkeys(labels):
            found: ProfileResult | None = self.attempt(f"profile of {label}", profile, label)
            if found is None:
                continue
            out[label] = found
            for side, reason in (("up", found.up_reason), ("down", found.down_reason)):
                if reason:
                    self.warnings.append(f"profile of {label}: {side} side {reason}")
        return out

    def toys(self) -> ToyStudy | None:
        if not self.asked.toys or self.asked.gof == "toys":
            return None
        truth = self.result.values
        return toys(self.model, self.asked.toys, seed=self.asked.seed, truth=truth, fixed=self.asked.fix)

    def toy_hypotests(self) -> list[ToyCLs]:
        if not self.asked.toys or self.asked.gof == "toys":
            return []
        out: list[ToyCLs] = []
        for mu in self.asked.hypotest:
            try:
                out.append(
                    toy_hypotest(
                        self.model,
                        mu,
                        toys=self.asked.toys,
                        seed=self.asked.seed,
                        data=self.data,
                        fixed=self.asked.fix,
                    )
                )
            except FemtobarnError as error:
                self.warnings.append(f"toys of {mu:g}: {error}")
                self.failed.append(f"toys of {mu:g}")
        return out

    def tables(self, report: FitReport, loaded: LoadedModel) -> dict[str, Table]:
        model = self.model
        out = {
            "observed.csv": observed_table(model, self.data, loaded.axes),
            "yields_prefit.csv": yields_table(model, model.init, prefit_covariance(model)),
        }
        if loaded.pruning is not None:
            out["pruning.csv"] = pruning_table(loaded.pruning)
        if loaded.smoothing is not None:
            out["smoothing.csv"] = loaded.smoothing
        if not self.result.ok:
            return out
        out["pulls.csv"] = pulls_table(model, self.result)
        out["correlation.csv"] = correlation_table(self.result)
        if self.asked.postfit:
            out["yields_postfit.csv"] = yields_table(model, self.result.values, self.result.covariance)
        if report.ranking is not None:
            out["ranking.csv"] = ranking_table(report.ranking)
        if report.toys is not None:
            out["toys.csv"] = toys_table(report.toys)
        return out

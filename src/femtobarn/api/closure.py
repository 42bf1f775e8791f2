"""Closure: generate pseudo-data with a known truth, analyse them, compare what comes back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from femtobarn import samples
from femtobarn.analysis import Stored, find_analysis
from femtobarn.catalog import read_fileset
from femtobarn.run.engine import execute
from femtobarn.run.executors import run_serially
from femtobarn.run.plan import make_plan
from femtobarn.run.store import Store

__all__ = ["Toy", "closure", "pull"]

_TOYS_A_SIMULATION: Final = 10
#: Toys and simulations draw from different seeds.
_APART: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Toy:
    """One set of pseudo-data: its seed, the truth, and what the analysis' inference says."""

    seed: int
    mu: float
    fit: Mapping[str, Any]


def closure(
    job: str, *, release: str, seeds: Iterable[int], mu: float = 1.0, mass: float = 125.0
) -> list[Toy]:
    """Analyse pseudo-data of many seeds against simulation.

    Parameters
    ----------
    job : str
        ``h4l`` or ``hyy``.
    release : str
    seeds : iterable of int
        One toy each; every ten toys share a simulation.
    mu, mass : float
        Truth of the pseudo-data: signal strength, and Higgs mass in GeV (of the simulation, too).
    """
    analysis = find_analysis(job)
    parameters = analysis.parameters(release=release)  # type: ignore[call-arg]
    if analysis.infer is None:
        raise TypeError(f"{job} has no inference")

    def process(fileset: Path, store: Path) -> Any:
        plan = make_plan(analysis, parameters, read_fileset(fileset))
        return plan, execute(plan, analysis, run_serially, Store(store), parameters=parameters)

    toys = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, seed in enumerate(seeds):
            if number % _TOYS_A_SIMULATION == 0:
                # Its own statistical error is common to all toys that use it: take a new one now and then.
                place = folder / f"mc{number}"
                made = samples.make(job, place, release=release, seed=number, mu=mu, mass=mass)
                plan, simulated = process(made, folder / "store")
                mc = tuple(dataset for dataset in plan.datasets if dataset.kind == "mc")
            place = folder / f"toy{seed}"
            made = samples.make(
                job, place, release=release, seed=_APART + seed, mu=mu, mass=mass, simulate=False
            )
            data_plan, data = process(made, folder / "store")
            total = _without_data(simulated.outcome) + data.outcome
            entries = {d.name: simulated.processed[d.name] for d in mc} | dict(data.processed)
            stored = Stored(
                job, (*mc, *data_plan.datasets), parameters, total, MappingProxyType(entries), origin="toy"
            )
            toys.append(Toy(seed, mu, analysis.infer(stored)))
            shutil.rmtree(place)
    return toys


def _without_data(outcome: Any) -> Any:
    """The outcome of the simulated datasets alone."""
    from femtobarn.hists import Histogram
    from femtobarn.outcome import Outcome

    histograms = {
        name: Histogram(h.spec, {key: block for key, block in h.blocks.items() if key[1] != "data"})
        for name, h in outcome.histograms.items()
    }
    return Outcome(
        "", histograms,
        {name: rows for name, rows in outcome.cutflows.items() if name != "data"},
        {name: sums for name, sums in outcome.sums.items() if name != "data"},
        {}, outcome.facts, outcome.warnings,
    )  # fmt: skip


def pull(estimate: Mapping[str, float | None], truth: float) -> float | None:
    """(value - truth) / error, with the profile error on the side of the truth where there is one."""
    value = estimate["value"]
    if value is None:
        return None
    side = estimate.get("error_down") if value > truth else estimate.get("error_up")
    error = side if side is not None else estimate.get("error")
    return None if not error else (value - truth) / error

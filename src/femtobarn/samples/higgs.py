"""The sample sets of `h4l` and `hyy`: which processes, how many events, in which release.

Cross-sections are effective toy numbers (filter efficiencies included): they are chosen so that one
luminosity shows a clear discovery at mu = 1, not taken from theory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from femtobarn.errors import UsageError, nearest
from femtobarn.samples.detector import ATLAS, CMS, Detector, reconstruct
from femtobarn.samples.events import RecoEvents, TruthEvents, join_truth, take_truth
from femtobarn.samples.formats import FORMATS, Stamp, write_tree
from femtobarn.samples.formats.branches import number_events
from femtobarn.samples.processes import (
    continuum_yy,
    continuum_zz,
    drell_yan,
    higgs_to_four_leptons,
    higgs_to_two_photons,
    top_pairs,
)
from femtobarn.samples.streams import stream
from femtobarn.samples.truth import DatasetTruth, SampleTruth, write_fileset, write_truth
from femtobarn.units import PB_PER_FB

__all__ = ["JOBS", "Process", "Release", "make_higgs"]

Generator = Callable[[np.random.Generator, int], TruthEvents]


@dataclass(frozen=True, slots=True)
class Process:
    """One simulated dataset of a job.

    Attributes
    ----------
    dataset, process, group : str
        Names of the dataset, its process and the group that plots show.
    dsid : int
        ATLAS dataset identifier.
    expected : float
        Events before selection in the release's luminosity, at mu = 1.
    statistics : float
        Simulated over expected events.
    weight : float
        Mean size of the generator weights (ATLAS formats; NanoAOD files have 1).
    negative_share : float
        Share of negative generator weights.
    """

    dataset: str
    process: str
    group: str
    dsid: int
    expected: float
    statistics: float
    weight: float = 1.0
    negative_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Release:
    """Where and when: luminosity [fb-1], detector, run numbers, and factors on the expected yields."""

    lumi: float
    detector: Detector
    mc_run: int
    runs: tuple[tuple[int, int, int], ...]
    weighted: bool = True
    #: dataset -> factor on its expected yield (a release without isolation cuts needs less background)
    factor: tuple[tuple[str, float], ...] = ()


#: (run, first, last luminosity section); the CMS ranges are certified ones of 2012.
_RELEASES: Final = {
    "atlas-2016": Release(
        1.0,
        ATLAS,
        195847,
        tuple((run, 1, 500) for run in (207447, 207490, 207620, 207696, 207800, 207982, 208123, 208261)),
        factor=(("DY", 0.03), ("ttbar", 0.03)),
    ),
    "atlas-2020": Release(
        10.0,
        ATLAS,
        284500,
        tuple(
            (run, 1, 800) for run in (298687, 298773, 299055, 299184, 299584, 300279, 300655, 302053, 302393)
        ),
    ),
    "atlas-2025": Release(
        36.6,
        ATLAS,
        284500,
        tuple(
            (run, 1, 900) for run in (276262, 276416, 280231, 283429, 298687, 300279, 304178, 309375, 311481)
        ),
    ),
    "cms-nanoaod": Release(
        11.58,
        CMS,
        1,
        ((194480, 34, 205), (199574, 156, 246), (201202, 1, 437), (206598, 105, 588), (207320, 112, 350)),
        weighted=False,
    ),
}

_H4L: Final = (
    Process("ggH", "ggH", "signal", 345060, 28.0, 500.0, 28.0),
    Process("ZZ", "llll", "ZZ*", 363490, 320.0, 100.0, 1.3, 0.05),
    Process("DY", "Zmumu", "DY", 361107, 800.0, 30.0, 1900.0),
    Process("ttbar", "ttbar_lep", "ttbar", 410000, 600.0, 30.0),
)
_HYY: Final = (
    Process("ggH", "ggH", "signal", 343981, 900.0, 30.0, 57.0),
    Process("yy", "yy", "yy", 302520, 60000.0, 1.0),
)


@dataclass(frozen=True, slots=True)
class Job:
    """A job's processes, the releases it exists in, and its generators."""

    name: str
    processes: tuple[Process, ...]
    releases: tuple[str, ...]

    def generators(self, mass: float) -> dict[str, Generator]:
        if self.name == "hyy":
            return {"ggH": partial(higgs_to_two_photons, mass=mass), "yy": continuum_yy}
        return {
            "ggH": partial(higgs_to_four_leptons, mass=mass),
            "ZZ": continuum_zz,
            "DY": drell_yan,
            "ttbar": top_pairs,
        }


JOBS: Final = {
    "h4l": Job("h4l", _H4L, ("atlas-2016", "atlas-2020", "atlas-2025", "cms-nanoaod")),
    "hyy": Job("hyy", _HYY, ("atlas-2020", "atlas-2025", "cms-nanoaod")),
}


@dataclass(frozen=True, slots=True)
class _Setting:
    """One call of ``make_higgs``, checked."""

    job: Job
    release: str
    seed: int
    mu: float
    scale: float
    mass: float

    @property
    def era(self) -> Release:
        return _RELEASES[self.release]

    @property
    def lumi(self) -> float:
        return self.era.lumi * self.scale

    def expected(self, process: Process) -> float:
        return process.expected * dict(self.era.factor).get(process.dataset, 1.0) * self.scale

    def stream(self, *names: str) -> np.random.Generator:
        return stream(self.seed, self.job.name, self.release, *names)

    def write(self, path: Path, events: RecoEvents, stamp: Stamp, name: str) -> None:
        form = FORMATS[self.release]
        numbers = number_events(self.stream(name, "numbers"), len(events), stamp)
        write_tree(path, form.branches(events, stamp, numbers), tree=form.tree, counter=form.counter)


def _simulate(
    setting: _Setting, process: Process, generate: Generator, out: Path, *, drawn: int
) -> DatasetTruth:
    """Write one simulated dataset; ``drawn`` events of its process went into the pseudo-data."""
    era, expected = setting.era, setting.expected(process)
    # A release-specific factor on the yield leaves the simulated statistics as they are.
    generated = max(round(process.expected * setting.scale * process.statistics), 1)
    truth = generate(setting.stream(process.dataset, "truth"), generated)
    events = reconstruct(
        setting.stream(process.dataset, "detector"),
        truth,
        era.detector,
        weight=process.weight if era.weighted else 1.0,
        negative_share=process.negative_share if era.weighted else 0.0,
    )
    # Files hold 4-byte floats; the sum is of what a reader will see.
    weight = events.weight.astype(np.float32).astype(np.float64)
    xsec = expected / (setting.lumi * PB_PER_FB)
    sumw = float(weight.sum())
    stamp = Stamp(False, process.dsid, xsec, sumw, float(np.sum(weight**2)), era.runs, era.mc_run)
    file = f"{process.dataset}.root"
    setting.write(out / file, events, stamp, process.dataset)
    return DatasetTruth(
        name=process.dataset,
        process=process.process,
        group=process.group,
        file=file,
        tree=FORMATS[setting.release].tree,
        kind="mc",
        generated=generated,
        xsec_pb=xsec,
        sumw=sumw,
        expected_yield=expected,
        pseudo_data=drawn,
    )


def _draw_data(setting: _Setting, generators: dict[str, Generator]) -> tuple[TruthEvents, dict[str, int]]:
    """Truth of the pseudo-data in random order, and events per dataset; independent of the simulation."""
    parts, drawn = [], {}
    for number, process in enumerate(setting.job.processes):
        strength = setting.mu if process.group == "signal" else 1.0
        mean = strength * setting.expected(process)
        count = int(setting.stream("data", process.dataset, "count").poisson(mean))
        truth = generators[process.dataset](setting.stream("data", process.dataset, "truth"), count)
        truth.process[:] = number
        parts.append(truth)
        drawn[process.dataset] = count
    joined = join_truth(parts)
    order = setting.stream("data", "order").permutation(len(joined))
    return take_truth(joined, order), drawn


def _write_data(setting: _Setting, truth: TruthEvents, out: Path) -> DatasetTruth:
    """Write the pseudo-data."""
    events = reconstruct(setting.stream("data", "detector"), truth, setting.era.detector)
    stamp = Stamp(True, 0, 0.0, 1.0, 1.0, setting.era.runs, setting.era.mc_run)
    setting.write(out / "data.root", events, stamp, "data")
    return DatasetTruth(
        name="data",
        process="data",
        group="data",
        file="data.root",
        tree=FORMATS[setting.release].tree,
        kind="data",
        generated=len(truth),
    )


def make_higgs(
    job: str,
    out: Path,
    *,
    release: str,
    seed: int = 1,
    mu: float = 1.0,
    scale: float = 1.0,
    mass: float = 125.0,
    simulate: bool = True,
) -> Path:
    """Write the sample set of ``h4l`` or ``hyy``; see :func:`femtobarn.samples.make`."""
    setting = _check(job, release, seed=seed, mu=mu, scale=scale, mass=mass)
    out.mkdir(parents=True, exist_ok=True)
    generators = setting.job.generators(mass)
    truth, drawn = _draw_data(setting, generators)
    datasets = [
        _simulate(setting, process, generators[process.dataset], out, drawn=drawn[process.dataset])
        for process in setting.job.processes
        if simulate
    ]
    datasets.append(_write_data(setting, truth, out))
    record = SampleTruth(job, release, seed, mu, scale, mass, setting.lumi, tuple(datasets))
    write_truth(out / "truth.json", record)
    return write_fileset(out / "fileset.json", record)


def _check(job: str, release: str, *, seed: int, mu: float, scale: float, mass: float) -> _Setting:
    if job not in JOBS:
        raise UsageError(
            f"there are no built-in samples for {job!r}",
            near=nearest(job, JOBS),
            action=f"choose one of {', '.join(JOBS)}",
        )
    known = JOBS[job].releases
    if release not in known:
        raise UsageError(
            f"the built-in samples of {job} do not exist in release {release!r}",
            near=nearest(release, known),
            action=f"choose one of {', '.join(known)}",
        )
    if seed < 0 or not scale > 0.0 or not mu >= 0.0 or not 60.0 <= mass <= 400.0:
        raise UsageError(
            f"seed={seed}, mu={mu}, scale={scale}, mass={mass} cannot be generated",
            action="seed and mu must not be negative, scale must be positive, mass between 60 and 400 GeV",
        )
    return _Setting(JOBS[job], release, seed, mu, scale, mass)

"""The built-in jobs on synthetic samples: from nothing to a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from femtobarn.api.inputs import Request
from femtobarn.api.runs import run
from femtobarn.api.samples import data_make, same_samples
from femtobarn.errors import FemtobarnError, UsageError, nearest
from femtobarn.run.engine import Progress
from femtobarn.run.files import read_json, write_text
from femtobarn.run.plan import Plan

__all__ = ["DEMOS", "Demo", "DemoRun", "Demos", "demo"]


@dataclass(frozen=True, slots=True)
class Demo:
    """One job: its samples and the run over them.

    ``release`` None: the job knows one only.  ``samples`` are arguments of
    :func:`~femtobarn.api.data_make`; ``settings`` are of the run.
    ``of_format``: the release names a format of the samples, the job has no releases to choose from.
    """

    question: str
    release: str | None
    seed: int = 1
    samples: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    of_format: bool = False


_TAGPROBE_METHODS: Final = (
    "methods=[{name: get_1d_pt_eta_phi_tnp_histograms, filter: [HLT_Ele30_WPTight_Gsf, tight], "
    "plateau_cut: 40}, {name: get_nd_tnp_histograms, filter: [HLT_Ele30_WPTight_Gsf], "
    "vars: [el_pt, el_eta]}, {name: get_nd_tnp_histograms, filter: [tight], vars: [el_eta], "
    "cut_and_count: false}]"
)

#: Jobs that ``demo`` runs, in this order; one entry a job.
DEMOS: Final[Mapping[str, Demo]] = MappingProxyType(
    {
        "h4l": Demo("is there a Higgs boson among events with four leptons?", "atlas-2020"),
        "hyy": Demo("is there a Higgs boson among events with two photons?", "atlas-2020"),
        "ttbar": Demo("how often are top pairs made?", None),
        "tagprobe": Demo(
            "how efficient is this selection of electrons?",
            "cms-nanoaod",
            settings=(
                "filters={HLT_Ele30_WPTight_Gsf: HLT_Ele30_WPTight_Gsf, tight: cutBased >= 4}",
                "filterbit={HLT_Ele30_WPTight_Gsf: 1}",
                "trigger_pt={HLT_Ele30_WPTight_Gsf: 30}",
                "probes_pt_cut=15",
                "binning.el_pt_bins=15,20,25,28,30,32,35,40,45,50,60,100",
                "binning.el_eta_bins=-2.5,-1.566,-0.8,0.0,0.8,1.566,2.5",
                _TAGPROBE_METHODS,
            ),
            samples=("background=0.1",),
            of_format=True,
        ),
        "refrun": Demo("which reference run should a shifter compare this run with?", "records"),
        "survey": Demo(
            "is there a bump in any invariant-mass spectrum?",
            "physlite",
            settings=(
                "combinations.min_types=1",
                "combinations.min_each=1",
                "combinations.max_total=3",
                "objects=electrons,muons,jets",
                "min_events=500",
                "naming=bumpnet",
                "resonances=none",
                "search=true",
            ),
            of_format=True,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class DemoRun:
    """How one job went; ``error`` is empty if it ended well."""

    name: str
    path: Path
    headline: str = ""
    error: str = ""
    seconds: float = 0.0

    @property
    def report(self) -> Path:
        """The job's page."""
        return self.path / "report.html"


@dataclass(frozen=True)
class Demos:
    """All jobs that were asked for, and the page that lists them."""

    index: Path
    runs: tuple[DemoRun, ...] = field(default=())

    @property
    def complete(self) -> bool:
        """Whether every job ended well."""
        return not any(one.error for one in self.runs)

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return {
            "index": str(self.index),
            "runs": [
                {"name": one.name, "run": str(one.path), "report": str(one.report), "headline": one.headline,
                 "error": one.error, "seconds": round(one.seconds, 2)}
                for one in self.runs
            ],
        }  # fmt: skip


def demo(
    names: Sequence[str] = (),
    *,
    out: str | Path = "demo",
    tell: Callable[[str], None] | None = None,
    progress: Callable[[Plan], Progress] | None = None,
) -> Demos:
    """Run built-in jobs on synthetic samples, each into ``out/NAME`` with its report.

    Samples are made in ``out/samples/NAME``, or taken from there if an earlier call made them.

    Parameters
    ----------
    names : jobs; all of them if empty
    out : folder for runs, samples and ``index.html``
    tell : called with a line for people when a job begins
    progress : as for :func:`~femtobarn.api.run`

    Raises
    ------
    UsageError
        Unknown job.  A job that fails does not raise; the result says why.
    """
    unknown = [name for name in names if name not in DEMOS]
    if unknown:
        raise UsageError(f"there is no demo {unknown[0]!r}", near=nearest(unknown[0], DEMOS),
                         action="choose among " + ", ".join(DEMOS))  # fmt: skip
    folder = Path(out)
    runs = []
    for name in dict.fromkeys(names or DEMOS):
        if tell is not None:
            tell(f"{name}: {DEMOS[name].question}")
        runs.append(_run(name, DEMOS[name], folder, progress))
    return Demos(_write_index(folder), tuple(runs))


def _run(name: str, job: Demo, folder: Path, progress: Callable[[Plan], Progress] | None) -> DemoRun:
    started = time.monotonic()
    path = folder / name
    headline, problem = "", ""
    try:
        if name == "refrun":
            return DemoRun(name, path, _refrun(job, folder), "", time.monotonic() - started)
        request = Request(
            what=name, fileset=str(_samples(name, job, folder / "samples" / name)),
            release=None if job.of_format else job.release, settings=job.settings, out=str(path),
            command=["femtobarn", "demo", name, "--out", str(folder)],
        )  # fmt: skip
        fits = name == "tagprobe"
        headline = run(request, pages=not fits, progress=progress).headline
        if fits:
            headline = _scale_factors(path, folder / "samples" / name / "fitter.json")
    except FemtobarnError as error:
        problem = str(error)
    return DemoRun(name, path, headline, problem, time.monotonic() - started)


def _scale_factors(path: Path, config: Path) -> str:
    """What tag and probe goes on to: fits of the pair mass, scale factors, a correction file."""
    from femtobarn.api.exporting import export
    from femtobarn.api.tagprobe.fitting import fit_probes

    fit_probes(path, config=config)
    export(path, "correctionlib", out=path / "tables" / "corrections.json", allow_suspect=True)
    return str(read_json(path / "manifest.json")["headline"])


def _refrun(job: Demo, folder: Path) -> str:
    """A question about the last run of the samples; not an event loop, so a road of its own."""
    from femtobarn.api.refrun.records import RecordSources
    from femtobarn.api.refrun.verbs import SuggestRequest, refrun_suggest

    where = _samples("refrun", job, folder / "samples" / "refrun").parent
    truth = read_json(where / "truth.json")
    run = max(int(number) for number, kind in truth["class"].items() if kind == "collisions")
    sources = RecordSources(pairs=str(where / "pairs.json"), runs=str(where / "runs.csv"),
                            lumisections=str(where / "lumisections.csv"))  # fmt: skip
    done = refrun_suggest(
        [run],
        SuggestRequest(reco="prompt", history="model"),
        sources,
        out=folder / "refrun",
        fresh=True,
        command=["femtobarn", "demo", "refrun", "--out", str(folder)],
    )
    return done.headline


def _samples(name: str, job: Demo, folder: Path) -> Path:
    """The fileset of a job's samples; made unless they are there already."""
    if same_samples(folder, name, release=job.release, seed=job.seed, settings=job.samples):
        return folder / "fileset.json"
    return data_make(name, out=folder, release=job.release, seed=job.seed, settings=job.samples).fileset


def _write_index(folder: Path) -> Path:
    """A page over all runs in the folder."""
    from femtobarn.report import read_index, render_index

    index = folder / "index.html"
    write_text(index, render_index(read_index(folder), title="femtobarn demo"))
    return index

"""Tag and probe: the efficiency of selections of electrons, photons and muons.

One lepton of a Z boson fires the trigger and is well identified, the *tag*; the other, of which nothing
is asked, is the *probe*.  The share of probes that pass a filter is its efficiency.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from femtobarn.analyses.tagprobe import results
from femtobarn.analyses.tagprobe.declared import columns
from femtobarn.analyses.tagprobe.energy import process_energy
from femtobarn.analyses.tagprobe.inputs import prepare
from femtobarn.analyses.tagprobe.methods import run_method
from femtobarn.analyses.tagprobe.parameters import TagProbeParameters
from femtobarn.analyses.tagprobe.selection import select
from femtobarn.analysis import Analysis, Context, Resource, Stored
from femtobarn.catalog import read_golden_json
from femtobarn.outcome import Outcome
from femtobarn.physics.pileup import PileupWeights, density_ratio, read_pileup, read_pileup_histogram
from femtobarn.physics.plugin import load_plugin
from femtobarn.read.columns import Events
from femtobarn.records import Dataset

__all__ = ["TagProbeParameters", "analysis"]


def process(events: Events, ctx: Context) -> Outcome:
    """All methods, filters and windows in one pass over the events of a part."""
    out = ctx.outcome()
    if ctx.parameters.source.source == "energy":
        process_energy(events, ctx, out)
        return out
    selected = select(events, ctx, out)
    for method in ctx.parameters.methods:
        run_method(method, selected, ctx, out)
    return out


def schemas(parameters: TagProbeParameters) -> tuple[str, ...]:
    """NanoAOD for the workflows over events; whatever it is for files of pairs."""
    return ("cms-nanoaod",) if parameters.source.source in ("nanoaod", "energy") else ()


def resources(parameters: TagProbeParameters) -> Mapping[str, Resource]:
    """The user's own code."""
    if not parameters.extra_filter:
        return {}
    return {"extra_filter": Resource(parameters.extra_filter.rpartition("::")[0], load_plugin)}


def dataset_resources(parameters: TagProbeParameters, dataset: Dataset) -> Mapping[str, Resource]:
    """Certified luminosity sections and pileup of a dataset, from its metadata."""
    found = {}
    about = dataset.metadata
    if about.get("goldenJSON"):
        found["golden"] = Resource(str(about["goldenJSON"]), _golden)
    if about.get("pileupJSON"):
        found["pileup"] = Resource(str(about["pileupJSON"]), read_pileup)
    elif about.get("pileupData"):
        simulation = tuple(float(value) for value in about["pileupMC"])
        found["pileup"] = Resource(str(about["pileupData"]), _Ratio(simulation))
    return found


def _golden(path: Path) -> object:
    return read_golden_json(path)


class _Ratio:
    """Pileup weights from the histogram of data; equal ones compare equal, so that they are made once."""

    def __init__(self, simulation: tuple[float, ...]) -> None:
        self._simulation = simulation

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Ratio) and other._simulation == self._simulation

    def __hash__(self) -> int:
        return hash(self._simulation)

    def __call__(self, path: Path) -> PileupWeights:
        return density_ratio(read_pileup_histogram(path), self._simulation)


def figures(stored: Stored, fitted: Mapping[str, Any]) -> Iterator[Any]:
    """All figures; the plotting library is loaded when there is something to draw."""
    from femtobarn.analyses.tagprobe.figures import figures as draw

    return draw(stored, fitted)


analysis = Analysis(
    name="tagprobe",
    title="Tag and probe",
    parameters=TagProbeParameters,
    columns=columns,
    schemas=schemas,
    resources=resources,
    dataset_resources=dataset_resources,
    prepare=prepare,
    process=process,
    titles=("TrigObj_filterBits",),
    shared_files=True,
    settle=results.settle,
    yields=results.yields,
    tables=results.tables,
    files=results.files,
    figures=figures,
    headline=results.headline,
    verdict=results.verdict,
)

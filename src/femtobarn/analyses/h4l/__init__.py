"""The Higgs boson in the four-lepton events of the ATLAS and CMS open data.

Every release has its own selection, as its analysis published it; from four chosen leptons on the road
is one: pair them into Z candidates, fill, list the candidates.
"""

from __future__ import annotations

from collections.abc import Mapping

from femtobarn.analyses.h4l import atlas, cms, discovery, published
from femtobarn.analyses.h4l.parameters import H4lParameters
from femtobarn.analyses.h4l.quartet import LEPTON_SCALE, M4L_SCALE, specs
from femtobarn.analysis import Analysis, Columns, Context, Resource
from femtobarn.catalog import RELEASES
from femtobarn.catalog.golden import read_golden_json
from femtobarn.hists import HistSpec, regular
from femtobarn.outcome import Outcome
from femtobarn.physics.samples import complete_datasets, release_sources
from femtobarn.read.columns import Events
from femtobarn.records import NOMINAL, Dataset, Variation, both_sides

__all__ = ["H4lParameters", "analysis"]


def columns(parameters: H4lParameters, schema: str, dataset: Dataset) -> Columns:
    """What the selection of this release reads."""
    if schema.startswith("atlas"):
        return atlas.columns(parameters, schema, dataset)
    if schema in ("cms-nanoaod", "cms-aod"):
        return cms.columns(parameters)
    return published.columns(schema)


def process(events: Events, ctx: Context) -> Outcome:
    """The selection of the release these events are of."""
    if ctx.schema.startswith("atlas"):
        return atlas.process(events, ctx)
    if ctx.schema in ("cms-nanoaod", "cms-aod"):
        return cms.process(events, ctx)
    return published.process(events, ctx)


def prepare(
    datasets: tuple[Dataset, ...], parameters: H4lParameters
) -> tuple[tuple[Dataset, ...], Mapping[str, str]]:
    """Complete simulated datasets from the release's table; split published files into datasets."""
    unused: Mapping[str, str] = {}
    if parameters.release == "cms-run1":
        datasets, unused = published.prepare(datasets)
    return complete_datasets(datasets, RELEASES[parameters.release]), unused


def sources(parameters: H4lParameters) -> tuple[str, ...]:
    """The release's own four-lepton files; samples of the diphoton channel are left alone."""
    skim = {"atlas-2020": "4lep", "atlas-2025": "exactly4lep"}.get(parameters.release)
    return release_sources(RELEASES[parameters.release], skim, lambda sample: not sample.name.endswith("_yy"))


def schemas(parameters: H4lParameters) -> tuple[str, ...]:
    """The schemas that files of this release may have."""
    if parameters.release == "cms-run1":
        return published.SCHEMAS
    return (parameters.release,)


def histograms(parameters: H4lParameters) -> tuple[HistSpec, ...]:
    """All histograms; the discovery plot has the release's published binning."""
    bins = {"atlas-2020": (34, 80, 250), "atlas-2016": (34, 80, 250), "atlas-2025": (68, 80, 250)}
    nbins, low, high = bins.get(parameters.release, (37, 70, 181))
    return specs(regular(nbins, low, high, "m4l", label="Four-lepton mass", unit="GeV"))


def variations(parameters: H4lParameters, dataset: Dataset) -> tuple[Variation, ...]:
    """Nominal; for simulation the lepton momentum scale where it may be stated, and the mass scale if set."""
    if dataset.kind == "data":
        return (NOMINAL,)
    names = [LEPTON_SCALE] if parameters.release == "atlas-2020" else []
    names += [M4L_SCALE] if parameters.m4l_scale > 0 else []
    return (NOMINAL, *(side for name in names for side in both_sides(name)))


def resources(parameters: H4lParameters) -> dict[str, Resource]:
    """The golden JSON, if one was named."""
    if parameters.lumi_mask is None:
        return {}
    return {"lumi_mask": Resource(parameters.lumi_mask, read_golden_json)}


analysis = Analysis(
    name="h4l",
    title="Higgs boson to four leptons",
    parameters=H4lParameters,
    columns=columns,
    histograms=histograms,
    schemas=schemas,
    variations=variations,
    resources=resources,
    prepare=prepare,
    sources=sources,
    process=process,
    normalise=discovery.normalise,
    model=discovery.model,
    infer=discovery.infer,
    tables=discovery.tables,
    figures=discovery.figures,
    styles=discovery.STYLES,
    headline=discovery.headline,
)

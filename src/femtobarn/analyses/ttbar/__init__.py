"""How often are top pairs made?  The Analysis Grand Challenge with CMS 2015 open data.

One lepton and at least four jets; the sum of the jets' momenta where one is tagged as b, the mass of the
best three jets where two are; thirteen variations in one pass; a fit of the top pair cross-section.
"""

from __future__ import annotations

from femtobarn.analyses.ttbar import delivery, figures, inputs, model, normalised, sanity
from femtobarn.analyses.ttbar.models import model_resources
from femtobarn.analyses.ttbar.parameters import TtbarParameters
from femtobarn.analyses.ttbar.selection import histograms, process
from femtobarn.analyses.ttbar.tasks import columns, schemas
from femtobarn.analyses.ttbar.variations import variations as declared
from femtobarn.analysis import Analysis, Resource
from femtobarn.catalog.golden import read_golden_json
from femtobarn.records import Dataset, Variation

__all__ = ["TtbarParameters", "analysis"]


def variations(parameters: TtbarParameters, dataset: Dataset) -> tuple[Variation, ...]:
    """Nominal datasets are varied; the varied samples are processed as they are."""
    return declared(parameters.systematics, dataset)


def resources(parameters: TtbarParameters) -> dict[str, Resource]:
    """The certified luminosity sections and the trained models, if they are asked for."""
    found: dict[str, Resource] = {}
    if parameters.lumi_mask is not None:
        found["lumi_mask"] = Resource(parameters.lumi_mask, read_golden_json)
    return found if parameters.ml == "off" else found | model_resources(parameters)


analysis = Analysis(
    name="ttbar",
    title="Top pairs: the Analysis Grand Challenge",
    parameters=TtbarParameters,
    columns=columns,
    histograms=histograms,
    schemas=schemas,
    variations=variations,
    resources=resources,
    peek=sanity.peek,
    prepare=inputs.prepare,
    deliver=delivery.deliver,
    process=process,
    normalise=normalised.normalise,
    yields=normalised.yields,
    templates=normalised.templates,
    tables=normalised.tables,
    model=model.model,
    infer=model.infer,
    figures=figures.figures,
    styles=figures.STYLES_OF_MODEL,
    headline=figures.headline,
    threads=True,
)

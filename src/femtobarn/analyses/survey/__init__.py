"""The survey: is there a bump in any invariant-mass spectrum, and in which.

Each event falls into one exclusive final state; in it the mass of every allowed combination of leading
objects is accumulated, exactly and sparsely, so that no division of the work can change a bit of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from femtobarn.analyses.survey import figures, results
from femtobarn.analyses.survey.parameters import SurveyParameters
from femtobarn.analyses.survey.process import columns, process
from femtobarn.analyses.survey.weighting import prepare
from femtobarn.analysis import Analysis, Resource
from femtobarn.catalog import read_golden_json
from femtobarn.catalog.repeats import read_duplicates
from femtobarn.read import find_schema, schema_names

__all__ = ["SurveyParameters", "analysis"]


def schemas(parameters: SurveyParameters) -> tuple[str, ...]:
    """Schemas the files may have: those named, or all that live in one of the allowed trees."""
    if parameters.schemas:
        return parameters.schemas
    if not parameters.trees:
        return ()
    return tuple(name for name in schema_names() if set(find_schema(name).trees) & set(parameters.trees))


def resources(parameters: SurveyParameters) -> Mapping[str, Resource]:
    """The list of certified luminosity sections, and that of repeated events."""
    found = {}
    if parameters.golden_json is not None:
        found["golden"] = Resource(parameters.golden_json, lambda path: read_golden_json(Path(path)))
    if parameters.duplicates is not None:
        found["duplicates"] = Resource(parameters.duplicates, read_duplicates)
    return found


analysis = Analysis(
    name="survey",
    title="Mass survey: every spectrum",
    parameters=SurveyParameters,
    columns=columns,
    schemas=schemas,
    resources=resources,
    prepare=prepare,
    process=process,
    infer=results.infer,
    tables=results.tables,
    files=results.files,
    figures=figures.figures,
    headline=results.headline,
    verdict=results.verdict,
)

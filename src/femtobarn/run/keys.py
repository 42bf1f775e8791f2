"""The store key of a part: a hash of everything that can change its outcome."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from femtobarn.analysis import Analysis
from femtobarn.records import Dataset
from femtobarn.run.fingerprint import digest, resource_digests, schema_digest, source_fingerprint, versions
from femtobarn.run.plan import FilePlan, Plan

__all__ = ["part_keys"]


def part_keys(analysis: Analysis, parameters: Any, plan: Plan, *, salt: str = "") -> list[str]:
    """The keys of all parts, by part number.

    In a key: the sources of the analysis and of the modules it uses, parameters, histogram
    specifications, variations, resource files, schema, columns, dataset (name and metadata, so all
    inputs of its weights), identity of the file (uuid, size, tree), entry range, versions, salt.
    """
    common = digest(
        [
            source_fingerprint(analysis),
            parameters.model_dump(mode="json"),
            [astuple(spec) for spec in analysis.histograms_for(parameters)],
            resource_digests(analysis.resources(parameters)),
            dict(versions()),
            salt,
        ]
    )
    datasets = {d.name: _dataset(analysis, parameters, d, common) for d in plan.datasets}
    schemas = {name: schema_digest(name) for name in {file.schema for file in plan.files}}
    columns = {
        (file.dataset, file.schema): _columns(analysis, parameters, plan, file)
        for file in {(f.dataset, f.schema): f for f in plan.files}.values()
    }
    files = [
        digest(
            [
                datasets[file.dataset],
                schemas[file.schema],
                columns[file.dataset, file.schema],
                [file.uuid, file.size, file.tree, file.missing_optional, file.error],
            ]
        )
        for file in plan.files
    ]
    return [digest([files[part.file], part.start, part.stop]) for part in plan.parts]


def _dataset(analysis: Analysis, parameters: Any, dataset: Dataset, common: str) -> str:
    variations = [variation.label for variation in analysis.variations(parameters, dataset)]
    own = resource_digests(analysis.dataset_resources(parameters, dataset))
    return digest([common, dataset.name, dict(dataset.metadata), variations, *([own] if own else [])])


def _columns(analysis: Analysis, parameters: Any, plan: Plan, file: FilePlan) -> list[Any]:
    if not file.schema:
        return []
    declared = analysis.columns_for(parameters, file.schema, plan.dataset(file.dataset))
    return [declared.needed, declared.optional]

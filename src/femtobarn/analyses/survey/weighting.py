"""Weights of simulated events: w = cross-section x k x filter efficiency x luminosity / sum of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from femtobarn.analyses.survey.parameters import SurveyParameters, Weighting
from femtobarn.analysis import Stored
from femtobarn.errors import DataError
from femtobarn.records import Dataset
from femtobarn.units import PB_PER_FB

__all__ = ["factors", "prepare"]


def luminosity(weighting: Weighting, about: Mapping[str, Any]) -> float | None:
    """Of a dataset's campaign, else the target, fb-1."""
    campaign = str(about.get("campaign", ""))
    return weighting.luminosity_by_campaign.get(campaign, weighting.target_luminosity_fb)


def prepare(
    datasets: tuple[Dataset, ...], parameters: SurveyParameters
) -> tuple[tuple[Dataset, ...], Mapping[str, str]]:
    """Refuse simulation that is to be weighted and lacks what that takes, before anything is read.

    Raises
    ------
    DataError
        Naming the dataset and the metadata it lacks.
    """
    weighting = parameters.weighting
    if weighting.enabled and weighting.require_metadata:
        for dataset in datasets:
            if dataset.kind == "data":
                continue
            lacks = [] if dataset.metadata.get("xsec") is not None else ["xsec"]
            if luminosity(weighting, dataset.metadata) is None:
                lacks.append("a luminosity of its campaign")
            if lacks:
                raise DataError(
                    f"dataset {dataset.name!r} is to be weighted and has no {' and no '.join(lacks)}",
                    action="put it into the metadata of a --fileset (a luminosity into mc_weighting_config), "
                    "or set require_metadata: false",
                )
    return datasets, {}


def factors(stored: Stored) -> dict[str, float]:
    """Factor of each dataset's sums of weights: luminosity x cross-section / sum of weights, else 1."""
    parameters: SurveyParameters = stored.parameters
    out = {}
    for dataset in stored.datasets:
        weighting, about = parameters.weighting, dataset.metadata
        out[dataset.name] = 1.0
        if not weighting.enabled or dataset.kind == "data" or about.get("xsec") is None:
            continue
        lumi = luminosity(weighting, about)
        sumw = about.get("sumw")
        sumw = (
            sumw * stored.fraction_processed(dataset.name)
            if sumw
            else stored.outcome.sum_of(dataset.name, "sumw")
        )
        if lumi is not None and sumw:
            scale = float(about["xsec"]) * float(about.get("kfactor", 1.0)) * float(about.get("filteff", 1.0))
            out[dataset.name] = scale * lumi * PB_PER_FB / float(sumw)
    return out

"""The systematic variations, declared once: what they are called, what they act on, how big they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import nearest
from femtobarn.kernels.multijet import NOMINAL as UNCHANGED
from femtobarn.kernels.multijet import SCALE, SMEAR
from femtobarn.records import NOMINAL, Dataset, Variation

__all__ = [
    "NAMES",
    "OBJECTS",
    "SAMPLES",
    "WEIGHTS",
    "ObjectVariation",
    "WeightVariation",
    "object_variations",
    "parse_systematics",
    "variations",
    "wanted",
    "weight_of",
    "weight_variations",
]


@dataclass(frozen=True, slots=True)
class ObjectVariation:
    """All jets times ``size``, or smeared with the relative width ``size``."""

    label: str
    kind: int
    size: float


@dataclass(frozen=True, slots=True)
class WeightVariation:
    """Another weight for the same events.

    ``jet`` names the selected jet (from 0) whose pT sets the size, 1 +- size pT / 50 GeV; None is a
    constant factor ``1 + size``.  ``process`` limits it to one process.
    """

    label: str
    size: float
    jet: int | None = None
    process: str = ""


#: The object variations; the first is none at all.
OBJECTS: Final = (
    ObjectVariation(NOMINAL.label, UNCHANGED, 1.0),
    ObjectVariation("pt_scale_up", SCALE, 1.03),
    ObjectVariation("pt_res_up", SMEAR, 0.05),
)
WEIGHTS: Final = (
    *(
        WeightVariation(f"btag_var_{i}_{side}", sign * 0.075, jet=i)
        for i in range(4)
        for side, sign in (("up", 1.0), ("down", -1.0))
    ),
    WeightVariation("scale_var_up", 0.025, process="wjets"),
    WeightVariation("scale_var_down", -0.025, process="wjets"),
)
#: Variations of ttbar that have samples of their own.
SAMPLES: Final = ("scaledown", "scaleup", "ME_var", "PS_var")
NAMES: Final = (*(v.label for v in OBJECTS[1:]), *(v.label for v in WEIGHTS), *SAMPLES)
#: GeV; the b-tag variations grow with pT over this.
_BTAG_PT: Final = 50.0


def parse_systematics(text: str) -> str:
    """``all``, ``none`` or names in declared order, separated by commas; refuses unknown ones."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names in (["all"], ["none"]):
        return names[0]
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        wrong = unknown[0] if unknown else text
        near = nearest(wrong, (*NAMES, "all", "none"))
        hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
        raise ValueError(f"unknown systematic {wrong!r}{hint}; there are: all, none, {', '.join(NAMES)}")
    return ",".join(name for name in NAMES if name in names)


def wanted(systematics: str) -> frozenset[str]:
    """The labels that a checked value of the parameter asks for, besides nominal."""
    if systematics == "all":
        return frozenset(NAMES)
    return frozenset() if systematics == "none" else frozenset(systematics.split(","))


def object_variations(systematics: str, dataset: Dataset) -> tuple[ObjectVariation, ...]:
    """The object variations of a dataset; nominal is always the first."""
    if not _varied(dataset):
        return OBJECTS[:1]
    names = wanted(systematics)
    return OBJECTS[:1] + tuple(v for v in OBJECTS[1:] if v.label in names)


def weight_variations(systematics: str, dataset: Dataset) -> tuple[WeightVariation, ...]:
    """The weight variations of a dataset."""
    if not _varied(dataset):
        return ()
    names = wanted(systematics)
    return tuple(v for v in WEIGHTS if v.label in names and v.process in ("", dataset.process))


def _varied(dataset: Dataset) -> bool:
    nominal = dataset.metadata.get("variation", NOMINAL.label) == NOMINAL.label
    return dataset.kind == "mc" and nominal


def variations(systematics: str, dataset: Dataset) -> tuple[Variation, ...]:
    """All variations of a dataset as the engine knows them."""
    labels = [v.label for v in object_variations(systematics, dataset)[1:]]
    labels += [v.label for v in weight_variations(systematics, dataset)]
    return (NOMINAL, *map(_variation, labels))


def _variation(label: str) -> Variation:
    name, _, side = label.rpartition("_")
    return Variation(name, "up" if side == "up" else "down")


def weight_of(variation: WeightVariation, jet_pt: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) factors of a weight variation; ``jet_pt`` (n, 4) in GeV are the first selected nominal jets."""
    if variation.jet is None:
        return np.full(len(jet_pt), 1.0 + variation.size)
    return 1.0 + variation.size * jet_pt[:, variation.jet] / _BTAG_PT

"""Which jets come from b quarks, by the discriminants that the releases publish."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import UsageError
from femtobarn.physics.objects import Objects
from femtobarn.read.columns import Events
from femtobarn.read.schema import Schema

__all__ = ["is_tagged", "tagging_columns"]

#: DeepJet discriminant of CMS and its medium-like threshold.
_CMS: Final = ("jet.btagDeepFlavB", 0.5)
#: DL1d of ATLAS: share of charm in the background, and the threshold of about 77 % efficiency.
_CHARM_SHARE: Final = 0.018
_DL1D: Final = 2.51
_LINKED: Final = ("jet.btag_link", "btag.pb", "btag.pc", "btag.pu")


def tagging_columns(schema: Schema, field: str | None) -> tuple[str, ...]:
    """Columns the discriminant needs.

    Raises
    ------
    UsageError
        This release has no discriminant that is known here.
    """
    if field is not None:
        return (field if "." in field else f"jet.{field}",)
    if "btag.known" in schema.columns:
        return ("btag.known",)
    if "btag.pb" in schema.columns:
        return _LINKED
    if schema.name.startswith("cms-nanoaod"):
        return (_CMS[0],)
    if "jet.btag" in schema.columns:
        return ("jet.btag",)
    raise UsageError(f"{schema.name} has no b-tagging discriminant", action="name one with jet_btag_field")


def is_tagged(
    events: Events, schema: Schema, jets: Objects, field: str | None, threshold: float | None
) -> NDArray[np.bool_]:
    """(m,) whether each jet is tagged.

    PHYSLITE keeps the scores in a container of their own; a jet points into it by an index.
    """
    names = tagging_columns(schema, field)
    if names == _LINKED:
        score = dl1d(events)[jets.index]
        return np.asarray(score >= (_DL1D if threshold is None else threshold))
    if names == ("btag.known",):
        return np.asarray(events.jagged(names[0]).values[jets.index] > 0)
    if threshold is None and names[0] != _CMS[0]:
        raise UsageError(f"a threshold is needed for {names[0]}", action="set jet_btag_threshold")
    values = events.jagged(names[0]).values[jets.index]
    return np.asarray(values >= (_CMS[1] if threshold is None else threshold))


def dl1d(events: Events) -> NDArray[np.float64]:
    """(m,) ln(pb / (fc pc + (1 - fc) pu)) of every jet, through its link; -inf where there is none."""
    link = events.jagged("jet.btag_link")
    scores = {name: events.jagged(f"btag.{name}") for name in ("pb", "pc", "pu")}
    counts = scores["pb"].counts[link.parents]
    index = link.values.astype(np.int64)
    valid = (index >= 0) & (index < counts)
    at = scores["pb"].offsets[:-1][link.parents] + np.where(valid, index, 0)
    out = np.full(len(index), -np.inf)
    at = at[valid]
    b, c, u = (scores[name].values[at] for name in ("pb", "pc", "pu"))
    with np.errstate(divide="ignore", invalid="ignore"):
        out[valid] = np.log(b / (_CHARM_SHARE * c + (1 - _CHARM_SHARE) * u))
    return np.where(np.isnan(out), -np.inf, out)

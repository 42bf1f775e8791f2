"""What a name in a filter, mask or list of variables means: a column of the probe, the tag or the event."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final, Literal

from femtobarn.analyses.tagprobe.workflows import Workflow
from femtobarn.expr import Expression

__all__ = [
    "DERIVED",
    "PAIR",
    "Name",
    "expression",
    "filter_names",
    "is_trigger",
    "meaning",
    "path_candidates",
]

#: Columns made of both members of a pair.
PAIR: Final = ("pair_mass", "pair_pt", "pair_eta", "pair_dR")
#: Columns that are made when the file has them not, and what of.
DERIVED: Final = {"superclusterEta": ("deltaEtaSC",), "charge": (), "mass": ()}

Side = Literal["probe", "tag", "event", "pair"]


@dataclass(frozen=True, slots=True)
class Name:
    """One column: whose, and its name there."""

    side: Side
    column: str


def is_trigger(text: str) -> bool:
    """Whether a filter is a trigger path, to be matched with trigger objects."""
    return text.startswith("HLT_") and text.isidentifier()


def path_candidates(path: str) -> tuple[str, ...]:
    """Event flags that a trigger filter may belong to: the path, or without its last word (a leg)."""
    without = path.rpartition("_")[0]
    return (path, without) if "_" in without else (path,)


@functools.lru_cache(maxsize=512)
def expression(text: str) -> Expression:
    """A parsed restricted expression."""
    return Expression.parse(text, allow_slices=True)


def meaning(name: str, workflow: Workflow, *, in_filter: bool = False) -> Name:
    """What a (dotted) name stands for.

    ``zcands.probe.x``, ``zcands.tag.x`` and ``events.x`` say it; ``el_x`` and ``tag_Ele_x`` are those of
    the variables; a bare name in a filter of a NanoAOD workflow is the probe's, elsewhere the event's.
    """
    head, _, rest = name.partition(".")
    if head == "zcands" and rest.partition(".")[0] in ("tag", "probe"):
        side, _, column = rest.partition(".")
        return Name("tag" if side == "tag" else "probe", column)
    if head == "events" and rest:
        return Name("event", rest.replace(".", "_"))
    if name in PAIR:
        return Name("pair", name)
    if name.startswith(workflow.tag_prefix):
        return Name("tag", name.removeprefix(workflow.tag_prefix))
    if name.startswith(workflow.prefix):
        return Name("probe", name.removeprefix(workflow.prefix))
    if in_filter and workflow.source == "nanoaod":
        return Name("probe", name.replace(".", "_"))
    return Name("event", name.replace(".", "_"))


def filter_names(text: str, workflow: Workflow) -> list[Name]:
    """The columns that a filter's expression reads."""
    return [meaning(name, workflow, in_filter=True) for name in sorted(expression(text).names)]

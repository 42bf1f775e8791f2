"""Comparing named histograms with a reference, by the Grand Challenge's own rule or strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from femtobarn.analysis import Template
from femtobarn.errors import ConfigError

__all__ = ["Difference", "Mode", "Reference", "compare", "dump", "parse_reference"]

Array = NDArray[np.float64]
Mode = Literal["rule", "strict"]

_RTOL, _ATOL = 1e-5, 1e-8
#: A run of neighbouring bins that differ by no more than this is events that moved across an edge.
_MIGRATION: Final = 2.0
_STRICT: Final = 1e-9
#: Random numbers differ from program to program: contents are not compared.
_RANDOM: Final = "pt_res_up"


@dataclass(frozen=True, slots=True)
class Reference:
    """Edges (n + 1,) and contents with flow (n + 2,) of one histogram."""

    edges: Array
    contents: Array


@dataclass(frozen=True, slots=True)
class Difference:
    """One finding: a bin (0 is the underflow) or a whole histogram (None), and whether it is accepted."""

    name: str
    bin: int | None
    got: float | None
    want: float | None
    verdict: str
    accepted: bool = False


def dump(named: Mapping[str, Template]) -> dict[str, Any]:
    """Histograms as a reference file holds them."""
    return {
        name: {"edges": list(t.axis.edges), "contents": t.values.tolist()}
        for name, t in sorted(named.items())
    }


def parse_reference(document: Any, *, where: str) -> dict[str, Reference]:
    """A reference file's content, checked.

    Raises
    ------
    ConfigError
        Naming the first entry that is no histogram.
    """
    if not isinstance(document, dict):
        raise ConfigError("a reference is an object {name: {edges, contents}}", where=where)
    found = {}
    for name, entry in document.items():
        try:
            edges = np.asarray(entry["edges"], dtype=np.float64)
            contents = np.asarray(entry["contents"], dtype=np.float64)
        except (TypeError, KeyError, ValueError) as error:
            raise ConfigError(f"{name!r} is not {{edges, contents}}: {error}", where=where) from error
        if len(contents) != len(edges) + 1:
            wanted = f"{len(edges) + 1} contents (with flow bins), not {len(contents)}"
            raise ConfigError(f"{name!r}: {len(edges)} edges need {wanted}", where=where)
        found[str(name)] = Reference(edges, contents)
    return found


def compare(
    named: Mapping[str, Template], reference: Mapping[str, Reference], *, mode: Mode = "rule"
) -> list[Difference]:
    """Everything that differs; the comparison passes if all of it is accepted."""
    out: list[Difference] = []
    for name, want in reference.items():
        got = named.get(name)
        if got is None:
            fine = mode == "rule" and name.endswith("pseudodata")
            out.append(Difference(name, None, None, None, "absent", accepted=fine))
        elif mode == "strict":
            out += _strict(name, got, want)
        else:
            out += _rule(name, got, want)
    if mode == "strict":
        out += [
            Difference(name, None, None, None, "not in the reference")
            for name in named
            if name not in reference
        ]
    return out


def _same_edges(got: Template, want: Reference, rtol: float) -> bool:
    edges = np.asarray(got.axis.edges)
    return edges.shape == want.edges.shape and bool(np.allclose(edges, want.edges, rtol=rtol))


def _strict(name: str, got: Template, want: Reference) -> list[Difference]:
    if not _same_edges(got, want, _STRICT):
        return [Difference(name, None, None, None, "other bin edges")]
    bad = np.flatnonzero(~np.isclose(got.values, want.contents, rtol=_STRICT, atol=_STRICT))
    return [Difference(name, int(i), float(got.values[i]), float(want.contents[i]), "differs") for i in bad]


def _rule(name: str, got: Template, want: Reference) -> list[Difference]:
    if not _same_edges(got, want, _RTOL):
        return [Difference(name, None, None, None, "other bin edges")]
    if _RANDOM in name:
        return []
    bad = np.flatnonzero(~np.isclose(got.values, want.contents, rtol=_RTOL, atol=_ATOL))
    out = []
    for run in np.split(bad, np.flatnonzero(np.diff(bad) > 1) + 1) if len(bad) else ():
        a, b = got.values[run], want.contents[run]
        moved = (
            len(run) > 1
            and bool(np.allclose(a, b, rtol=_RTOL, atol=_MIGRATION))
            and bool(np.isclose(a.sum(), b.sum(), rtol=_RTOL, atol=_ATOL))
        )
        verdict = "moved to a neighbouring bin" if moved else "differs"
        out += [
            Difference(name, int(i), float(got.values[i]), float(want.contents[i]), verdict, moved)
            for i in run
        ]
    return out

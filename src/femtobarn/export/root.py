"""Named, normalised histograms as a ROOT file of TH1D with variances and flow bins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from femtobarn.analysis import Template
from femtobarn.run.files import replacing

__all__ = ["export_root", "read_root", "to_th1"]


def to_th1(template: Template) -> Any:
    """One histogram as ``hist.Hist``, which uproot writes as TH1D with its variances."""
    import hist

    axis = template.axis
    name = axis.name
    edges = (
        hist.axis.Regular(axis.nbins, axis.edges[0], axis.edges[-1], name=name, label=axis.label)
        if axis.uniform
        else hist.axis.Variable(axis.edges, name=name, label=axis.label)
    )
    out = hist.Hist(edges, storage=hist.storage.Weight())
    view = out.view(flow=True)
    view["value"], view["variance"] = template.values, template.variances
    return out


def export_root(
    named: Mapping[str, Template], path: str | Path, *, skip_empty: bool = False
) -> tuple[str, ...]:
    """Write all histograms; returns the names written, in file order.

    Parameters
    ----------
    named : {name: Template}
    path : file to create or replace
    skip_empty : bool
        Leave out histograms without any content, as the Grand Challenge's own code does.
    """
    import uproot

    kept = {name: t for name, t in named.items() if not skip_empty or np.any(t.values) or np.any(t.variances)}
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as scratch, uproot.recreate(scratch) as file:
        for name, template in kept.items():
            file[name] = to_th1(template)
    return tuple(kept)


def read_root(path: str | Path) -> dict[str, Template]:
    """Histograms of a ROOT file by name; what is no one-dimensional histogram is left out."""
    import uproot

    from femtobarn.hists import variable
    from femtobarn.read.source import reading

    found: dict[str, Template] = {}
    with reading(str(path)), uproot.open(path) as file:
        for name, kind in file.classnames(cycle=False).items():
            if kind.startswith("TH1"):
                stored = file[name]
                axis = variable(np.asarray(stored.axis().edges(), dtype=np.float64), "observable")
                found[name] = Template(
                    axis,
                    np.asarray(stored.values(flow=True), dtype=np.float64),
                    np.asarray(stored.variances(flow=True), dtype=np.float64),
                )
    return found

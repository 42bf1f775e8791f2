"""``tables/events.parquet``: the selected events, for those who want to look at them one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.ttbar.assignment import Best
from femtobarn.analyses.ttbar.columns import REGIONS, category, numbers
from femtobarn.analyses.ttbar.variations import object_variations
from femtobarn.analysis import Context
from femtobarn.kernels.multijet import Rows
from femtobarn.outcome import Outcome
from femtobarn.read.columns import Events

__all__ = ["save"]


def save(
    out: Outcome,
    rows: Rows,
    weight: NDArray[np.float64],
    events: Events,
    ctx: Context,
    best: Best | None,
) -> None:
    """One row a selected event and object variation."""
    at = np.flatnonzero(rows.region > 0)
    index = rows.event[at]
    run, lumi, event = numbers(events, ctx)
    labels = [
        category("", ctx, v.label)[2] for v in object_variations(ctx.parameters.systematics, ctx.dataset)
    ]
    names = np.array(["", *REGIONS])
    codes = np.array([0, *REGIONS.values()])
    out.add_table(
        "events.parquet",
        {
            "dataset": np.full(len(at), ctx.dataset.name),
            "run": run[index].astype(np.int64),
            "event": event[index].astype(np.int64),
            "luminosityBlock": lumi[index].astype(np.int64),
            "variation": np.array(labels)[rows.variation[at]],
            "region": names[np.searchsorted(codes, rows.region[at])],
            "observable": rows.observable[at],
            "njet": rows.njet[at].astype(np.int64),
            "nbtag": rows.nbtag[at].astype(np.int64),
            "weight": weight[index],
            **({} if best is None else _assigned(rows, at, best)),
        },
        part=ctx.part.number if ctx.part is not None else 0,
    )


def _assigned(rows: Rows, at: NDArray[np.int64], best: Best) -> dict[str, NDArray[np.generic]]:
    """Best permutations as positions among the selected jets; -1 outside of the signal region."""
    score = np.full(len(rows.event), np.nan)
    jets = np.full((len(rows.event), 4), -1, dtype=np.int64)
    score[best.row], jets[best.row] = best.score, best.jets
    names = ("ml_w1", "ml_w2", "ml_bhad", "ml_blep")
    return {"ml_score": score[at], **{name: jets[at, i] for i, name in enumerate(names)}}

"""Replay the past: rank the references before every certification, and see where the chosen one was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from femtobarn.catalog.runrecords import CLASSES
from femtobarn.errors import DataError, UsageError, nearest
from femtobarn.rank.history import ClassHistory, Events, Protocol, Target, class_histories
from femtobarn.rank.learned import Ranker, Trainer, trainer_for, visible
from femtobarn.rank.metrics import Ranks, group_metrics
from femtobarn.rank.rankers import RANKERS, rank_of

__all__ = ["ALL_RANKERS", "MODEL", "RETRAIN_EVERY", "Evaluation", "ModelNote", "evaluate", "parse_rankers"]

Ints = npt.NDArray[np.int64]

MODEL: Final = "model"
ALL_RANKERS: Final = (*RANKERS, MODEL)
#: Habits change: a model trained once loses to ``latest`` within a year.
RETRAIN_EVERY: Final = 1500
#: The same in positions of an export.
RETRAIN_ORDER: Final = 300
#: A model may be this much worse than ``latest`` at the top before that is an error.
TOLERANCE: Final = 0.002


@dataclass(frozen=True)
class ModelNote:
    """What the first test block's model was trained on."""

    name: str
    train_events: int
    train_to: int | None

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "train_events": self.train_events, "train_to": self.train_to,
                "retrained_every": RETRAIN_EVERY}  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """The ranks and what they were made with."""

    protocol: Protocol
    test_from: int | None
    test_to: int | None
    dropped: dict[str, int]
    ranks: Ranks
    model: ModelNote | None

    def to_json(self) -> dict[str, Any]:
        """The content of ``metrics.json``."""
        return {
            "protocol": self.protocol.name,
            "embargo": self.protocol.gap,
            "test_from": self.test_from,
            "test_to": self.test_to,
            "dropped": self.dropped,
            "groups": group_metrics(self.ranks),
            "model": self.model.to_json() if self.model else None,
        }

    @property
    def worse(self) -> bool:
        """Whether the model loses to ``latest`` at the top by more than is tolerable."""
        if self.model is None:
            return False
        first = {name: float(np.mean(self.ranks.ranks[name] == 1)) for name in (MODEL, "latest")}
        return first[MODEL] < first["latest"] - TOLERANCE


def parse_rankers(text: str | None) -> tuple[str, ...]:
    """Names of rankers from ``a,b``; ``latest`` is always among them."""
    if text is None or text == "all":
        return ALL_RANKERS
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in ALL_RANKERS:
            raise UsageError(f"there is no ranker {name!r}", where="--rankers",
                             near=nearest(name, ALL_RANKERS),
                             action=f"known are {', '.join(ALL_RANKERS)}")  # fmt: skip
    return tuple(name for name in ALL_RANKERS if name == "latest" or name in names)


def evaluate(
    events: Events,
    protocol: Protocol,
    *,
    test_from: int | None = None,
    test_to: int | None = None,
    rankers: Sequence[str] = ALL_RANKERS,
) -> Evaluation:
    """Rank before every event with ``test_from <= run < test_to``.

    Parameters
    ----------
    events : Events
    protocol : Protocol
        What each event may see.
    rankers : names of ``ALL_RANKERS``
        The model is retrained every 1500 runs on the rows that its first target may see.

    Raises
    ------
    DataError
        If no event is left.
    """
    low = -1 if test_from is None else test_from
    high = np.iinfo(np.int64).max if test_to is None else test_to
    if low >= high:
        raise UsageError(f"no run is from {test_from} on and before {test_to}", where="--test-from")
    histories = dict(class_histories(events, protocol))
    tests = {name: np.flatnonzero((h.run >= low) & (h.run < high)) for name, h in histories.items()}
    if not sum(map(len, tests.values())):
        seen = f"{events.run.min()} to {events.run.max()}" if len(events) else "none"
        limits = [f"from {test_from} on"] if test_from is not None else []
        limits += [f"before {test_to}"] if test_to is not None else []
        raise DataError(f"no express or prompt certification has a run {' and '.join(limits)}".rstrip(),
                        action=f"runs in the list: {seen}")  # fmt: skip
    plain = [name for name in rankers if name in RANKERS]
    columns: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in (*plain, "row", "n")}
    for name, history in histories.items():
        table = _plain_ranks(history, tests[name], plain)
        for key, values in table.items():
            columns[key].append(values)
    rows = np.concatenate(columns["row"])
    ranks = {name: np.concatenate(columns[name]) for name in plain}
    note = None
    if MODEL in rankers:
        by_class, note = _walk_forward(histories, tests, protocol)
        ranks[MODEL] = np.concatenate([by_class[name] for name in histories])
    order = np.argsort(rows, kind="stable")
    source = rows[order]
    result = Ranks(
        events.run[source], events.reco[source], events.run_class[source], events.reference[source],
        np.concatenate(columns["n"])[order], {name: values[order] for name, values in ranks.items()},
    )  # fmt: skip
    return Evaluation(protocol, test_from, test_to, events.dropped, result, note)


def _plain_ranks(history: ClassHistory, rows: Ints, names: Sequence[str]) -> dict[str, Ints]:
    """Ranks of the rankers that need no training, a column each, besides ``row`` and ``n``."""
    columns = {name: np.zeros(len(rows), dtype=np.int64) for name in (*names, "n")}
    for i, row in enumerate(rows):
        past = history.past(history.target(int(row)))
        columns["n"][i] = len(past.candidates)
        code = int(history.code[row])
        if len(past) and past.last_any[code] >= 0:
            for name in names:
                columns[name][i] = rank_of(past, RANKERS[name](past), code)
    return columns | {"row": history.source[rows]}


def _walk_forward(
    histories: dict[str, ClassHistory], tests: dict[str, Ints], protocol: Protocol
) -> tuple[dict[str, Ints], ModelNote]:
    """Ranks by models that are trained again and again, each on rows all of its targets may see."""
    when = {name: (h.order if protocol.by_order else h.run)[tests[name]] for name, h in histories.items()}
    first, last = (
        int(min(w.min() for w in when.values() if len(w))),
        int(max(w.max() for w in when.values() if len(w))),
    )
    step = RETRAIN_ORDER if protocol.by_order else RETRAIN_EVERY
    trainer = trainer_for(histories)
    ranks = {name: np.zeros(len(rows), dtype=np.int64) for name, rows in tests.items()}
    note: ModelNote | None = None
    for start in range(first, last + 1, step):
        block = {name: np.flatnonzero((w >= start) & (w < start + step)) for name, w in when.items()}
        if not any(map(len, block.values())):
            continue
        targets = {name: tests[name][found] for name, found in block.items()}
        rows = _trainable(histories, targets, protocol)
        ranker = trainer.train(rows)
        if note is None:
            used = np.concatenate([histories[name].run[rows[name]] for name in histories])
            note = ModelNote(trainer.name, len(used), int(used.max()) if len(used) else None)
        for name, found in block.items():
            ranks[name][found] = _model_ranks(trainer, ranker, name, histories[name], targets[name])
    if note is None:
        raise DataError("nothing to test the model on")
    return ranks, note


def _trainable(
    histories: dict[str, ClassHistory], targets: dict[str, Ints], protocol: Protocol
) -> dict[str, Ints]:
    """Rows of every class that every target of the block may see.

    By run that is what the block's first run may see, also for its other classes; by order what the
    first in order may see, without the runs of the block itself.
    """
    chosen = np.concatenate([histories[name].run[rows] for name, rows in targets.items()])
    orders = np.concatenate([histories[name].order[rows] for name, rows in targets.items()])
    first = Target(int(chosen.min()), 0, int(orders.min()))
    rows = {name: visible(history, first) for name, history in histories.items()}
    if protocol.name == "append-embargo":
        rows = {name: r[~np.isin(histories[name].run[r], chosen)] for name, r in rows.items()}
    return rows


def _model_ranks(trainer: Trainer, ranker: Ranker, name: str, history: ClassHistory, rows: Ints) -> Ints:
    ranks = np.zeros(len(rows), dtype=np.int64)
    for i, row in enumerate(rows):
        past = history.past(history.target(int(row)))
        if len(past):
            keys = trainer.keys(ranker, name, int(row), past)
            ranks[i] = rank_of(past, keys, int(history.code[row]))
    return ranks


def ranks_table(ranks: Ranks) -> dict[str, Any]:
    """The columns of ``ranks.csv``."""
    columns: dict[str, Any] = {
        "run_number": ranks.run,
        "reconstruction": ["express" if code == 0 else "prompt" for code in ranks.reco],
        "class": [CLASSES[code] for code in ranks.run_class],
        "reference": ranks.reference,
        "known": [bool(rank > 0) for rank in ranks.ranks["latest"]],
        "n_candidates": ranks.n_candidates,
    }
    return columns | {f"rank_{name}": values for name, values in ranks.ranks.items()}

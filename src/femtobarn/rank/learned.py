"""The model as a ranker, trained only on what a protocol lets a recommendation see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from femtobarn.rank.features import FEATURES, features, shortlist
from femtobarn.rank.follow import FollowRanker, fit_follow
from femtobarn.rank.history import ClassHistory, Past, Target
from femtobarn.rank.model import ChoiceModel, Examples, fit_choice
from femtobarn.rank.rankers import latest

__all__ = ["ChoiceRanker", "ClassExamples", "Ranker", "Trainer", "class_examples", "ranker_from_json",
           "ranker_to_json", "train_for", "trainer_for", "visible"]  # fmt: skip

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Older certifications than this many in a class are habits of other people: they are not trained on.
TRAIN_WINDOW: Final = 2500
#: Fewer certifications than this teach nothing; the ranker then is ``latest``.
LEAST_EVENTS: Final = 100


class Ranker(Protocol):
    """Something trained that orders the candidates of any moment."""

    @property
    def probable(self) -> bool:
        """Whether a softmax of the keys is a probability."""

    def keys(self, past: Past) -> Floats:
        """(references,) keys, larger first."""


@dataclass(frozen=True)
class ChoiceRanker:
    """Orders the candidates of any moment; without a model it is ``latest``."""

    model: ChoiceModel | None

    @property
    def probable(self) -> bool:
        return self.model is not None

    def keys(self, past: Past) -> Floats:
        """(references,) keys, larger first: the model's scores, and below them the order of ``latest``."""
        keys = latest(past)
        if self.model is None or not len(past):
            return keys
        codes = shortlist(past)
        return self.combined(keys, codes, self.model.score(features(past, codes)))

    @staticmethod
    def combined(keys: Floats, codes: Ints, scores: Floats) -> Floats:
        """Scores of the short list in front of everything else; ties fall back on ``latest``."""
        combined: Floats = keys - keys.max() - 1.0 + scores.min()
        combined[codes] = scores + 1e-12 * keys[codes]
        return combined


@dataclass(frozen=True)
class ClassExamples:
    """Features of every event of a class, each seen with its own past only."""

    history: ClassHistory
    examples: Examples
    codes: tuple[Ints, ...]

    def keys(self, row: int, past: Past, model: ChoiceModel) -> Floats:
        """As :meth:`ChoiceRanker.keys`, from the features that are there already."""
        where = slice(int(self.examples.start[row]), int(self.examples.start[row + 1]))
        keys = latest(past)
        if where.start == where.stop:
            return keys
        return ChoiceRanker.combined(keys, self.codes[row], model.score(self.examples.x[where]))


def class_examples(history: ClassHistory, rows: Iterable[int] | None = None) -> ClassExamples:
    """Compute the features of a class' events (of some rows, or of all)."""
    wanted = set(range(len(history)) if rows is None else rows)
    none: Ints = np.zeros(0, dtype=np.int64)
    blocks, codes = [np.zeros((0, len(FEATURES)))], []
    start, chosen = [0], []
    for row in range(len(history)):
        past = history.past(history.target(row)) if row in wanted else None
        listed = shortlist(past) if past is not None and len(past) else none
        if past is not None and len(listed):
            blocks.append(features(past, listed))
        at = np.flatnonzero(listed == history.code[row])
        chosen.append(start[-1] + int(at[0]) if len(at) else -1)
        start.append(start[-1] + len(listed))
        codes.append(listed)
    examples = Examples(
        np.concatenate(blocks), np.array(start, dtype=np.int64), np.array(chosen, dtype=np.int64)
    )
    return ClassExamples(history, examples, tuple(codes))


def visible(history: ClassHistory, target: Target) -> Ints:
    """Rows a model for this target may be trained on: the rows of its past."""
    past = history.past(target)
    rows: Ints = np.arange(len(history))[past.rows]
    return rows


class Trainer(Protocol):
    """Trains one ranker after the other on rows of the same histories."""

    #: Of the model, for tables.
    name: str

    def train(self, rows: Mapping[str, Ints]) -> Ranker:
        """A ranker that has seen some rows of every class.

        Classes share the weights: what distinguishes a habit is not the kind of data, and heavy ions
        alone would never have enough certifications.
        """

    def keys(self, ranker: Ranker, name: str, row: int, past: Past) -> Floats:
        """Keys for an event of a class, from whatever is computed already."""


class _ChoiceTrainer:
    """Logistic models; each fit starts from the weights of the one before."""

    name = "logistic"

    def __init__(self, tables: Mapping[str, ClassExamples]) -> None:
        self._tables = tables
        self._weights: Floats | None = None

    def train(self, rows: Mapping[str, Ints]) -> ChoiceRanker:
        recent = {name: chosen[-TRAIN_WINDOW:] for name, chosen in rows.items()}
        parts = [t.examples.select(recent[name]) for name, t in self._tables.items() if len(recent[name])]
        if sum(len(part.chosen) for part in parts) < LEAST_EVENTS:
            return ChoiceRanker(None)
        model = fit_choice(_joined(parts), start=self._weights)
        self._weights = model.weights
        return ChoiceRanker(model)

    def keys(self, ranker: Ranker, name: str, row: int, past: Past) -> Floats:
        if isinstance(ranker, ChoiceRanker) and ranker.model is not None:
            return self._tables[name].keys(row, past, ranker.model)
        return ranker.keys(past)


class _FollowTrainer:
    """Behind an embargo: see :mod:`femtobarn.rank.follow`."""

    name = "follow"

    def __init__(self, histories: Mapping[str, ClassHistory]) -> None:
        self._histories = histories

    def train(self, rows: Mapping[str, Ints]) -> FollowRanker:
        return fit_follow(self._histories, rows)

    def keys(self, ranker: Ranker, name: str, row: int, past: Past) -> Floats:  # noqa: ARG002 (nothing is ready)
        return ranker.keys(past)


def trainer_for(histories: Mapping[str, ClassHistory], rows: Mapping[str, Ints] | None = None) -> Trainer:
    """The trainer for the protocol of some histories; it will be asked about ``rows`` (None: all)."""
    if any(h.protocol.name == "embargo" and h.protocol.gap for h in histories.values()):
        return _FollowTrainer(histories)
    return _ChoiceTrainer({
        name: class_examples(history, None if rows is None else rows[name][-TRAIN_WINDOW:].tolist())
        for name, history in histories.items()
    })  # fmt: skip


def train_for(histories: Mapping[str, ClassHistory], target: Target) -> Ranker:
    """A ranker for one moment: trained on the rows of all classes that a target there may see."""
    rows = {name: visible(history, target) for name, history in histories.items()}
    return trainer_for(histories, rows).train(rows)


def ranker_to_json(ranker: Ranker) -> dict[str, Any]:
    """A trained ranker as plain numbers."""
    if isinstance(ranker, FollowRanker):
        return {"kind": "follow", "weights": None if ranker.weights is None else list(ranker.weights)}
    if isinstance(ranker, ChoiceRanker) and ranker.model is not None:
        return {"kind": "logistic", **ranker.model.to_json()}
    return {"kind": "logistic", "weights": None}


def ranker_from_json(content: Mapping[str, Any]) -> Ranker:
    """The ranker of :func:`ranker_to_json`.

    Raises
    ------
    KeyError, TypeError, ValueError
        If that is not what it is.
    """
    follow, weights = content["kind"] == "follow", content["weights"]
    if weights is None:
        return FollowRanker(None) if follow else ChoiceRanker(None)
    shape = (2,) if follow else (len(FEATURES),)
    names = ("weights",) if follow else ("weights", "centre", "scale")
    arrays = [np.array(content[name], dtype=np.float64) for name in names]
    if any(array.shape != shape or not np.isfinite(array).all() for array in arrays):
        raise ValueError("the model has another shape")
    if follow:
        return FollowRanker((float(arrays[0][0]), float(arrays[0][1])))
    return ChoiceRanker(ChoiceModel(arrays[0], arrays[1], arrays[2], int(content["events"])))


def _joined(parts: list[Examples]) -> Examples:
    offsets = np.concatenate([[0], np.cumsum([len(part.x) for part in parts])]).astype(np.int64)
    start = [part.start[:-1] + offset for part, offset in zip(parts, offsets, strict=False)]
    chosen = [part.chosen + offset for part, offset in zip(parts, offsets, strict=False)]
    return Examples(
        np.concatenate([part.x for part in parts]),
        np.concatenate([*start, offsets[-1:]]),
        np.concatenate(chosen),
    )

"""The model as a ranker, trained only on what a protocol lets a recommendation see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from femtobarn.rank.features import FEATURES, features, shortlist
from femtobarn.rank.history import ClassHistory, Past, Target
from femtobarn.rank.model import RIDGE, ChoiceModel, Examples, fit_choice
from femtobarn.rank.rankers import latest

__all__ = ["ChoiceRanker", "ClassExamples", "Trainer", "class_examples", "train_for", "visible"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Older certifications than this many in a class are habits of other people: they are not trained on.
TRAIN_WINDOW: Final = 2500
#: Fewer certifications than this teach nothing; the ranker then is ``latest``.
LEAST_EVENTS: Final = 100


@dataclass(frozen=True)
class ChoiceRanker:
    """Orders the candidates of any moment; without a model it is ``latest``."""

    model: ChoiceModel | None

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


class Trainer:
    """Fits one model after the other; each starts from the weights of the one before."""

    def __init__(self, gap: int = 0) -> None:
        self._weights: Floats | None = None
        self._ridge = ridge(gap)

    def train(self, tables: Mapping[str, ClassExamples], rows: Mapping[str, Ints]) -> ChoiceRanker:
        """Train on some rows of every class together.

        Classes share the weights: what distinguishes a habit is not the kind of data, and heavy ions
        alone would never have enough certifications.
        """
        recent = {name: chosen[-TRAIN_WINDOW:] for name, chosen in rows.items()}
        parts = [tables[name].examples.select(recent[name]) for name in tables if len(recent[name])]
        if sum(len(part.chosen) for part in parts) < LEAST_EVENTS:
            return ChoiceRanker(None)
        model = fit_choice(_joined(parts), start=self._weights, ridge=self._ridge)
        self._weights = model.weights
        return ChoiceRanker(model)


def ridge(gap: int) -> Floats:
    """How hard each weight is pulled to zero.

    Behind an embargo little more is known than the order of last use, and every other habit misleads more
    than it helps: there the model may leave that order only with good reason.
    """
    if not gap:
        return np.full(len(FEATURES), RIDGE)
    free = np.array([name.startswith("any_rank") and "*" not in name for name in FEATURES])
    return np.where(free, 1.0, 2.5 * RIDGE)


def train_for(histories: Mapping[str, ClassHistory], target: Target, gap: int = 0) -> ChoiceRanker:
    """A ranker for one moment: trained on the rows of all classes that a target there may see."""
    rows = {name: visible(history, target)[-TRAIN_WINDOW:] for name, history in histories.items()}
    tables = {name: class_examples(history, rows[name].tolist()) for name, history in histories.items()}
    return Trainer(gap).train(tables, rows)


def _joined(parts: list[Examples]) -> Examples:
    offsets = np.concatenate([[0], np.cumsum([len(part.x) for part in parts])]).astype(np.int64)
    start = [part.start[:-1] + offset for part, offset in zip(parts, offsets, strict=False)]
    chosen = [part.chosen + offset for part, offset in zip(parts, offsets, strict=False)]
    return Examples(
        np.concatenate([part.x for part in parts]),
        np.concatenate([*start, offsets[-1:]]),
        np.concatenate(chosen),
    )


def describe(model: ChoiceModel | None) -> dict[str, Any]:
    """The weights by name, heaviest first, for a reader who wants to know what it learned."""
    if model is None:
        return {}
    heaviest = np.argsort(-np.abs(model.weights))
    return {FEATURES[i]: float(model.weights[i]) for i in heaviest}

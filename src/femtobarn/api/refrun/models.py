"""Trained models for suggestions, kept in memory and in the cache so that asking again is quick."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Final

from femtobarn.errors import StoreError
from femtobarn.folders import cache_root
from femtobarn.rank.features import FEATURES
from femtobarn.rank.history import Events, Target, class_histories
from femtobarn.rank.learned import Ranker, ranker_from_json, ranker_to_json, train_for
from femtobarn.rank.questions import Question, Records
from femtobarn.run.files import read_json, write_json

__all__ = ["model_for"]

log: Final = logging.getLogger("femtobarn.api")

#: Runs in one block of this size share a model, trained on what the first of them may see.
_BLOCK: Final = 500
_made: dict[str, Ranker] = {}


def model_for(question: Question, records: Records) -> Ranker:
    """A ranker trained on nothing that the protocol would hide from the run."""
    events = Events.from_pairs(records.pairs)
    known = [pair.order for pair in records.pairs if pair.key.run == question.run]
    order = min(known, default=int(events.order.max(initial=-1)) + 1)
    target = Target(question.run - question.run % _BLOCK, 0, order - order % _BLOCK)
    facts = repr([
        question.protocol.name, question.protocol.gap, target.run, target.order, FEATURES,
        [column.tobytes() for column in (events.run, events.reco, events.reference, events.order)],
    ])  # fmt: skip
    key = hashlib.sha256(facts.encode()).hexdigest()
    if key not in _made:
        path = cache_root() / "refrun" / f"{key[:32]}.json"
        found = _load(path)
        if found is None:
            found = train_for(dict(class_histories(events, question.protocol)), target)
            _save(path, found)
        _made[key] = found
    return _made[key]


def _load(path: Path) -> Ranker | None:
    try:
        return ranker_from_json(dict(read_json(path)))
    except (StoreError, KeyError, TypeError, ValueError) as error:
        if path.exists():
            log.warning("stored model %s cannot be used (%s); it will be trained again", path, error)
        return None


def _save(path: Path, ranker: Ranker) -> None:
    try:
        write_json(path, ranker_to_json(ranker))
    except StoreError as error:
        log.warning("the model is not kept: %s", error)

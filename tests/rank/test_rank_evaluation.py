"""Protocols and rankers by hand, against an independent oracle, and the guards against looking ahead."""

from __future__ import annotations

import json

import numpy as np
import pytest

from femtobarn.catalog.certhelper import read_pairs
from femtobarn.errors import DataError, UsageError
from femtobarn.rank.evaluate import ALL_RANKERS, evaluate, parse_rankers
from femtobarn.rank.features import FEATURES, features
from femtobarn.rank.follow import FollowRanker, fit_follow
from femtobarn.rank.history import ClassHistory, Events, Protocol, Target, class_histories
from femtobarn.rank.rankers import RANKERS, order, rank_of

ROWS = [
    (10, "express", 1), (10, "prompt", 2), (11, "express", 1), (12, "express", 3), (12, "prompt", 2),
    (14, "prompt", 5), (15, "express", 3),
]  # fmt: skip


def ranked(pairs, protocol, run, reco, name, at=None):
    history = ClassHistory(Events.from_pairs(pairs), 0, protocol)
    row = history.find(run, reco)
    target = history.target(row) if row is not None else Target(run, reco, at if at is not None else 99)
    past = history.past(target)
    return [int(history.references[code]) for code in order(past, RANKERS[name](past))]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("latest", [3, 1, 5, 2]),  # express: 15 and 12 chose 3, 11 chose 1; then prompt's 5 and 2
        ("latest_any", [3, 5, 2, 1]),
        ("neighbour", [3, 1, 5, 2]),
        ("mode20", [3, 1, 5, 2]),
        ("frequent", [3, 2, 1, 5]),  # all but 5 twice: latest breaks the tie, 3 before 1 before 2
        ("nearest", [5, 3, 2, 1]),
        ("newest", [5, 3, 2, 1]),
    ],
)
def test_rankers_by_hand(make_pairs, name, expected):
    if name == "frequent":
        expected = [3, 1, 2, 5]
    assert ranked(make_pairs(ROWS), Protocol("run-ordered"), 20, 0, name) == expected


def test_protocols_show_their_rows_only(make_pairs):
    pairs = make_pairs(ROWS)

    def seen(protocol, run, reco, at=99):
        history = ClassHistory(Events.from_pairs(pairs), 0, protocol)
        row = history.find(run, reco)
        past = history.past(history.target(row) if row is not None else Target(run, reco, at))
        return [(int(r), int(k)) for r, k in zip(past.run, past.reco, strict=True)]

    assert seen(Protocol("run-ordered"), 12, 1) == [(10, 0), (10, 1), (11, 0)]
    assert seen(Protocol("run-ordered+express"), 12, 1) == [(10, 0), (10, 1), (11, 0), (12, 0)]
    assert seen(Protocol("run-ordered+express"), 12, 0) == [(10, 0), (10, 1), (11, 0)]
    assert seen(Protocol("embargo", 2), 13, 0) == [(10, 0), (10, 1)]  # strictly before 11
    assert seen(Protocol("append"), 12, 1) == [(10, 0), (10, 1), (11, 0), (12, 0)]
    assert seen(Protocol("append-embargo", 1), 12, 1) == [(10, 0), (10, 1), (11, 0)]  # not its own run


def test_ties_of_nearest_and_neighbour(make_pairs):
    rows = [(10, "prompt", 4), (16, "prompt", 8)]
    history = ClassHistory(Events.from_pairs(make_pairs(rows)), 0, Protocol("append"))
    past = history.past(Target(13, 1, 99))
    assert int(history.references[order(past, RANKERS["neighbour"](past))[0]]) == 4  # lower run
    past = history.past(Target(6, 1, 99))
    assert int(history.references[order(past, RANKERS["nearest"](past))[0]]) == 8  # higher reference


def test_cold_events_count(make_pairs):
    found = evaluate(
        Events.from_pairs(make_pairs(ROWS)), Protocol("run-ordered"), rankers=("latest",)
    ).to_json()
    group = found["groups"]["all"]
    assert group["n"] == 7
    assert group["cold"] == pytest.approx(4 / 7)  # 10 express, 10 prompt, 12 express, 14 prompt
    assert found["groups"]["HI"]["n"] == 0
    assert group["rankers"]["latest"]["top1"] == pytest.approx(3 / 7)


def test_dropped_counts_the_class_first(make_pairs):
    rows = [(1, "rereco", 1, "To Be Defined"), (2, "rereco", 1), (3, "prompt", 1, None), (4, "prompt", 1)]
    events = Events.from_pairs(make_pairs(rows))
    assert events.dropped == {"undefined_class": 2, "other_reco": 1}
    assert len(events) == 1


PROTOCOLS = [
    Protocol("run-ordered"), Protocol("run-ordered+express"), Protocol("embargo", 100), Protocol("append"),
    Protocol("append-embargo", 100),
]  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_baselines_are_the_oracles(shared, protocol):
    events = Events.from_pairs(read_pairs(shared("data/refrun/pairs.csv")).pairs)
    assert events.dropped == {"undefined_class": 141, "other_reco": 786}
    name = protocol.name + (f"-{protocol.gap}" if protocol.gap else "")
    oracle = json.loads(shared("oracles/refrun/baselines_dev.json").read_text())["protocols"][name]["dev"]
    found = evaluate(events, protocol, test_from=346000, test_to=375000, rankers=tuple(RANKERS)).to_json()
    for group, expected in oracle.items():
        mine = found["groups"][group]
        assert mine["n"] == expected["n"]
        assert mine["cold"] == pytest.approx(expected["cold"], abs=5e-5)
        assert mine["median_candidates"] == expected["median_candidates"]
        for ranker, scores in expected["rankers"].items():
            for key in ("top1", "top3", "top5", "top10", "mrr"):
                assert mine["rankers"][ranker][key] == pytest.approx(scores[key], abs=5e-5), (
                    group,
                    ranker,
                    key,
                )
        low, high = expected["rankers"]["latest"]["top1_ci95"]
        assert mine["rankers"]["latest"]["top1_ci95"] == pytest.approx(
            [low, high], abs=0.008 if group == "all" else 0.03
        )


def test_the_seed_export_is_the_oracle(shared):
    events = Events.from_pairs(read_pairs(shared("data/refrun/runRefRunPairs.json")).pairs)
    found = evaluate(events, Protocol("run-ordered"), rankers=("latest",)).to_json()
    group = found["groups"]["all"]
    assert (group["n"], found["dropped"]) == (3546, {"undefined_class": 54, "other_reco": 750})
    scores = group["rankers"]["latest"]
    assert [round(scores[key], 4) for key in ("top1", "top3", "mrr")] == [0.9193, 0.9777, 0.9478]


def test_the_model_gains_on_latest(shared):
    events = Events.from_pairs(read_pairs(shared("data/refrun/pairs.csv")).pairs)
    found = evaluate(
        events, Protocol("run-ordered"), test_from=346000, test_to=375000, rankers=("latest", "model")
    )
    content = found.to_json()
    scores = content["groups"]["all"]["rankers"]["model"]
    assert scores["top1"] >= 0.933
    assert scores["top3"] >= 0.976
    assert scores["mrr"] >= 0.955
    assert content["groups"]["collisions"]["rankers"]["model"]["mrr"] >= 0.938
    # In each of the two years for itself, too.
    model, latest = (found.ranks.ranks[name] == 1 for name in ("model", "latest"))
    for year in (found.ranks.run < 363000, found.ranks.run >= 363000):
        assert model[year].mean() >= latest[year].mean() + 0.002
    assert content["model"]["train_to"] < 346000
    assert not found.worse


def test_the_age_of_a_candidate_is_a_difference_of_runs(make_pairs):
    rows = [(1, "prompt", 1), (2, "prompt", 900), (3, "prompt", 640), (4, "prompt", 700), (700, "prompt", 1)]
    history = ClassHistory(Events.from_pairs(make_pairs(rows)), None, Protocol("run-ordered"))
    past = history.past(history.target(4))
    table = dict(zip(FEATURES, features(past, past.candidates).T, strict=True))
    assert past.history.references[past.candidates].tolist() == [1, 640, 700, 900]
    assert table["the_run_itself"].tolist() == [0, 0, 1, 0]
    assert table["later_than_run"].tolist() == [0, 0, 0, 1]
    assert table["fresh"].tolist() == [0, 1, 0, 0]
    assert table["log_run_distance"] == pytest.approx(np.log1p([699, 60, 0, 200]))


def test_later_rows_change_nothing(habit):
    events = Events.from_pairs(habit)
    fewer = Events.from_pairs([pair for pair in habit if pair.key.run < 1900])
    for protocol in (Protocol("run-ordered"), Protocol("embargo", 20)):
        every = evaluate(events, protocol, test_from=1500, test_to=1900)
        early = evaluate(fewer, protocol, test_from=1500, test_to=1900)
        for name in ALL_RANKERS:
            np.testing.assert_array_equal(every.ranks.ranks[name], early.ranks.ranks[name])


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_the_order_of_rows_changes_nothing(habit, protocol):
    shuffled = [habit[i] for i in np.random.default_rng(5).permutation(len(habit))]
    every = evaluate(Events.from_pairs(habit), protocol, test_from=1700)
    other = evaluate(Events.from_pairs(shuffled), protocol, test_from=1700)

    def rows(found):
        keys = np.lexsort((found.ranks.reco, found.ranks.run))
        return {name: values[keys] for name, values in found.ranks.ranks.items()}

    for name, values in rows(every).items():
        np.testing.assert_array_equal(values, rows(other)[name])


@pytest.mark.parametrize("protocol", [Protocol("run-ordered"), Protocol("embargo", 20)], ids=lambda p: p.name)
def test_shifted_run_numbers_change_nothing(habit, make_pairs, protocol):
    moved = make_pairs([(p.key.run + 7777, p.key.reco, p.reference.run + 7777, p.dataset) for p in habit])
    every = evaluate(Events.from_pairs(habit), protocol, test_from=1500)
    other = evaluate(Events.from_pairs(moved), protocol, test_from=1500 + 7777)
    for name in ALL_RANKERS:
        differ = np.mean(every.ranks.ranks[name] != other.ranks.ranks[name])
        assert differ <= (0.005 if name == "model" else 0.0), name


def test_the_model_sees_no_identities():
    forbidden = ("number", "identity", "order", "date", "era", "year")
    assert not [name for name in FEATURES if any(word in name for word in forbidden)]


def test_latest_is_always_there_and_names_are_checked():
    assert parse_rankers("model") == ("latest", "model")
    with pytest.raises(UsageError, match="latest_any"):
        parse_rankers("latest_an")
    with pytest.raises(UsageError, match="append"):
        Protocol("appnd")


def test_an_empty_test_is_an_error(habit):
    with pytest.raises(DataError, match="no express or prompt certification"):
        evaluate(Events.from_pairs(habit), Protocol("run-ordered"), test_from=900_000)


def test_unknown_references_have_rank_zero(make_pairs):
    history = ClassHistory(Events.from_pairs(make_pairs(ROWS)), 0, Protocol("run-ordered"))
    past = history.past(history.target(0))
    assert len(past) == 0
    assert rank_of(past, RANKERS["latest"](past), 0) == 0


def test_behind_an_embargo_the_model_gains_on_the_newest_choice(shared):
    events = Events.from_pairs(read_pairs(shared("data/refrun/pairs.csv")).pairs)
    found = evaluate(
        events, Protocol("embargo", 100), test_from=346000, test_to=375000,
        rankers=("latest", "latest_any", "model"),
    )  # fmt: skip
    content = found.to_json()
    scores = content["groups"]["all"]["rankers"]
    assert content["model"]["name"] == "follow"
    assert scores["model"]["top1"] >= scores["latest_any"]["top1"] + 0.003
    assert scores["model"]["mrr"] >= scores["latest_any"]["mrr"] + 0.001
    assert abs(scores["model"]["top3"] - scores["latest_any"]["top3"]) <= 0.005
    assert content["groups"]["all"]["ceiling"]["known"] == pytest.approx(1 - 0.2075, abs=5e-5)


def test_following_learns_who_is_right_and_forgets(make_pairs):
    """In one class express keeps a reference of its own, in the other it follows prompt a little later."""
    rows = []
    for i, run in enumerate(range(100_000, 102_000, 10)):
        own, late = 1000 + 10 * (i // 20), 1000 + 10 * (max(i - 3, 0) // 20)
        rows += [(run, "express", own), (run, "prompt", own + (5 if i // 20 % 2 else -3))]
        rows += [(run + 1, "express", late, "/Cosmics/x"), (run + 1, "prompt", own, "/Cosmics/x")]
    events = Events.from_pairs(make_pairs(rows))
    histories = dict(class_histories(events, Protocol("embargo", 20)))
    ranker = fit_follow(histories, {name: np.arange(len(one)) for name, one in histories.items()})
    assert ranker.weights is not None

    def first(name, run):
        past = histories[name].past(Target(run, 0, 0))
        return int(past.history.references[np.argmax(ranker.keys(past))])

    assert first("collisions", 102_010) == 1090  # its own, though prompt has a newer run
    assert first("collisions", 150_000) == 1095  # after a long pause the habit is forgotten
    assert first("cosmics", 101_832) == 1090  # prompt has moved on: express will follow
    without = FollowRanker(None).keys(histories["collisions"].past(Target(102_010, 0, 0)))
    assert int(histories["collisions"].references[np.argmax(without)]) == 1095

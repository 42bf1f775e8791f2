"""Suggestions: distance, rules with reasons, explanations, alerts; against independent cases."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from femtobarn.catalog.certhelper import read_pairs
from femtobarn.catalog.golden import read_golden_json
from femtobarn.catalog.quantity import Quantity, absent
from femtobarn.catalog.runtable import RunTable, read_runs
from femtobarn.errors import UsageError
from femtobarn.kernels.lumimask import LumiMask
from femtobarn.rank.history import Protocol
from femtobarn.rank.physics import distance, run_features
from femtobarn.rank.questions import Question, Records
from femtobarn.rank.rules import Certification, Rules
from femtobarn.rank.suggest import suggest

NAMES = ("duration", "colliding_bunches", "init_lumi", "end_lumi", "pileup", "stable_ls")


def features(**values):
    return {name: Quantity(values[name]) if name in values else absent() for name in NAMES}


def test_distance_is_the_mean_over_the_targets_features():
    target = features(duration=100.0, init_lumi=1.0, pileup=30.0, stable_ls=10)
    found = distance(target, features(duration=200.0, init_lumi=1.0, pileup=15.0, end_lumi=9.0))
    assert found.value == pytest.approx(3 * math.log(2) / 4)  # two ratios of 2, one of 1, one imputed
    assert found.features["stable_ls"].imputed
    assert "end_lumi" not in found.features


def test_too_little_is_no_distance():
    two = features(duration=100.0, pileup=30.0)
    assert distance(two, two).value is None
    four = features(duration=100.0, init_lumi=1.0, pileup=30.0, stable_ls=10)
    assert distance(four, features(duration=1.0)).value is None
    assert distance(four, features(duration=1.0, pileup=3.0)).value is not None  # exactly half
    assert distance(four, four).value == 0


def test_values_that_have_no_logarithm_are_missing():
    run = RunTable({5: {"duration": 0.0, "fill_n_colliding": -3, "fill_peak_pileup": 500.0}}, "t").get(5)
    found = run_features(run)
    assert found["duration"].missing_reason == "non_positive"
    assert found["colliding_bunches"].missing_reason == "rejected"
    assert found["pileup"].missing_reason == "rejected"
    assert found["stable_ls"].missing_reason == "absent"


@pytest.fixture(scope="module")
def real(shared):
    return Records(
        read_pairs(shared("data/refrun/pairs.csv")).pairs, read_runs(shared("data/refrun/runs.csv"))
    )


def ask(run, reco="express", **more):
    more.setdefault("protocol", Protocol("run-ordered"))
    rules = more.pop("rules", Rules(earlier_only=reco == "express"))
    return Question(run, reco, rules=rules, top=500, **more)


def test_real_cases(real, shared):
    cases = json.loads(shared("oracles/refrun/suggest_dev.json").read_text())["cases"]
    assert len(cases) == 13
    for case in cases:
        found = suggest(ask(case["run"], case["reco"], run_class=case["klass"]), real)
        assert found.closed_list_size == case["closed_list"]
        by_history = sorted((c for c in found.candidates if c.history_rank), key=lambda c: c.history_rank)
        assert [c.reference for c in by_history[:5]] == case["latest_order_first5"]
        codes = {}
        for number, reasons in found.excluded:
            for reason in reasons:
                codes.setdefault(reason.code, []).append(number)
        assert codes == {code: numbers for code, numbers in case["excluded"].items() if numbers}
        best = next((c.reference for c in found.candidates if c.physics_rank == 1), None)
        assert best == case["physics_best"]
        assert sum(c.physics_rank is not None for c in found.candidates) <= case["physics_scored"]
        for name, value in case["target_features"].items():
            assert found.features[name].number == (value if value is None else pytest.approx(value))
        for c in found.candidates:
            expected = case["physics"].get(str(c.reference), {"distance": c.physics.value})["distance"]
            assert c.physics.value == (None if expected is None else pytest.approx(expected, abs=1e-6))


def test_the_acceptance_run(real, shared):
    found = suggest(ask(320888, run_class="collisions", why_not=(321067, 317464, 300000)), real)
    assert [c.reference for c in found.candidates[:5]] == [317435, 317434, 316505, 318953, 317464]
    assert found.candidates[0].physics.value == pytest.approx(0.901119, abs=1e-6)
    assert found.candidates[1].physics.value == pytest.approx(0.241524, abs=1e-6)
    assert found.candidates[0].history_reasons[0] == "used by the last 27 express certifications"
    answers = {w.run: w.answer for w in found.why_not}
    assert "LATER_THAN_RUN" in answers[321067]
    assert "rank 5" in answers[317464]
    assert "NOT_PROMOTED" in answers[300000]
    golden = Certification("golden.json", read_golden_json(shared("data/refrun/golden_2018.json")))
    strict = suggest(ask(320888, run_class="collisions", rules=Rules(golden=golden)), real)
    codes = {number: [r.code for r in reasons] for number, reasons in strict.excluded}
    assert codes[317434] == ["NOT_GOLDEN"]
    assert 317435 not in codes
    flags = {c.reference: c.flags for c in strict.candidates}
    assert "GOLDEN_UNKNOWN" in flags[313130]  # before the file's first run: flagged, not excluded


def test_the_model_orders_suggestions_as_the_evaluation_does(habit):
    from femtobarn.rank.history import Events, Target, class_histories
    from femtobarn.rank.learned import train_for

    records = Records(habit, RunTable({}, "none"))
    protocol = Protocol("run-ordered")
    run = 2000 if records.class_of(2000) else 2002
    ranker = train_for(dict(class_histories(Events.from_pairs(habit), protocol)), Target(run, 0, 0))
    assert ranker.model is not None
    found = suggest(ask(run, "prompt", history="model"), records, ranker)
    scores = [c.history_score for c in found.candidates]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1.0)


@pytest.fixture
def small(make_pairs):
    table = {
        n: {
            "fill_b_field": 3.8,
            "n_stable_ls": 100 * (n % 7),
            "components": ("TRACKER", "PIXEL"),
            "duration": 50.0,
        }
        for n in range(1, 30)
    }
    table[3] |= {"fill_b_field": 0.0, "components": ("PIXEL",)}
    pairs = make_pairs(
        [
            (10, "prompt", 2),
            (11, "prompt", 3),
            (12, "prompt", 4),
            (13, "prompt", 13),
            (20, "prompt", 4),
            (14, "prompt", 9, "/Cosmics/x"),
        ]
    )
    return Records(pairs, RunTable(table, "t"))


def codes_of(found):
    return {number: {r.code for r in reasons} for number, reasons in found.excluded}


@pytest.mark.parametrize(
    ("rules", "number", "code"),
    [
        ({"blocklist": frozenset({4})}, 4, "BLOCKLISTED"),
        ({"retired": frozenset({4})}, 4, "RETIRED"),
        ({"components": ("TRACKER",)}, 3, "COMPONENT_OUT"),
        ({"min_ls": 350}, 2, "TOO_SHORT"),
        ({"match": frozenset({"field"})}, 3, "FIELD_MISMATCH"),
        ({"golden": Certification("g", LumiMask(*(np.array([1, 3, 20]),) * 3))}, 4, "NOT_GOLDEN"),
        ({"tracker_good": Certification("g", LumiMask(*(np.array([1, 3, 20]),) * 3))}, 4, "TRACKER_NOT_GOOD"),
    ],
)
def test_each_rule_says_why(small, rules, number, code):
    found = suggest(ask(20, "prompt", rules=Rules(earlier_only=False, **rules)), small)
    assert code in codes_of(found)[number]
    assert number not in [c.reference for c in found.candidates]


def test_self_and_later(small, make_pairs):
    pairs = make_pairs([(10, "prompt", 12), (11, "prompt", 25), (12, "prompt", 12)])
    records = Records(pairs, small.runs)
    found = suggest(ask(12, "prompt"), records)
    assert codes_of(found) == {12: {"SELF"}}
    assert found.candidates[0].flags == ("LATER_THAN_RUN",)
    strict = suggest(ask(12, "prompt", rules=Rules(earlier_only=True)), records)
    assert codes_of(strict) == {12: {"SELF"}, 25: {"LATER_THAN_RUN"}}
    assert strict.candidates == ()
    assert "excluded" in strict.warnings[-1]


def test_class_does_not_cross_unless_told(small):
    assert 9 not in [c.reference for c in suggest(ask(20, "prompt"), small).candidates]
    found = suggest(ask(20, "prompt", rules=Rules(earlier_only=False, any_class=True)), small)
    assert 9 in [c.reference for c in found.candidates]


def test_the_target_is_never_its_own_best(small):
    found = suggest(ask(20, "prompt", open_list=True, order="physics"), small)
    assert 20 not in [c.reference for c in found.candidates]
    assert {c.reference for c in found.candidates} >= {2, 3, 4, 10, 11}


def test_an_unknown_run_needs_a_class(small):
    with pytest.raises(UsageError, match="--class"):
        suggest(ask(99, "prompt"), small)
    assert suggest(ask(99, "prompt", run_class="collisions"), small).class_source == "option"


def test_without_dataset_the_menu_decides(small):
    runs = RunTable(
        {40: {"hlt_key": "/cdaq/physics/x", "n_stable_ls": 9}, 41: {"hlt_key": "/cdaq/physics/x"}}, "t"
    )
    records = Records(small.pairs, runs)
    assert suggest(ask(40, "prompt"), records).run_class == "collisions"
    assert suggest(ask(41, "prompt"), records).run_class == "cosmics"
    assert suggest(ask(41, "prompt"), records).class_source == "hlt_key"


def test_rereco_falls_to_prompt(small):
    found = suggest(ask(20, "rereco"), small)
    assert {c.reco for c in found.candidates} == {"prompt"}
    assert "prompt certification" in found.candidates[0].history_reasons[0]


def test_who_writes_a_list_by_hand_knows_the_class(small):
    found = suggest(ask(20, "prompt", references=(4, 14, 28)), small)
    assert {c.reference: c.flags for c in found.candidates} == {
        4: (),
        28: ("LATER_THAN_RUN", "CLASS_UNKNOWN"),
    }
    assert codes_of(found) == {14: {"WRONG_CLASS"}}


def test_every_attribute_says_why_it_is_missing(small):
    fills = {
        4: {"fill_number": 7, "fill_injection_scheme": "a"},
        20: {"fill_number": 10, "fill_injection_scheme": "b", "duration": 5.0},
    }
    runs = RunTable(fills, "t")
    found = suggest(ask(20, "prompt"), Records(small.pairs, runs)).to_json()
    known = found["target"]["attributes"]
    assert known["duration"] == {"value": 5.0, "unit": "s", "source": "t: duration", "missing_reason": None}
    assert known["components"]["missing_reason"] == "absent"
    assert known["apv_mode"]["missing_reason"] == "not_applicable"
    near = {c["reference"]: (c["fill_distance"], c["same_scheme"]) for c in found["candidates"]}
    assert near == {4: (3, False)} | dict.fromkeys((2, 3, 13), (None, None))


def test_alerts(make_pairs):
    rows = [(run, reco, 5 if run < 60 else 50) for run in range(20, 80) for reco in ("prompt",)]
    rows += [(run, "express", 5) for run in range(20, 80)]
    table = {run: {"fill_peak_pileup": 40.0, "duration": 100.0, "init_lumi": 1.0} for run in range(20, 90)}
    table[5] = {"fill_peak_pileup": 10.0, "duration": 100.0, "init_lumi": 1.0}
    found = suggest(
        ask(81, "express", run_class="collisions"), Records(make_pairs(rows), RunTable(table, "t"))
    )
    codes = {alert.code: alert.detail for alert in found.alerts}
    assert set(codes) == {"OTHER_RECO_MOVED", "NEWER_REFERENCE", "CONDITIONS_CHANGED"}
    assert "pileup 4 times" in codes["CONDITIONS_CHANGED"]
    assert "50" in codes["OTHER_RECO_MOVED"]

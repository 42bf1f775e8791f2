"""Figures of fit results take the plain dictionaries of fit.json, with whatever is null in them."""

from __future__ import annotations

import numpy as np
import pytest

from femtobarn.plot import Label, correlations, limit, pre_post_fit, pulls, ranking, scan
from femtobarn.run.files import strict

LABEL = Label("CMS Open Data", 13, 2.26)


def parameter(**changes):
    base = {
        "value": 0.5, "hesse": 0.8, "profile_up": None, "profile_down": None, "init": 0.0, "bounds": [-5, 5],
        "fixed": False, "constrained": True, "pull": 0.5,
    }  # fmt: skip
    return {**base, **changes}


MLE = {
    "labels": ["mu", "jes", "lumi", "off"],
    "parameters": {
        "mu": parameter(value=1.2, init=1.0, constrained=False, pull=None),
        "jes": parameter(),
        "lumi": parameter(value=1.03, init=1.0, hesse=0.018, pull=1.5),
        "off": parameter(fixed=True, hesse=None, pull=0.0),
    },
    "correlation": [[1, -0.6, 0.1, 0], [-0.6, 1, 0.2, 0], [0.1, 0.2, 1, 0], [0, 0, 0, 0]],
}


def test_pulls_know_the_prior_width():
    rows = pulls(MLE, name="p", label=LABEL).numbers["pulls"]
    assert [row["parameter"] for row in rows] == ["jes", "lumi"]
    assert rows[0] == {"parameter": "jes", "pull": 0.5, "constraint": 0.8}
    # (1.03 - 1) / 0.02 = 1.5, so the prior is 2 % wide and 1.8 % after the fit is 0.9 of it.
    assert rows[1]["constraint"] == pytest.approx(0.9)


def test_too_many_pulls_keep_the_surprising_ones():
    many = {f"p{i}": parameter(pull=0.01 * i, value=0.01 * i, hesse=1.0) for i in range(70)}
    drawing = pulls({"labels": list(many), "parameters": many}, name="p", label=LABEL)
    kept = {row["parameter"] for row in drawing.numbers["pulls"]}
    assert len(kept) == 25
    assert "p69" in kept
    assert "p0" not in kept
    assert "45 closest to their prior are left out" in drawing.caption


def test_ranking_sorts_by_impact_after_the_fit():
    def row(name, size, **changes):
        sides = {
            f"impact_{s}_{w}": size if s == "up" else -size
            for s in ("up", "down")
            for w in ("prefit", "postfit")
        }
        return {"parameter": name, "pull": 0.1, "constraint": 0.9, **sides, **changes}

    rows = [
        row("small", 0.1),
        row("large", 0.3),
        row("unknown", 0.2, impact_up_postfit=None, constraint=None),
    ]
    drawing = ranking(rows, name="r", label=LABEL, poi="mu")
    assert [one["parameter"] for one in drawing.numbers["ranking"]] == ["large", "unknown", "small"]
    impact, pull = drawing.figure.axes
    assert impact.get_ylim() == pull.get_ylim()
    assert drawing.render("png")


def test_correlations_leave_out_what_was_fixed():
    drawing = correlations(MLE, name="c", label=LABEL)
    assert drawing.numbers["labels"] == ["mu", "jes", "lumi"]
    assert drawing.numbers["correlation"][0].tolist() == [1, -0.6, 0.1]
    assert drawing.caption == "The 3 of 4 most correlated parameters. Strongest: mu and jes, -0.60."


def test_scan_is_sorted_and_survives_nulls():
    drawing = scan(
        {"parameter": "mu", "points": [[1.0, 0.0], [0.5, 1.2], [2.0, None]]}, name="s", label=LABEL
    )
    found = strict(drawing.numbers)
    assert found["points"] == [[0.5, 1.2], [1.0, 0.0]]
    assert "lowest at mu = 1" in drawing.caption
    assert scan({"parameter": "mu", "points": []}, name="s", label=LABEL).render("png")


def test_limit_says_where_it_is():
    tests = [
        {"mu": m, "cls": np.exp(-m), "cls_expected": [np.exp(-m * k) for k in (4, 3, 2, 1.5, 1)]}
        for m in (2.0, 1.0)
    ]
    drawing = limit(tests, {"cl": 0.95, "observed": 3.0, "expected": [1, 1, 2, 2, 3]}, name="l", label=LABEL)
    assert drawing.numbers["mu"].tolist() == [1.0, 2.0]
    assert drawing.caption == "Upper limit at 95% confidence: 3."
    assert limit([], None, name="l", label=LABEL).caption == "No crossing."


def table(scale, error):
    samples = {"bkg": [4.0, 6.0], "sig": [1.0, 0.0]}
    out = {"channel": [], "bin": [], "sample": [], "value": [], "error": []}
    for channel in ("SR", "CR"):
        for number in (1, 0):
            values = {name: scale * row[number] for name, row in samples.items()}
            values["total"] = sum(values.values())
            for sample, value in values.items():
                for key, item in zip(
                    out, (channel, number, sample, value, error if sample == "total" else ""), strict=True
                ):
                    out[key].append(item)
    return out


def test_pre_and_post_fit_side_by_side():
    drawing = pre_post_fit(
        table(1.0, 2.0), table(1.2, 0.5), channel="SR", name="f", label=LABEL, data=[6, 7], signal=["sig"]
    )
    found = strict(drawing.numbers)
    assert found["prefit"]["processes"] == {"bkg": [4.0, 6.0], "sig": [1.0, 0.0]}
    assert found["prefit"]["total"] == {"values": [5.0, 6.0], "low": [3.0, 4.0], "high": [7.0, 8.0]}
    assert found["postfit"]["total"]["values"] == pytest.approx([6.0, 7.2])
    left, _, right, _ = drawing.figure.axes
    assert left.get_ylim() == right.get_ylim(), "the two sides are compared by eye"
    assert left.texts[0].get_text() == "SR, pre-fit"

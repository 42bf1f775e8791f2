from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from femtobarn.errors import ConfigError, UsageError
from femtobarn.stats import Model, fit
from femtobarn.stats.histfactory.build import (
    ChannelSpec,
    NormFactorSpec,
    SampleSpec,
    SystematicSpec,
    WorkspaceSpec,
    build_workspace,
)
from femtobarn.stats.histfactory.smoothing import smooth_353qh_twice, smooth_variation
from femtobarn.stats.histfactory.transform import (
    correlate,
    decorrelate,
    prune,
    select_channels,
    smooth,
    uncorrelated,
)


def test_smoothing_cases(shared):
    for case in json.loads(shared("oracles/stats/smoothing.json").read_text())["cases"]:
        assert smooth_353qh_twice(case["in"]) == pytest.approx(case["out"], abs=1e-12)


def test_smoothing_keeps_the_yield_and_leaves_short_histograms(caplog):
    nominal = np.array([10.0, 20.0, 0.0, 40.0, 30.0, 5.0])
    varied = nominal * [1.2, 0.9, 1.0, 1.3, 0.8, 1.1]
    out = smooth_variation(varied, nominal)
    assert out.sum() == pytest.approx(varied.sum())
    assert out[2] == 0.0
    with caplog.at_level(logging.WARNING, logger="femtobarn.stats"):
        assert smooth_353qh_twice([3.0, 1.0]).tolist() == [3.0, 1.0]
    assert "too short" in caplog.text


NOMINAL = (40.0, 60.0, 20.0)


def spec(*systematics, nominal=NOMINAL, variances=(4.0, 6.0, 2.0), **options):
    samples = (
        SampleSpec("sig", (5.0, 9.0, 4.0), (0.1, 0.2, 0.1), normfactors=("mu",)),
        SampleSpec("bkg", nominal, variances, systematics=systematics),
    )
    return WorkspaceSpec((ChannelSpec("SR one", (47.0, 70.0, 25.0), samples),), poi="mu", **options)


def modifiers(built, sample="bkg"):
    found = next(s for s in built.workspace.channels[0].samples if s.name == sample)
    return {(m.kind, m.name): m for m in found.modifiers}


def test_arrays_become_a_model_that_fits():
    built = build_workspace(
        spec(
            SystematicSpec("lumi_n", 0.03, -0.03),
            SystematicSpec("jes", (44.0, 66.0, 22.0), (36.0, 54.0, 18.0)),
            normfactors=(NormFactorSpec("mu", 1.0, (0.0, 5.0)),),
        )
    )
    model = Model(built.workspace)
    result = fit(model)
    assert result.status == "ok"
    assert model.bounds[model.index("mu")] == (0.0, 5.0)
    found = modifiers(built)
    assert found["normsys", "jes"].hi == pytest.approx((1.1,))
    assert found["histosys", "jes"].hi == pytest.approx(NOMINAL)  # a pure norm effect has no shape left
    assert found["staterror", "staterror_SR-one"].sizes == pytest.approx(np.sqrt((4.0, 6.0, 2.0)))


def test_a_one_sided_variation_is_normalised_then_mirrored():
    up = (48.0, 60.0, 24.0)  # +10 % in yield
    found = modifiers(build_workspace(spec(SystematicSpec("x", up, symmetrize="mirror"))))
    assert found["normsys", "x"].hi == pytest.approx((1.1,))
    assert found["normsys", "x"].lo == pytest.approx((0.9,))
    shape = np.array(up) / 1.1
    assert found["histosys", "x"].hi == pytest.approx(shape)
    assert found["histosys", "x"].lo == pytest.approx(2 * np.array(NOMINAL) - shape)


def test_average_and_max_symmetrisation():
    up, down = (44.0, 60.0, 20.0), (38.0, 60.0, 20.0)
    average = modifiers(build_workspace(spec(SystematicSpec("x", up, down, symmetrize="average"))))
    assert average["normsys", "x"].hi == pytest.approx((123.0 / 120.0,))
    assert average["normsys", "x"].lo == pytest.approx((117.0 / 120.0,))
    larger = modifiers(build_workspace(spec(SystematicSpec("x", up, down, symmetrize="max"))))
    assert larger["normsys", "x"].hi == pytest.approx((124.0 / 120.0,))
    assert larger["normsys", "x"].lo == pytest.approx((116.0 / 120.0,))


def test_a_single_bin_has_no_shape():
    samples = (SampleSpec("s", (10.0,), systematics=(SystematicSpec("x", (11.0,), (9.0,)),)),)
    built = build_workspace(WorkspaceSpec((ChannelSpec("c", (9.0,), samples),)))
    assert [m.kind for m in built.workspace.channels[0].samples[0].modifiers] == ["normsys"]


def test_what_deserves_a_look_is_noted():
    built = build_workspace(
        spec(
            SystematicSpec("same", 0.1, 0.2),
            SystematicSpec("large", 0.8, -0.4),
            SystematicSpec("deep", (90.0, 10.0, 0.0), symmetrize="mirror"),
            nominal=(40.0, 60.0, 0.0),
        )
    )
    text = "\n".join(built.notes)
    assert "same: both sides change the yield in the same direction" in text
    assert "large: changes the yield by more than half" in text
    assert "deep: down bins [0] are negative" in text
    assert "nominal bins [2] are empty" in text
    assert fit(Model(built.workspace)).status == "ok"


def test_negative_bins_are_an_error_unless_the_policy_says_zero():
    with pytest.raises(ConfigError, match=r"SR one / bkg: bins \[1\] are negative"):
        build_workspace(spec(nominal=(40.0, -1.0, 20.0)))
    built = build_workspace(spec(nominal=(40.0, -1.0, 20.0), negative="zero"))
    assert built.workspace.channels[0].samples[1].data == (40.0, 0.0, 20.0)
    assert "set to zero" in built.notes[0]


def test_histograms_that_do_not_fit_are_listed_together():
    with pytest.raises(ConfigError) as error:
        build_workspace(
            spec(SystematicSpec("x", (1.0, 2.0), (1.0, 2.0)), SystematicSpec("y", (1.0, 2.0, 3.0)))
        )
    assert "x: the variation has 2 bins, the nominal 3" in str(error.value)
    assert "y: there is no down variation" in str(error.value)


def test_luminosity_parameter():
    samples = (SampleSpec("s", (100.0,), lumi=True, normfactors=("mu",)),)
    built = build_workspace(WorkspaceSpec((ChannelSpec("c", (110.0,), samples),), poi="mu", lumi_error=0.02))
    result = fit(Model(built.workspace))
    assert result.value("mu") == pytest.approx(1.1, rel=1e-6)
    assert result.error("lumi") == pytest.approx(0.02, rel=1e-6)


def two_channels():
    def channel(name, scale):
        samples = (
            SampleSpec("sig", (5.0 * scale, 9.0), normfactors=("mu",)),
            SampleSpec(
                "bkg",
                (40.0, 60.0 * scale),
                (1.0, 1.0),
                systematics=(
                    SystematicSpec("a", 0.1, -0.08),
                    SystematicSpec("b", (44.0, 57.0 * scale), (38.0, 62.0 * scale)),
                    SystematicSpec("tiny", 0.001, -0.001),
                    SystematicSpec("flat", (40.0001, 60.0 * scale), (40.0, 60.0 * scale)),
                ),
            ),
        )
        return ChannelSpec(name, (47.0, 70.0 * scale), samples)

    return build_workspace(WorkspaceSpec((channel("one", 1.0), channel("two", 2.0)), poi="mu")).workspace


def test_pruning_drops_what_changes_nothing_and_says_so():
    pruned, table = prune(two_channels(), 0.005)
    kept = {(m.kind, m.name) for c in pruned.channels for s in c.samples for m in s.modifiers}
    assert ("normsys", "tiny") not in kept
    assert ("histosys", "flat") not in kept
    assert ("normsys", "a") in kept
    assert {(row.parameter, row.kind) for row in table if row.pruned} >= {
        ("tiny", "normsys"),
        ("flat", "histosys"),
    }
    assert len(table) == 2 * 6  # per channel: a, tiny; b and flat as norm and shape
    before, after = fit(Model(two_channels())), fit(Model(pruned))
    assert after.value("mu") == pytest.approx(before.value("mu"), abs=0.02)


def test_channel_selection_forgets_what_is_gone():
    workspace = two_channels()
    alone = Model(select_channels(workspace, ["two"]))
    assert [c.name for c in alone.channels] == ["two"]
    assert "staterror_one[0]" not in alone.names
    with pytest.raises(UsageError, match="no channel 'tow'") as error:
        select_channels(workspace, ["tow"])
    assert error.value.near[0] == "two"


def test_decorrelation_splits_by_channel_or_sample():
    workspace = two_channels()
    names = Model(decorrelate(workspace, "a", "channel")).names
    assert "a_one" in names
    assert "a_two" in names
    assert "a" not in names
    assert "a_bkg" in Model(decorrelate(workspace, "a", "sample")).names
    with pytest.raises(UsageError, match="no parameter 'aa'"):
        decorrelate(workspace, "aa", "channel")
    with pytest.raises(UsageError, match="parameter of interest"):
        decorrelate(workspace, "mu", "channel")


def test_correlated_constraints_change_the_likelihood_as_a_joint_gaussian():
    workspace = two_channels()
    plain, joint = Model(workspace), Model(correlate(workspace, "a", "b", 0.6))
    x = plain.init.copy()
    x[[plain.index("a"), plain.index("b")]] = [0.7, -0.4]
    v = np.array([0.7, -0.4])
    covariance = np.array([[1.0, 0.6], [0.6, 1.0]])
    extra = v @ np.linalg.inv(covariance) @ v - v @ v + np.log(np.linalg.det(covariance))
    assert joint.twice_nll(x) - plain.twice_nll(x) == pytest.approx(extra, rel=1e-10)
    h = 1e-6
    numeric = [(joint.gradient(x + e) - joint.gradient(x - e)) / (2 * h) for e in np.eye(x.size) * h]
    assert np.allclose(joint.hessian(x), numeric, rtol=1e-5, atol=1e-4)


def test_impossible_correlations_are_refused():
    workspace = two_channels()
    with pytest.raises(UsageError, match="between -1 and 1"):
        correlate(workspace, "a", "b", 1.0)
    with pytest.raises(UsageError, match="only single Gaussian"):
        correlate(workspace, "a", "mu", 0.5)
    three = correlate(correlate(correlate(workspace, "a", "b", 0.9), "b", "tiny", 0.9), "a", "tiny", -0.9)
    with pytest.raises(ConfigError, match="positive definite"):
        Model(three)


def test_rotation_to_independent_parameters_gives_the_same_fit():
    workspace = correlate(two_channels(), "a", "b", 0.5)
    rotated, notes = uncorrelated(workspace)
    assert rotated.correlations == ()
    assert notes
    joint, independent = fit(Model(workspace)), fit(Model(rotated))
    assert independent.value("mu") == pytest.approx(joint.value("mu"), abs=0.05 * joint.error("mu"))
    assert independent.error("mu") == pytest.approx(joint.error("mu"), rel=0.05)
    same, none = uncorrelated(two_channels())
    assert same == two_channels()
    assert none == ()


def test_smoothing_a_workspace_keeps_each_yield():
    workspace = build_workspace(
        WorkspaceSpec(
            (
                ChannelSpec(
                    "c",
                    (10.0,) * 6,
                    (
                        SampleSpec(
                            "s",
                            (10.0, 12.0, 11.0, 9.0, 10.0, 8.0),
                            systematics=(
                                SystematicSpec("x", (12.0, 11.0, 13.0, 8.0, 12.0, 7.0), symmetrize="mirror"),
                            ),
                        ),
                    ),
                ),
            )
        )
    ).workspace
    smoothed = smooth(workspace)
    before = next(m for m in workspace.channels[0].samples[0].modifiers if m.kind == "histosys")
    after = next(m for m in smoothed.channels[0].samples[0].modifiers if m.kind == "histosys")
    assert after.hi != before.hi
    assert sum(after.hi) == pytest.approx(sum(before.hi))
    with pytest.raises(UsageError, match="no shape"):
        smooth(workspace, parameters=["y"])

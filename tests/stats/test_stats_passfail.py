from __future__ import annotations

import numpy as np
import pytest

from femtobarn.errors import DataError, UsageError
from femtobarn.stats.minimise import minimise
from femtobarn.stats.passfail.building import PassFailOptions, build_model
from femtobarn.stats.passfail.fit import fit_pass_fail
from femtobarn.stats.passfail.likelihood import Spectra
from femtobarn.stats.passfail.models import BACKGROUNDS, RESONANCES, SIGNALS, Template, background, signal
from femtobarn.stats.passfail.toys import truth
from femtobarn.stats.passfail.verdict import missing_curvature
from femtobarn.stats.shapes.basic import Cells, differences, neighbours, probabilities
from femtobarn.stats.shapes.binned import CrystalTail, Folded, Smeared, Smooth
from femtobarn.stats.shapes.peaks import Voigt

EDGES = np.linspace(60.0, 120.0, 61)
Z = RESONANCES["Z"]


def flat_template() -> Template:
    edges = np.linspace(50.0, 130.0, 81)
    centres = 0.5 * (edges[1:] + edges[:-1])
    return Template(edges, 1e4 * np.exp(-0.5 * ((centres - 91.0) / 2.0) ** 2) + 1.0)


def component(name: str):
    cells = Cells.bins(EDGES)
    if name in BACKGROUNDS:
        return background(name, cells, 0.03)
    return signal(name, cells, Z, peak=90.9, template=flat_template() if name == "tmpl" else None)


@pytest.fixture(scope="module")
def toy() -> Spectra:
    """A bin of 20 000 signal events with efficiency 0.85 and exponential backgrounds, on 50-130 GeV."""
    true = truth("genz_exp", 0.85)
    counts = true.draw(np.random.default_rng(3))
    return Spectra(true.model.spectra.edges, counts, counts)


@pytest.mark.parametrize("name", [*SIGNALS, *BACKGROUNDS])
def test_shapes_are_probabilities_with_right_derivatives(name):
    part = component(name)
    p = np.array([q.start for q in part.parameters])
    p = np.where(p == 0.0, 0.05, p)
    batch, steps = neighbours(p)
    values, gradient = part.shape.bins(batch)
    assert values.sum(axis=1) == pytest.approx(1.0, abs=1e-9)
    assert values.min() >= 0.0
    f = p.size
    want = (values[1 : 1 + f] - values[1 + f :]) / (2 * steps[:, None])
    assert gradient[:, 0] == pytest.approx(want, abs=2e-7 * np.abs(want).max())
    one, slope = part.shape.bins(p)
    assert np.allclose(one, values[0], rtol=1e-12)
    assert np.allclose(slope, gradient[:, 0], rtol=1e-9, atol=1e-12)
    second = differences(gradient @ np.linspace(-1.0, 1.0, 60), steps)
    assert second == pytest.approx(second.T)


def test_folding_a_breit_wigner_is_a_voigt_function():
    cells = Cells.bins(EDGES)
    edges = np.linspace(-400.0, 600.0, 20001)
    steps = np.arctan((edges - 91.0) / 1.25) / np.pi
    folded = Folded.make(cells, edges, np.diff(steps), Smeared())
    got = folded.bins(np.array([0.0, 2.0]))[0]
    assert got == pytest.approx(probabilities(Voigt(), cells, np.array([91.0, 2.0, 2.5]))[0], rel=2e-4)


def test_a_far_tail_is_a_plain_gaussian():
    cells = Cells.bins(EDGES)
    template = flat_template()
    plain = Folded.make(cells, template.edges, template.content, Smeared()).bins(np.array([0.3, 1.5]))[0]
    tail = Folded.make(cells, template.edges, template.content, CrystalTail())
    assert tail.bins(np.array([0.3, 1.5, 9.0]))[0] == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("model", ["dcb_cms", "cbg_bpoly", "genzcb_cheb", "dv_ps"])
def test_gradient_and_hessian_are_exact(toy, model, shared):
    made = build_model(toy, PassFailOptions(model=model, shared_shape=shared))
    rng = np.random.default_rng(1)
    x = np.clip(made.start * (1 + 0.02 * rng.standard_normal(made.start.size)) + 0.01, made.lower, made.upper)
    _, gradient, hessian = made(x)
    scale = np.sqrt(np.outer(np.abs(np.diagonal(hessian)), np.abs(np.diagonal(hessian))))
    for i in range(x.size):
        h = 1e-6 * max(1.0, abs(x[i]))
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        assert (made(up)[0] - made(down)[0]) / (2 * h) == pytest.approx(
            gradient[i], abs=2e-5 * np.abs(gradient).max()
        )
        assert np.abs(((made(up)[1] - made(down)[1]) / (2 * h) - hessian[i]) / scale[i]).max() < 2e-4


@pytest.mark.parametrize("model", ["genz_exp", "dcb_cms", "dcb_exp"])
def test_the_efficiency_comes_back(toy, model):
    found = fit_pass_fail(toy, PassFailOptions(model=model))
    assert found.status == "good", found.reasons
    low, high = found.minos
    assert low is not None
    assert high is not None
    assert low < found.efficiency < high
    assert abs(found.efficiency - 0.85) < 4 * found.hesse
    assert 0.5 * (high - low) == pytest.approx(found.hesse, rel=0.3)
    assert np.allclose(found.covariance, found.covariance.T)
    again = fit_pass_fail(toy, PassFailOptions(model=model))
    assert again.values == found.values


def test_a_common_weight_changes_nothing_but_yields(toy):
    plain = fit_pass_fail(toy, PassFailOptions(model="genz_exp"))
    weighted = fit_pass_fail(
        Spectra(toy.edges, 0.01 * toy.counts, 1e-4 * toy.variances), PassFailOptions(model="genz_exp")
    )
    assert weighted.efficiency == pytest.approx(plain.efficiency, rel=1e-6)
    assert weighted.hesse == pytest.approx(plain.hesse, rel=1e-4)
    assert weighted.minos[0] == pytest.approx(plain.minos[0], rel=1e-4)
    assert weighted.gof.chi2 == pytest.approx(plain.gof.chi2, rel=1e-4)
    assert weighted.yields["signal"] == pytest.approx(0.01 * plain.yields["signal"], rel=1e-5)
    # Weights that scatter are worth fewer events.
    wide = fit_pass_fail(
        Spectra(toy.edges, toy.counts, 4.0 * toy.variances), PassFailOptions(model="genz_exp")
    )
    assert wide.hesse == pytest.approx(2 * plain.hesse, rel=0.1)


def test_a_wrong_model_is_not_good(toy):
    found = fit_pass_fail(toy, PassFailOptions(model="g_lin"))
    assert found.status == "suspect"
    assert any("p-value" in reason for reason in found.reasons)


def test_a_straight_line_under_a_curved_background_is_seen_by_the_score_test(toy):
    p_values = {}
    for model in ("genz_lin", "genz_exp"):
        made = build_model(toy, PassFailOptions(model=model))
        p_values[model] = missing_curvature(made, minimise(made, made.start, made.lower, made.upper))
    assert p_values["genz_lin"] < 1e-3 < p_values["genz_exp"]


def test_few_probes_are_suspect_and_none_fail(toy):
    few = Spectra(
        toy.edges, np.stack([toy.counts[0], 0 * toy.counts[1]]), np.stack([toy.counts[0], 0 * toy.counts[1]])
    )
    found = fit_pass_fail(few, PassFailOptions(model="genz_exp"))
    assert found.status != "good"
    assert any("failing probes" in reason for reason in found.reasons)
    none = fit_pass_fail(Spectra(toy.edges, 0 * toy.counts, 0 * toy.counts))
    assert (none.status, none.efficiency, none.hesse) == ("failed", None, None)
    assert none.reasons == ("no probes in the fit range",)


def test_pure_simulation_needs_no_background():
    true = truth("genz_exp", 0.9)
    x = true.x.copy()
    x[2:4] = 0.0
    counts = np.random.default_rng(5).poisson(true.model.expected(x).total).astype(float)
    found = fit_pass_fail(Spectra(EDGES, counts, counts), PassFailOptions(model="genz_exp", pure=True))
    assert found.status == "good", found.reasons
    assert found.efficiency == pytest.approx(0.9, abs=4 * found.hesse)


def test_starts_are_checked_and_used(toy):
    with pytest.raises(UsageError, match="no parameter 'sigma'") as caught:
        fit_pass_fail(toy, PassFailOptions(model="g_exp", starts={"sigma": (2.0, None, None)}))
    assert "sigma_p" in str(caught.value.near)
    with pytest.raises(UsageError, match="not between"):
        fit_pass_fail(toy, PassFailOptions(model="g_exp", starts={"sigma_p": (2.0, 3.0, 4.0)}))
    held = fit_pass_fail(toy, PassFailOptions(model="genz_exp", starts={"sigma_p": (1.5, 1.4, 1.6)}))
    assert held.values["sigma_p"] == pytest.approx(1.6)
    assert "sigma_p" in held.at_limit
    assert held.status == "suspect"


def test_ranges_and_models_that_make_no_fit_are_refused(toy):
    with pytest.raises(DataError, match="fewer than two bins"):
        fit_pass_fail(toy, PassFailOptions(window=(200.0, 300.0)))
    with pytest.raises(UsageError, match="unknown signal shape 'dbc'"):
        fit_pass_fail(toy, PassFailOptions(model="dbc_exp"))
    with pytest.raises(UsageError, match="needs simulated spectra"):
        fit_pass_fail(toy, PassFailOptions(model="tmpl_exp"))


def test_jpsi_in_its_own_range():
    true = truth("dcb_exp", 0.7, resonance="JPsi_muon")
    counts = true.draw(np.random.default_rng(2))
    found = fit_pass_fail(Spectra(true.model.spectra.edges, counts, counts), true.options)
    assert abs(found.efficiency - 0.7) < 4 * found.hesse


def test_bins_outside_the_range_do_not_count(toy):
    wide = np.concatenate([np.linspace(50.0, 59.0, 10), toy.edges])
    counts = np.concatenate([np.full((2, 10), 1e5), toy.counts], axis=1)
    a = fit_pass_fail(Spectra(wide, counts, counts), PassFailOptions(model="genz_exp"), minos=False)
    b = fit_pass_fail(toy, PassFailOptions(model="genz_exp"), minos=False)
    assert a.efficiency == b.efficiency


def test_smooth_shapes_say_their_names():
    assert Smooth(Voigt(), Cells.bins(EDGES)).names == ("mass", "sigma", "gamma")

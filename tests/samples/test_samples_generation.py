"""Kinematics, spectra and detector against what they are meant to be."""

from __future__ import annotations

import numpy as np
import pytest

from femtobarn.samples.decays import (
    Z_WIDTH,
    boost,
    breit_wigner,
    higgs_to_zz_masses,
    momentum_in_decay,
    produce,
    two_body,
    zz_masses,
)
from femtobarn.samples.detector import ATLAS, CMS, photon_resolution, reconstruct
from femtobarn.samples.events import join_truth, take_truth
from femtobarn.samples.processes import (
    continuum_yy,
    continuum_zz,
    drell_yan,
    higgs_to_four_leptons,
    higgs_to_two_photons,
    top_pairs,
)
from femtobarn.samples.streams import stream
from femtobarn.units import Z_MASS


def mass_of(p4):
    return np.sqrt(np.maximum(p4[..., 3] ** 2 - np.sum(p4[..., :3] ** 2, axis=-1), 0.0))


@pytest.fixture
def rng():
    return stream(5, "test")


def test_streams_depend_on_seed_and_name_only():
    first = stream(1, "a", "b").uniform(size=4)
    assert np.array_equal(first, stream(1, "a", "b").uniform(size=4))
    for other in (stream(2, "a", "b"), stream(1, "a", "c"), stream(1, "ab"), stream(1, "a")):
        assert not np.any(first == other.uniform(size=4))


def test_two_body_conserves_four_momentum_and_masses(rng):
    n = 2000
    mass = rng.uniform(80.0, 200.0, n)
    parent = produce(rng, mass, pt_scale=60.0)
    m1, m2 = np.full(n, 30.0), np.full(n, 0.105)
    a, b = two_body(rng, parent, mass, m1, m2)
    assert np.allclose(mass_of(parent), mass, rtol=1e-6)
    assert np.allclose(a + b, parent, rtol=1e-9, atol=1e-7)
    assert np.allclose(mass_of(a), m1, rtol=1e-4)
    assert np.allclose(
        b[:, 3] ** 2 - np.sum(b[:, :3] ** 2, axis=1), m2**2, atol=1e-6 * parent[:, 3].max() ** 2
    )


def test_decay_is_isotropic_in_the_rest_frame(rng):
    n = 40_000
    mass = np.full(n, 91.0)
    rest = np.column_stack([np.zeros((n, 3)), mass])
    a, _ = two_body(rng, rest, mass, np.zeros(n), np.zeros(n))
    direction = a[:, :3] / a[:, 3:]
    assert np.allclose(a[:, 3], 45.5)
    # Each component is uniform in -1..1: mean 0, variance 1/3.
    assert np.all(np.abs(direction.mean(axis=0)) < 4.0 / np.sqrt(3 * n))
    assert np.allclose(np.mean(direction**2, axis=0), 1 / 3, atol=4 * np.sqrt(4 / 45 / n))


def test_boost_agrees_with_the_textbook_along_z():
    gamma, beta = 1.25, 0.6
    parent = np.array([[0.0, 0.0, gamma * beta * 10.0, gamma * 10.0]])
    seen = boost(np.array([[1.0, 2.0, 3.0, 5.0]]), parent, np.array([10.0]))
    assert np.allclose(seen, [[1.0, 2.0, gamma * (3.0 + beta * 5.0), gamma * (5.0 + beta * 3.0)]])


def test_momentum_in_decay():
    assert momentum_in_decay(np.array([10.0]), np.array([0.0]), np.array([6.0]))[0] == pytest.approx(3.2)
    assert momentum_in_decay(np.array([5.0]), np.array([4.0]), np.array([4.0]))[0] == 0.0


def test_breit_wigner_quartiles_are_half_a_width_away(rng):
    masses = breit_wigner(rng, 100_000, Z_MASS, Z_WIDTH, low=0.0, high=1000.0)
    low, middle, high = np.quantile(masses, [0.25, 0.5, 0.75])
    assert middle == pytest.approx(Z_MASS, abs=0.03)
    assert high - low == pytest.approx(Z_WIDTH, rel=0.04)
    cut = breit_wigner(
        rng, 3, Z_MASS, Z_WIDTH, low=np.array([20.0, 30.0, 90.0]), high=np.array([21.0, 31.0, 92.0])
    )
    assert np.all((cut > [20.0, 30.0, 90.0]) & (cut < [21.0, 31.0, 92.0]))


@pytest.mark.parametrize("mass", [110.0, 125.0, 170.0, 250.0])
def test_higgs_pair_masses_stay_in_phase_space(rng, mass):
    heavy, light = higgs_to_zz_masses(rng, mass, 5000)
    assert np.all(heavy + light < mass)
    assert np.all(heavy >= light)
    assert np.all(light >= 4.0)


def test_higgs_at_125_has_one_z_near_its_pole(rng):
    heavy, light = higgs_to_zz_masses(rng, 125.0, 20_000)
    assert np.median(heavy) == pytest.approx(90.0, abs=1.5)
    assert 20.0 < np.median(light) < 32.0


def test_both_z_are_real_far_above_threshold(rng):
    heavy, light = zz_masses(rng, np.full(5000, 250.0))
    assert np.median(heavy) == pytest.approx(Z_MASS, abs=1.5)
    assert np.median(light) == pytest.approx(Z_MASS, abs=1.5)
    heavy, light = zz_masses(rng, np.full(5000, 91.2))
    assert np.all(heavy + light < 91.2)


@pytest.mark.parametrize("mass", [120.0, 125.0])
def test_four_leptons_carry_the_mass_and_pair_up(rng, mass):
    events = higgs_to_four_leptons(rng, 3000, mass=mass)
    four = events.lepton[:, :4]
    assert np.allclose(mass_of(four.sum(axis=1)), mass, rtol=1e-6)
    assert np.all(events.prompt[:, :4] & events.present[:, :4])
    assert np.all(events.charge[:, :4].sum(axis=1) == 0)
    electrons = np.sum(events.flavour[:, :4] == 11, axis=1)
    share = [np.mean(electrons == k) for k in (0, 2, 4)]
    assert share == pytest.approx([0.25, 0.5, 0.25], abs=0.04)
    assert events.present[:, 4].mean() == pytest.approx(0.03, abs=0.012)


def test_continuum_zz_has_the_z_peak_and_the_threshold(rng):
    mass = continuum_zz(rng, 50_000).mass
    counts = {low: np.mean((mass > low) & (mass < low + 10)) for low in (86, 110, 165, 190)}
    assert counts[86] > 4 * counts[110]
    assert counts[190] > 2 * counts[165]


def test_top_pairs_have_two_b_jets_and_missing_momentum(rng):
    events = top_pairs(rng, 4000)
    assert np.allclose(mass_of(events.jet), 4.18, atol=0.02)
    assert np.hypot(*events.invisible.T).mean() > 40.0
    assert np.all(events.charge[:, 0] == 1)
    assert np.all(events.charge[:, 1] == -1)
    # The two prompt leptons are not a resonance.
    pair = mass_of(events.lepton[:, 0] + events.lepton[:, 1])
    assert np.mean(np.abs(pair - Z_MASS) < 10) < 0.25


def test_drell_yan_pair_is_a_z(rng):
    events = drell_yan(rng, 4000)
    pair = mass_of(events.lepton[:, 0] + events.lepton[:, 1])
    assert np.allclose(pair, events.mass, rtol=1e-5)
    assert np.all(events.flavour[:, 0] == events.flavour[:, 1])
    assert not events.prompt[:, 2:].any()


def test_nonprompt_leptons_are_less_isolated_and_displaced(rng):
    leptons = reconstruct(rng, drell_yan(rng, 10_000), ATLAS).leptons
    relative = leptons.track_iso / leptons.pt
    significance = np.abs(leptons.d0) / leptons.d0_error
    good = (relative < 0.3) & (significance < 3.0)
    assert good[leptons.prompt].mean() > 0.97
    assert good[~leptons.prompt].mean() < 0.5
    assert significance[leptons.prompt].std() == pytest.approx(np.sqrt(1 - 2 / np.pi), rel=0.03)
    assert leptons.z0[leptons.prompt].mean() == pytest.approx(0.0, abs=2e-4)


def test_lepton_efficiency_inside_the_acceptance(rng):
    truth = higgs_to_four_leptons(rng, 20_000)
    leptons = reconstruct(rng, truth, ATLAS).leptons
    pt = np.hypot(truth.lepton[..., 0], truth.lepton[..., 1])
    eta = np.arcsinh(truth.lepton[..., 2] / np.where(pt > 0, pt, 1.0))
    hard = truth.present & (pt > 15.0) & (np.abs(eta) < 2.47)
    for flavour, expected in ((11, ATLAS.electron_efficiency), (13, ATLAS.muon_efficiency)):
        wanted = np.sum(hard & (truth.flavour == flavour))
        found = np.sum((leptons.flavour == flavour) & (leptons.pt > 15.0) & (np.abs(leptons.eta) < 2.47))
        # Resolution moves as many leptons over the 15 GeV threshold as under it, to a per mille or so.
        assert found / wanted == pytest.approx(
            expected, abs=4 * np.sqrt(expected * (1 - expected) / wanted) + 2e-3
        )


def test_photon_resolution_is_what_the_detector_says(rng):
    truth = higgs_to_two_photons(rng, 20_000)
    photons = reconstruct(rng, truth, CMS).photons
    both = np.flatnonzero(photons.counts == 2)
    start = np.cumsum(photons.counts)[both] - 2
    a, b = start, start + 1
    mass = np.sqrt(
        2
        * photons.pt[a]
        * photons.pt[b]
        * (np.cosh(photons.eta[a] - photons.eta[b]) - np.cos(photons.phi[a] - photons.phi[b]))
    )
    sigma = photon_resolution(CMS, truth.photon[both, :, 3])
    expected = 0.5 * 125.0 * np.hypot(sigma[:, 0], sigma[:, 1])
    pulls = (mass - 125.0) / expected
    assert pulls.mean() == pytest.approx(0.0, abs=0.03)
    assert pulls.std() == pytest.approx(1.0, abs=0.03)
    assert np.std(mass) == pytest.approx(1.7, abs=0.2)


def test_weights_have_mean_one_and_the_asked_sign(rng):
    events = reconstruct(rng, higgs_to_four_leptons(rng, 20_000), ATLAS, weight=10.0, negative_share=0.1)
    assert np.mean(events.weight < 0) == pytest.approx(0.1, abs=0.01)
    assert np.abs(events.weight).mean() == pytest.approx(10.0, abs=0.02)
    for factor in (events.sf_pileup, events.sf_electron, events.sf_muon, events.sf_lepton_trigger):
        assert factor.mean() == pytest.approx(1.0, abs=5 * factor.std() / np.sqrt(20_000))
        assert factor.min() > 0


def test_mass_spectrum_of_the_diphoton_continuum_falls(rng):
    counts, _ = np.histogram(continuum_yy(rng, 40_000).mass, np.arange(90.0, 250.0, 20.0))
    assert np.all(np.diff(counts) < 0)


def test_mixed_processes_keep_their_slots(rng):
    mixed = join_truth([higgs_to_four_leptons(rng, 5), top_pairs(rng, 4), drell_yan(rng, 0)])
    assert len(mixed) == 9
    assert mixed.jet.shape == (9, 2, 4)
    assert np.all(mixed.jet[:5] == 0.0)
    swapped = take_truth(mixed, np.arange(9)[::-1])
    assert np.array_equal(swapped.lepton[0], mixed.lepton[8])
    events = reconstruct(rng, swapped, ATLAS)
    assert np.all(np.isfinite(events.jets.eta))
    assert len(events) == 9


def test_no_events_give_no_objects(rng):
    events = reconstruct(rng, higgs_to_four_leptons(rng, 0), ATLAS)
    assert len(events) == 0
    assert len(events.leptons.pt) == 0

"""What tag and probe is made of: filter bits, matching, pairs, truth, pileup, the calorimeter's surface."""

from __future__ import annotations

import json

import numpy as np
import pytest

from femtobarn.errors import ConfigError
from femtobarn.kernels.jagged import Jagged
from femtobarn.kernels.pairs import best_in_event, matched, pairs_across, pairs_within
from femtobarn.physics.ecal import in_gap, surface_position
from femtobarn.physics.filterbits import find_bit, has_bit, parse_title, set_bits
from femtobarn.physics.pileup import density_ratio, read_pileup
from femtobarn.physics.truth import common_parent

MASKS = (
    "extra bits of associated information: 1 = CaloIdL_TrackIdL_IsoVL, 2 = 1e (WPTight), 16 = 2e, "
    "32 = 1e-1mu for Electron (PixelMatched e/gamma); 1 = TrkIsoVVL, 2 = Iso, 8 = IsoTkMu for Muon; "
)
INDICES = (
    "extra bits of associated information: 0 => CaloIdL_TrackIdL_IsoVL, 1 => 1e (WPTight), 4 => 2e, "
    "5 => 1e-1mu for Electron (PixelMatched e/gamma); 0 => TrkIsoVVL for Muon; "
)
MASK = np.bool_


def test_titles_list_masks_or_numbers():
    wanted = {"CaloIdL_TrackIdL_IsoVL": 0, "WPTight": 1, "2e": 4, "1e1mu": 5}
    assert dict(parse_title(MASKS)["Electron"]) == wanted
    assert dict(parse_title(INDICES)["Electron"]) == wanted
    assert dict(parse_title(MASKS)["Muon"]) == {"TrkIsoVVL": 0, "Iso": 1, "IsoTkMu": 3}
    assert not parse_title("TrigObj_filterBits[nTrigObj_filterBits]/I")


@pytest.mark.parametrize(
    ("wanted", "kind", "how", "bit"),
    [
        (7, 11, {}, 7), ("2e", 11, {"title": MASKS}, 4), ("wptight", 11, {}, 1), ("1mu", 13, {}, 3),
        ("2e", 11, {}, 4), ("Leg2", 11, {}, 4), ("Leg2", 11, {"version": 13}, 5),
        ("Leg2", 11, {"wide": True}, 5),
        ("IsoTkMu", 13, {"title": MASKS}, 3), ("PFJet", 11, {}, 12),
        ("Photon175/200", 11, {"version": 14}, 14),
        ("MW_seeded", 11, {"version": 13}, 15), ("MW_unseeded", 11, {"version": 13}, 16),
    ],
)  # fmt: skip
def test_bits_are_found_by_name(wanted, kind, how, bit):
    assert find_bit(wanted, kind, **how)[0] == bit


@pytest.mark.parametrize(
    ("wanted", "how"), [("2el", {}), ("Leg1", {}), ("MW_seeded", {}), ("WPLoose", {"title": MASKS})]
)
def test_a_bit_that_is_not_there_is_an_error(wanted, how):
    with pytest.raises(ConfigError, match="there is no filter bit"):
        find_bit(wanted, 11, **how)


def test_bits_of_any_width():
    for kind in (np.int32, np.uint64):
        bits = np.array([2, 1 << 30, 3], dtype=kind)
        assert has_bit(bits, 1).tolist() == [True, False, True]
        assert set_bits(bits) == [(0, 1), (1, 2), (30, 1)]
    assert has_bit(np.array([-1], dtype=np.int32), 31).tolist() == [True]
    assert has_bit(np.array([-1], dtype=np.int32), 40).tolist() == [False]
    assert has_bit(np.array([1 << 40], dtype=np.uint64), 40).tolist() == [True]


def test_pairs_are_all_ordered_pairs():
    offsets = np.array([0, 3, 3, 5])
    first = np.array([True, True, False, True, True])
    event, i, j = pairs_within(offsets, first, np.ones(5, dtype=MASK))
    assert list(zip(event, i, j, strict=True)) == [
        (0, 0, 1),
        (0, 0, 2),
        (0, 1, 0),
        (0, 1, 2),
        (2, 3, 4),
        (2, 4, 3),
    ]
    event, i, j = pairs_across(offsets, first, np.array([0, 1, 2, 2]), np.array([True, True]))
    assert list(zip(event, i, j, strict=True)) == [(0, 0, 0), (0, 1, 0)]
    assert best_in_event(np.array([0, 0, 1, 1]), np.array([2.0, 1.0, 3.0, 3.0])).tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_matching_goes_around_the_circle_and_excludes_the_edge():
    offsets = np.array([0, 2])
    others = np.array([0, 1])
    eta, phi = np.array([0.0, 0.0]), np.array([np.pi - 0.04, 0.1])
    found = matched(
        offsets, eta, phi, others, np.array([0.0]), np.array([-np.pi + 0.04]), np.array([True]), radius=0.1
    )
    assert found.tolist() == [True, False]
    at_edge = matched(
        offsets, eta, phi, others, np.array([0.0]), np.array([0.0]), np.array([True]), radius=0.1
    )
    assert at_edge.tolist() == [False, False]


def test_parents_are_looked_for_past_copies():
    # Z -> e+ e-, the positron radiates (a copy), and an electron of a tau of the same Z.
    pdg = Jagged(np.array([0, 6]), np.array([23, 11, -11, -11, 15, 11]))
    mother = Jagged(np.array([0, 6]), np.array([-1, 0, 0, 2, 0, 4]))
    event = np.zeros(4, dtype=np.int64)
    found = common_parent(pdg, mother, event, np.array([1, 1, 1, -1]), np.array([3, 2, 5, 2]))
    assert found.tolist() == [True, True, False, False]
    assert not common_parent(pdg, mother, event[:1], np.array([1]), np.array([3]), pdg_id=443).any()


def test_pileup_weights_are_clamped_and_follow_the_variation(tmp_path, shared):
    weights = read_pileup(shared("oracles/tagprobe/inputs/pu_const3_updown.json"))
    number = np.array([-5.0, 0.0, 30.0, 1e4])
    assert weights(number).tolist() == [3.0] * 4
    assert weights(number, "up") == pytest.approx(3.3)
    assert weights(number, "down") == pytest.approx(2.4)
    path = tmp_path / "pu.json"
    node = {"nodetype": "binning", "input": "n", "edges": [0, 1, 2], "content": [0.5, 2.0], "flow": "clamp"}
    inputs = [{"name": "n", "type": "real"}]
    path.write_text(
        json.dumps({"schema_version": 2, "corrections": [{"name": "p", "inputs": inputs, "data": node}]})
    )
    assert read_pileup(path)(np.array([-1, 0.5, 1.0, 7])).tolist() == [0.5, 0.5, 2.0, 2.0]
    path.write_text("{}")
    with pytest.raises(ConfigError, match="not a correctionlib file"):
        read_pileup(path)


def test_the_ratio_of_distributions_has_no_zeros_to_divide_by():
    found = density_ratio((np.arange(4.0), np.array([1.0, 2.0, 1.0])), [1.0, 1.0, 0.0, 0.0])
    assert found(np.array([0, 1])).tolist() == [0.5, 1.0]
    assert found(np.array([2, 50])) == pytest.approx(0.25e10)


def test_where_photons_hit_the_calorimeter():
    eta, phi = np.array([0.5, -2.0, 0.5]), np.array([0.3, 1.0, 0.3])
    zero = np.zeros(3)
    barrel, endcap = np.array([True, False, False]), np.array([False, True, False])
    at_centre, same_phi = surface_position(eta, phi, (zero, zero, zero), barrel, endcap)
    np.testing.assert_allclose(at_centre, eta, rtol=1e-12)
    np.testing.assert_allclose(same_phi, phi, rtol=1e-12)
    shifted, _ = surface_position(eta, phi, (zero, zero, zero + 10.0), barrel, endcap)
    assert shifted[0] == pytest.approx(np.arcsinh((10 + 130 * np.sinh(0.5)) / 130))
    assert shifted[1] == pytest.approx(np.arcsinh(-310 / (320 / np.sinh(2.0))))
    assert shifted[2] == 0.5
    assert in_gap(np.array([1.4442, 1.5, -1.566, 1.567, 1.44])).tolist() == [True, True, True, False, False]

from __future__ import annotations

import numpy as np
import pytest

from femtobarn.physics.finalstates import TYPES, combinations, pack, state_name, unpack
from femtobarn.physics.objects import Objects
from femtobarn.physics.overlap import remove_overlaps
from femtobarn.physics.turnon import cut_on_grid, cut_values
from femtobarn.physics.zpairs import charge_tags, make_z


@pytest.mark.parametrize(
    ("types", "rules", "number"),
    [
        ((0, 1, 2, 4), {"kinds": (1, 4), "each": (1, 4), "total": 4}, 65),
        ((0, 1, 2, 4), {"kinds": (1, 4), "each": (1, 4), "total": 4, "subleading": 1}, 186),
        ((0, 1, 2, 4, 5), {"kinds": (1, 4), "each": (1, 4), "total": 4}, 120),
        ((0, 1, 2, 3, 4, 5), {"kinds": (1, 4), "each": (1, 4), "total": 4}, 203),
        ((0, 1, 2, 4), {"kinds": (2, 4), "each": (2, 4)}, 243),
    ],
)
def test_number_of_combinations(types, rules, number):
    found = combinations(types, **rules)
    assert len(found) == len({item.name for item in found}) == number


def test_names_and_states():
    names = [item.name for item in combinations((0, 2), kinds=(1, 2), each=(1, 2), total=3, subleading=1)]
    assert "e0e1j0" in names
    assert "e1j1" in names
    assert "e1e2" not in names
    counts = np.zeros((1, len(TYPES)), dtype=np.int64)
    counts[0, [0, 2]] = 2, 12
    code = int(pack(counts, np.array([1]))[0])
    assert unpack(code) == ((2, 0, 12, 0, 0, 0, 0), "OS")
    assert state_name(code, (0, 1, 2, 4)) == "2e_0m_12j_0g_OS"


def objects(rows, *, charge=None) -> Objects:
    counts = [len(row) for row in rows]
    flat = np.array([item for row in rows for item in row], dtype=float).reshape(-1, 3)
    return Objects(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), flat[:, 0], flat[:, 1], flat[:, 2],
        np.zeros(len(flat)), None if charge is None else np.array(charge, dtype=float), np.arange(len(flat)),
    )  # fmt: skip


def test_overlaps_are_removed_in_order():
    found = remove_overlaps(
        {
            "electrons": objects([[(50, 0, 0)], [(50, 0, 0)], [(50, 0, 3.1)]]),
            "jets": objects([[(60, 0, 0.1), (60, 0, 0.3)], [(60, 1, 0)], [(60, 0, -3.1)]]),
        },
        {},
    )
    # The near jet goes first; the electron then falls to the one at 0.3; phi wraps around.
    assert found["jets"].counts.tolist() == [1, 1, 0]
    assert found["electrons"].counts.tolist() == [0, 1, 1]


def test_a_jet_beside_a_muon_stays_if_it_is_more_than_the_muon():
    muons, jets = objects([[(50, 0, 0)]]), objects([[(60, 0, 0.1), (100, 0, -0.1)]])
    assert remove_overlaps({"muons": muons, "jets": jets}, {})["jets"].pt.tolist() == [100]
    with_tracks = remove_overlaps({"muons": muons, "jets": jets}, {}, np.array([5, 0]))
    assert with_tracks["jets"].pt.tolist() == [60, 100]
    assert with_tracks["muons"].counts.tolist() == [0]


def test_spectra_are_cut_from_the_last_highest_bin_to_the_first_gap():
    counts = np.array([1, 5, 5, 2, 0, 3])
    filled = np.flatnonzero(counts)
    found = cut_on_grid(filled, counts[filled], 4, width=1.0, ratio=1)
    assert (found.edge, found.end, found.n_main, found.n_outliers, found.nbins) == (2.0, 4.0, 7, 7, 2)
    lone = cut_on_grid(np.array([1, 3]), np.array([5, 2]), 0, width=1.0, ratio=1)
    assert (lone.end, lone.n_main, lone.n_outliers, lone.nbins) == (np.inf, 7, 0, 3)
    assert cut_on_grid(np.zeros(0, np.int64), np.zeros(0, np.int64), 3, width=1.0, ratio=1) is None


def test_values_are_cut_on_their_own_bins():
    values = np.array([1.0, 2.1, 2.2, 3.5, 4.4, 9.9, 11.0])
    cut, main, outliers = cut_values(values, width=1.0)
    assert cut.edge == pytest.approx(2.0)
    assert main.tolist() == [2.1, 2.2, 3.5, 4.4]
    assert outliers.tolist() == [9.9, 11.0]


def test_one_pair_becomes_a_z():
    electrons = objects(
        [[(45.6, 0, 0), (45.6, 0, np.pi), (20, 0, 1)], [(45, 0, 0), (45, 0, np.pi)]], charge=[1, -1, 1, 1, 1]
    )
    p = np.column_stack(
        [
            electrons.pt * np.cos(electrons.phi),
            electrons.pt * np.sin(electrons.phi),
            np.zeros(5),
            electrons.pt,
        ]
    )
    found, momenta = make_z({"electrons": electrons}, {"electrons": p})
    assert found["electrons"].counts.tolist() == [1, 2]
    assert found["zbosons"].counts.tolist() == [1, 0]
    assert momenta["zbosons"][0, 3] == pytest.approx(91.2)
    assert charge_tags({"electrons": electrons}, 2).tolist() == [0, 2]

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest

from femtobarn.hists import Grid, Spectra, read_spectra, write_hists
from femtobarn.kernels.exact import exact_sum
from femtobarn.outcome import Outcome
from femtobarn.physics.finalstates import TYPES, combinations, pack, state_name
from femtobarn.physics.objects import Objects
from femtobarn.physics.spectra import accumulate
from femtobarn.run.codec import decode, encode

COMBOS = combinations((0, 2), kinds=(1, 2), each=(1, 2), total=3)
GRID = Grid(1.0, 200)


def events(n: int, seed: int, *, weighted: bool):
    rng = np.random.default_rng(seed)
    objects, momenta = {}, {}
    for kind in ("electrons", "jets"):
        counts = rng.integers(0, 4, n)
        m = counts.sum()
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        empty = np.zeros(m)
        objects[kind] = Objects(offsets, empty, empty, empty, empty, None, np.arange(m))
        p = rng.normal(scale=40, size=(m, 3))
        momenta[kind] = np.column_stack([p, np.sqrt((p**2).sum(axis=1) + 1)])
    return objects, momenta, rng.normal(1.0, 0.3, n) if weighted else None


def part(sample, chosen, *, keep=None) -> Spectra:
    objects, momenta, weight = sample
    counts = np.zeros((len(objects["jets"].counts), len(TYPES)), dtype=np.int64)
    for kind, item in objects.items():
        counts[:, TYPES.index(kind)] = item.counts
    return accumulate(
        chosen, pack(counts)[chosen], objects, momenta, COMBOS,
        empty=Spectra(GRID, "ej", tuple(c.name for c in COMBOS), weight is not None),
        name_of=lambda code: state_name(code, (0, 2)), met=np.zeros((0, 2)), weight=weight, keep=keep,
    )  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
def test_any_division_gives_the_same_bits(weighted):
    sample = events(500, 1, weighted=weighted)
    whole = part(sample, np.arange(500))
    rng = np.random.default_rng(2)
    for _ in range(5):
        order = rng.permutation(500)
        cuts = np.sort(rng.integers(0, 500, 3))
        pieces = [part(sample, np.sort(piece)) for piece in np.split(order, cuts)]
        rng.shuffle(pieces)
        a, b, c, d = pieces
        assert (((a + b) + c) + d).same(whole)
        assert (a + (b + (c + d))).same(whole)
    assert whole.n.sum() > 1000
    assert whole.overflow.sum() > 0


def test_numbers_are_those_of_a_slow_sum():
    sample = events(200, 4, weighted=True)
    objects, momenta, weight = sample
    found = part(sample, np.arange(200), keep=7)
    index = next(i for i in range(len(found)) if found.items[found.item[i]] == "e0e1j0" and found.n[i] > 3)
    masses, weights = [], []
    for i in range(200):
        ne, nj = objects["electrons"].counts[i], objects["jets"].counts[i]
        if f"{ne}e_{nj}j" != found.names[int(found.of[index])]:
            continue
        e, j = objects["electrons"].offsets[i], objects["jets"].offsets[i]
        x, y, z, t = momenta["electrons"][e] + momenta["electrons"][e + 1] + momenta["jets"][j]
        masses.append(np.sqrt(max(t * t - (x * x + y * y + z * z), 0)))
        weights.append(weight[i])
    one = found.spectrum(index)
    assert one.n == len(masses)
    assert one.total == pytest.approx(sum(masses), rel=1e-12)
    assert (one.low, one.high) == (pytest.approx(min(masses)), pytest.approx(max(masses)))
    assert one.sumw == pytest.approx(sum(weights), rel=1e-14)
    assert one.overflow == sum(m >= 200 for m in masses)
    expected, _ = np.histogram(masses, bins=200, range=(0, 200), weights=weights)
    dense = np.zeros(200)
    dense[one.bins] = one.values
    assert dense == pytest.approx(expected, abs=1e-12)
    kept = found.kept[0]
    assert sorted(kept.values[kept.offsets[index] : kept.offsets[index + 1]]) == pytest.approx(sorted(masses))


def test_edges_belong_to_the_bin_above():
    one = Objects(np.array([0, 2]), np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(2), None, np.arange(2))
    p = np.array([[0.0, 0, 0, 3.0], [0, 0, 0, 4.0]])
    found = part(
        ({"electrons": one, "jets": Objects.none(1)}, {"electrons": p, "jets": np.zeros((0, 4))}, None),
        np.array([0]),
    )
    assert found.bins.tolist() == [7]


@pytest.mark.parametrize("weighted", [False, True])
def test_codec_and_file_give_it_back(tmp_path, weighted):
    spectra = part(events(100, 6, weighted=weighted), np.arange(100), keep=3)
    again = decode(encode(Outcome("d", spectra={"d": spectra})), part=3).spectra["d"]
    assert again.same(spectra)
    assert again.names == spectra.names
    assert np.array_equal(again.kept[0].values, spectra.kept[0].values)
    write_hists(tmp_path / "h.zip", (), {}, {"d": spectra})
    read = read_spectra(tmp_path / "h.zip")["d"]
    assert np.array_equal(read.totals(), spectra.totals())
    assert np.array_equal(read.bins, spectra.bins)
    for i in range(len(spectra)):
        mine, theirs = read.spectrum(i), spectra.spectrum(i)
        assert np.array_equal(mine.counts, theirs.counts)
        assert np.array_equal(mine.values, theirs.values)
        assert np.array_equal(mine.variances, theirs.variances)
    for mine, theirs in zip(read.sums_of_weights(), spectra.sums_of_weights(), strict=True):
        assert np.array_equal(mine, theirs)


def test_entries_are_histograms_for_other_programs(tmp_path):
    import hist
    import uhi.io
    import uhi.io.zip

    spectra = part(events(100, 6, weighted=False), np.arange(100))
    write_hists(tmp_path / "h.zip", (), {}, {"d": spectra})
    name = f"d/{spectra.names[int(spectra.of[0])]}/{spectra.items[spectra.item[0]]}"
    with zipfile.ZipFile(tmp_path / "h.zip") as archive:
        found = hist.Hist(uhi.io.from_sparse(uhi.io.zip.read(archive, name)))
    assert found.sum(flow=True).value == spectra.n[0]


def test_counts_and_bins_are_as_narrow_as_they_can_be():
    one = part(events(50, 3, weighted=False), np.arange(50))
    assert (one.bins.dtype, one.counts.dtype) == (np.uint16, np.uint32)
    many = replace(one, counts=one.counts.astype(np.int64) * 3_000_000_000)
    assert np.array_equal((many + many).counts, one.counts.astype(np.int64) * 6_000_000_000)
    large = replace(one, counts=one.counts * np.uint32(2_000_000_000 // one.counts.max()))
    assert (large + large).counts.dtype == np.uint32
    assert (large + large + large).counts.dtype == np.int64
    assert np.array_equal((large + large + large).counts, large.counts.astype(np.int64) * 3)
    assert Grid(0.1, 100_000).bin_type is np.uint32


def test_negative_weights_add_up_exactly():
    objects, momenta, weight = events(200, 5, weighted=True)
    weight = np.where(np.arange(200) % 3 == 0, -weight, weight) * 1e-3
    sample = (objects, momenta, weight)
    whole = part(sample, np.arange(200))
    assert (part(sample, np.arange(0, 200, 2)) + part(sample, np.arange(1, 200, 2))).same(whole)
    values = np.concatenate([whole.spectrum(i).values for i in range(len(whole))])
    assert (values < 0).any()
    inside = [whole.spectrum(i).values.sum() for i in range(len(whole)) if not whole.overflow[i]]
    sums = whole.sums_of_weights()[0][whole.overflow == 0]
    assert inside == pytest.approx(sums.tolist(), abs=1e-12)


def test_other_grids_are_refused():
    a = part(events(10, 1, weighted=False), np.arange(10))
    b = Spectra(Grid(2.0, 100), "ej", a.items)
    with pytest.raises(ValueError, match="cannot be added"):
        a + b


def test_exact_sum_of_weights_of_states():
    sample = events(300, 8, weighted=True)
    found = part(sample, np.arange(300))
    assert np.array_equal(exact_sum(sample[2]), exact_sum([]) + _total(found.state_sumw))


def _total(digits):
    from femtobarn.kernels.exact import carried

    return carried(digits.sum(axis=0))

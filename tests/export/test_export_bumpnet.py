from __future__ import annotations

import json

import numpy as np
import uproot

from femtobarn.export.bumpnet import LoaderCuts, check_file, judge
from femtobarn.export.th1 import Histogram1D, read_1d, root_file


def test_every_verdict_of_the_loader(shared):
    oracle = json.loads(shared("oracles/survey/bumpnet_cases.json").read_text())
    for name, number in (("analysis", 11), ("readme", 20)):
        verdicts = {
            v.name: v
            for v in check_file(
                shared("oracles/survey/bumpnet_cases.root"), LoaderCuts(**oracle["cuts"][name])
            )
        }
        for case, (accepted, reason) in oracle["expected"][name].items():
            assert (verdicts[case].accepted, verdicts[case].reason) == (accepted, reason), case
        assert sum(v.accepted for v in verdicts.values()) == number


def test_names_decide_too():
    values = np.full(40, 10.0)
    good = Histogram1D("ROI_mass_e0j0_cat_1ex", np.arange(41.0), values, values, 400)
    assert judge(good).accepted
    assert "ROI" in judge(Histogram1D("mass_cat", np.arange(41.0), values, values, 400)).reason
    assert "cat" in judge(Histogram1D("ROI_mass", np.arange(41.0), values, values, 400)).reason


def test_written_histograms_are_read_back(tmp_path):
    edges = np.array([0.0, 1.0, 3.0, 7.0])
    one = Histogram1D(
        "h", edges, np.array([1.0, 0.0, 2.5]), np.array([1.0, 0.0, 3.0]), 9, moments=(3.5, 4.0, 10.0, 50.0)
    )
    path = tmp_path / "h.root"
    path.write_bytes(root_file([one]))
    with uproot.open(path) as file:
        h = file["h"]
        assert h.classname == "TH1D"
        assert [h.member(n) for n in ("fEntries", "fTsumw", "fTsumw2", "fTsumwx", "fTsumwx2")] == [
            9,
            3.5,
            4,
            10,
            50,
        ]
        assert h.variances().tolist() == [1, 0, 3]
    again = next(iter(read_1d(path)))
    assert again.values.tolist() == one.values.tolist()
    assert again.edges.tolist() == edges.tolist()

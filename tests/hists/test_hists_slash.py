from __future__ import annotations

import numpy as np

from femtobarn.hists import Histogram, HistSpec, read_hists, regular, write_hists


def test_a_name_with_a_slash_is_read_back(tmp_path):
    spec = HistSpec("ml/mass", (regular(4, 0.0, 4.0, "observable"),))
    histogram = Histogram(spec)
    histogram.fill(("r", "p", "nominal"), np.array([0.5, 2.5, 9.0]))
    write_hists(tmp_path / "h.zip", [histogram], {})
    found = read_hists(tmp_path / "h.zip")
    assert list(found) == ["ml/mass"]
    assert found["ml/mass"].values(("r", "p", "nominal"), flow=True).tolist() == [0, 1, 0, 1, 0, 1]

"""Generic figures: any histogram, any plane, any cutflow, a peak over its background."""

from __future__ import annotations

import numpy as np
import pytest

from femtobarn.hists import regular
from femtobarn.normalise import Spectrum
from femtobarn.plot import Label, cutflow, excess, mass_fit, plane, spectrum_only
from femtobarn.run.files import strict

LABEL = Label("femtobarn toy simulation", 13, 10.0)
AXIS = regular(5, 100.0, 150.0, "m", label="mass", unit="GeV")


def test_spectrum_only_shows_data_and_sum():
    ones = np.ones(5)
    drawing = spectrum_only(
        Spectrum(AXIS, "all", 2 * ones, {"a": (ones, ones), "b": (ones, 3 * ones)}), name="m", label=LABEL
    )
    found = strict(drawing.numbers)
    assert found["total"] == {"values": [2] * 5, "variances": [4] * 5}
    assert found["data"]["values"] == [2] * 5
    assert found["observable"] == "m"
    assert drawing.caption == "10 data events; 10 expected."


@pytest.mark.parametrize(
    ("values", "log", "scale"),
    [
        ([1, 2, 3, 4, 5], None, "linear"),
        ([1, 10, 100, 1e3, 1e4], None, "log"),
        ([1, 10, 100, 1e3, 1e4], False, "linear"),
        ([1, 2, 3, 4, 5], True, "log"),
        ([0, 0, 0, 0, 0], None, "linear"),
    ],
)
def test_scale_follows_the_range(values, log, scale):
    drawing = spectrum_only(
        Spectrum(AXIS, "all", np.array(values, float), {}), name="m", label=LABEL, log=log
    )
    assert drawing.figure.axes[0].get_yscale() == scale


def test_spectrum_without_anything():
    drawing = spectrum_only(Spectrum(AXIS, "all", None, {}), name="m", label=LABEL)
    assert drawing.render("png")
    assert drawing.numbers["data"] is None


def test_plane_keeps_its_orientation():
    x, y = regular(2, 0, 2, "x"), regular(3, 0, 3, "y", unit="GeV")
    values = np.array([[1.0, 0.0, 5.0], [0.0, 2.0, 0.0]])
    drawing = plane(x, y, values, name="xy", label=LABEL)
    mesh = drawing.figure.axes[0].collections[0]
    # A mesh has rows along y; empty bins are masked, so they stay white.
    assert mesh.get_array().filled(-1).tolist() == [[1, -1], [-1, 2], [5, -1]]
    found = strict(drawing.numbers)
    assert found["values"] == values.tolist()
    assert found["y"] == {"observable": "y", "edges": [0, 1, 2, 3]}


def test_plane_refuses_a_wrong_shape():
    with pytest.raises(ValueError, match="shape"):
        plane(regular(2, 0, 2, "x"), regular(3, 0, 3, "y"), np.ones((3, 2)), name="xy", label=LABEL)


def test_empty_plane_draws():
    drawing = plane(
        regular(2, 0, 2, "x"), regular(3, 0, 3, "y"), np.zeros((2, 3)), name="xy", label=LABEL, log=True
    )
    assert drawing.render("png")


def rows(*pairs):
    return [{"cut": cut, "events": events, "sumw": float(events), "sumw2": 1.0} for cut, events in pairs]


def test_cutflow_draws_every_number():
    flow = {"data": rows(("all", 100), ("trigger", 50)), "ZZ": rows(("all", 80), ("leptons", 7))}
    drawing = cutflow(flow, name="c", label=LABEL)
    axes = drawing.figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["all", "trigger", "leptons"]
    assert sorted(patch.get_width() for patch in axes.patches) == [7, 50, 80, 100]
    assert {"100", "50", "80", "7"} <= {text.get_text() for text in axes.texts}
    assert drawing.caption == "Events left after the last cut: data: 50 of 100; ZZ: 7 of 80."


def test_cutflow_of_many_datasets_adds_up_the_small_ones():
    flow = {f"d{i}": rows(("all", 10 * (i + 1)), ("kept", i)) for i in range(9)}
    numbers = cutflow(flow, name="c", label=LABEL).numbers["cutflow"]
    assert list(numbers) == ["d4", "d5", "d6", "d7", "d8", "4 other datasets"]
    assert numbers["4 other datasets"] == {"all": 100, "kept": 6}


def test_cutflow_of_nothing():
    assert cutflow({}, name="c", label=LABEL).render("png")


def test_mass_fit_subtracts_the_background():
    x = np.linspace(100, 150, 501)
    background = 2.0 + 0.1 * (x - 100)
    total = background + np.where(np.abs(x - 125) < 5, 3.0, 0.0)
    drawing = mass_fit(
        AXIS, [4, 4, 8, 6, 6], x, total, background, name="m", label=LABEL, parameters=[("N", "3 ± 2")]
    )
    found = strict(drawing.numbers)
    # The straight background is 2.5, 3.5, ... in the bins' middles.
    assert found["difference"]["values"] == pytest.approx([1.5, 0.5, 3.5, 0.5, -0.5])
    assert found["data"]["values"] == [4, 4, 8, 6, 6]
    assert set(found["curves"]) == {"x", "total", "background"}
    assert found["parameters"] == {"N": "3 ± 2"}
    main, panel = drawing.figure.axes
    assert main.get_ylabel() == "Events / 10 GeV"
    assert panel.get_xlabel() == "mass [GeV]"
    assert "N = 3 ± 2" in main.texts[0].get_text()


@pytest.mark.parametrize("window", [(120.0, 140.0), None])
def test_an_excess_is_shown_against_its_background(window):
    drawing = excess(
        AXIS, [9, 4, 16, 0, 1], [9.0, 4.0, 4.0, 4.0, 1.0], window=window, name="best", label=LABEL
    )
    found = strict(drawing.numbers)
    wanted = [0, 0, np.sqrt(2 * (16 * np.log(4) - 12)), -np.sqrt(8), 0]  # Poisson likelihood ratios
    assert found["significances"] == pytest.approx(wanted, abs=1e-7)
    assert found["window"] == (list(window) if window else None)
    main, panel = drawing.figure.axes[:2]
    assert main.get_yscale() == "log"
    low, high = panel.get_ylim()
    assert low == -high
    assert high > 4.5

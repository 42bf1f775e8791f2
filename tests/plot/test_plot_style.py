"""The label never claims to be official, the style leaves no trace, and colours can be told apart."""

from __future__ import annotations

import importlib
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from femtobarn import plot
from femtobarn.plot import Label
from femtobarn.plot.style import BLUE, GREEN, GREY, RED, figure, style

#: Machado, Oliveira, Fernandes, IEEE Trans. Vis. Comput. Graph. 15 (2009) 1291: severity 1.0, linear RGB.
DEFICIENCIES = {
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranopia": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanopia": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}


@pytest.mark.parametrize("experiment", ["ATLAS", "cms", " CMS ", "CMS Preliminary", "ATLAS Internal"])
def test_official_names_are_refused(experiment):
    with pytest.raises(ValueError, match="official"):
        Label(experiment, 13)


def test_official_words_are_refused_anywhere():
    with pytest.raises(ValueError, match="official"):
        Label("CMS Open Data", 13, extra="Work in progress")


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (Label("ATLAS Open Data", 13, 10.064), "ATLAS Open Data, √s = 13 TeV, 10.06 fb⁻¹"),
        (Label("CMS Open Data", "7, 8", 16.6), "CMS Open Data, √s = 7, 8 TeV, 16.6 fb⁻¹"),
        (Label("femtobarn toy simulation"), "femtobarn toy simulation"),
        (Label("CMS Open Data", 13.6, extra="2022"), "CMS Open Data 2022, √s = 13.6 TeV"),
    ],
)
def test_label_text(label, text):
    assert label.text == text


def test_label_is_drawn_above_the_frame():
    with style():
        _, axes = figure()
        Label("CMS Open Data", 8, 5.0, extra="demo").draw(axes)
    assert [text.get_text() for text in axes.texts] == [
        "CMS Open Data", "demo", r"$\sqrt{s}$ = 8 TeV, 5 fb$^{-1}$",
    ]  # fmt: skip


def test_style_leaves_the_users_settings_alone():
    with mpl.rc_context({"axes.linewidth": 7.0, "lines.linewidth": 9.0}):
        with style():
            assert mpl.rcParams["axes.linewidth"] == 1.1
            assert mpl.rcParams["lines.linewidth"] == 1.5, "a user's own settings must not change our figures"
        assert mpl.rcParams["axes.linewidth"] == 7.0


def test_plotting_neither_imports_pyplot_nor_mplhep():
    code = (
        "import sys, femtobarn.plot as p; sys.exit(bool({'matplotlib.pyplot', 'mplhep'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_frame_is_that_of_mplhep():
    mplhep = pytest.importorskip("mplhep", exc_type=ImportError)
    theirs = mplhep.style.ROOT
    same = (
        "xaxis.labellocation", "yaxis.labellocation", "xtick.direction", "ytick.direction", "xtick.top",
        "ytick.right", "xtick.minor.visible", "ytick.minor.visible", "legend.frameon", "mathtext.default",
    )  # fmt: skip
    with style():
        assert {key: mpl.rcParams[key] for key in same} == {key: theirs[key] for key in same}


def _lab(colour: str, matrix: list[list[float]] | None) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as seen with a colour vision deficiency."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = linear if matrix is None else np.clip(np.array(matrix) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    ratio = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", ["normal", *DEFICIENCIES])
def test_main_colours_can_be_told_apart(eye):
    colours = (BLUE, RED, GREEN, GREY)
    seen = [_lab(colour, DEFICIENCIES.get(eye)) for colour in colours]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    # A difference of 2.3 is just noticeable; ten is clear in neighbouring areas.
    assert min(distances) > 10


def test_every_name_of_the_room_is_found_whatever_was_imported_before():
    names = {module: importlib.import_module(f"femtobarn.plot.{module}") for module in plot._MODULES}
    assert sorted(name for found in plot._MODULES.values() for name in found) == sorted(plot.__all__)
    for module, found in plot._MODULES.items():
        for name in found:
            assert getattr(plot, name) is getattr(names[module], name)
    with pytest.raises(AttributeError, match="no attribute 'stak'"):
        plot.stak  # noqa: B018

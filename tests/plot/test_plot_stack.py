"""The stacked figure: what is drawn is what is written, nothing hidden leaks, nothing missing breaks it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from femtobarn.hists import regular, variable
from femtobarn.normalise import Spectrum
from femtobarn.plot import Label, ProcessStyle, save, stack
from femtobarn.plot.stacks import band, layers
from femtobarn.plot.style import PALETTE, SIGNALS, axis_label, events_label, plain
from femtobarn.run.files import strict

LABEL = Label("CMS Open Data", 8, 11.58)
AXIS = regular(4, 70.0, 82.0, "m4l", label=r"$m_{4\ell}$", unit="GeV")


def spectrum(*, data=(0, 1, 4, 9), variations=None) -> Spectrum:
    processes = {
        "ZZ": (np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.1, 0.2, 0.3, 0.4])),
        "H": (np.array([0.0, 0.5, 2.0, 0.0]), np.full(4, 0.01)),
        "ttbar": (np.zeros(4), np.zeros(4)),
    }
    return Spectrum(
        AXIS, "4l", None if data is None else np.array(data, dtype=float), processes, variations or {}
    )


def figure_texts(drawing) -> list[str]:
    return [text.get_text() for axes in drawing.figure.axes for text in axes.texts]


def legend_texts(drawing) -> list[str]:
    legend = drawing.figure.axes[0].get_legend()
    return [text.get_text() for text in legend.get_texts()]


def test_numbers_are_the_ones_promised(tmp_path):
    drawing = stack(spectrum(), name="m4l", label=LABEL, signal=["H"])
    png, pdf, numbers = save(drawing, tmp_path / "plots")
    assert [path.name for path in (png, pdf, numbers)] == ["m4l.png", "m4l.pdf", "m4l.json"]
    found = json.loads(numbers.read_text())
    assert set(found) == {
        "schema_version", "edges", "data", "processes", "region", "observable", "label",
    }  # fmt: skip
    assert found["edges"] == [70.0, 73.0, 76.0, 79.0, 82.0]
    assert found["data"]["values"] == [0, 1, 4, 9]
    # Garwood at 68.27 %: 0 -> 0..1.841, 1 -> 0.173..3.300, 4 -> 2.086..7.163 (tables in the PDG review).
    assert found["data"]["low"][:3] == pytest.approx([0, 0.1728, 2.0857], abs=1e-3)
    assert found["data"]["high"][:3] == pytest.approx([1.8410, 3.2995, 7.1628], abs=1e-3)
    assert found["processes"]["ZZ"] == {"values": [1, 2, 3, 4], "variances": [0.1, 0.2, 0.3, 0.4]}
    assert (found["region"], found["observable"]) == ("4l", "m4l")
    assert found["label"] == "CMS Open Data, √s = 8 TeV, 11.58 fb⁻¹"


def test_same_figure_same_bytes(tmp_path):
    first, second = (
        [path.read_bytes() for path in save(stack(spectrum(), name="m", label=LABEL), tmp_path / folder)]
        for folder in "ab"
    )
    assert first == second
    assert b"CreationDate" not in first[1]


def test_axes_and_legend_say_what_is_drawn():
    drawing = stack(
        spectrum(), name="m4l", label=LABEL, styles={"H": ProcessStyle(label="Higgs")}, signal=["H"]
    )
    main, panel = drawing.figure.axes
    assert main.get_ylabel() == "Events / 3 GeV"
    assert panel.get_xlabel() == r"$m_{4\ell}$ [GeV]"
    assert panel.get_ylabel() == "Data / pred."
    # Signal is on top of the stack, so first below the data.
    assert legend_texts(drawing) == ["Data (14)", "Higgs (2.5)", "ttbar (0)", "ZZ (10)", "MC stat. unc."]
    assert drawing.title == "m4ℓ, 4l"
    assert "14 data events" in drawing.caption
    assert "12.5 expected with signal" in drawing.caption


def test_stack_ends_at_the_sum_of_all():
    drawing = stack(spectrum(data=None), name="m", label=LABEL, signal=["H"])
    (main,) = drawing.figure.axes
    tops = [patch.get_data().values for patch in main.patches]
    assert any(np.allclose(top, [1.0, 2.5, 5.0, 4.0]) for top in tops)
    assert main.get_ylim()[1] > 5.0


def test_ratio_leaves_out_bins_without_prediction():
    empty = np.array([0.0, 2.0, 0.0, 4.0])
    shown = Spectrum(AXIS, "4l", np.array([3.0, 2.0, 1.0, 8.0]), {"ZZ": (empty, empty)})
    panel = stack(shown, name="m", label=LABEL).figure.axes[1]
    points = next(line for line in panel.lines if line.get_marker() == "o")
    assert list(points.get_xdata()) == [74.5, 80.5]
    assert list(points.get_ydata()) == [1.0, 2.0]


def test_blinded_data_is_nowhere():
    drawing = stack(spectrum(), name="m", label=LABEL, blind=(74.0, 77.0))
    found = strict(drawing.numbers)
    # Bins 73-76 and 76-79 touch the window.
    assert found["data"]["values"] == [0, None, None, 9]
    assert found["data"]["low"][1:3] == found["data"]["high"][1:3] == [None, None]
    assert found["blind"] == [74.0, 77.0]
    assert any("data hidden in 74–77 GeV" in text for text in figure_texts(drawing))
    assert legend_texts(drawing)[0] == "Data (9)"
    drawn = [x for axes in drawing.figure.axes for line in axes.lines if line.get_marker() == "o"
             for x in line.get_xdata()]  # fmt: skip
    assert drawn
    assert not any(74.0 <= x <= 77.0 for x in drawn)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("data", [None, (0, 0, 0, 0), (5, 5, 5, 5)])
@pytest.mark.parametrize(
    "processes", [{}, {"ZZ": (np.zeros(4), np.zeros(4))}, {"W": (-np.ones(4), np.ones(4))}]
)
def test_anything_may_be_missing(log, data, processes):
    values = None if data is None else np.array(data, dtype=float)
    drawing = stack(Spectrum(AXIS, "sr", values, processes), name="m", label=LABEL, log=log)
    if log:  # the harder axis: nothing on it may be zero or negative
        assert drawing.render("png").startswith(b"\x89PNG")
    if values is None and not processes:
        assert "nothing to show" in figure_texts(drawing)


def test_band_adds_variations_in_quadrature_on_their_own_side():
    nominal = spectrum()
    zz = nominal.processes["ZZ"][0]
    both = band(spectrum(variations={"norm_up": {"ZZ": 1.1 * zz}, "norm_down": {"ZZ": 0.8 * zz}}))
    statistics = np.array([0.1, 0.2, 0.3, 0.4]) + 0.01
    total = zz + nominal.processes["H"][0]
    assert both.high == pytest.approx(total + np.sqrt(statistics + (0.1 * zz) ** 2))
    assert both.low == pytest.approx(total - np.sqrt(statistics + (0.2 * zz) ** 2))
    one = band(spectrum(variations={"other_generator": {"ZZ": zz + 0.5}}))
    assert one.high - total == pytest.approx(total - one.low)
    assert one.high == pytest.approx(total + np.sqrt(statistics + 0.25))


def test_variations_widen_what_is_written():
    zz = spectrum().processes["ZZ"][0]
    drawing = stack(spectrum(variations={"s_up": {"ZZ": 2 * zz}}), name="m", label=LABEL)
    found = strict(drawing.numbers)
    assert found["band"]["high"][3] == pytest.approx(8 + (np.sqrt(16.41) - 4), abs=1e-9)
    assert "MC stat. + syst. unc." in legend_texts(drawing)


def test_colours_differ_and_order_follows_the_styles():
    processes = {name: (np.ones(4), np.ones(4)) for name in "abcdef"}
    styles = {"f": ProcessStyle(PALETTE[0]), "c": ProcessStyle()}
    stacked = layers(processes, styles, signal=("b",))
    assert [layer.label for layer in stacked] == ["f", "c", "a", "d", "e", "b"]
    assert len({layer.color for layer in stacked}) == 6
    assert (stacked[0].color, stacked[-1].color) == (PALETTE[0], SIGNALS[0])
    assert [layer.signal for layer in stacked] == [False] * 5 + [True]


def test_more_processes_than_colours_still_draws():
    processes = {f"p{i}": (np.ones(4), np.ones(4)) for i in range(25)}
    drawing = stack(Spectrum(AXIS, "sr", None, processes), name="m", label=LABEL)
    assert drawing.render("png")


def test_axis_texts():
    uneven = variable([0, 1, 3], "n", label="jets")
    assert (axis_label(uneven), events_label(uneven)) == ("jets", "Events / bin")
    assert events_label(regular(3, 0, 0.3, "x")) == "Events / 0.1"
    assert events_label(variable([0.1, 0.2, 0.3], "x", unit="GeV")) == "Events / 0.1 GeV"
    assert plain(r"$H\to ZZ^*\to 4\ell$, $t\bar{t}$, $p_T^{\mu}$") == "H→ ZZ*→ 4ℓ, tt̄, pTμ"

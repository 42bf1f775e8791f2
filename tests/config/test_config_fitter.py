from __future__ import annotations

import json

import pytest

from femtobarn.config.fitter import DEFAULT_VARIATIONS, read_fitter_config, stored_fitter_config
from femtobarn.errors import ConfigError

OLD = {
    "info_level": "INFO", "mass": "Z",
    "input": {"root_files_DATA": {"D": "d.root"}, "root_files_MC": {"M": "m.root"}},
    "fit": {
        "bin": ["bin0", "bin1"], "bin_ranges": [[5, 7.5], [7.5, 10]], "fit_type": "dcb_cms", "use_cdf": False,
        "sigmoid_eff": False, "interactive": False, "x_min": 60, "x_max": 120, "abseta": 1,
        "numerator": "gold", "denominator": "blp",
    },
    "output": {"plot_dir": "plots/", "results_file": "r.json"},
    "scale_factors": {"data_mc_pair": {"SF": ["D", "M"]}},
}  # fmt: skip


def read(tmp_path, content):
    path = tmp_path / "FIT.json"
    path.write_text(json.dumps(content, indent=1))
    return read_fitter_config(path)


def changed(section, **keys):
    return {**OLD, section: {**OLD[section], **keys}}


def test_the_older_tools_keys(tmp_path):
    (tmp_path / "d.root").touch()
    made = read(tmp_path, OLD)
    assert made.bins == ("bin0", "bin1")
    assert made.ranges == ((5.0, 7.5), (7.5, 10.0))
    assert made.window == (60.0, 120.0)
    assert made.pairs == {"SF": ("D", "M")}
    assert made.data == {"D": tmp_path / "d.root"}  # beside the configuration
    assert (made.numerator, made.denominator, made.abseta) == ("gold", "blp", 1)
    assert made.variations == DEFAULT_VARIATIONS
    assert made.results_file == "r.json"
    assert "use_cdf" in made.notes[0]


def test_what_is_stored_is_what_was_read(tmp_path):
    made = read(tmp_path, OLD)
    again = stored_fitter_config(json.loads(json.dumps(made.to_json())))
    assert again.to_json() == made.to_json()


def test_our_own_keys(tmp_path):
    content = changed(
        "fit", shared_shape=True, variations=["altSig", "altMC"], mc_efficiency="fit", alt_signal="g"
    )
    content["input"]["root_files_MC"] = {"M": "m.root", "M2": "n.root"}
    content["scale_factors"] = {"combination": "rms2024", "variation_inputs": {"altMC": {"mc": "M2"}}}
    made = read(tmp_path, content)
    assert made.variations == ("nominal", "altSig", "altMC")
    assert made.combination == "rms2024"
    assert made.variation_inputs == {"altMC": {"mc": "M2"}}
    assert made.alternatives == ("g", None)
    assert made.pairs == {}


@pytest.mark.parametrize(
    ("content", "said", "near"),
    [
        (changed("fit", fit_typ="g_exp"), "fit.fit_typ: unknown key", "fit_type"),
        (changed("fit", interactive=True), "no interactive fit", "--start"),
        (changed("fit", fit_type="dcb"), "SIGNAL_BACKGROUND", ""),
        (changed("fit", x_min=130), "two rising numbers", ""),
        (changed("fit", variations=["altsig"]), "unknown variation", "altSig"),
        (changed("fit", bin_ranges=[[7, 5]]), "two rising numbers", ""),
        (changed("scale_factors", data_mc_pair={"SF": ["D", "N"]}), "no input is called 'N'", ""),
        (changed("scale_factors", combination="rms"), "quadrature, envelope, rms2024", ""),
        ({**OLD, "mass": "Zed"}, "must be one of Z, Z_muon, JPsi, JPsi_muon", ""),
        ({**OLD, "input": {}}, "names no files", ""),
        ({**OLD, "fit": {"hist_pass_name": "p"}}, "belong together", ""),
    ],
)
def test_mistakes_are_named(tmp_path, content, said, near):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, content)
    assert said in str(caught.value)
    assert near in str(caught.value)
    assert "FIT.json:" in str(caught.value)
    assert caught.value.exit_code == 2

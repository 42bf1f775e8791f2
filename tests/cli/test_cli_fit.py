"""``fit`` and ``export``: every flag reaches the model, every mistake is one screen with its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from femtobarn.errors import FitError


def normsys(name: str, hi: float, lo: float) -> dict:
    return {"name": name, "type": "normsys", "data": {"hi": hi, "lo": lo}}


def channel(name: str) -> dict:
    shape = {"hi_data": [33.0, 31.0], "lo_data": [27.0, 29.0]}
    bkg = [normsys("a b", 1.1, 0.9), normsys("c+d", 1.05, 0.97), normsys("tiny", 1.0001, 0.9999),
           {"name": "shape", "type": "histosys", "data": shape}]  # fmt: skip
    free = [{"name": "mu", "type": "normfactor", "data": None}]
    samples = [
        {"name": "sig", "data": [4.0, 9.0], "modifiers": free},
        {"name": "bkg", "data": [30.0, 30.0], "modifiers": bkg},
    ]
    return {"name": name, "samples": samples}


@pytest.fixture
def document() -> dict:
    return {
        "channels": [channel("sr"), channel("cr")],
        "observations": [{"name": "sr", "data": [37.0, 41.0]}, {"name": "cr", "data": [33.0, 36.0]}],
        "measurements": [
            {"name": "one", "config": {"poi": "mu", "parameters": []}},
            {"name": "none", "config": {"poi": "", "parameters": []}},
        ],
        "version": "1.0.0",
    }


@pytest.fixture
def model(document, tmp_path) -> Path:
    path = tmp_path / "w.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def undrawn(monkeypatch):
    """Figures take a second each and are tested elsewhere."""
    monkeypatch.setattr("femtobarn.api.fit_files.fit_drawings", lambda *_: iter(()))


@pytest.fixture
def fitted(cli, model, undrawn):
    """The fit.json that some flags give."""

    def call(*flags: object) -> dict:
        answer = cli("fit", model, *flags, "--json", "--out", "out")
        assert answer.code == 0, answer.err
        return json.loads(answer.out)

    return call


def test_a_plain_fit_asks_for_nothing_else(fitted):
    found = fitted()
    keys = {"kind", "mle", "schema_version", "timing", "warnings", "workspace"}
    assert set(found) == keys
    assert found["mle"]["status"] == "ok"
    assert list(found["workspace"]["channels"]) == ["cr", "sr"]


def test_poi_measurement_fix_and_interpolation(fitted):
    assert fitted("--poi", "a b")["workspace"]["poi"] == "a b"
    assert fitted("--measurement", "none")["workspace"]["poi"] is None
    held = fitted("--fix", "mu=1.5", "--fix", "c+d=0.2")["mle"]["parameters"]
    assert (held["mu"]["value"], held["c+d"]["value"]) == (1.5, 0.2)
    assert held["mu"]["fixed"]
    codes = fitted("--interp", "normsys=code1,histosys=code0")["workspace"]["interpolation"]
    assert codes == {"normsys": "code1", "histosys": "code0"}


def test_channels_patch_and_treatments(fitted, tmp_path):
    assert list(fitted("--channels", "sr")["workspace"]["channels"]) == ["sr"]
    operation = [{"op": "replace", "path": "/observations/0/data", "value": [50.0, 60.0]}]
    (tmp_path / "p.json").write_text(json.dumps(operation))
    patches = [{"metadata": {"name": "more", "values": [1]}, "patch": operation}]
    (tmp_path / "set.json").write_text(json.dumps({"patches": patches, "metadata": {}, "version": "1.0.0"}))
    plain = fitted()["mle"]["twice_nll"]
    patched = fitted("--patch", "p.json")["mle"]["twice_nll"]
    assert patched > plain
    assert fitted("--patch", "set.json:more")["mle"]["twice_nll"] == patched
    pruned = fitted("--prune", "0.001")
    assert "tiny" not in pruned["mle"]["labels"]
    assert sum(row["pruned"] for row in pruned["pruning"]) == 2
    assert (tmp_path / "out/tables/pruning.csv").read_text().count("True") == 2
    split = fitted("--decorrelate", "shape:channel")["mle"]["labels"]
    assert {"shape_sr", "shape_cr"} <= set(split)
    tied = fitted("--correlate", "a b:c+d=0.5")
    assert tied["workspace"]["correlations"] == [["a b", "c+d", 0.5]]
    fitted("--smooth", "353QH")
    assert (
        (tmp_path / "out/tables/smoothing.csv").read_text().startswith("channel,sample,parameter,bin,nominal")
    )
    assert not (tmp_path / "out/tables/pruning.csv").exists()


def test_a_correlation_survives_a_second_fit(cli, fitted):
    first = fitted("--correlate", "a b:c+d=0.5")["mle"]["twice_nll"]
    again = cli("fit", "out", "--json")
    assert again.code == 0
    assert json.loads(again.out)["mle"]["twice_nll"] == pytest.approx(first, rel=1e-12)


def test_asimov_data_give_back_what_made_them(fitted, tmp_path):
    found = fitted("--asimov", "mu=2")
    assert found["mle"]["parameters"]["mu"]["value"] == pytest.approx(2.0, abs=1e-6)
    rows = (tmp_path / "out/tables/observed.csv").read_text().splitlines()
    assert [float(row.split(",")[-1]) for row in rows[1:]] == pytest.approx([38.0, 48.0, 38.0, 48.0])
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["config"]["options"]["asimov"] == {"mu": 2.0}


def test_what_was_asked_for_is_on_the_screen(cli, model, undrawn):
    flags = "--profile mu --gof saturated --significance --hypotest 1 --limit --ranking --toys 10"
    answer = cli("fit", model, *flags.split(), "--out", "out")
    assert answer.code == 0
    for words in ("mu = ", "   profile +", "goodness of fit (saturated): q = ", "discovery: Z = ",
                  "CLs of mu = 1: ", "at 95 % CL (expected", "impact of shape on mu: ",
                  "10 toys, 0 fits failed", "by toys: ", "wrote out/fit.json"):  # fmt: skip
        assert words in answer.out


def test_no_parameter_of_interest_is_a_fit(cli, model, undrawn):
    answer = cli("fit", model, "--measurement", "none", "--out", "out", "--gof", "saturated")
    assert answer.code == 0
    assert "Fit of w.json: −2 ln L = " in answer.out
    answer = cli("fit", model, "--measurement", "none", "--out", "out", "--limit")
    assert answer.code == 2
    assert "'none' has no parameter of interest" in answer.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--poi muu", "there is no parameter 'muu' (did you mean 'mu'?)"),
        ("--measurement two", "there is no measurement 'two'"),
        ("--interp normsys=code9", "normsys has no interpolation 'code9' (did you mean 'code4'"),
        ("--fix mu=x", "--fix: 'mu=x' is not of the form PARAMETER=VALUE"),
        ("--profile zzz", "the parameters: "),
        ("--scan mu=0:1:1", "--scan: 'mu=0:1:1' is not of the form PARAMETER=LOW:HIGH:POINTS"),
        ("--scan2d mu,mu", "two parameters"),
        ("--hypotest 50", "mu = 50 is outside its bounds 0 to 10"),
        ("--limit --cl 95", "--cl: 95 does not lie between 0 and 1"),
        ("--gof chi2", "--gof: there is no 'chi2'"),
        ("--toys -1", "--toys: -1 is below 0"),
        ("--asimov muu=1", "there is no parameter 'muu' (did you mean 'mu'?)"),
        ("--correlate tiny:shape=2", "lies between -1 and 1"),
        ("--correlate mu:shape=0.1", "'mu' is a normfactor"),
        ("--decorrelate shape:region", "--decorrelate: 'shape:region' is not of the form"),
        ("--channels srr", "there is no channel 'srr' (did you mean 'sr'"),
        ("--engine minuit", "--engine: there is no 'minuit'"),
    ],
)
def test_wrong_flags_are_one_sentence_and_leave_nothing(cli, model, tmp_path, flags, words):
    answer = cli("fit", model, *flags.split(), "--out", "out")
    assert answer.code == 2
    assert words in answer.err
    assert answer.out == ""
    assert len(answer.err.splitlines()) <= 3
    assert not (tmp_path / "out").exists()


def test_the_second_engine_names_its_extra(cli, model, monkeypatch):
    import importlib

    real = importlib.import_module

    def missing(name: str):
        raise ImportError(name=name)

    monkeypatch.setattr(
        importlib, "import_module", lambda name: missing(name) if name == "pyhf" else real(name)
    )
    answer = cli("fit", model, "--engine", "pyhf", "--out", "out")
    assert answer.code == 2
    assert "pip install 'femtobarn[pyhf]'" in answer.err


def test_a_bad_workspace_is_all_its_problems_at_once(cli, document, tmp_path):
    document["channels"][0]["samples"][1]["modifiers"][0]["type"] = "normsyss"
    document["observations"].pop()
    document["measurements"][0]["config"]["poi"] = "muu"
    (tmp_path / "bad.json").write_text(json.dumps(document))
    answer = cli("fit", "bad.json")
    assert answer.code == 2
    assert answer.err.splitlines()[0].endswith("bad.json: the workspace has 3 problems:")
    assert (
        "/channels/0/samples/1/modifiers/0/type: unknown modifier 'normsyss' (did you mean 'normsys'"
        in answer.err
    )
    assert "/measurements/0/config/poi: no parameter 'muu' in the model (did you mean 'mu'?)" in answer.err


def test_a_failed_fit_is_exit_one_without_numbers(cli, document, tmp_path, undrawn):
    # Two free norms of the same sample: their product alone is known.
    document["channels"][0]["samples"][0]["modifiers"].append(
        {"name": "k", "type": "normfactor", "data": None}
    )
    document["channels"][1]["samples"][0]["modifiers"].append(
        {"name": "k", "type": "normfactor", "data": None}
    )
    (tmp_path / "flat.json").write_text(json.dumps(document))
    answer = cli("fit", "flat.json", "--out", "out", "--limit")
    assert answer.code == 1
    assert answer.out == ""
    assert "the fit failed" in answer.err
    assert len(answer.err.splitlines()) < 5
    found = json.loads((tmp_path / "out/fit.json").read_text())
    assert found["mle"]["status"] == "failed"
    assert "limit" not in found
    assert not (tmp_path / "out/tables/yields_postfit.csv").exists()


def test_a_request_that_fails_is_exit_one_and_the_rest_is_there(cli, model, undrawn, monkeypatch, tmp_path):
    def fails(*_args: object, **_more: object):
        raise FitError("no way")

    monkeypatch.setattr("femtobarn.stats.histfactory.full_fit.limit", fails)
    answer = cli("fit", model, "--limit", "--significance", "--out", "out")
    assert answer.code == 1
    assert "warning: limit: no way" in answer.err
    assert "not everything could be done: limit failed" in answer.err
    assert "discovery: Z = " in answer.out
    assert json.loads((tmp_path / "out/fit.json").read_text())["not_done"] == ["limit"]


def test_a_fit_never_writes_over_something_else(cli, model, undrawn, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    answer = cli("fit", model, "--out", "mine")
    assert answer.code == 2
    assert "not empty" in answer.err
    assert cli("fit", model, "--out", "mine/letter.txt").code == 2


@pytest.mark.parametrize(("to", "file"), [("pyhf", "again.json"), ("json", "y.json"), ("csv", "y.csv")])
def test_export_names_what_it_wrote(cli, model, tmp_path, to, file):
    answer = cli("export", model, "--to", to, "--out", file)
    assert (answer.code, answer.out, answer.err) == (0, f"{file}\n", "")
    assert (tmp_path / file).stat().st_size > 100


def test_export_says_what_a_card_cannot_hold_and_writes_it(cli, model, tmp_path):
    answer = cli("export", model, "--to", "datacard")
    assert answer.code == 0
    assert "note: interpolation code4/code4p is Combine's own in the card" in answer.err
    assert json.loads((tmp_path / "w_datacard/names.json").read_text())["not_held"]
    assert "w_datacard/datacard.txt" in answer.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("w.json --to pyhv", 2, "there is no format 'pyhv' (did you mean 'pyhf'?)"),
        ("ww.json --to pyhf", 1, "no such file or directory (did you mean 'w.json'?)"),
        ("w.json --to pyhf --out w.json", 2, "is what is exported"),
        ("w.json --to datacard --out w.json", 2, "is what is exported"),
        ("empty --to pyhf", 2, "is not a run directory"),
        ("w.json --to csv --out empty", 2, "is a directory; csv is a file"),
        ("w.json --to pyhf --channels srr", 2, "there is no channel 'srr'"),
    ],
)
def test_wrong_exports(cli, model, tmp_path, arguments, code, words):
    (tmp_path / "empty").mkdir()
    answer = cli("export", *arguments.split())
    assert answer.code == code
    assert words in answer.err
    assert answer.out == ""


def test_a_run_without_a_model_says_what_is_missing(cli, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "manifest.json").write_text(json.dumps({"analysis": "hyy", "execution": {}}))
    answer = cli("export", run, "--to", "datacard")
    assert answer.code == 2
    assert "this run of hyy holds no likelihood model" in answer.err
    assert "a model needs data, signal and background" in answer.err

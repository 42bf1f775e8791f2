"""Fits from the command line to files, against numbers of other programs (see the fixture ``shared``)."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from femtobarn import api, stats
from femtobarn.export.datacard import read_datacard

Shared = Callable[[str], Path]


def femtobarn(folder: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A real process in which every warning is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "femtobarn", *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def fit_json(folder: Path) -> dict[str, Any]:
    def refuse(text: str) -> float:
        raise AssertionError(f"{text} is not strict JSON")

    return dict(json.loads((folder / "fit.json").read_text(), parse_constant=refuse))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def zoo(shared: Shared, tmp_path: Path) -> Callable[[str], Path]:
    documents = json.loads(shared("oracles/stats/zoo_workspaces.json").read_text())

    def find(name: str) -> Path:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(documents[name]))
        return path

    return find


@pytest.fixture(scope="module")
def agc(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of the top-pair fit with everything the acceptance asks for."""
    folder = tmp_path_factory.mktemp("agc")
    said = femtobarn(
        folder, "fit", shared("oracles/stats/workspace_1.json"), "--profile", "ttbar_norm", "--ranking",
        "--gof", "saturated", "--significance", "--hypotest", "1.0", "--out", "fit",
    )  # fmt: skip
    assert "ttbar_norm = 0.96077 ± 0.1082   profile +0.117 -0.1008" in said.stdout
    return folder / "fit"


def test_top_pairs_from_one_file_a_sample(agc: Path) -> None:
    found = fit_json(agc)
    norm = found["mle"]["parameters"]["ttbar_norm"]
    assert found["workspace"]["n_parameters"] == 34
    assert (norm["value"], norm["hesse"]) == pytest.approx((0.96077, 0.10821), abs=1e-5)
    assert (norm["profile_up"], norm["profile_down"]) == pytest.approx((0.11705, -0.10078), abs=1e-5)
    assert found["mle"]["twice_nll"] == pytest.approx(141.33353, abs=1e-5)
    good = found["goodness_of_fit"]
    assert (good["q"], good["ndof"]) == (pytest.approx(1.72057, abs=1e-5), 21)
    test = found["hypotests"][0]
    assert (test["q"], test["cls"]) == pytest.approx((0.12429, 0.36221), abs=1e-5)
    assert found["significance"]["z0"] > 50
    assert -1e5 < found["significance"]["log_p0"] < -100


def test_tables_add_up_to_the_expectation(agc: Path) -> None:
    model = stats.read_workspace(agc / "workspace.json")
    found = fit_json(agc)
    best = [found["mle"]["parameters"][name]["value"] for name in model.names]
    for name, point in (("prefit", model.init), ("postfit", best)):
        rows = table(agc / "tables" / f"yields_{name}.csv")
        totals = [float(row["value"]) for row in rows if row["sample"] == "total"]
        parts: dict[tuple[str, str], float] = {}
        for row in rows:
            if row["sample"] != "total":
                key = (row["channel"], row["bin"])
                parts[key] = parts.get(key, 0.0) + float(row["value"])
        assert totals == pytest.approx(list(parts.values()), rel=1e-12)
        assert totals == pytest.approx(model.expected(point), rel=1e-12)
    observed = [float(row["events"]) for row in table(agc / "tables" / "observed.csv")]
    assert observed == model.observed.tolist()


def test_a_fit_is_drawn_and_reported_again(agc: Path) -> None:
    names = {path.stem for path in (agc / "plots").glob("*.png")}
    assert names == {"channel_4j1b_CR", "channel_4j2b_SR", "pulls", "ranking", "correlations"}
    before = (agc / "plots" / "ranking.json").read_bytes()
    assert {path.name for path in api.plot(agc)} >= {"ranking.png", "channel_4j2b_SR.pdf"}
    assert (agc / "plots" / "ranking.json").read_bytes() == before
    assert "ttbar_norm = 0.9608 ± 0.11" in Path(api.report(agc)).read_text()


def test_ten_files_a_sample(shared: Shared) -> None:
    options = stats.FitOptions(profile=("ttbar_norm",))
    loaded = stats.load_model(shared("oracles/stats/workspace_10.json"), options)
    norm = stats.run_fit(loaded, options).fit_json["mle"]["parameters"]["ttbar_norm"]
    assert (norm["value"], norm["hesse"]) == pytest.approx((0.95688, 0.08812), abs=1e-5)
    assert (norm["profile_up"], norm["profile_down"]) == pytest.approx((0.09530, -0.08276), abs=1e-5)


@pytest.mark.parametrize("kind", ["", "_smooth"])
def test_a_cabinetry_model_becomes_the_reference_workspace(shared: Shared, tmp_path: Path, kind: str) -> None:
    shared("data/C/AGC_histograms.root")
    text = shared(f"oracles/stats/agc_cabinetry{kind}.yml").read_text()
    model = tmp_path / "model.yml"
    model.write_text(text.replace("../shared/", f"{shared('data').parent.resolve()}/"))
    api.export(model, "pyhf", out=tmp_path / "w.json")
    mine = stats.read_workspace(tmp_path / "w.json")
    want = stats.read_workspace(shared(f"oracles/stats/workspace_agcroot5{kind}.json"))
    assert mine.names == want.names
    for shift in (0.0, 0.3, -0.4):
        x = want.init + shift * (want.prefit > 0)
        assert mine.twice_nll(x) == pytest.approx(want.twice_nll(x), rel=1e-9)
    if not kind:
        result = stats.fit(mine)
        found = (result.value("ttbar_norm"), result.error("ttbar_norm"))
        assert found == pytest.approx((0.96015, 0.09105), abs=1e-5)
        # RooFit on nearly these inputs, with another draw of the jet resolution.
        assert found[0] == pytest.approx(0.95149, abs=0.01)


def test_the_numbers_of_a_small_model_on_the_screen_and_in_the_file(zoo: Any, tmp_path: Path) -> None:
    flags = ("--hypotest", 1, "--limit", "--scan2d", "mu,u[0]", "--toys", 20, "--json")
    said = femtobarn(tmp_path, "fit", zoo("shapesys_2bin"), *flags, "--out", "fit")
    found = json.loads(said.stdout)
    assert found == fit_json(tmp_path / "fit")
    test = found["hypotests"][0]
    assert test["cls"] == pytest.approx(0.05252, abs=1e-5)
    expected = [0.00261, 0.01382, 0.06446, 0.23526, 0.57304]
    assert test["cls_expected"] == pytest.approx(expected, abs=1e-5)
    assert found["limit"]["observed"] == pytest.approx(1.01157, abs=1e-5)
    at = [row["cls"] for row in found["cls_curve"] if row["mu"] > found["limit"]["observed"]]
    assert 0 < len(at) < len(found["cls_curve"])
    assert max(at) < 0.05
    assert found["mle"]["at_bound"] == ["mu"]
    names = {path.stem for path in (tmp_path / "fit" / "plots").glob("*.png")}
    assert names == {"channel_c", "pulls", "correlations", "contours_mu_u_0", "cls", "toys"}
    again = api.fit(tmp_path / "fit")
    assert again["mle"] == found["mle"]
    assert not (tmp_path / "fit" / "tables" / "toys.csv").exists()
    assert {p.stem for p in (tmp_path / "fit" / "plots").glob("*.png")} == {
        "channel_c",
        "pulls",
        "correlations",
    }


def test_pulls_of_five_hundred_toys(zoo: Any) -> None:
    options = stats.FitOptions(toys=500, asimov={"mu": 1.0})
    found = stats.run_fit(stats.load_model(zoo("higgs_like"), options), options).fit_json["toys"]
    pull = next(row for row in found["pulls"] if row["parameter"] == "mu")
    assert (found["n"], found["failed"]) == (500, 0)
    assert found["truth"]["mu"] == pytest.approx(1.0, abs=1e-6)
    assert pull["mean"] == pytest.approx(0.0, abs=0.15)
    assert pull["width"] == pytest.approx(1.0, abs=0.15)


def test_toys_agree_with_asymptotics_where_counts_are_large(zoo: Any) -> None:
    options = stats.FitOptions(toys=400, hypotest=(1.0,), seed=3)
    found = stats.run_fit(stats.load_model(zoo("shapesys_2bin"), options), options).fit_json
    by_toys = found["toys"]["hypotests"][0]
    assert by_toys["cls"] == pytest.approx(found["hypotests"][0]["cls"], abs=3 * by_toys["cls_error"])


NAMES = (
    "shapesys_2bin", "histosys_normsys_shared", "all_modifiers", "shapefactor_transfer", "asymmetric",
    "low_counts", "higgs_like", "two_measurements",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_exports_hold_the_same_model(zoo: Any, tmp_path: Path, name: str) -> None:
    original = stats.read_workspace(zoo(name))
    x = original.init + 0.05
    api.export(zoo(name), "pyhf", out=tmp_path / "again.json")
    assert stats.read_workspace(tmp_path / "again.json").twice_nll(x) == original.twice_nll(x)

    card = api.export(zoo(name), "datacard", out=tmp_path / "card")
    assert any("interpolation" in note for note in card.notes)
    back = read_datacard(tmp_path / "card")
    assert sum(len(samples) for samples in back.processes.values()) == sum(
        len(channel.samples) for channel in original.channels
    )

    made = api.export(zoo(name), "hepdata", out=tmp_path / "hepdata")
    text = (tmp_path / "hepdata" / "submission.yaml").read_text()
    assert "nan" not in text
    for path in made.paths:
        if path.suffix == ".yaml":
            assert list(yaml.safe_load_all(path.read_text()))
            assert ".nan" not in path.read_text()
            assert "symerror: 0.0\n" not in path.read_text()


def test_a_submission_is_valid(shared: Shared, tmp_path: Path) -> None:
    if importlib.util.find_spec("hepdata_validator") is None:
        pytest.skip("hepdata-validator is not installed")
    # In a process of its own: the validator warns of its schema library and leaves files open.
    code = (
        "import sys\n"
        "from hepdata_validator.full_submission_validator import FullSubmissionValidator\n"
        "sys.exit(not FullSubmissionValidator().validate(directory=sys.argv[1]))\n"
    )

    def valid() -> bool:
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "h")], check=False)
        return done.returncode == 0

    api.export(shared("oracles/stats/workspace_1.json"), "hepdata", out=tmp_path / "h")
    assert valid()
    (tmp_path / "h" / "submission.yaml").write_text("name: nothing\n")
    assert not valid()


def test_tables_of_an_export_are_those_of_the_fit(agc: Path, tmp_path: Path) -> None:
    femtobarn(tmp_path, "export", agc, "--to", "csv", "--out", "all.csv")
    rows = table(tmp_path / "all.csv")
    assert {row["stage"] for row in rows} == {"observed", "prefit", "postfit"}
    total = [float(r["value"]) for r in rows if (r["stage"], r["sample"]) == ("postfit", "total")]
    want = table(agc / "tables" / "yields_postfit.csv")
    assert total == pytest.approx([float(r["value"]) for r in want if r["sample"] == "total"], rel=1e-9)
    api.export(agc, "json", out=tmp_path / "all.json")
    found = json.loads((tmp_path / "all.json").read_text())["rows"]
    assert [row["value"] for row in found] == [float(row["value"]) for row in rows]
    api.export(agc, "parquet", out=tmp_path / "all.parquet")
    assert pq.read_table(tmp_path / "all.parquet").to_pylist() == found
    assert np.isclose(found[0]["high"] - found[0]["low"], 1.0)

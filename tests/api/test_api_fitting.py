"""The verb ``fit`` on workspaces and on runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from femtobarn import api
from femtobarn.cli.fit_options import parse_options
from femtobarn.errors import FemtobarnError, UsageError
from femtobarn.stats.histfactory.full_fit import FitOptions

NOTHING = dict.fromkeys(
    (
        "measurement",
        "poi",
        "interp",
        "fix",
        "profile",
        "scan",
        "scan2d",
        "hypotest",
        "gof",
        "asimov",
        "prune",
        "smooth",
        "correlate",
        "decorrelate",
        "channels",
        "patch",
        "engine",
    )
) | {
    "limit": False,
    "significance": False,
    "ranking": False,
    "postfit": False,
    "toys": 0,
    "seed": 1,
    "cl": 0.95,
}


def workspace(path: Path, observed: float = 55.0) -> Path:
    """One bin: 50 background +- 10 %, 10 signal."""
    bkg = {
        "name": "bkg",
        "data": [50.0],
        "modifiers": [{"name": "norm", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}],
    }
    sig = {"name": "sig", "data": [10.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    content = {
        "channels": [{"name": "c", "samples": [sig, bkg]}],
        "observations": [{"name": "c", "data": [observed]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }
    path.write_text(json.dumps(content))
    return path


def test_fit_of_a_workspace_is_a_run_directory(tmp_path: Path) -> None:
    out = tmp_path / "fit"
    fitted = api.fit(workspace(tmp_path / "w.json"), FitOptions(ranking=True, profile=("mu",)), out=out)
    assert fitted["mle"]["status"] == "ok"
    assert fitted["mle"]["parameters"]["mu"]["value"] == pytest.approx(0.5, abs=1e-6)
    assert json.loads((out / "fit.json").read_text())["kind"] == "histfactory"
    for name in (
        "manifest.json",
        "workspace.json",
        "report.html",
        "plots/pulls.png",
        "plots/ranking.png",
        "tables/pulls.csv",
    ):
        assert (out / name).stat().st_size > 0
    assert api.open_run(out).manifest["headline"].startswith("mu = 0.5 ")


def test_real_top_pair_workspace(tmp_path: Path, shared: Callable[[str], Path]) -> None:
    options = FitOptions(profile=("ttbar_norm",), gof="saturated", significance=True, hypotest=(1.0,))
    fitted = api.fit(shared("oracles/stats/workspace_1.json"), options, out=tmp_path / "fit")
    found = fitted["mle"]["parameters"]["ttbar_norm"]
    assert [found["value"], found["hesse"]] == pytest.approx([0.96077, 0.10821], abs=1e-4)
    assert [found["profile_up"], found["profile_down"]] == pytest.approx([0.11705, -0.10078], abs=1e-4)
    assert fitted["goodness_of_fit"]["ndof"] == 21
    assert fitted["significance"]["z0"] > 50
    assert fitted["hypotests"][0]["cls"] == pytest.approx(0.36221, abs=1e-4)


def test_refit_elsewhere_leaves_the_run_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    made = api.data_make("h4l", release="atlas-2020", out=tmp_path / "toy", settings=("scale=0.3",))
    api.run(api.Request(what="h4l", fileset=str(made.fileset), out=str(run), executor="serial"))
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    fitted = api.fit(run, FitOptions(fix={"lumi": 1.0}, scan=(("mu", 0.0, 2.0, 5),)), out=tmp_path / "copy")
    assert fitted["mle"]["parameters"]["lumi"]["fixed"]
    assert "scans" in fitted
    assert "results" in fitted
    assert before == {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert (tmp_path / "copy" / "plots" / "scan_mu.png").exists()
    with pytest.raises(UsageError, match="not empty"):
        api.fit(run, out=tmp_path / "copy")


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("fix", ["mu"]),
        ("scan", ["mu=1"]),
        ("scan", ["mu=a:b:3"]),
        ("correlate", ["a=1"]),
        ("decorrelate", ["a:b"]),
        ("scan2d", ["mu"]),
    ],
)
def test_malformed_flags_are_named(flag: str, text: list[str]) -> None:
    with pytest.raises(UsageError, match=f"--{flag}: .* is not of the form"):
        parse_options(**(NOTHING | {flag: text}))


def test_flags_become_options() -> None:
    flags = {
        "fix": ["a=b=1.5"],
        "scan": ["mu=0:2:11"],
        "correlate": ["a:b=0.3"],
        "decorrelate": ["jes:channel"],
        "interp": "normsys=code1",
        "asimov": "mu=1,lumi=1",
        "smooth": "353QH",
    }
    options = parse_options(**(NOTHING | flags))
    assert options.fix == {"a=b": 1.5}
    assert options.scan == (("mu", 0.0, 2.0, 11),)
    assert options.correlate == (("a", "b", 0.3),)
    assert options.decorrelate == (("jes", "channel"),)
    assert options.interp == {"normsys": "code1"}
    assert options.asimov == {"mu": 1.0, "lumi": 1.0}
    assert options.smooth


def test_nothing_to_fit_says_so(tmp_path: Path) -> None:
    with pytest.raises(FemtobarnError, match="no such file"):
        api.fit(tmp_path / "absent.json")
    workspace(tmp_path / "model.json")
    with pytest.raises(FemtobarnError, match=r"no such file or directory .did you mean 'model.json'"):
        api.fit(tmp_path / "modell")
    (tmp_path / "x.root").touch()
    with pytest.raises(UsageError, match="neither a run directory nor a model"):
        api.fit(tmp_path / "x.root")

"""A run directory as the engine leaves it, small but with every file a report knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from femtobarn.hists import regular
from femtobarn.normalise import Spectrum
from femtobarn.plot import Label, ProcessStyle, save, stack

MANIFEST: dict[str, Any] = {
    "schema_version": 1,
    "femtobarn": "0.1.0",
    "analysis": "h4l",
    "title": "Higgs boson to four leptons",
    "command": ["/usr/bin/femtobarn", "run", "h4l", "--set", "release=cms-run1", "--files", "data=*.root"],
    "config": {"analysis": "h4l", "parameters": {"release": "cms-run1"}, "inputs": {"files": ["data=*.root"]},
               "sizing": {}, "model": {}},
    "parameters": {"release": "cms-run1", "selection": "full"},
    "execution": {"executor": "processes", "workers": 2},
    "datasets": {
        "data": {"metadata": {}, "kind": "data", "process": "data", "events": 1000, "entries": 1000},
        "ZZ": {"metadata": {"xsec": 0.1}, "kind": "mc", "process": "ZZ", "events": 2000, "entries": 2000},
    },
    "inputs": [
        {"dataset": "data", "path": "root://eospublic.example//data/a.root", "uuid": "0c5cf6d8-aaaa",
         "size": 123456789, "entries": 1000, "schema": "cms-nanoaod", "tree": "Events", "error": None},
        {"dataset": "ZZ", "path": "mc/zz.root", "uuid": None, "size": 4321, "entries": 2000,
         "schema": "cms-nanoaod", "tree": "Events", "error": None},
    ],
    "unused": {"QCD": "no cross-section is known"},
    "versions": {"numpy": "2.4.0", "python": "3.11.2"},
    "seed": 1,
    "warnings": ["ZZ: 3 events have a negative weight"],
    "ledger": {
        "parts": {"total": 4, "done": 3, "cached": 1, "failed": 0, "missing": 0},
        "events": {"expected": 3000, "processed": 3000},
        "lost_fraction": 0.0, "bytes_read": 5_300_000, "wall_s": 12.5, "cpu_s": 20.25,
    },
    "failures": [],
    "headline": "Signal strength 1.00 +0.49 −0.40 (3.3 standard deviations).",
    "started": "2025-01-02T03:04:05+00:00",
    "finished": "2025-01-02T03:04:18+00:00",
    "origin": "",
}  # fmt: skip

FIT: dict[str, Any] = {
    "schema_version": 1,
    "kind": "histfactory",
    "results": {
        "counting": {"121-130": {"n": 11, "b": 3.563, "s": 6.764, "p0": 0.00117, "Z": 3.043}},
        "shape": {"mu": {"value": 1.0004, "error": 0.44, "error_up": 0.486, "error_down": -0.396},
                  "q0": 11.09, "Z0": 3.33},
    },
    "mle": {
        "status": "ok", "message": "", "at_bound": [],
        "labels": ["mu", "lepton_scale", "ZZ_norm"],
        "parameters": {
            "mu": {"value": 1.01, "hesse": 0.45, "profile_up": 0.49, "profile_down": -0.41, "init": 1.0,
                   "bounds": [0, 10], "fixed": False, "constrained": False, "pull": None},
            "lepton_scale": {"value": -0.31, "hesse": 0.97, "profile_up": None, "profile_down": None,
                             "init": 0.0, "bounds": [-5, 5], "fixed": False,
                             "constrained": True, "pull": -0.31},
            "ZZ_norm": {"value": 0.62, "hesse": 0.81, "profile_up": None, "profile_down": None, "init": 0.0,
                        "bounds": [-5, 5], "fixed": False, "constrained": True, "pull": 0.62},
        },
        "correlation": [[1.0, -0.12, -0.25], [-0.12, 1.0, 0.4], [-0.25, 0.4, 1.0]],
        "covariance": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    },
    "goodness_of_fit": {"method": "saturated", "q": 31.2, "ndof": 35, "p_value": 0.65, "log_p": -0.43},
    "significance": {"q0": 10.9, "z0": 3.30, "log_p0": -7.6, "p0": 4.8e-4},
    "limit": {"cl": 0.95, "observed": 2.1, "expected": [0.6, 0.8, 1.1, 1.6, 2.2]},
    "ranking": [
        {"parameter": "lepton_scale", "pull": -0.31, "constraint": 0.97, "impact_up_prefit": -0.02,
         "impact_down_prefit": 0.02, "impact_up_postfit": -0.019, "impact_down_postfit": 0.02},
        {"parameter": "ZZ_norm", "pull": 0.62, "constraint": 0.81, "impact_up_prefit": -0.1,
         "impact_down_prefit": 0.11, "impact_up_postfit": -0.08, "impact_down_postfit": 0.09},
    ],
    "timing": {"read_cpu_s": 0.1, "fit_cpu_s": 0.52, "total_cpu_s": 0.7},
    "warnings": ["two bins have data but no prediction"],
}  # fmt: skip

CUTFLOW = {
    "schema_version": 1,
    "data": [{"cut": "all", "events": 1000, "sumw": 1000.0, "sumw2": 1000.0},
             {"cut": "four_leptons", "events": 120, "sumw": 120.0, "sumw2": 120.0},
             {"cut": "z_windows", "events": 82, "sumw": 82.0, "sumw2": 82.0}],
    "ZZ": [{"cut": "all", "events": 20000, "sumw": 1234.5, "sumw2": 99.0},
           {"cut": "four_leptons", "events": 0, "sumw": 0.0, "sumw2": 0.0},
           {"cut": "z_windows", "events": 0, "sumw": 0.0, "sumw2": 0.0}],
}  # fmt: skip

YIELDS = {
    "schema_version": 1,
    "4l": {
        "ZZ": {"value": 66.259, "stat": 0.31, "variations": {"ZZ_norm_up": 72.885, "ZZ_norm_down": 59.633}},
        "H": {"value": 8.0, "stat": 0.05, "variations": {}},
        "data": {"value": 82.0, "stat": 9.06, "variations": {}},
    },
    "4mu": {
        "ZZ": {"value": 20.0, "stat": 0.2, "variations": {}},
        "data": {"value": 42.0, "stat": 6.5, "variations": {}},
    },
}

SAMPLES = (
    "dataset,process,kind,events,entries,xsec_pb,factor,note\n"
    "data,data,data,1000,1000,,1.0,\n"
    'ZZ,ZZ,mc,2000,2000,0.107,3.21e-05,"half of it, <b>bold</b> & more"\n'
)


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="session")
def plots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one drawn figure."""
    folder = tmp_path_factory.mktemp("drawn") / "plots"
    axis = regular(4, 70.0, 82.0, "m4l", label=r"$m_{4\ell}$", unit="GeV")
    spectrum = Spectrum(axis, "4l", np.array([1.0, 2, 3, 4]), {"ZZ": (np.ones(4), np.ones(4))})
    styles = {"ZZ": ProcessStyle(label="ZZ")}
    save(stack(spectrum, name="m4l", label=Label("CMS Open Data", 8, 11.58), styles=styles), folder)
    return folder


@pytest.fixture
def make_run(tmp_path: Path, plots: Path) -> Callable[..., Path]:
    """Write a run directory; keyword arguments change keys of the manifest."""

    def make(name: str = "h4l-demo", **changes: Any) -> Path:
        run = tmp_path / name
        (run / "tables").mkdir(parents=True)
        (run / "plots").mkdir()
        write_json(run / "manifest.json", {**MANIFEST, **changes})
        write_json(run / "fit.json", FIT)
        write_json(run / "cutflow.json", CUTFLOW)
        write_json(run / "yields.json", YIELDS)
        (run / "tables" / "samples.csv").write_text(SAMPLES)
        rows = "".join(f"data,{i},{90 + i / 7}\n" for i in range(60))
        (run / "tables" / "candidates.csv").write_text("dataset,event,m4l\n" + rows)
        for path in plots.iterdir():
            (run / "plots" / path.name).write_bytes(path.read_bytes())
        return run

    return make

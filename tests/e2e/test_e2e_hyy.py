"""hyy from files to results."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from femtobarn import api, samples

Shared = Callable[[str], Path]


def run(out: Path, release: str, file: Path, *settings: str) -> api.Finished:
    request = api.Request(
        what="hyy",
        release=release,
        files=(f"data={file}",),
        settings=settings,
        out=str(out),
        executor="serial",
    )
    return api.run(request, process_only=True)


def cuts(finished: api.Finished) -> list[int]:
    (rows,) = finished.result.outcome.cutflows.values()
    return [row.events for row in rows.values()]


def masses(finished: api.Finished) -> list[float]:
    with (finished.path / "tables" / "candidates.csv").open() as file:
        return [float(row["myy"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("EGamma_F_Skim.root", [100, 45, 37, 12, 5, 2, 1]),
        ("DYJetsToLL--UL17_v6-v2_109_Skim.root", [100, 29, 17, 0, 0, 0, 0]),
    ],
)
def test_cms_nanoaod(tmp_path: Path, shared: Shared, name: str, expected: list[int]) -> None:
    finished = run(tmp_path / "r", "cms-nanoaod", shared(f"data/D/{name}"))
    assert cuts(finished) == expected
    if expected[-1]:
        assert masses(finished) == pytest.approx([101.8903], abs=1e-3)


def test_cms_candidate_table(tmp_path: Path, shared: Shared) -> None:
    finished = run(tmp_path / "r", "cms-run1", shared("data/B/diphoton.csv"))
    expected = json.loads(shared("oracles/higgs/cms_candidates.json").read_text())["diphoton.csv"]["masses"]
    assert sorted(masses(finished)) == pytest.approx(sorted(expected), abs=2e-3)


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("atlas-2025", "ODEO_FEB2025_v0_exactly4lep_data15_periodD.exactly4lep.root"),
        ("atlas-2020", "data_D.4lep.root"),
    ],
)
def test_no_diphotons_in_four_lepton_files(tmp_path: Path, shared: Shared, release: str, name: str) -> None:
    finished = run(tmp_path / "r", release, shared(f"data/A/{name}"))
    assert cuts(finished)[0] > 0
    assert cuts(finished)[-1] == 0


def test_the_crack_veto_is_a_veto(tmp_path: Path) -> None:
    made = samples.make("hyy", tmp_path / "toy", release="atlas-2025", scale=0.05, simulate=False)
    events = {}
    for crack in ("on", "off"):
        request = api.Request(
            what="hyy", release="atlas-2025", fileset=str(made), settings=(f"crack={crack}",),
            out=str(tmp_path / crack), executor="serial",
        )  # fmt: skip
        events[crack] = cuts(api.run(request, process_only=True))
    # Rows: all, two_photons, tight, pt, isolation, eta_crack, ...
    assert events["off"][5] == events["off"][4] == events["on"][4]
    assert events["on"][5] < events["on"][4]


def test_toy_peak_is_found_and_reported(tmp_path: Path) -> None:
    made = samples.make("hyy", tmp_path / "toy", release="atlas-2020", seed=3)
    out = tmp_path / "r"
    finished = api.run(api.Request(what="hyy", fileset=str(made), out=str(out)))
    fit = json.loads((out / "fit.json").read_text())["results"]
    assert fit["binned"]["status"] == fit["unbinned"]["status"] == "ok"
    for method in ("binned", "unbinned"):
        mass = fit[method]["m_h"]
        assert abs(mass["value"] - 125.0) < 3 * mass["error"]
        mu = fit[method]["mu"]
        assert abs(mu["value"] - 1.0) < 3 * mu["error"]
    assert "signal events at 12" in finished.headline
    assert {"myy.png", "myy.pdf", "myy.json"} <= {path.name for path in (out / "plots").iterdir()}

"""Jet assignment: best permutations against an independent program, and who may score which event."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from femtobarn import api
from femtobarn.errors import ConfigError
from femtobarn.hists import read_hists
from femtobarn.kernels.permutations import FEATURES, permutation_count, permutations

pytest.importorskip("xgboost", reason="needs the extra xgb")
Shared = Callable[[str], Path]


@pytest.fixture
def pair(tmp_path: Path, shared: Shared) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("even", "odd"):
        packed = shared(f"oracles/ttbar/models/model_{name}.json.gz").read_bytes()
        (folder / f"model_{name}.json").write_bytes(gzip.decompress(packed))
    return folder


def run(tmp_path: Path, shared: Shared, models: Path, *settings: str) -> Path:
    file = shared("data/C/NanoAODv5_sample.root")
    request = api.Request(
        what="ttbar", files=(f"ttbar={file}",), out=str(tmp_path / "r"), executor="serial",
        settings=("ml=local", f"models={models}", "save_events=true", "sanity=warn", *settings),
    )  # fmt: skip
    return api.run(request, process_only=True).path


@pytest.mark.parametrize("mode", ["compat", "corrected"])
def test_best_permutations(tmp_path: Path, shared: Shared, pair: Path, mode: str) -> None:
    expected = json.loads(shared("oracles/ttbar/ml_dev.json").read_text())[mode]
    path = run(tmp_path, shared, pair, f"mode={mode}")
    rows = pyarrow.parquet.read_table(path / "tables" / "events.parquet").to_pylist()
    nominal = {row["event"]: row for row in rows if row["variation"] == "nominal" and row["region"] == "4j2b"}
    assert set(nominal) == {item["event"] for item in expected}
    assert len(expected) == 73
    for item in expected:
        row = nominal[item["event"]]
        assert [row[name] for name in ("ml_w1", "ml_w2", "ml_bhad", "ml_blep")] == item["perm"]
        assert row["ml_score"] == pytest.approx(item["score"], abs=1e-5)
    histograms = read_hists(path / "hists.zip")
    weights = {row["event"]: row["weight"] for row in nominal.values()}
    for i, feature in enumerate(FEATURES):
        histogram = histograms[f"ml/{feature}"]
        content, _ = np.histogram(
            [item["features"][i] for item in expected],
            [-np.inf, *histogram.spec.axes[0].edges, np.inf],
            weights=[weights[item["event"]] for item in expected],
        )
        got = histogram.values(("4j2b", "ttbar", "nominal"), flow=True)
        np.testing.assert_allclose(got, content, rtol=1e-9, atol=1e-9)
    manifest = json.loads((path / "manifest.json").read_text())
    assert set(manifest["resources"]) == {"model_even", "model_odd"}
    assert any("models.json" in warning for warning in manifest["warnings"])


def described(folder: Path, **changes: Any) -> Path:
    """A models.json over a pair, with mistakes."""
    index: dict[str, Any] = {}
    for name in ("even", "odd"):
        file = folder / f"model_{name}.json"
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        index[name] = {"file": file.name, "sha256": digest, "features": list(FEATURES), "trained_on": name}
    for name, entry in changes.items():
        index[name] |= entry
    (folder / "models.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"even": {"trained_on": "odd"}, "odd": {"trained_on": "even"}}, "swapped"),
        ({"even": {"sha256": "0" * 64}}, "sha256"),
        ({"odd": {"file": "nowhere.json"}}, "no such file"),
        ({"odd": {"features": ["pt_w1"]}}, "other features"),
    ],
)
def test_wrong_pairs_are_refused(
    tmp_path: Path, shared: Shared, pair: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, shared, described(pair, **changes))


def test_equal_and_missing_pairs_are_refused(tmp_path: Path, shared: Shared, pair: Path) -> None:
    shutil.copy(pair / "model_even.json", pair / "model_odd.json")
    with pytest.raises(ConfigError, match="the same file"):
        run(tmp_path, shared, pair)
    (pair / "model_odd.json").unlink()
    with pytest.raises(ConfigError, match=r"model_odd\.json"):
        run(tmp_path, shared, pair)


def test_numbers_of_permutations() -> None:
    assert permutation_count(np.array([4, 5, 6, 11])).tolist() == [12, 60, 180, 180]
    table = permutations(5)
    assert (table[:, 0] > table[:, 1]).all()
    assert table.tolist() == sorted(table.tolist())

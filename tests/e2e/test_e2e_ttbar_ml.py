"""Jet assignment: best permutations against an independent program, and who may score which event."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow.parquet
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from femtobarn import api
from femtobarn.errors import ConfigError, LossError, UsageError
from femtobarn.hists import read_hists
from femtobarn.kernels.permutations import FEATURES, permutation_count, permutations
from femtobarn.physics.classifiers import read_forest

Shared = Callable[[str], Path]


@pytest.fixture
def pair(tmp_path: Path, shared: Shared) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("even", "odd"):
        packed = shared(f"oracles/ttbar/models/model_{name}.json.gz").read_bytes()
        (folder / f"model_{name}.json").write_bytes(gzip.decompress(packed))
    return folder


def run(tmp_path: Path, shared: Shared, models: Path, *settings: str, ml: str = "local") -> Path:
    file = shared("data/C/NanoAODv5_sample.root")
    request = api.Request(
        what="ttbar", files=(f"ttbar={file}",), out=str(tmp_path / "r"), executor="serial",
        settings=(f"ml={ml}", f"models={models}", "save_events=true", "sanity=warn", *settings),
    )  # fmt: skip
    return api.run(request, process_only=True).path


def assigned(path: Path, shared: Shared, mode: str) -> tuple[list[dict[str, Any]], dict[int, dict[str, Any]]]:
    """Expected and found events of the signal region, compared."""
    expected: list[dict[str, Any]] = json.loads(shared("oracles/ttbar/ml_dev.json").read_text())[mode]
    rows = pyarrow.parquet.read_table(path / "tables" / "events.parquet").to_pylist()
    nominal = {row["event"]: row for row in rows if row["variation"] == "nominal" and row["region"] == "4j2b"}
    assert set(nominal) == {item["event"] for item in expected}
    assert len(expected) == 73
    for item in expected:
        row = nominal[item["event"]]
        assert [row[name] for name in ("ml_w1", "ml_w2", "ml_bhad", "ml_blep")] == item["perm"]
        assert row["ml_score"] == pytest.approx(item["score"], abs=1e-5)
    return expected, nominal


@pytest.mark.parametrize("mode", ["compat", "corrected"])
def test_best_permutations(tmp_path: Path, shared: Shared, pair: Path, mode: str) -> None:
    path = run(tmp_path, shared, pair, f"mode={mode}")
    expected, nominal = assigned(path, shared, mode)
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


@pytest.mark.parametrize("written", [True, False])
def test_onnx_assigns_the_same_jets(tmp_path: Path, shared: Shared, pair: Path, *, written: bool) -> None:
    models = api.ttbar_models(pair, to="onnx", out=tmp_path / "onnx") if written else pair
    assigned(run(tmp_path, shared, models, ml="onnx"), shared, "corrected")


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """A server of the models in a repository, on the loopback."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self.rows: dict[str, int] = {}

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's spelling
        place = self.repository / request.name / "config.pbtxt"
        if not place.exists():
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model {request.name}")
        answer = service_pb2.ModelConfigResponse()
        answer.config.name = request.name
        pairs = re.findall(r'key: "(\w+)" value: { string_value: "([^"]*)"', place.read_text())
        for key, value in pairs:
            answer.config.parameters[key].string_value = value
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        del context
        (given,) = request.inputs
        assert (given.name, given.datatype) == ("input__0", "FP32")
        rows = np.frombuffer(request.raw_input_contents[0], dtype=np.float32).reshape(tuple(given.shape))
        self.rows[request.model_name] = self.rows.get(request.model_name, 0) + len(rows)
        scores = read_forest(self.repository / request.model_name / "1" / "xgboost.json")(rows)
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        answer.outputs.add(name="output__0", datatype="FP32", shape=[len(rows), 1])
        answer.raw_output_contents.append(scores.astype(np.float32).tobytes())
        return answer


@pytest.fixture
def triton() -> Iterator[Callable[[Path], tuple[str, FakeTriton]]]:
    servers = []

    def start(repository: Path) -> tuple[str, FakeTriton]:
        fake, server = FakeTriton(repository), grpc.server(ThreadPoolExecutor(2))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}", fake

    yield start
    for server in servers:
        server.stop(None).wait()


def test_a_server_assigns_the_same_jets(tmp_path: Path, shared: Shared, pair: Path, triton: Any) -> None:
    models = api.ttbar_models(pair, to="triton", out=tmp_path / "served")
    address, fake = triton(models)
    path = run(tmp_path, shared, models, f"triton={address}", ml="triton")
    assigned(path, shared, "corrected")
    assert set(fake.rows) == {"ttbar_even", "ttbar_odd"}
    manifest = json.loads((path / "manifest.json").read_text())
    assert set(manifest["resources"]) == {"model_even", "model_odd"}
    assert not any("models.json" in warning for warning in manifest["warnings"])


def test_a_server_with_swapped_models_is_refused(
    tmp_path: Path, shared: Shared, pair: Path, triton: Any
) -> None:
    models = api.ttbar_models(pair, to="triton", out=tmp_path / "served")
    served = shutil.copytree(models, tmp_path / "swapped")
    (served / "ttbar_even").rename(served / "x")
    (served / "ttbar_odd").rename(served / "ttbar_even")
    (served / "x").rename(served / "ttbar_odd")
    address, fake = triton(served)
    with pytest.raises(LossError, match=r"model ttbar_\w+: says trained_on=(even|odd), not (even|odd)"):
        run(tmp_path, shared, models, f"triton={address}", ml="triton")
    assert not fake.rows


def test_a_server_that_is_not_there_is_named(tmp_path: Path, shared: Shared, pair: Path, triton: Any) -> None:
    models = api.ttbar_models(pair, to="triton", out=tmp_path / "served")
    address, _ = triton(tmp_path)  # a server without models
    with pytest.raises(LossError, match=rf"Triton server {address}, model ttbar_\w+: no answer"):
        run(tmp_path, shared, models, f"triton={address}", ml="triton")


def test_models_for_another_backend_are_refused(tmp_path: Path, shared: Shared, pair: Path) -> None:
    models = api.ttbar_models(pair, to="onnx", out=tmp_path / "onnx")
    with pytest.raises(ConfigError, match=r"use ml=onnx"):
        run(tmp_path, shared, models)
    with pytest.raises(UsageError, match="holds a pair of models already"):
        api.ttbar_models(pair, to="onnx", out=models)
    with pytest.raises(UsageError, match="onnx"):
        api.ttbar_models(pair, to="onyx", out=tmp_path / "x")


def test_the_published_pair_is_known_under_any_name(tmp_path: Path, shared: Shared, pair: Path) -> None:
    (pair / "model_even.json").rename(pair / "x")
    (pair / "model_odd.json").rename(pair / "model_even.json")
    (pair / "x").rename(pair / "model_odd.json")
    with pytest.raises(ConfigError, match="model 'even' was trained on 'odd' events: the pair is swapped"):
        run(tmp_path, shared, pair)


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

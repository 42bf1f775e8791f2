"""Delivery before the selection: a superset of what is selected, so that no histogram changes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from femtobarn import api
from femtobarn.errors import DataError, LossError, UsageError
from femtobarn.report.sections import timings

Shared = Callable[[str], Path]


def run(out: Path, *settings: str, full: bool = False, **options: Any) -> api.Finished:
    request = api.Request(what="ttbar", out=str(out), executor="serial", settings=settings, **options)
    return api.run(request, process_only=not full, pages=False)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys")
    api.data_make("ttbar", out=folder, scale=0.01, seed=4)
    return folder


@pytest.mark.parametrize("settings", [(), ("task=v1.4", "mode=compat"), ("btag_cut=0.8484", "jetid=none")])
def test_histograms_are_the_same_with_and_without(
    toys: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    fileset = str(toys / "fileset.json")
    whole = run(tmp_path / "whole", *settings, fileset=fileset)
    skimmed = run(tmp_path / "skim", *settings, "delivery=local", fileset=fileset)
    assert (skimmed.path / "hists.zip").read_bytes() == (whole.path / "hists.zip").read_bytes()
    for name, (seen, total) in skimmed.result.processed.items():
        assert seen == total < whole.result.processed[name][1]
    one, two = (json.loads((each.path / "manifest.json").read_text()) for each in (whole, skimmed))
    assert two["execution"]["delivery_s"] > 0
    for name, entry in two["datasets"].items():
        meta, counted = entry["metadata"], whole.result.outcome.sum_of(name, "events")
        assert meta["nevts"] == counted == one["datasets"][name]["events"]
        if meta["kind"] == "mc" and "mode=compat" not in settings:
            assert meta["sumw"] == pytest.approx(whole.result.outcome.sum_of(name, "sumw"), rel=1e-12)


def yields(finished: api.Finished) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished.path / "yields.json").read_text())
    return found


def test_real_events_and_their_yields(tmp_path: Path, shared: Shared) -> None:
    files = (f"ttbar={shared('data/C/NanoAODv5_sample.root')}",)
    whole = run(tmp_path / "whole", files=files, full=True)
    skimmed = run(tmp_path / "skim", "delivery=local", files=files, full=True)
    assert (skimmed.path / "hists.zip").read_bytes() == (whole.path / "hists.zip").read_bytes()
    assert yields(skimmed)["4j2b"]["ttbar"]["value"] == pytest.approx(180_311.84961, rel=1e-8)
    for region in ("4j1b", "4j2b"):
        for name, value in yields(whole)[region]["ttbar"]["variations"].items():
            assert yields(skimmed)[region]["ttbar"]["variations"][name] == pytest.approx(value, rel=1e-12)
    assert any("a skim of 1000 events" in one for one in skimmed.warnings)
    shown = timings(json.loads((skimmed.path / "manifest.json").read_text()), {})
    assert shown is not None
    assert [row[0] for row in shown.rows][:2] == ["delivery", "processing, wall time"]


def test_an_empty_skim_is_normal(tmp_path: Path, shared: Shared) -> None:
    files = (f"wjets={shared('data/C/nanoAOD_2015_CMS_Open_Data_ttbar.root')}",)
    skimmed = run(tmp_path / "skim", "delivery=local", "btag_cut=0.99", files=files, full=True)
    assert skimmed.result.processed == {"wjets__nominal": (0, 0)}
    assert yields(skimmed)["4j1b"]["wjets"]["value"] == 0
    manifest = json.loads((skimmed.path / "manifest.json").read_text())
    assert manifest["datasets"]["wjets__nominal"]["metadata"]["nevts"] == 200


def test_ntuples_of_version_0(tmp_path: Path) -> None:
    api.data_make("agc-poet", out=tmp_path / "poet", scale=0.01)
    fileset = str(tmp_path / "poet" / "fileset.json")
    whole = run(tmp_path / "whole", "task=v0", "mode=compat", fileset=fileset)
    skimmed = run(tmp_path / "skim", "task=v0", "mode=compat", "delivery=local", fileset=fileset)
    assert (skimmed.path / "hists.zip").read_bytes() == (whole.path / "hists.zip").read_bytes()


def test_a_mislabelled_file_is_noticed_before_its_skim(tmp_path: Path, shared: Shared) -> None:
    file = shared("data/C/nanoAOD_2015_CMS_Open_Data_ttbar.root")
    with pytest.raises(DataError, match=r"ttbar\.root: mislabelled: .* looks like wjets"):
        run(tmp_path / "error", "delivery=local", files=(f"ttbar={file}",))
    warned = run(tmp_path / "warn", "delivery=local", "sanity=warn", files=(f"ttbar={file}",), full=True)
    assert any("looks like wjets" in one for one in warned.warnings)


def edge_file(path: Path) -> int:
    """Events whose lepton or jets lie exactly at, just below and just above a threshold, in float32."""
    edges = np.array([30.0, 2.1, 4.0, 0.15, 2.4, 0.5], dtype=np.float32)
    around = np.concatenate([np.nextafter(edges, np.float32(0)), edges, np.nextafter(edges, np.float32(99))])
    rng = np.random.default_rng(7)
    n = 4000

    def near(cut: float, low: float, high: float, size: int) -> Any:
        values = around[np.abs(around / cut - 1) < 1e-3]
        plain = rng.uniform(low, high, size)
        return np.where(rng.uniform(size=size) < 0.5, rng.choice(values, size), plain).astype(np.float32)

    ones, jets = np.ones(n, dtype=np.uint32), 12 * n
    columns = {
        "run": ones, "luminosityBlock": ones, "event": np.arange(n, dtype=np.uint64),
        "genWeight": ones.astype(np.float32),
    }  # fmt: skip

    def lists(values: Any, each: int) -> Any:
        return ak.from_regular(ak.Array(values.reshape(n, each)), axis=1)

    lepton = {"pt": near(30, 20, 60, 2 * n), "eta": near(2.1, 0, 2.5, 2 * n), "sip3d": near(4, 0, 6, 2 * n)}
    muon = {"tightId": rng.uniform(size=2 * n) < 0.8, "pfRelIso04_all": near(0.15, 0, 0.3, 2 * n)}
    jet = {
        "pt": near(30, 12, 60, jets), "eta": near(2.4, 0, 2.6, jets), "btagCSVV2": near(0.5, 0, 1, jets),
        "phi": rng.uniform(-3, 3, jets).astype(np.float32), "mass": np.full(jets, 5, dtype=np.float32),
        "jetId": rng.choice([2, 4, 6, 6, 6], jets).astype(np.int32),
    }  # fmt: skip
    electron = {key: rng.permutation(values) for key, values in lepton.items()}
    electron["cutBased"] = rng.choice([3, 4, 4, 4], 2 * n).astype(np.int32)
    with uproot.recreate(path) as file:
        columns |= {f"Jet_{key}": lists(values, 12) for key, values in jet.items()}
        columns |= {f"Muon_{key}": lists(values, 2) for key, values in (lepton | muon).items()}
        columns |= {f"Electron_{key}": lists(values, 2) for key, values in electron.items()}
        file.mktree("Events", {key: values.dtype if isinstance(values, np.ndarray) else values.type
                               for key, values in columns.items()})  # fmt: skip
        file["Events"].extend(columns)
    return n


def test_events_at_the_thresholds_are_delivered(tmp_path: Path) -> None:
    n = edge_file(tmp_path / "edges.root")
    files = (f"ttbar={tmp_path / 'edges.root'}",)
    whole = run(tmp_path / "whole", files=files)
    skimmed = run(tmp_path / "skim", "delivery=local", files=files)
    selected = whole.result.outcome.cutflow("ttbar__nominal")[-1].events
    assert 100 < selected < n / 2
    assert skimmed.result.processed["ttbar__nominal"][0] < n
    assert (skimmed.path / "hists.zip").read_bytes() == (whole.path / "hists.zip").read_bytes()


def test_what_a_delivery_cannot_take_is_said(tmp_path: Path, toys: Path, shared: Shared) -> None:
    parquet = tmp_path / "x.parquet"
    parquet.write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="no ROOT file"):
        run(tmp_path / "a", "delivery=local", files=(f"ttbar={parquet}",))
    name, entry = next(iter(json.loads((toys / "fileset.json").read_text()).items()))
    path = str(toys / next(iter(entry["files"])))
    steps = {name: {"files": {path: {"object_path": "Events", "steps": [[0, 10]]}}}}
    (tmp_path / "steps.json").write_text(json.dumps(steps))
    with pytest.raises(UsageError, match="a delivery takes whole files"):
        run(tmp_path / "b", "delivery=local", fileset=str(tmp_path / "steps.json"))
    file = shared("data/C/NanoAODv5_sample.root")
    with pytest.raises(LossError, match="has no column 'Jet_btagDeepX'"):
        run(tmp_path / "c", "delivery=local", "btag=btagDeepX", files=(f"ttbar={file}",))


def test_fresh_makes_the_skim_anew(tmp_path: Path, shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    from femtobarn.deliver import delivery

    asked: list[bool] = []
    deliver = delivery.deliver_spec

    def watched(spec: Any, options: Any, **more: Any) -> Any:
        asked.append(options.ignore_cache)
        return deliver(spec, options, **more)

    monkeypatch.setattr(delivery, "deliver_spec", watched)
    files = (f"ttbar={shared('data/C/NanoAODv5_sample.root')}",)
    first = run(tmp_path / "r", "delivery=local", files=files)
    run(tmp_path / "r", "delivery=local", files=files, fresh=True)
    assert asked == [False, True]
    assert math.isclose(first.result.outcome.sum_of("ttbar__nominal", "events"), 168)

"""Whole or nothing, cached and verified: what happens when files are missing, damaged or altered."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot
import yaml

from femtobarn.deliver import FromTree, PythonFunction, UprootRaw, deliver, explain, read_spec
from femtobarn.errors import ConfigError, DataError, LossError, UsageError

QUERY = "FromTree('mini').Select(lambda e: {'pt': e.pt, 'n': e.n})"


def make_file(path: Path, events: int = 20, seed: int = 1, tree: str = "mini") -> Path:
    numbers = np.random.default_rng(seed)
    counts = numbers.integers(0, 4, events)
    pt = ak.unflatten(numbers.exponential(30, counts.sum()).astype(np.float32), counts)
    with uproot.recreate(path) as file:
        file.mktree(tree, {"pt": pt.type.content, "n": np.int32, "ok": np.bool_}).extend(
            {"pt": pt, "n": counts.astype(np.int32), "ok": counts > 1}
        )
    return path


@pytest.fixture
def files(tmp_path):
    return [make_file(tmp_path / f"in{i}.root", seed=i) for i in range(3)]


def spec_of(files, query=QUERY, kind="parquet", **general):
    sample = {"Name": "s", "Dataset": [str(file) for file in files], "Query": query}
    if isinstance(query, str):
        sample["Codegen"] = "uproot"
    return {"General": {"OutputFormat": kind, **general}, "Sample": [sample]}


def test_answer_and_fileset(files, tmp_path):
    found = deliver(spec_of(files, OutputDirectory=str(tmp_path / "out")))
    assert [Path(path).name for path in found["s"]] == ["in0.parquet", "in1.parquet", "in2.parquet"]
    assert yaml.safe_load((tmp_path / "out/servicex_fileset.yaml").read_text()) == found
    manifest = json.loads((tmp_path / "out/servicex_fileset.yaml.json").read_text())
    sample = manifest["samples"]["s"]
    assert (sample["entries"], sample["events"], sample["lost_fraction"]) == (60, 60, 0.0)
    assert [row["state"] for row in sample["inputs"]] == ["done"] * 3
    assert all(row["bytes_read"] > 0 for row in sample["inputs"])
    lines = [json.loads(line) for line in (tmp_path / "out/ledger.jsonl").read_text().splitlines()]
    assert [line["state"] for line in lines if "state" in line] == ["done"] * 3


@pytest.mark.parametrize("kind", ["parquet", "root-ttree"])
def test_provenance_is_inside(files, kind):
    (path,) = deliver(spec_of(files[:1], kind=kind))["s"]
    if kind == "parquet":
        note = json.loads(pq.read_schema(path).metadata[b"femtobarn_provenance"])
    else:
        note = json.loads(str(uproot.open(path)["femtobarn_provenance"]))
    assert note["input"] == str(files[0])
    assert note["entries"] == 20
    assert len(note["query_sha256"]) == 64


def test_one_missing_file_delivers_nothing(files, tmp_path):
    out = tmp_path / "out"
    deliver(spec_of(files[:1], OutputDirectory=str(out)))
    spec = spec_of([files[0], tmp_path / "in7.root"], OutputDirectory=str(out))
    with pytest.raises(LossError, match=r"1 of 2 files failed; nothing is delivered") as caught:
        deliver(spec)
    assert "in7.root: no such file (did you mean 'in" in str(caught.value)
    assert caught.value.exit_code == 1
    assert not list(out.glob("*.yaml*"))
    found = deliver(spec, allow_missing=True)
    assert len(found["s"]) == 1
    assert (
        json.loads((out / "servicex_fileset.yaml.json").read_text())["samples"]["s"]["lost_fraction"] == 0.5
    )


def test_all_files_missing_is_a_failure_even_if_loss_is_allowed(tmp_path):
    with pytest.raises(LossError, match="1 of 1 files failed"):
        deliver(spec_of([tmp_path / "x.root"]), allow_missing=True)


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage"])
def test_damaged_input_is_named(files, damage):
    content = files[1].read_bytes()
    files[1].write_bytes(
        {"truncated": content[: len(content) // 2], "empty": b"", "garbage": b"x" * 500}[damage]
    )
    with pytest.raises(LossError, match=r"in1\.root") as caught:
        deliver(spec_of(files))
    assert "1 of 3 files failed" in str(caught.value)


def states(folder):
    return [
        row["state"]
        for row in json.loads((folder / "servicex_fileset.yaml.json").read_text())["samples"]["s"]["inputs"]
    ]


def test_second_run_is_from_the_cache_and_altered_outputs_are_made_again(files, tmp_path, caplog):
    first = deliver(spec_of(files))["s"]
    before = [Path(path).stat().st_mtime_ns for path in first]
    assert deliver(spec_of(files))["s"] == first
    assert [Path(path).stat().st_mtime_ns for path in first] == before
    content = Path(first[1]).read_bytes()
    altered = bytearray(content)
    altered[len(content) // 2] ^= 1
    Path(first[1]).write_bytes(bytes(altered))
    Path(first[2]).unlink()
    with caplog.at_level(logging.WARNING):
        assert deliver(spec_of(files))["s"] == first
    assert "has another content than was written; it is made again" in caplog.text
    assert "is gone; it is made again" in caplog.text
    assert Path(first[1]).read_bytes() != bytes(altered)
    assert ak.array_equal(ak.from_parquet(first[1]).pt, uproot.open(files[1])["mini/pt"].array())


def test_cache_verify_finds_an_altered_delivery(files):
    from femtobarn.api import cache_verify

    path = Path(deliver(spec_of(files))["s"][1])
    assert cache_verify() == (3, [])
    path.write_bytes(path.read_bytes()[:-1])
    assert cache_verify() == (3, [str(path.with_suffix(".part"))])
    assert not path.exists()


def test_an_altered_file_in_the_folder_is_put_back(files, tmp_path, caplog):
    spec = spec_of(files[:1], OutputDirectory=str(tmp_path / "out"))
    (path,) = deliver(spec)["s"]
    good = Path(path).read_bytes()
    Path(path).unlink()
    Path(path).write_bytes(good[:-1] + b"?")
    deliver(spec)
    assert Path(path).read_bytes() == good
    assert states(tmp_path / "out") in (["done"], ["cached"])


def test_another_input_under_the_same_name_is_read_anew(files):
    (first,) = deliver(spec_of(files[:1]))["s"]
    make_file(files[0], events=21, seed=9)
    (second,) = deliver(spec_of(files[:1]))["s"]
    assert first != second
    assert len(ak.from_parquet(second)) == 21


def test_ignore_cache(files):
    (path,) = deliver(spec_of(files[:1]))["s"]
    before = Path(path).stat().st_ino
    deliver(spec_of(files[:1]), ignore_local_cache=True)
    assert Path(path).stat().st_ino != before


@pytest.mark.parametrize("kind", ["parquet", "root-ttree", "root-rntuple"])
def test_merge(files, kind, tmp_path):
    separate = deliver(spec_of(files, kind=kind))["s"]
    (path,) = deliver(spec_of(files, kind=kind), merge=True, out=tmp_path / "m")["s"]

    def read(name):
        return (
            ak.from_parquet(name) if kind == "parquet" else uproot.open(name)["servicex"].arrays(["pt", "n"])
        )

    whole = ak.concatenate([read(each) for each in separate])
    assert ak.array_equal(read(path).pt, whole.pt)
    assert Path(path).name.startswith("s.")
    grouped = deliver(spec_of(files, kind=kind), target_size=Path(separate[0]).stat().st_size * 2 + 500)["s"]
    assert len(grouped) == 2


def test_workers_give_the_same_files(files):
    one = [Path(path).read_bytes() for path in deliver(spec_of(files))["s"]]
    two = [Path(p).read_bytes() for p in deliver(spec_of(files), workers=2, ignore_local_cache=True)["s"]]
    assert one == two


DIE = """
import json, os, sys
from femtobarn.deliver import deliver
done = []
def note(_):
    done.append(1)
    if len(done) == 2:
        os.kill(os.getpid(), 9)
deliver(json.loads(sys.argv[1]), progress=lambda _: note)
"""


def test_killed_and_repeated(files, tmp_path, monkeypatch):
    cache = str(tmp_path / "cache")
    ended = subprocess.run(
        [sys.executable, "-c", DIE, json.dumps(spec_of(files))], check=False, timeout=120,
        env={**os.environ, "FEMTOBARN_CACHE": cache},
    )  # fmt: skip
    assert ended.returncode == -9
    monkeypatch.setenv("FEMTOBARN_CACHE", cache)
    deliver(spec_of(files, OutputDirectory=str(tmp_path / "out")))
    assert states(tmp_path / "out") == ["cached", "cached", "done"]


def test_trees_that_may_be_missing(files, tmp_path):
    other = make_file(tmp_path / "other.root", tree="else")
    query = UprootRaw([{"treename": "mini", "expressions": ["n"]}])
    out = tmp_path / "out"
    found = deliver(spec_of([files[0], other], query, OutputDirectory=str(out)))
    assert len(found["s"]) == 1
    manifest = json.loads((out / "servicex_fileset.yaml.json").read_text())
    assert manifest["samples"]["s"]["warnings"] == ["1 of 2 files lack the tree and count as empty"]
    strict = UprootRaw([{"treename": "mini", "expressions": ["n"], "fail_on_missing_trees": True}])
    with pytest.raises(LossError, match="has no tree 'mini'"):
        deliver(spec_of([files[0], other], strict))
    with pytest.raises(LossError, match="none of its 1 files has the trees"):
        deliver(spec_of([other], query))


CODE = """
def run_query(input_filenames=None):
    import uproot
    with uproot.open({input_filenames: 'mini'}) as tree:
        return tree.arrays(['pt', 'ok'])
"""


def test_code_runs_only_if_allowed(files):
    spec = spec_of(files[:1], PythonFunction(CODE))
    with pytest.raises(UsageError, match="brings Python code") as caught:
        deliver(spec)
    assert caught.value.exit_code == 2
    (path,) = deliver(spec, allow_python=True)["s"]
    assert str(ak.from_parquet(path).type) == "20 * {pt: var * float32, ok: bool}"


def test_code_that_fails_shows_its_last_words(files):
    broken = PythonFunction("def run_query(f=None):\n    raise ValueError('no such luck')\n")
    with pytest.raises(LossError, match="no such luck"):
        deliver(spec_of(files[:1], broken), allow_python=True)


def test_code_with_named_trees_and_a_plain_array(files):
    code = """
def run_query(f):
    import awkward as ak
    return {'one': ak.Array([[1], []]), 'two': ak.Array([1.5])}
"""
    (path,) = deliver(spec_of(files[:1], PythonFunction(code), kind="root-ttree"), allow_python=True)["s"]
    file = uproot.open(path)
    assert file["one/branch"].array().tolist() == [[1], []]
    assert file["two/branch"].array().tolist() == [1.5]


def test_remote_languages_need_a_server(files):
    sample = {"Name": "s", "Dataset": [str(files[0])], "Query": "(Select ...)", "Codegen": "atlasr22"}
    with pytest.raises(UsageError, match="runs on a ServiceX server only"):
        deliver({"Sample": [sample]})


def test_urls(files):
    assert deliver(spec_of(files[:1], Delivery="URLs"))["s"][0].startswith("file:///")


def test_explain_reads_no_column(files, monkeypatch):
    monkeypatch.setattr(uproot.TBranch, "array", lambda *_, **__: pytest.fail("a column was read"))
    found = explain(read_spec(spec_of(files)))
    assert (found["files"], found["samples"][0]["columns"], found["samples"][0]["entries"]) == (
        3,
        ["n", "pt"],
        60,
    )


def test_missing_values_need_a_format_that_has_them(files):
    query = "FromTree('mini').Select(lambda e: {'lead': e.pt.First()})"
    with pytest.raises(LossError, match=r"event \d+ does not have it"):
        deliver(spec_of(files[:1], query))
    (path,) = deliver(spec_of(files[:1], query), missing="none")["s"]
    direct = uproot.open(files[0])["mini/pt"].array()
    assert ak.from_parquet(path).lead.tolist() == ak.firsts(direct).tolist()
    with pytest.raises(LossError, match="missing values, which a TTree cannot hold"):
        deliver(spec_of(files[:1], query, kind="root-ttree"), missing="none")


def test_a_file_listed_twice(files):
    with pytest.raises(ConfigError, match="is listed twice"):
        deliver(spec_of([files[0], files[0]]))
    with pytest.raises(DataError, match="is listed twice"):
        deliver(spec_of([files[0], f"{files[0].parent}/./{files[0].name}"]))


def test_python_builder(files):
    queries = {
        "a": FromTree("mini").Select(lambda e: {"pt": e.pt}),
        "b": FromTree("mini").Select(lambda e: e.n),
    }
    (first,) = deliver(spec_of(files[:1], queries["a"]))["s"]
    (second,) = deliver(spec_of(files[:1], queries["b"]))["s"]
    assert ak.from_parquet(first).fields == ["pt"]
    assert ak.from_parquet(second).fields == ["branch"]

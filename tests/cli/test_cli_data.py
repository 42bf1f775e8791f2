"""``data make | probe | list | files``."""

from __future__ import annotations

import json

import pytest

from femtobarn import api
from femtobarn.catalog import read_fileset


def test_make_writes_samples_fileset_and_truth(cli, tmp_path):
    answer = cli("data", "make", "h4l", "--release", "2020e-13tev", "--seed", 5, "--set", "mu=2",
                 "--set", "scale=0.02", "--out", "toy", "--json")  # fmt: skip
    assert answer.code == 0
    made = json.loads(answer.out)
    assert made["release"] == "atlas-2020"
    truth = json.loads((tmp_path / made["truth"]).read_text())
    assert (truth["mu"], truth["seed"], truth["scale"]) == (2.0, 5, 0.02)
    datasets = read_fileset(tmp_path / made["fileset"])
    assert {d.name for d in datasets} == {"ggH", "ZZ", "DY", "ttbar", "data"}
    assert {d.metadata["origin"] for d in datasets} == {"toy"}


def test_make_dimuon_runs_with_the_starter_analysis(cli, tmp_path):
    assert cli("data", "make", "dimuon", "--set", "events=300", "--out", "toy").code == 0
    path = api.new("dimuon", out=tmp_path)
    finished = cli("run", path, "--fileset", "toy/fileset.json", "--out", "run", "--process-only")
    assert finished.code == 0
    cli("plot", "run")
    drawn = json.loads((tmp_path / "run" / "plots" / "mass.json").read_text())
    assert drawn["label"] == "femtobarn toy simulation"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["h4", "--out", "x"], "no built-in samples of 'h4' (did you mean 'h4l'"),
        (["h4l", "--out", "x", "--release", "atlas-2021"], "did you mean 'atlas-2025'"),
        (["hyy", "--out", "x", "--release", "atlas-2016"], "do not exist in the format of atlas-2016"),
        (["h4l", "--out", "x", "--set", "muu=2"], "unknown parameter (did you mean 'mu'?)"),
        (["h4l", "--out", "x", "--set", "mu=-1", "--set", "mass=1"], "mass: must be >= 60, not 1"),
        (["dimuon", "--out", "x", "--set", "mu=1"], "unknown parameter"),
        (["h4l", "--out", "x", "--seed", "-1"], "must not be negative"),
        (["h4l"], "Missing option '--out'"),
    ],
)
def test_make_refuses(cli, tmp_path, arguments, says):
    answer = cli("data", "make", *arguments)
    assert answer.code == 2
    assert says in answer.err
    assert not (tmp_path / "x").exists()


def test_probe_says_what_a_file_is(cli, h4l_samples):
    answer = cli("data", "probe", f"{h4l_samples}/*.root", "--json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert len(found["files"]) == 5
    one = next(item for item in found["files"] if item["url"].endswith("data.root"))
    assert (one["schema"], one["tree"]) == ("atlas-2020", "mini")
    truth = json.loads((h4l_samples / "truth.json").read_text())
    assert one["entries"] == truth["pseudo_data_total"]
    assert one["size"] == (h4l_samples / "data.root").stat().st_size
    assert "lep_pt" in one["branches"]
    assert found["bad"] == []


def test_probe_goes_on_after_a_bad_file(cli, h4l_samples, tmp_path):
    (tmp_path / "empty.root").write_bytes(b"")
    answer = cli("data", "probe", "empty.root", "none.root", h4l_samples / "data.root", "--branches")
    assert answer.code == 1
    assert "empty.root: is empty" in answer.err
    assert "none.root: no such file" in answer.err
    assert "atlas-2020" in answer.out
    assert "\n  lep_pt\n" in answer.out


def test_list_of_releases_and_of_samples(cli):
    releases = json.loads(cli("data", "list", "--json").out)
    assert [r["name"] for r in releases] == [
        "atlas-2016",
        "atlas-2020",
        "atlas-2025",
        "cms-run1",
        "cms-nanoaod",
    ]
    samples = {row["name"]: row for row in json.loads(cli("data", "list", "2020e-13tev", "--json").out)}
    assert samples["ggH"]["xsec_pb"] == 0.0060239
    assert samples["ZH"]["suspicious"]
    table = cli("data", "list", "atlas-2020").out
    (marked,) = [row for row in table.splitlines() if row.startswith("ZH ")]
    assert marked.endswith("?")
    assert "? ZH: " in table
    assert "xsec.ZH=" in table
    assert len(json.loads(cli("data", "list", "cms-run1", "--json").out)) == 14


def test_list_of_an_unknown_release(cli):
    answer = cli("data", "list", "atlas2020")
    assert answer.code == 2
    assert "'atlas-2020'" in answer.err


def test_list_of_a_release_without_table(cli):
    answer = cli("data", "list", "cms-nanoaod")
    assert (answer.code, answer.out) == (0, "")
    assert "no sample table" in answer.err


def test_files_in_three_forms(cli, h4l_samples):
    source = f"{h4l_samples}/fileset.json"
    content = json.loads(cli("data", "files", source, "--format", "fileset").out)
    original = json.loads((h4l_samples / "fileset.json").read_text())
    assert list(content) == list(original)
    assert content["ZZ"]["metadata"] == original["ZZ"]["metadata"]
    assert content["ZZ"]["files"] == {f"{h4l_samples}/ZZ.root": "mini"}
    urls = cli("data", "files", source, "--format", "urls").out.split()
    assert urls == [f"{h4l_samples}/{name}.root" for name in original]
    assert cli("data", "files", source).out.splitlines()[0].split() == [
        "dataset", "kind", "process", "tree", "entries", "file",
    ]  # fmt: skip


def test_files_written_can_be_read(cli, h4l_samples, tmp_path):
    answer = cli("data", "files", f"zz={h4l_samples}/ZZ.root", h4l_samples / "data.root", "--out", "f.json")
    assert answer.code == 0
    assert [d.name for d in read_fileset(tmp_path / "f.json")] == ["zz", "data"]
    again = cli("data", "files", "f.json", "--format", "urls")
    assert again.out.split() == [f"{h4l_samples}/ZZ.root", f"{h4l_samples}/data.root"]


def test_files_refuses_one_name_for_two(cli, h4l_samples):
    answer = cli("data", "files", h4l_samples / "fileset.json", h4l_samples / "data.root")
    assert answer.code == 2
    assert "dataset 'data' is in several" in answer.err


def test_files_of_an_unknown_form(cli, h4l_samples):
    answer = cli("data", "files", h4l_samples / "data.root", "--format", "list")
    assert answer.code == 2
    assert "'urls'" in answer.err

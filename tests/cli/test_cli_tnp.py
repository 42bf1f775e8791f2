"""``femtobarn tnp``: flags, what is shown, companions; wrong arguments in one sentence."""

from __future__ import annotations

import json

import pytest

from femtobarn import api
from femtobarn.errors import DataError, UsageError
from femtobarn.samples.tagprobe import make_tagprobe


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    make_tagprobe(folder, events=600, seed=2, release="pairs-parquet")
    return folder


def arguments(toy, *more):
    return ["tnp", "--config", toy / "runner.json", "--fileset", toy / "fileset.json",
            "--binning", toy / "binning.json", "--executor", "sync", *more]  # fmt: skip


def test_a_run_with_the_older_flags(cli, toy, tmp_path):
    done = cli(
        *arguments(toy, "--output", "simplecache::run", "--skip-report", "--limit", 1, "--adaptive", "False",
            "--memory", "2G")
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "memory: not used by the executor serial" in done.err
    assert "mass_window" in done.err
    assert "pairs in" in done.out
    assert (tmp_path / "run/tables/efficiency.csv").exists()
    assert not (tmp_path / "run/report.html").exists()
    again = cli("tnp", "run-analysis", *arguments(toy, "--output", "run", "--skip-report", "--limit", 1)[1:])
    assert again.code == 0, again.err


def test_values_and_columns_are_shown(cli, toy):
    shown = cli(*arguments(toy, "--dry-run", "--json"))
    values = json.loads(shown.out)
    assert values["probes_pt_cut"] == {"value": 15.0, "origin": values["probes_pt_cut"]["origin"]}
    assert "runner.json" in values["probes_pt_cut"]["origin"]
    assert values["tags_pt_cut"] == {"value": 35.0, "origin": "default"}
    columns = json.loads(cli(*arguments(toy, "--print-necessary-columns", "--json")).out)
    assert {"probe_pt", "mass", "passing_tight"} <= set(columns["data"]["needed"])
    assert json.loads(cli(*arguments(toy, "--preprocess", "--json")).out)["parts"] == 2


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--limit", "0"), "at least 1"),
        (("--executor", "thread"), "threads"),
        (("--executor", "dask/lpc"), "lpcjobqueue"),
        (("--port", "9999"), "free port"),
        (("--voms", "nowhere"), "voms-proxy-init"),
        (("--set", "tag_pt_cut=3"), "tags_pt_cut"),
        (("--settings", "absent.json"), "no such file"),
    ],
)
def test_a_wrong_flag_is_one_sentence(cli, toy, flags, says):
    answer = cli(*arguments(toy, "--output", "run", *flags))
    assert answer.code == 2
    assert says in answer.err


def test_strict_turns_warnings_into_a_failure(cli, toy, tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"truth_match": True}))
    flags = ("--output", "run", "--skip-report", "--settings", tmp_path / "settings.json")
    done = cli(*arguments(toy, *flags))
    assert done.code == 0
    assert "truth_match is not used" in done.err
    assert cli(*arguments(toy, *flags, "--strict")).code == 1


def test_no_inputs_no_run(cli):
    assert cli("tnp").code == 2


class Rucio:
    """Two files at three sites."""

    def list_replicas(self, dids, schemes):
        sites = {"T1_US_FNAL": ["root://a/%s"], "T2_DE_DESY": ["davs://b/%s"], "T2_CH_CERN": ["root://c/%s"]}
        rows = []
        for number, name in enumerate(("f1", "f2")):
            rses = {
                site: [urls[0] % name] for site, urls in sites.items() if number == 0 or site != "T1_US_FNAL"
            }
            rows.append({"name": name, "bytes": 10, "adler32": "abc", "rses": rses})
        return rows


@pytest.mark.parametrize(
    ("how", "urls"),
    [
        ({}, ["root://a/f1", "root://c/f2"]),
        ({"replicas": "choose"}, ["root://c/f1", "root://c/f2"]),
        ({"replicas": "round-robin"}, ["root://a/f1", "https://b/f2"]),
        ({"replicas": "manual", "site": "T2_DE_DESY"}, ["https://b/f1", "https://b/f2"]),
        ({"block": ["T1"]}, ["root://c/f1", "root://c/f2"]),
        ({"regex": "DESY|FNAL"}, ["root://a/f1", "https://b/f2"]),
        ({"allow": ["T2_DE"]}, ["https://b/f1", "https://b/f2"]),
    ],
)
def test_replicas_of_a_dataset_are_chosen(tmp_path, how, urls):
    [made] = api.dataset_query(["data=/A/B/NANOAOD"], tmp_path / "f.json", client=Rucio(), **how)
    assert [ref.url for ref in made.files] == urls
    assert made.name == "data"
    written = json.loads((tmp_path / "f.json").read_text())
    assert list(written["data"]["files"]) == urls


@pytest.mark.parametrize(
    ("names", "how", "kind"),
    [
        (["A/B"], {}, UsageError),
        (["/A/B/C"], {"allow": ["T3"]}, DataError),
        (["/A/B/C"], {"replicas": "manual"}, UsageError),
        (["/A/B/C"], {"replicas": "manual", "site": "T1_US_FNAL"}, DataError),
        (["/A/B/C"], {"regex": "("}, UsageError),
    ],
)
def test_what_cannot_be_found_is_said(tmp_path, names, how, kind):
    with pytest.raises(kind):
        api.dataset_query(names, tmp_path / "f.json", client=Rucio(), **how)
    assert not (tmp_path / "f.json").exists()

"""What is processed when no files are named: the catalogue of a release, the records of a configuration."""

from __future__ import annotations

import json

import pytest
import uproot

from femtobarn import api
from femtobarn.api.inputs import by_release
from femtobarn.api.surveys.inputs import _sources
from femtobarn.catalog import find_release
from femtobarn.config.survey import SurveyConfig
from femtobarn.errors import UsageError
from femtobarn.records import Dataset, FileRef
from femtobarn.testing.loopback import Reply


def survey_config(**more):
    return SurveyConfig(parameters={}, tasks=(), file="config.yaml", **more)


def test_releases_of_the_survey():
    assert _sources(survey_config(releases=("atlas-2020", "2024r-pp")), parse_mc=False) == [
        "2020e-13tev=atlas://2020e-13tev/data",
        "2024r-pp=atlas://2024r-pp/data",
    ]
    assert _sources(survey_config(releases=("2024r-pp",)), parse_mc=True)[1:] == [
        "2024r-pp_mc=atlas://2024r-pp/mc"
    ]
    everything = _sources(survey_config(), parse_mc=False)
    assert len(everything) == 5
    assert not any("evgen" in source for source in everything)
    with pytest.raises(UsageError, match="HepMC"):
        _sources(survey_config(releases=("2025r-evgen-13tev",)), parse_mc=False)
    with pytest.raises(UsageError, match="did you mean '2024r-pp'"):
        _sources(survey_config(releases=("2024r-p",)), parse_mc=False)


def test_simulated_records_are_left_out_unless_asked_for(loopback, monkeypatch, quick_client, caplog):
    def portal(ask):
        kind = {"1": "Collision", "2": "Simulated"}[ask.path[-1]]
        files = [{"uri": f"root://eospublic.cern.ch//eos/{ask.path[-1]}.root"}]
        return Reply(body=json.dumps({"metadata": {"type": {"secondary": [kind]}, "files": files}}).encode())

    monkeypatch.setenv("FEMTOBARN_CERNOPENDATA_URL", loopback(portal).url)
    config = survey_config(records=(1, 2))
    assert _sources(config, parse_mc=False) == ["cernopendata://1"]
    assert "cernopendata://2 is simulation and is left out" in caplog.text
    assert _sources(config, parse_mc=True) == ["cernopendata://1", "cernopendata://2"]
    with pytest.raises(UsageError, match="nothing is left"):
        _sources(survey_config(records=(2,)), parse_mc=False)


def test_the_table_normalises_what_the_catalogue_lists():
    files = (FileRef("x.root"),)
    found = by_release(
        [
            Dataset("ZH", files, {"xsec": 9.0, "sumw": 3.0, "release": "r"}),
            Dataset("new", files, {"xsec": 9.0}),
        ],
        "atlas-2020",
    )
    assert dict(found[0].metadata) == {"release": "r"}
    assert dict(found[1].metadata) == {"xsec": 9.0}


@pytest.fixture
def release(loopback, monkeypatch, tmp_path, quick_client):
    """A service and a portal with all four-lepton files of the 2020 release, each next to empty."""
    folder = tmp_path / "portal"
    folder.mkdir()
    portal = loopback(folder)
    base = "root://eospublic.cern.ch:1094//eos/opendata"
    (folder / "eos" / "opendata").mkdir(parents=True)
    samples = [s for s in find_release("atlas-2020").samples.values() if not s.name.endswith("_yy")]
    numbers = ["data", *(str(sample.dsid) for sample in samples)]
    items = []
    for number in numbers:
        place = folder / "eos" / "opendata" / f"{number}.root"
        with uproot.recreate(place) as file:
            file.mktree("mini", {"lep_n": "int32"})
        items.append({"dataset_number": number, "cross_section_pb": 5.0, "sumOfWeights": 1.0,
                      "skims": [{"skim_type": "4lep", "file_list": [f"{base}/{number}.root"]}]})  # fmt: skip

    def service(ask):
        return Reply(body=json.dumps({"count": len(items)} if "count" in ask.path else items).encode())

    monkeypatch.setenv("ATLAS_API_BASE_URL", loopback(service).url)
    monkeypatch.setenv("FEMTOBARN_CERNOPENDATA_URL", portal.url)
    return samples


def test_a_run_without_files_takes_the_release(release):
    """Its files are asked for one by one: here they are, though of another content, which is said."""
    resolved, plan = api.plan(api.Request(what="h4l", release="atlas-2020"))
    assert [d.name for d in resolved.datasets] == ["data", *(sample.name for sample in release)]
    assert resolved.datasets[0].kind == "data"
    zh = next(d for d in plan.datasets if d.name == "ZH")
    table = find_release("atlas-2020").samples["ZH"]
    assert (zh.metadata["xsec"], zh.metadata["sumw"]) == (table.xsec, table.sumw)
    assert resolved.settings.inputs["files"][0] == "data=atlas://2020e-13tev/data?skim=4lep"
    assert all("lep" in file.error for file in plan.bad)


def test_addresses_in_run_files(release, tmp_path):
    (tmp_path / "RUN.yaml").write_text(
        "analysis: h4l\nrelease: atlas-2020\nfiles:\n  ZH: atlas://2020e-13tev/341947?skim=4lep\n"
    )
    checked = api.check(tmp_path / "RUN.yaml")
    assert not checked.problems
    assert [(row.dataset, row.files) for row in checked.inputs] == [("ZH", 1)]
    (tmp_path / "RUN.yaml").write_text("analysis: h4l\nfiles:\n  ZH: atlas://2020e-13tev/1?skim=4lep\n")
    (problem,) = api.check(tmp_path / "RUN.yaml").problems
    assert "RUN.yaml:3" in problem.text
    assert "there is no dataset '1'" in problem.text

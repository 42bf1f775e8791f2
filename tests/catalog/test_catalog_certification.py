"""Pair lists, run tables, lumisections: what is read, and what is refused with file and row."""

from __future__ import annotations

import json

import numpy as np
import pytest

from femtobarn.api.refrun.records import certification
from femtobarn.catalog.attributes import ATTRIBUTES, convert, parse
from femtobarn.catalog.certhelper import read_pairs, read_run_list
from femtobarn.catalog.lumisections import LS_SECONDS, is_cumulative, read_lumisections
from femtobarn.catalog.runrecords import class_from_dataset
from femtobarn.catalog.runtable import RunTable, read_runs
from femtobarn.errors import DataError

ROW = {"run_number": 5, "run_reconstruction_type": "express", "reference_run_number": 4,
       "reference_run_reconstruction_type": "express", "dataset": "/ZeroBias/x\n"}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, "undefined"),
        ("To Be Defined", "undefined"),
        ("To Be Defined\n", "undefined"),
        ("", "undefined"),
        ("/Cosmics/Commissioning2018", "cosmics"),
        ("/x/cruzet", "cosmics"),
        ("/x/MWGR3", "cosmics"),
        ("/HIMinimumBias/x", "HI"),
        ("/PbPb/x", "HI"),
        ("/x/OOrun", "HI"),
        ("/NeNe/x", "HI"),
        ("/IonPhysics/x", "HI"),
        ("/ZeroBias/Commissioning2018", "collisions"),
        ("/hi/x", "collisions"),
        ("/Express/Run2018", "collisions"),
    ],
)
def test_class_of_a_dataset(name, expected):
    assert class_from_dataset(name) == expected


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_repeats_merge_and_conflicts_are_named(tmp_path):
    found = read_pairs(write(tmp_path / "a.json", [ROW, ROW]))
    assert len(found) == 1
    assert "1 identical" in found.warnings[0]
    assert found.pairs[0].dataset == "/ZeroBias/x"
    with pytest.raises(DataError, match=r"run 5 express has two references, 4 .* and 3 .*") as error:
        read_pairs(write(tmp_path / "b.json", [ROW, ROW | {"reference_run_number": 3}]))
    assert "b.json, entry 2" in str(error.value)


def test_oddities_pass(tmp_path):
    rows = [ROW | {"dataset": None}, ROW | {"run_number": 6, "reference_run_number": 6},
            ROW | {"run_number": 7, "reference_run_number": 900}]  # fmt: skip
    found = read_pairs(write(tmp_path / "a.json", rows))
    assert [pair.run_class for pair in found.pairs] == ["undefined", "collisions", "collisions"]
    assert [pair.order for pair in found.pairs] == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("[]", "empty"),
        (json.dumps([ROW])[:-20], "cut short"),
        ('{"a": 1}', "not a list"),
        (json.dumps([{"run": 5}]), "run_number"),
        (json.dumps([ROW | {"run_reconstruction_type": "exprss"}]), "'express'"),
        (json.dumps([ROW | {"run_number": "five"}]), "not a whole number"),
        (json.dumps([ROW | {"run_number": -5}]), "no run"),
        ("run_number,dataset\n1,x\n", "lacks"),
        (",".join(ROW) + "\n5,express,4\n", "cells"),
    ],
)
def test_damage_is_one_sentence_with_the_place(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as error:
        read_pairs(write(tmp_path / "list.json", content))
    assert "list.json" in str(error.value)
    assert error.value.exit_code == 1


def test_real_lists(shared):
    assert len(read_pairs(shared("data/refrun/pairs.csv"))) == 9983
    assert len(read_pairs(shared("data/refrun/runRefRunPairs.json"))) == 4350


def test_lists_of_runs(tmp_path):
    assert read_run_list(write(tmp_path / "a.txt", "5 # good\n6, 7\n5\n")) == (5, 6, 7)
    assert read_run_list(write(tmp_path / "b.json", "[5, 6]")) == (5, 6)
    with pytest.raises(DataError, match=r"c.txt:2"):
        read_run_list(write(tmp_path / "c.txt", "5\nx\n"))


@pytest.mark.parametrize(
    ("unit", "name", "value", "expected"),
    [
        ("10^{34}cm^{-2}s^{-1}", "init_lumi", 2.0, 2.0), ("10^{30} cm^{-2}s^{-1}", "init_lumi", 2e4, 2.0),
        ("Hz/ub", "init_lumi", 2e4, 2.0), ("/nb", "recorded_lumi", 5000.0, 5.0),
        ("pb^{-1}", "recorded_lumi", 5.0, 5.0), ("fb^{-1}", "delivered_lumi", 0.5, 500.0),
        ("kHz", "l1_rate", 90.0, 90_000.0), ("min", "duration", 2.0, 120.0), ("TeV", "energy", 6.5, 6500.0),
    ],
)  # fmt: skip
def test_units(unit, name, value, expected):
    assert convert(value, unit, ATTRIBUTES[name], where="x") == pytest.approx(expected)


def test_an_unknown_unit_is_an_error():
    with pytest.raises(DataError, match="furlong"):
        convert(1.0, "furlong", ATTRIBUTES["init_lumi"], where="x")
    with pytest.raises(DataError, match="pb-1"):
        convert(1.0, "Hz", ATTRIBUTES["recorded_lumi"], where="x")


def test_values_are_parsed_strictly():
    duration, components = ATTRIBUTES["duration"], ATTRIBUTES["components"]
    assert parse("<b>12.5</b>", duration, where="x") == 12.5
    assert parse([12.5], duration, where="x") == 12.5
    assert parse("", duration, where="x") is None
    assert parse(None, duration, where="x") is None
    assert parse("['TRACKER', 'PIXEL']", components, where="x") == ("TRACKER", "PIXEL")
    with pytest.raises(DataError, match="not a number"):
        parse("long", duration, where="x")


def test_run_tables(tmp_path):
    path = write(tmp_path / "r.csv", "run_number,oms_duration,fill_n_colliding,x\n5,12.0,-1,a\n6,,2556,b\n")
    table = read_runs(path)
    assert table.number(5, "duration") == 12.0
    assert table.get(5).get("fill_n_colliding").missing_reason == "rejected"
    assert table.get(6).get("duration").missing_reason == "absent"
    assert table.get(6).get("fill_n_colliding").value == 2556
    assert table.get(99).values == {}
    assert "fill_n_colliding" in table.warnings[0]
    with pytest.raises(DataError, match=r"r2.csv:2: .*duration"):
        read_runs(write(tmp_path / "r2.csv", "run_number,duration\n5,twelve\n"))
    with pytest.raises(DataError, match="run_number"):
        read_runs(write(tmp_path / "r3.csv", "run_nmber,duration\n5,1\n"))
    with pytest.raises(DataError, match="appears twice"):
        read_runs(write(tmp_path / "r4.csv", "run_number,duration\n5,1\n5,2\n"))
    with pytest.raises(DataError, match="empty"):
        read_runs(write(tmp_path / "r5.csv", "run_number,duration\n"))
    both = read_runs(write(tmp_path / "r6.csv", "run_number,duration,oms_duration\n5,1,\n6,,2\n6,,2\n"))
    assert [both.number(run, "duration") for run in both] == [1, 2]
    as_json = read_runs(
        write(tmp_path / "r.json", {"data": [{"attributes": {"run_number": 5, "duration": 3}}]})
    )
    assert as_json.number(5, "duration") == 3


def sections(path, recorded, run=7):
    lines = [
        f"{run},{i + 1},{1.0 - 0.1 * i},{value},True,True"
        for i, value in enumerate(recorded)
        if value is not None
    ]
    return write(
        path,
        "run_number,lumisection_number,init_lumi,recorded_lumi,beam1_stable,beam2_stable\n"
        + "\n".join(lines),
    )


def test_cumulative_luminosities_are_never_summed(tmp_path):
    growing = read_lumisections(sections(tmp_path / "a.csv", [100.0, 100.5, 101.25]))
    assert growing.luminosity(7, "recorded_lumi") == 1.25
    each = read_lumisections(sections(tmp_path / "b.csv", [0.5, 0.45, 0.47]))
    assert each.luminosity(7, "recorded_lumi") == pytest.approx(1.42)
    assert is_cumulative(np.array([1, 1]), np.array([3.0, 3.0])) is None


def test_the_real_run(shared):
    table = read_lumisections(shared("data/refrun/ls_2018A.parquet"))
    assert len(table) == 100_000
    assert table.luminosity(316059, "recorded_lumi") == pytest.approx(163.1226875, abs=1e-9)


def test_lumisections_add_what_the_run_table_does_not_say(tmp_path):
    path = sections(tmp_path / "a.csv", [1.0, 2.0, 4.0])
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0] + ",pileup", *(f"{row},{n}" for n, row in enumerate(rows[1:], 30))]))
    lumi = read_lumisections(path)
    table = read_runs(write(tmp_path / "r.csv", "run_number,recorded_lumi\n7,9.0\n8,1.0\n"))
    merged = table.merged(lumi.by_run())
    assert (merged.number(7, "recorded_lumi"), merged.number(8, "recorded_lumi")) == (9.0, 1.0)
    assert [merged.number(7, f"ls_pileup_q{q}") for q in (10, 50, 90)] == pytest.approx([30.2, 31.0, 31.8])
    alone = RunTable({}, "none").merged(lumi.by_run())
    assert (list(alone), len(merged), 8 in alone) == ([7], 2, False)
    assert alone.number(7, "recorded_lumi") == 3.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"5": [[7, 3]]}, r"run 5: the range \[7, 3\] is reversed"),
        ({"5": [[1, 4], [4, 9]]}, "run 5: ranges overlap at section 4"),
        ('{"5": [[1', "cut short"),
        ([5], "is not of the form"),
        ({}, "certifies no run"),
    ],
)
def test_a_wrong_certification_file_is_bad_data(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        certification(str(write(tmp_path / "golden.json", content)))


def test_gaps_stay_gaps(tmp_path):
    profile = read_lumisections(sections(tmp_path / "a.csv", [1.0, 2.0, None, 4.0])).profile(7)
    np.testing.assert_allclose(profile.minutes, np.arange(4) * LS_SECONDS / 60)
    np.testing.assert_array_equal(np.isnan(profile.luminosity), [False, False, True, False])
    assert read_lumisections(tmp_path / "a.csv").profile(8) is None


def test_runs_of_the_run_registry(tmp_path):
    """What its client gives: numbers of OMS inside, certification beside them."""
    rows = [{"run_number": 327743, "rr_attributes": {"class": "Collisions18", "short_run": False},
             "oms_attributes": {"run_number": 327743, "duration": 5000, "init_lumi": 1.5}}]  # fmt: skip
    (tmp_path / "rr.json").write_text(json.dumps(rows))
    run = read_runs(tmp_path / "rr.json").get(327743)
    assert (run.get("duration").number, run.get("init_lumi").number) == (5000.0, 1.5)

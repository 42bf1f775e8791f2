"""Reading a run directory: everything that is there, nothing that is not, one clear error for damage."""

from __future__ import annotations

import pytest

from femtobarn.errors import StoreError
from femtobarn.report import read_inputs
from femtobarn.report.inputs import png_size, png_texts


def test_everything_is_read(make_run):
    inputs = read_inputs(make_run())
    assert inputs.name == "h4l-demo"
    assert inputs.manifest["analysis"] == "h4l"
    assert set(inputs.cutflow) == {"data", "ZZ"}
    assert set(inputs.yields) == {"4l", "4mu"}
    assert inputs.samples is not None
    assert inputs.samples.columns[:2] == ("dataset", "process")
    (candidates,) = inputs.tables
    assert (candidates.name, candidates.length, len(candidates.rows)) == ("candidates", 60, 25)
    assert candidates.text.count("\n") == 61
    (plot,) = inputs.plots
    assert plot.title == "m4ℓ, 4l", "title and caption travel inside the image"
    assert "10 data events" in plot.caption
    assert '"edges"' in plot.numbers


def test_figures_come_in_the_order_of_the_manifest(make_run):
    run = make_run(figures=["z_main", "m4l"])
    for name in ("a_extra", "z_main"):
        (run / "plots" / f"{name}.png").write_bytes((run / "plots" / "m4l.png").read_bytes())
    assert [plot.name for plot in read_inputs(run).plots] == ["z_main", "m4l", "a_extra"]


def test_large_tables_are_not_embedded(make_run):
    run = make_run()
    (run / "tables" / "candidates.csv").write_text("a,b\n" + "1,2\n" * 100_000)
    (table,) = read_inputs(run).tables
    assert (table.length, table.text) == (100_000, "")


def test_short_and_long_lines_keep_the_shape(make_run):
    run = make_run()
    (run / "tables" / "candidates.csv").write_text("a,b\n1\n1,2,3\n")
    (table,) = read_inputs(run).tables
    assert table.rows == (("1", ""), ("1", "2"))


def test_absent_files_are_absent(tmp_path):
    (tmp_path / "fit.json").write_text('{"schema_version": 1}')
    inputs = read_inputs(tmp_path)
    assert inputs.manifest == inputs.cutflow == inputs.yields == {}
    assert inputs.samples is None
    assert inputs.tables == inputs.plots == ()


@pytest.mark.parametrize("content", ["{broken", "[1, 2]"])
def test_damage_names_the_file(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(StoreError) as caught:
        read_inputs(tmp_path)
    assert str(caught.value.where).endswith("manifest.json")


def test_damaged_table_names_the_file(make_run):
    run = make_run()
    (run / "tables" / "samples.csv").write_bytes(b"a,b\n\xff\xfe\n")
    with pytest.raises(StoreError, match=r"samples\.csv"):
        read_inputs(run)


def test_an_empty_folder_is_no_run(tmp_path):
    with pytest.raises(StoreError, match="not a run directory"):
        read_inputs(tmp_path)


def test_images_that_are_none():
    assert png_size(b"GIF89a") is None
    assert png_texts(b"\x89PNG\r\n\x1a\n\x00") == {}

"""The page: complete in itself, valid, says what was lost, escapes what it is given."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from femtobarn.report import ReportInputs, Table, read_index, read_inputs, render, render_index, write_report
from femtobarn.report.page import templates
from femtobarn.report.sections import yields

VOID = {"meta", "link", "img", "br", "hr", "input"}
#: Attributes that make a browser fetch something.
FETCHING = {"src", "srcset", "poster", "data", "background", "action", "formaction"}


class Checker(HTMLParser):
    """Collects what the tests look at and every fault of nesting."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.links: list[dict[str, str | None]] = []
        self.images: list[dict[str, str | None]] = []
        self.fetched: list[str] = []
        self.headings: list[int] = []
        self.tables = self.captions = 0
        self.unreachable: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if len(found) != len(attrs):
            self.faults.append(f"<{tag}> repeats an attribute")
        if tag not in VOID:
            self.open.append(tag)
        if found.get("id"):
            self.ids.append(found["id"])
        self.fetched += [found[key] or "" for key in FETCHING & set(found)]
        if tag == "link":
            self.fetched.append(found.get("href") or "")
        elif tag == "a":
            self.links.append(found)
        elif tag == "img":
            self.images.append(found)
        elif re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.tables += tag == "table"
        self.captions += tag == "caption"
        if (tag == "pre" or found.get("class") == "scroll") and found.get("tabindex") != "0":
            self.unreachable.append(tag)
        if tag == "script" or any(key.startswith("on") for key in found):
            self.faults.append(f"<{tag}> runs a script")

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:]} at {self.getpos()}")
        else:
            self.open.pop()

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def check(page: str) -> Checker:
    """Parse a page and assert what holds for every page."""
    found = Checker()
    found.feed(page)
    found.close()
    assert page.startswith("<!DOCTYPE html>")
    assert found.faults == []
    assert found.open == []
    assert len(found.ids) == len(set(found.ids)), "ids must be unique"
    assert all(source.startswith("data:") for source in found.fetched)
    assert not re.search(r"url\(|@import", page)
    targets = {f"#{one}" for one in found.ids}
    assert {link["href"] for link in found.links if (link["href"] or "").startswith("#")} <= targets
    assert all(image.get("alt") for image in found.images)
    assert found.headings[0] == 1
    assert found.headings.count(1) == 1
    steps = zip(found.headings, found.headings[1:], strict=False)
    assert all(after - before <= 1 for before, after in steps), "headings must not skip a level"
    assert found.tables == found.captions
    assert found.unreachable == [], "what scrolls must be reachable by keyboard"
    return found


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", " ".join(check(page).text))


def test_the_whole_page(make_run):
    run = make_run()
    path = write_report(run)
    assert path == run / "report.html"
    text = text_of(path.read_text(encoding="utf-8"))
    for expected in (
        "Higgs boson to four leptons", "Signal strength 1.00 +0.49 −0.40", "not an official result",
        "66.26 ± 0.31", "lepton_scale and ZZ_norm", "saturated", "data: 1000 → 82 events", "68.3 %",
        "3 events have a negative weight", "two bins have data but no prediction", "0c5cf6d8", "123 MB",
        "no cross-section is known", "candidates (60 rows)", "3.21 × 10⁻⁵", "12.5 s",
        "femtobarn run h4l --set release=cms-run1 --files 'data=*.root'", "2025-01-02 03:04 UTC",
        "Ranking: impact on the parameter of interest", "1.00 +0.49 −0.40",
    ):  # fmt: skip
        assert expected in text, expected
    assert "Incomplete" not in text
    assert "toy simulation" not in text


def test_same_run_same_page(make_run):
    run = make_run()
    assert render(read_inputs(run)) == render(read_inputs(run))


def test_numbers_can_be_downloaded(make_run):
    run = make_run()
    links = {
        link["download"]: link["href"]
        for link in check(render(read_inputs(run))).links
        if link.get("download")
    }
    assert set(links) == {"m4l.json", "candidates.csv"}
    numbers = base64.b64decode((links["m4l.json"] or "").partition(",")[2])
    assert json.loads(numbers) == json.loads((run / "plots" / "m4l.json").read_text())
    table = base64.b64decode((links["candidates.csv"] or "").partition(",")[2])
    assert table == (run / "tables" / "candidates.csv").read_bytes()


def test_images_are_the_files(make_run):
    run = make_run()
    (image,) = check(render(read_inputs(run))).images
    assert (
        base64.b64decode((image["src"] or "").partition(",")[2]) == (run / "plots" / "m4l.png").read_bytes()
    )
    assert (image["width"], image["height"]) == ("960", "900")
    assert image["alt"].startswith("m4ℓ, 4l. 10 data events")


LOST = {
    "parts": {"total": 40, "done": 36, "cached": 0, "failed": 3, "missing": 1},
    "events": {"expected": 4000, "processed": 3700},
    "lost_fraction": 0.075,
}


def test_loss_is_said_first(make_run):
    failure = {
        "dataset": "ZZ",
        "file": "mc/zz.root",
        "start": 0,
        "stop": 100,
        "error": "truncated <basket> & gone",
    }
    run = make_run(ledger=LOST, failures=[failure])
    text = text_of(render(read_inputs(run)))
    assert "4 of 40 parts failed or are missing: 7.5 % of the events" in text
    assert "truncated <basket> & gone" in text
    assert "allowed" not in text
    assert text.index("Incomplete") < text.index("Signal strength")


@pytest.mark.parametrize(
    "how",
    [{"command": ["femtobarn", "run", "h4l", "--allow-missing"]}, {"execution": {"allow_missing": True}}],
)
def test_an_allowed_loss_is_still_said(make_run, how):
    text = text_of(render(read_inputs(make_run(ledger=LOST, **how))))
    assert "Incomplete" in text
    assert "The loss was allowed" in text


def test_unfinished_toy_and_limited_runs_say_so(make_run):
    assert "This run has not finished." in text_of(render(read_inputs(make_run("a", finished=None))))
    toy = text_of(render(read_inputs(make_run("b", origin="toy"))))
    assert "femtobarn toy simulation" in toy
    assert "This is not a measurement" in toy
    config = {"sizing": {"max_files": 2, "max_events": None}}
    assert "At most 2 files of each dataset" in text_of(render(read_inputs(make_run("c", config=config))))


def test_a_failed_fit_is_marked(make_run):
    run = make_run()
    fit = json.loads((run / "fit.json").read_text())
    fit["mle"] |= {"status": "failed", "message": "the Hessian is flat along ZZ_norm"}
    (run / "fit.json").write_text(json.dumps(fit))
    page = render(read_inputs(run))
    assert "the Hessian is flat along ZZ_norm" in text_of(page)
    assert '<p class="notice bad">Status: <strong>failed' in page


def test_foreign_text_is_escaped(make_run):
    evil = '<script>alert("x")</script>'
    run = make_run(
        title=evil, headline=evil, warnings=[evil], command=["femtobarn", "run", evil], unused={evil: evil}
    )
    page = render(read_inputs(run))
    assert "<script" not in page
    text = text_of(page)
    assert text.count('alert("x")') >= 5
    assert "half of it, <b>bold</b> & more" in text


@pytest.mark.parametrize(
    "missing", ["manifest.json", "fit.json", "cutflow.json", "yields.json", "tables", "plots"]
)
def test_any_file_may_be_absent(make_run, missing):
    run = make_run()
    target = run / missing
    if target.is_dir():
        for path in target.iterdir():
            path.unlink()
    else:
        target.unlink()
    found = check(render(read_inputs(run)))
    heading = {"fit.json": "fit", "cutflow.json": "cutflow", "yields.json": "yields", "tables": "tables",
               "plots": "figures", "manifest.json": "ledger"}[missing]  # fmt: skip
    assert heading not in found.ids


def test_the_emptiest_page():
    text = text_of(render(ReportInputs("nothing")))
    assert "states no result" in text
    assert "not an official result" in text


def test_other_jobs_results_have_a_place():
    fit = {
        "kind": "tagprobe",
        "fits": [
            {
                "label": "id",
                "bin": {"name": "pt20to35"},
                "efficiency": {"value": 0.62, "hesse": 0.013},
                "filter": "tight",
                "region": "",
                "variation": "nominal",
                "status": "good",
                "reasons": [],
                "model": {"signal": "dcb", "background": "exp"},
                "gof": {"chi2": 71.24, "ndof": 48},
            }
        ],
        "search": {
            "global": {"n_histograms": 12, "p_min": 1e-4},
            "histograms": [{"name": "m_ee", "z_max": 3.1}],
        },
    }
    text = text_of(render(ReportInputs("other", fit=fit)))
    for expected in ("0.620 ± 0.013", "pt20to35", "dcb_exp", "71.2/48", "m_ee", "n_histograms"):
        assert expected in text
    assert "Likelihood fit" not in text


def test_what_stands_for_data_is_no_expectation():
    rows = {"ttbar": {"value": 8.0, "stat": 3.0}, "wjets": {"value": 4.0, "stat": 4.0},
            "pseudodata": {"value": 70.0, "stat": 1.0}, "data": {"value": 13.0, "stat": 3.6}}  # fmt: skip
    (few,) = yields(ReportInputs("few", yields={"4j1b": rows}))
    assert [row[0] for row in few.rows] == ["ttbar", "wjets", "sum of expectations", "pseudodata", "data"]
    assert few.rows[2] == ("sum of expectations", "12.0 ± 5.0")
    (many,) = yields(ReportInputs("many", yields={f"r{i}": rows for i in range(9)}))
    assert many.columns == ("region", "ttbar", "wjets", "sum of expectations", "pseudodata", "data")
    assert len(many.rows) == 9
    assert many.rows[8][:4] == ("r8", few.rows[0][1], few.rows[1][1], "12.0 ± 5.0")
    (beside,) = yields(ReportInputs("t", manifest={"analysis": "tagprobe"}, yields={"tight": rows}))
    assert "sum of expectations" not in [row[0] for row in beside.rows]


def test_long_rankings_keep_the_largest_and_warnings_come_once(make_run):
    run = make_run(warnings=["said twice"])
    fit = json.loads((run / "fit.json").read_text())
    row = fit["ranking"][0]
    fit["ranking"] = [{**row, "parameter": f"np{i}", "impact_up_postfit": 0.01 * i} for i in range(40)]
    fit["warnings"] = ["said twice"]
    (run / "fit.json").write_text(json.dumps(fit))
    text = text_of(render(read_inputs(run)))
    assert "The first 15 of 40; fit.json has all." in text
    assert text.index("np39") < text.index("np25")
    assert "np24" not in text
    assert text.count("said twice") == 1


def test_long_tables_say_that_they_are_cut():
    table = Table("wide", ("a",), (("1",), ("2",)), 5)
    assert "The first 2 of 5 rows; all are in tables/wide.csv." in text_of(
        render(ReportInputs("x", tables=(table,)))
    )


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(scheme):
    source, _, _ = templates().loader.get_source(templates(), "style.css")
    light, _, dark = source.partition("@media (prefers-color-scheme: dark)")
    colours = dict(
        re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", (light if scheme == "light" else dark.partition("* {")[0]))
    )
    pairs = [("ink", "paper"), ("ink", "panel"), ("soft", "paper"), ("soft", "panel"), ("link", "paper"),
             ("bad-ink", "bad"), ("ink", "toy"), ("ink", "note"), ("link", "panel")]  # fmt: skip
    for front, back in pairs:
        low, high = sorted((luminance(colours[front]), luminance(colours[back])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (front, back)


def test_index_lists_runs_newest_first(make_run, tmp_path):
    write_report(make_run("old run", finished="2024-05-05T00:00:00+00:00"))
    make_run("new", finished="2025-06-06T00:00:00+00:00", ledger=LOST, origin="toy")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    entries = read_index(tmp_path)
    assert [entry.name for entry in entries] == ["new", "old run", "broken"]
    assert entries[0].problem == "Incomplete: 7.5 % of the events are lost."
    assert "cannot be read" in entries[2].problem
    found = check(render_index(entries))
    hrefs = [link["href"] for link in found.links]
    assert hrefs == ["#runs", "old%20run/report.html"]
    assert "no report yet" in " ".join(found.text)


def test_index_of_nothing(tmp_path: Path):
    assert "No run here yet." in text_of(render_index(read_index(tmp_path)))

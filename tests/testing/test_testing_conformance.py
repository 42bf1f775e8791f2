"""The conformance suite: right analyses pass, and one wrong analysis for each law is caught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from femtobarn import api
from femtobarn.analysis import Analysis, Columns, find_analysis
from femtobarn.errors import DataError
from femtobarn.hists import HistSpec, regular
from femtobarn.kernels.jagged import Jagged
from femtobarn.outcome import Outcome
from femtobarn.read import Events
from femtobarn.records import Dataset, Variation
from femtobarn.samples import make, make_cms_histograms, make_dimuon
from femtobarn.testing import check_analysis

HEIGHT = HistSpec("height", (regular(20, 0, 100, "height", unit="GeV"),))


def made_events(n: int = 60) -> Events:
    """Jagged heights, a flat weight and a column that nobody declares."""
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 4, n)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Events(
        n,
        {
            "tree_height": Jagged(offsets, rng.exponential(20.0, offsets[-1])),
            "tree_age": Jagged(offsets, rng.integers(1, 90, offsets[-1])),
            "weight": rng.normal(1.0, 2.0, n),
            "secret": rng.normal(size=n),
        },
    )


def good(events: Events, ctx: Any) -> Outcome:
    out = ctx.outcome()
    height = events.jagged("tree_height")
    weight = events.flat("weight")
    selection = ctx.select(events, weight)
    selection.require("some_tree", height.counts > 0)
    out.add_cutflow(selection)
    out.fill("height", height.values, weight=weight[height.parents])
    out.add_sum("sumw", weight)
    tall = height.values > 50
    out.add_table("tall", {"height": height.values[tall]})
    if "tree_age" in events:
        out.add_sum("age", events.jagged("tree_age").values)
    if len(events):
        out.add_fact("one", np.ones(1))
    return out


def build(process: Callable[..., Any], **changes: Any) -> Analysis:
    declared: dict[str, Any] = {
        "columns": Columns(("tree_height", "weight"), ("tree_age",)), "histograms": [HEIGHT],
    }  # fmt: skip
    return Analysis(name="trees", process=process, **(declared | changes))


def check(process: Callable[..., Any], **changes: Any) -> None:
    check_analysis(build(process, **changes), made_events)


# ---------------------------------------------------------------- right ones


def test_a_good_analysis_passes():
    check(good)


@pytest.mark.parametrize("release", ["atlas-2016", "atlas-2020", "atlas-2025", "cms-nanoaod"])
def test_h4l_keeps_the_laws(tmp_path, release):
    fileset = make("h4l", tmp_path, release=release, seed=3, scale=0.05)
    check_analysis(find_analysis("h4l"), fileset, parameters={"release": release}, most_events=200)


def test_h4l_keeps_the_laws_with_other_parameters(tmp_path):
    fileset = make("h4l", tmp_path, release="cms-nanoaod", seed=3, scale=0.05)
    parameters = {"release": "cms-nanoaod", "selection": "kinematic"}
    check_analysis(find_analysis("h4l"), fileset, parameters=parameters, most_events=200)


def test_h4l_keeps_the_laws_on_published_histograms(tmp_path):
    make_cms_histograms(tmp_path, seed=3)
    check_analysis(find_analysis("h4l"), f"toy={tmp_path}/Toy_*.root", parameters={"release": "cms-run1"})


@pytest.mark.parametrize("release", ["atlas-2020", "atlas-2025", "cms-nanoaod"])
def test_hyy_keeps_the_laws(tmp_path, release):
    fileset = make("hyy", tmp_path, release=release, seed=3, scale=0.02)
    check_analysis(find_analysis("hyy"), fileset, parameters={"release": release}, most_events=200)


def test_the_starter_analysis_keeps_the_laws(tmp_path):
    sample = make_dimuon(tmp_path / "dimuon.root", events=500)
    check_analysis(find_analysis(str(api.new("pairs", out=tmp_path))), str(sample))


# ---------------------------------------------------------------- wrong ones, a law each


def undeclared_column(events, ctx):
    return ctx.outcome() if events.flat("secret").sum() > 99 else good(events, ctx)


def undeclared_collection(events, ctx):
    _ = events.bird.wings
    return good(events, ctx)


def undeclared_field(events, ctx):
    _ = events.tree.width
    return good(events, ctx)


def undeclared_question(events, ctx):
    return ctx.outcome() if "secret" in events else good(events, ctx)


def changes_its_input(events, ctx):
    out = good(events, ctx)
    events["weight"][:] *= 2
    return out


def changes_its_input_through_awkward(events, ctx):
    out = good(events, ctx)
    np.asarray(ak.flatten(events.tree.height))[:1] = 7
    return out


class Stateful:
    """Remembers how often it was called."""

    def __init__(self) -> None:
        self.calls = 0
        self.outcome: Outcome | None = None

    def counts(self, events, ctx):
        self.calls += 1
        out = good(events, ctx)
        out.add_sum("calls", float(self.calls))
        return out

    def keeps(self, events, ctx):
        if self.outcome is None:
            self.outcome = good(events, ctx)
        return self.outcome


def random_numbers(events, ctx):
    out = good(events, ctx)
    out.add_sum("noise", np.random.default_rng().normal(size=3))
    return out


def depends_on_the_chunk(events, ctx):
    out = good(events, ctx)
    values = events["tree_height"].values
    out.add_sum("above_mean", float((values > values.mean()).sum()) if len(values) else 0.0)
    return out


def counts_chunks(events, ctx):
    out = good(events, ctx)
    out.add_sum("chunks", float(len(events) > 0))
    return out


def rows_by_chunk(events, ctx):
    out = good(events, ctx)
    out.add_table("number", {"event": np.arange(len(events))})
    return out


def empty_fails(events, ctx):
    _ = events.flat("weight").max()
    return good(events, ctx)


def empty_counts(events, ctx):
    out = good(events, ctx)
    if not len(events):
        out.add_sum("empty", 1.0)
    return out


def needs_an_optional_column(events, ctx):
    _ = events.jagged("tree_age")
    return good(events, ctx)


def returns_nothing(events, ctx):
    good(events, ctx)


def other_histogram(events, ctx):
    out = Outcome.empty(ctx.dataset.name, [HistSpec("height", (regular(3, 0, 9, "height"),))])
    out.fill("height", np.ones(2))
    return out


def other_variation(events, ctx):
    out = good(events, ctx)
    out.fill("height", np.ones(len(events)), variation="scale_up")
    return out


def other_dataset(events, ctx):
    out = good(events, ctx)
    out.histograms["height"].fill(("all", "another", "nominal"), np.ones(len(events)))
    return out


def sizes(a: Outcome, b: Outcome) -> tuple[int, int]:
    return tuple(one.cutflow("sample")[0].events if one.cutflow("sample") else 0 for one in (a, b))


class Grouping(Outcome):
    """Adds something that depends on what was added first."""

    def __add__(self, other):
        total = Grouping(self.dataset)
        total.absorb(self)
        total.absorb(other)
        if min(sizes(self, other)):
            total.add_sum("sumw", float(max(sizes(self, other))))
        return total


class Ordering(Outcome):
    """Adds something that depends on what stands left."""

    def __add__(self, other):
        total = Ordering(self.dataset)
        total.absorb(self)
        total.absorb(other)
        if min(sizes(self, other)) and sizes(self, other)[0] == 1:
            total.add_sum("sumw", 1.0)
        return total


class Greedy(Outcome):
    """Adds into what it is added to."""

    def __add__(self, other):
        self.absorb(other)
        return self


def subclass(kind: type[Outcome]) -> Callable[..., Outcome]:
    def process(events, ctx):
        made = good(events, ctx)
        own = kind(made.dataset)
        Outcome.absorb(own, made)
        return own

    return process


@pytest.mark.parametrize(
    ("process", "says"),
    [
        (undeclared_column, "touches the column 'secret', which is not declared"),
        (undeclared_collection, "no column of a collection 'bird'"),
        (undeclared_field, "width"),
        (undeclared_question, r"asks whether \['secret'\] is there"),
        (changes_its_input, "changed the events"),
        (changes_its_input_through_awkward, "changed the events"),
        (Stateful().counts, "another answer when it is called again.*'calls': 1.0 and 2.0"),
        (Stateful().keeps, "an outcome of an earlier call"),
        (random_numbers, "another answer.*'noise'"),
        (depends_on_the_chunk, "chunks differ: sum 'above_mean'"),
        (counts_chunks, "chunks differ: sum 'chunks'"),
        (rows_by_chunk, "chunks differ: table 'number'"),
        (empty_fails, "fails on an empty chunk"),
        (empty_counts, "an empty chunk after the others changes the result: sum 'empty'"),
        (needs_an_optional_column, "without its optional columns: tree_age"),
        (returns_nothing, "returned NoneType"),
        (other_histogram, "'height' is not declared like this"),
        (other_variation, "variation 'scale_up'; declared: nominal"),
        (other_dataset, "filled for 'another'"),
        (subclass(Greedy), "adding outcomes changes what is added"),
        (subclass(Grouping), r"\(a \+ b\) \+ c is not a \+ \(b \+ c\)"),
        (subclass(Ordering), r"a \+ b is not b \+ a"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_law_is_caught(process, says):
    with pytest.raises(AssertionError, match=says):
        check(process)


def test_declared_variations_may_be_filled():
    check(other_variation, variations=lambda *_: (Variation("nominal"), Variation("scale", "up")))


def test_rounding_is_allowed_and_nothing_more():
    def slightly(relative: float) -> Callable[..., Outcome]:
        def process(events, ctx):
            out = good(events, ctx)
            out.add_sum("rounded", 1000.0 * len(events) * (1 + relative * (len(events) < 60)))
            return out

        return process

    check(slightly(1e-14))
    with pytest.raises(AssertionError, match="chunks differ: sum 'rounded'"):
        check(slightly(1e-9))


def test_samples_without_events_are_no_proof():
    with pytest.raises(ValueError, match="hold no events"):
        check_analysis(build(good), lambda: made_events().rows(np.zeros(0, dtype=np.int64)))


def test_made_events_must_have_what_is_needed():
    with pytest.raises(ValueError, match="lack the declared columns moon"):
        check(good, columns=["tree_height", "weight", "moon"])


def test_a_file_must_have_what_is_needed(tmp_path):
    sample = make_dimuon(tmp_path / "dimuon.root", events=50)
    with pytest.raises(DataError, match="Muon_height"):
        check_analysis(build(good, columns=["Muon_height"]), str(sample))


def test_an_undeclared_branch_of_a_file_is_named(tmp_path):
    sample = make_dimuon(tmp_path / "dimuon.root", events=50)

    def process(events, ctx):
        out = ctx.outcome()
        if "Muon_eta" in events:
            out.add_sum("eta", events["Muon_eta"].values)
        return out

    with pytest.raises(AssertionError, match=r"asks whether \['Muon_eta'\]"):
        check_analysis(build(process, columns=["Muon_pt"], histograms=[]), Path(sample))


def test_process_is_told_dataset_and_schema():
    seen = []

    def process(events, ctx):
        seen.append((ctx.dataset.name, ctx.schema, ctx.part.entries == len(events)))
        return good(events, ctx)

    check_analysis(build(process), made_events, dataset=Dataset("mine", ()), schema="atlas-2020")
    assert set(seen) == {("mine", "atlas-2020", True)}

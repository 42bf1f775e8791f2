"""What queries mean: every operator beside plain Python over the events, and what is refused."""

from __future__ import annotations

import itertools
import math

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femtobarn.deliver.builder import FromTree
from femtobarn.deliver.columns import needs
from femtobarn.deliver.forms import QueryError, from_python, from_qastle, to_text
from femtobarn.deliver.funcadl import evaluate
from femtobarn.errors import DataError

EVENTS = [
    {"x": 3, "met": 10.0, "a": [4.0, 1.0, 3.0], "b": [1, 2, 2], "c": [2.0, 5.0]},
    {"x": 0, "met": 20.0, "a": [], "b": [], "c": [1.0]},
    {"x": 1, "met": 30.0, "a": [2.0], "b": [7], "c": []},
    {"x": 2, "met": 40.0, "a": [5.0, 6.0], "b": [3, 1], "c": [6.0, 1.0, 5.0]},
]


def records(rows):
    types = {"x": "int64", "met": "float64", "a": "var * float64", "b": "var * int64", "c": "var * float64"}
    columns = {
        name: ak.enforce_type(ak.Array([row[name] for row in rows]), kind) for name, kind in types.items()
    }
    return ak.zip(columns, depth_limit=1)


def ask(text, rows=EVENTS, **options):
    found = evaluate(from_python(f"FromTree('t'){text}"), records(rows), **options)
    return {name: array.tolist() for name, array in found.items()}


def one(text, rows=EVENTS, **options):
    return ask(f".Select(lambda e: {text})", rows, **options)["branch"]


#: query on an event, and the same in Python.
EXPRESSIONS = {
    "e.x + 1": lambda e: e["x"] + 1,
    "-e.x": lambda e: -e["x"],
    "e.x ** 2 // 3 % 2": lambda e: e["x"] ** 2 // 3 % 2,
    "e['met'] / 4": lambda e: e["met"] / 4,
    "1 < e.x <= 2": lambda e: 1 < e["x"] <= 2,
    "e.x in [1, 3]": lambda e: e["x"] in [1, 3],
    "e.x not in (1, 3)": lambda e: e["x"] not in (1, 3),
    "e.x in e.b": lambda e: e["x"] in e["b"],
    "e.b.Contains(2)": lambda e: 2 in e["b"],
    "not (e.x > 1) and e.met > 10 or e.x == 2": lambda e: (not e["x"] > 1 and e["met"] > 10) or e["x"] == 2,
    "1.5 if e.x > 1 else e.met": lambda e: 1.5 if e["x"] > 1 else e["met"],
    "7": lambda e: 7,
    "len(e.a)": lambda e: len(e["a"]),
    "e.a.Count()": lambda e: len(e["a"]),
    "Count(e.a)": lambda e: len(e["a"]),
    "e.a.Sum()": lambda e: sum(e["a"]),
    "e.a.Max()": lambda e: max(e["a"], default=None),
    "e.b.Min()": lambda e: min(e["b"], default=None),
    "e.a.Any(lambda p: p > 3)": lambda e: any(p > 3 for p in e["a"]),
    "e.a.All(lambda p: p > 1)": lambda e: all(p > 1 for p in e["a"]),
    "e.a.Select(lambda p: p * e.x)": lambda e: [p * e["x"] for p in e["a"]],
    "e.a.Select(lambda p: 1)": lambda e: [1 for _ in e["a"]],
    "e.a.Select(lambda p: e.met)": lambda e: [e["met"] for _ in e["a"]],
    "e.a.Where(lambda p: p > 2).Select(lambda p: p + 1)": lambda e: [p + 1 for p in e["a"] if p > 2],
    "e.a.Where(lambda p: p > e.x)": lambda e: [p for p in e["a"] if p > e["x"]],
    "e.a.OrderBy(lambda p: p)": lambda e: sorted(e["a"]),
    "e.a.OrderByDescending(lambda p: p).Take(2)": lambda e: sorted(e["a"], reverse=True)[:2],
    "e.a.Concat(e.c)": lambda e: e["a"] + e["c"],
    "e.a.Choose(2)": lambda e: [list(pair) for pair in itertools.combinations(e["a"], 2)],
    "e.a.Choose(2).Select(lambda c: c[0] - c[1])": lambda e: [
        p - q for p, q in itertools.combinations(e["a"], 2)
    ],
    "e.a.Choose(3).Select(lambda c: c.Sum())": lambda e: [sum(c) for c in itertools.combinations(e["a"], 3)],
    "e.a.Select(lambda p: e.c.Select(lambda q: p + q))": lambda e: [[p + q for q in e["c"]] for p in e["a"]],
    "e.a.SelectMany(lambda p: e.c.Select(lambda q: p * q))": lambda e: [
        p * q for p in e["a"] for q in e["c"]
    ],
    "e.a.Select(lambda p: e.c.Where(lambda q: q > p).Count())": lambda e: [
        sum(q > p for q in e["c"]) for p in e["a"]
    ],
    "e.a.Where(lambda p: e.c.Any(lambda q: q > p))": lambda e: [
        p for p in e["a"] if any(q > p for q in e["c"])
    ],
    "e.a.Select(lambda p: e.c.Where(lambda q: q > p))": lambda e: [
        [q for q in e["c"] if q > p] for p in e["a"]
    ],
    "e.a.Select(lambda p: e.c.Select(lambda q: e.b.Select(lambda r: p + q * r)))": lambda e: [
        [[p + q * r for r in e["b"]] for q in e["c"]] for p in e["a"]
    ],
    "e.a.Select(lambda p: p in e.c)": lambda e: [p in e["c"] for p in e["a"]],
    "{'p': e.a, 'q': e.b}.Zip().Where(lambda z: z.q > 1).Select(lambda z: z.p)": lambda e: [
        p for p, q in zip(e["a"], e["b"], strict=True) if q > 1
    ],
    "Zip({'p': e.a, 'q': e.b}).OrderBy(lambda z: z.q).Select(lambda z: z.p)": lambda e: [
        p for p, _ in sorted(zip(e["a"], e["b"], strict=True), key=lambda z: z[1])
    ],
    "abs(e.x - 2)": lambda e: abs(e["x"] - 2),
    "np.sqrt(e.met)": lambda e: math.sqrt(e["met"]),
    "atan2(e.met, 2) + sinh(0)": lambda e: math.atan2(e["met"], 2),
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_as_plain_python(text):
    wanted = [EXPRESSIONS[text](event) for event in EVENTS]
    assert one(text) == pytest.approx(wanted) if isinstance(wanted[0], float) else one(text) == wanted


numbers = st.lists(st.integers(-5, 5).map(float), max_size=4)
events = st.lists(
    st.builds(
        lambda x, a, c: {"x": x, "met": float(x), "a": a, "b": [int(v) for v in a], "c": c},
        st.integers(-3, 3), numbers, numbers,
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@given(events, st.sampled_from([text for text in EXPRESSIONS if "Choose" not in text and "met" not in text]))
def test_as_plain_python_on_any_events(rows, text):
    assert one(text, rows) == [EXPRESSIONS[text](event) for event in rows]


def test_events():
    assert ask(".Where(lambda e: e.x > 1).Select(lambda e: e.met)") == {"branch": [10.0, 40.0]}
    twice = ".Where(lambda e: e.a.Count() >= 2).Where(lambda e: e.x == 2)"
    assert ask(f"{twice}.Select(lambda e: (e.x, e.a))") == {"0": [2], "1": [[5.0, 6.0]]}
    assert ask(".OrderByDescending(lambda e: e.met).Take(2).Select(lambda e: e.x)") == {"branch": [2, 1]}
    assert ask(".SelectMany(lambda e: e.a)") == {"branch": [4.0, 1.0, 3.0, 2.0, 5.0, 6.0]}
    assert ask(".Count()") == {"branch": [4]}
    assert ask(".Select(lambda e: e.met).Sum()") == {"branch": [100.0]}
    assert ask(".Where(lambda e: e.x > 99).Select(lambda e: {'a': e.a})") == {"a": []}
    assert ask("")["x"] == [3, 0, 1, 2]


def test_a_condition_on_objects_after_select_keeps_objects():
    found = ask(".Select(lambda e: {'a': e.a, 'b': e.b, 'x': e.x}).Where(lambda e: e.a > 2)")
    assert found == {"a": [[4.0, 3.0], [], [], [5.0, 6.0]], "b": [[1, 2], [], [], [3, 1]], "x": [3, 0, 1, 2]}
    with pytest.raises(QueryError, match="several values an event"):
        ask(".Where(lambda e: e.a > 2).Select(lambda e: e.a)")
    with pytest.raises(QueryError, match="differ in their numbers"):
        ask(".Select(lambda e: {'a': e.a, 'c': e.c}).Where(lambda e: e.a > 2)")


def test_first_names_the_event_that_has_none():
    with pytest.raises(DataError, match="event 2 does not have it"):
        ask(".Where(lambda e: e.x > 0).Select(lambda e: e.c.First())")
    with pytest.raises(DataError, match=r"event 1 does not have it \(nor 1 others\)"):
        one("e.a.ElementAt(1)")
    assert one("e.a.First()", missing="none") == [4.0, None, 2.0, 5.0]
    assert one("e.a.Last()", missing="none") == [3.0, None, 2.0, 6.0]
    assert one("e.a.ElementAt(1)", missing="none") == [1.0, None, None, 6.0]


def test_masses_of_pairs():
    rng = np.random.default_rng(3)
    counts = np.array([2, 3, 0])
    columns = {n: ak.unflatten(rng.uniform(0.5, 2, 5), counts) for n in ("pt", "eta", "phi", "mass")}
    fields = ", ".join(f"'{name}': e.{name}" for name in columns)
    query = (
        f"FromTree('t').Select(lambda e: Zip({{{fields}}}).ToFourMomenta())"
        ".Select(lambda p: p.Choose(2).Select(lambda c: (c[0] + c[1]).mass))"
    )
    found = evaluate(from_python(query), ak.zip(columns, depth_limit=1))["branch"].tolist()

    def vector(pt, eta, phi, mass):
        p = np.array([pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)])
        return np.array([math.sqrt(p @ p + mass**2), *p])

    wanted = []
    for rows in zip(*(columns[n].tolist() for n in columns), strict=True):
        vectors = [vector(*numbers) for numbers in zip(*rows, strict=True)]
        pairs = [p + q for p, q in itertools.combinations(vectors, 2)]
        wanted.append([math.sqrt(s[0] ** 2 - s[1:] @ s[1:]) for s in pairs])
    assert [len(each) for each in found] == [1, 3, 0]
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-12)


def answer_of(text):
    query = from_python(text)
    needs(query)
    return evaluate(query, records(EVENTS))


@pytest.mark.parametrize(
    ("text", "says", "near"),
    [
        ("FromTree('t').Selct(lambda e: e.x)", "'Selct' is no operation", "Select"),
        ("FromTree('t').Select(lambda e: sqr(e.x))", "'sqr' is no function", "sqrt"),
        ("FromTree('t').Select(lambda e: e.x.Frist())", "'Frist' is no operation", "First"),
        ("FromTree('t').Select(lambda e: f.x)", "'f' is not defined", None),
        ("FromTree('t').Select(lambda e: e.x.First())", "needs a sequence", None),
        ("FromTree('t').Where(5)", "takes a lambda", None),
        ("FromTree('t').Select(lambda e, f: e.x)", "exactly one parameter", None),
        ("FromTree('t').Select(lambda e: __import__('os').system('x'))", "no operation", None),
        ("FromTree('t').Select(lambda e: [x for x in e.a])", "ListComp is no part", None),
        ("FromTree('t').Select(lambda e: e.a.__class__.mro())", "'mro' is no operation", None),
        ("FromTree('t').Select(lambda e: f'{e.x}')", "JoinedStr is no part", None),
        ("FromTree('t').Select(lambda e: {'a': e.x, 'a': e.x})", "is given twice", None),
        ("FromTree('t').Select(lambda e: e.x", "not valid", None),
        ("Select(lambda e: e.x)", "Select takes 1 arguments, not 0", None),
        ("1 + 1", "does not say which tree", None),
        ("import os", "not valid", None),
    ],
)
def test_what_is_refused(text, says, near):
    with pytest.raises((QueryError, DataError), match=says) as caught:
        answer_of(text)
    assert near is None or near in caught.value.near


def test_names_of_python_reach_nothing():
    for name in ("__class__", "__dict__", "layout", "behavior"):
        with pytest.raises((QueryError, DataError), match="there is no"):
            one(f"e.{name}")


@given(st.recursive(st.sampled_from(["e.x", "e.a.Count()", "3", "-2.5"]), lambda inner: st.one_of(
    st.tuples(inner, st.sampled_from(["+", "-", "*", "<", "=="]), inner).map(lambda t: f"({' '.join(t)})"),
    inner.map(lambda t: f"abs({t})"), inner.map(lambda t: f"(1 if {t} > 0 else {t})"),
), max_leaves=8))  # fmt: skip
def test_text_and_qastle_are_one_form(text):
    term = from_python(f"FromTree('t').Select(lambda e: {text})")
    assert to_text(from_qastle(to_text(term))) == to_text(term)


#: As func_adl's objects send it.
CALLS = (
    "(call Select (call EventDataset 'x.root' 't') (lambda (list q) "
    "(dict (list 'p') (list (call Where (attr q 'a') (lambda (list w) (> w 1)))))))"
)


def test_spellings_share_a_form():
    spellings = [
        "FromTree('t').Select(lambda e: {'p': e.a.Where(lambda x: x > 1)})",
        "FromTree('t').Select(lambda event: {'p': event['a'].Where(lambda p: p > 1)})",
        "Select(FromTree('t'), lambda e: {'p': Where(e.a, lambda e: e > 1)})",
        'FromTree("t").Select("lambda e: {\'p\': e.a.Where(lambda x: x > 1)}")',
        CALLS,
    ]
    forms = {to_text((from_qastle if s.startswith("(call") else from_python)(s)) for s in spellings}
    assert len(forms) == 1


def test_lambdas_on_one_line_and_in_a_dictionary():
    both = (
        FromTree("t").Where(lambda e: e.x > 1).Select(lambda e: {"m": e.met}),
        FromTree("t").Select(lambda e: e.x),
    )
    assert evaluate(both[0].term, records(EVENTS))["m"].tolist() == [10.0, 40.0]
    assert evaluate(both[1].term, records(EVENTS))["branch"].tolist() == [3, 0, 1, 2]
    made = eval("lambda e: e.x")  # noqa: S307 - a lambda without a source
    with pytest.raises(QueryError, match="source of the lambda cannot be found") as caught:
        FromTree("t").Select(made)
    assert 'Select("lambda e: {...}")' in str(caught.value)


@pytest.mark.parametrize(
    ("text", "paths", "everything"),
    [
        (".Select(lambda e: e.a)", {("a",)}, False),
        (".Select(lambda e: (e.a, e['b.c']))", {("a",), ("b.c",)}, False),
        (".Select(lambda e: {'j': e.a, 'e': e}).Select(lambda f: f.e.x)", {("a",), ("x",)}, False),
        (".Select(lambda e: e.jets.pt)", {("jets",), ("jets", "pt")}, False),
        (".Where(lambda e: e.x > 1)", {("x",)}, True),
        (".Select(lambda e: Zip({'p': e.a})).Select(lambda z: z.p)", {("a",)}, False),
    ],
)
def test_columns_are_known_from_the_text(text, paths, everything):
    found = needs(from_python(f"FromTree('t'){text}"))
    assert (found.tree, found.paths, found.everything) == ("t", paths, everything)

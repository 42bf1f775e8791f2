"""The conformance suite: it asks whether an analysis keeps the promises that the engine relies on.

One call in an analysis' own tests::

    from femtobarn.testing import check_analysis

    def test_my_analysis():
        check_analysis(analysis, "tests/small.root")

Checked are: every column touched is declared, and optional ones are; what ``process`` returns is
declared, too; it does not change its input; it gives the same answer twice; outcomes add up in any
order; one chunk and many chunks agree; an empty chunk works.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import BaseModel

from femtobarn.analysis import Analysis
from femtobarn.outcome import Outcome
from femtobarn.records import Dataset
from femtobarn.testing.cases import Case, Sample, Watched, cases
from femtobarn.testing.compare import difference, require

__all__ = ["Sample", "check_analysis"]


def check_analysis(
    analysis: Analysis,
    samples: Sample | Sequence[Sample],
    *,
    parameters: BaseModel | Mapping[str, Any] | None = None,
    dataset: Dataset | None = None,
    schema: str = "raw",
    most_events: int = 3000,
) -> None:
    """Check that an analysis keeps the laws of processing, on real or made events.

    Parameters
    ----------
    analysis : Analysis
    samples : one or several
        Files (``"data.root"``, ``"ZZ=zz_*.root"``), a fileset (``"F.json"``), datasets, or functions
        without arguments that return :class:`~femtobarn.read.Events`.
    parameters : model or mapping, optional
        The analysis' parameters; defaults if not given.
    dataset, schema : Dataset, str
        What ``process`` is told about events that a function made.
    most_events : int
        Events looked at in each file.

    Raises
    ------
    AssertionError
        A law is broken; the message says which, on what, how it shows and what to do.
    DataError
        A sample cannot be read, or lacks a declared column.
    """
    chosen = parameters if isinstance(parameters, BaseModel) else analysis.parameters(**(parameters or {}))
    made = dataset or Dataset("sample", ())
    found = list(cases(analysis, samples, chosen, made=made, schema=schema, most_events=most_events))
    if not any(case.length for case in found):
        raise ValueError("the samples hold no events: nothing can be checked")
    for case in found:
        _check(case)


def _check(case: Case) -> None:
    whole = case.run(case.events())
    _check_repeats(case, whole)
    if case.objects:
        return  # published histograms are one entry; there is nothing to cut
    _check_optional(case)
    _check_empty(case, whole)
    if case.length >= 3:
        chunks = list(_chunked(case))
        _check_chunks(case, whole, chunks)
        _check_merge(case, chunks)


def _check_repeats(case: Case, whole: Outcome) -> None:
    """Determinism: the same events give the same outcome, as an object of its own."""
    kept = copy.deepcopy(whole)
    again = case.run(case.events())
    require(
        again is not whole and not difference(kept, whole, exact=True),
        f"{case.label}: process() returns or changes an outcome of an earlier call; begin with "
        "ctx.outcome() each time",
    )
    found = difference(whole, again, exact=True)
    require(
        not found,
        f"{case.label}: process() gives another answer when it is called again with the same events: "
        f"{found}; keep no state, and draw random numbers from (run, lumi, event, seed) only",
    )


def _check_optional(case: Case) -> None:
    """Columns that are declared optional may be absent, all of them."""
    needed = {name: column for name, column in case.columns.items() if name in case.declared.needed}
    if len(needed) == len(case.columns):
        return
    try:
        case.run(Watched(case.length, copy.deepcopy(needed)))
    except AssertionError as error:
        absent = ", ".join(sorted(set(case.columns) - set(needed)))
        raise AssertionError(f"{error}\n  (without its optional columns: {absent})") from error


def _check_empty(case: Case, whole: Outcome) -> None:
    """No events are a valid chunk, and add nothing."""
    empty = case.run(case.events().rows(np.zeros(0, dtype=np.int64)))
    for total, order in ((whole + empty, "after"), (empty + whole, "before")):
        found = difference(whole, total, exact=True)
        require(not found, f"{case.label}: an empty chunk {order} the others changes the result: {found}")


def _chunked(case: Case) -> Iterator[Outcome]:
    """Outcomes of chunks of uneven sizes, one of them a single event and one empty."""
    n = case.length
    events = case.events()
    edges = sorted({0, 1, n // 3, n // 2, n})
    for number, (start, stop) in enumerate(pairwise(edges)):
        yield case.run(events.rows(np.arange(start, stop)), start=start, number=number)
    yield case.run(events.rows(np.arange(n, n)), start=n, number=len(edges))


def _check_chunks(case: Case, whole: Outcome, chunks: Sequence[Outcome]) -> None:
    """Counts are equal, and sums are to 1e-12, however the events are cut."""
    total = Outcome(case.context.dataset.name)
    for chunk in chunks:
        total.absorb(copy.deepcopy(chunk))
    found = difference(whole, total)
    require(
        not found,
        f"{case.label}: one chunk and {len(chunks)} chunks differ: {found}; decide event by event, "
        "without means, sorts or numbers of the whole chunk",
    )


def _check_merge(case: Case, chunks: Sequence[Outcome]) -> None:
    """Addition is associative and commutative, and leaves what it adds alone."""
    a, b, c = chunks[:3]
    kept = [copy.deepcopy(one) for one in (a, b, c)]
    left, right = (a + b) + c, a + (b + c)
    for before, after in zip(kept, (a, b, c), strict=True):
        found = difference(before, after, exact=True)
        require(not found, f"{case.label}: adding outcomes changes what is added: {found}")
    found = difference(left, right)
    require(not found, f"{case.label}: (a + b) + c is not a + (b + c) of three chunks' outcomes: {found}")
    found = difference(a + b, b + a, ordered=False)
    require(not found, f"{case.label}: a + b is not b + a of two chunks' outcomes: {found}")

"""Evaluate a FuncADL query on the columns it names, whole arrays at a time."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import awkward as ak
import numpy as np

from femtobarn.deliver import momenta
from femtobarn.deliver.forms import FUNCTIONS, OPERATORS, Form, QueryError, Symbol, Term, to_text
from femtobarn.deliver.loops import Value, depth, mask_at, meet, over, skeleton, union
from femtobarn.errors import DataError, FemtobarnError, nearest

__all__ = ["UNNAMED", "evaluate"]

#: Column of a result without names.
UNNAMED: Final = "branch"

_INFIX: Final[Mapping[str, Callable[[Any, Any], Any]]] = MappingProxyType({
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "%": operator.mod,
    "**": operator.pow, "//": operator.floordiv, "&": operator.and_, "|": operator.or_, "^": operator.xor,
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge, "and": np.logical_and, "or": np.logical_or,
})  # fmt: skip
#: NumPy's names of functions that the language calls otherwise.
_NUMPY_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "pow": "power"}
)


def evaluate(
    query: Term, events: ak.Array, *, missing: str = "error", where: str = ""
) -> dict[str, ak.Array]:
    """The columns a query yields for these events.

    Parameters
    ----------
    query : normal form
    events : record array of the columns that the query needs
    missing : ``error`` refuses First, Last and ElementAt on a sequence too short for it; ``none`` gives
        a missing value
    where : the file, for messages

    Returns
    -------
    {name: array}, all of one length; a result without names is the column :data:`UNNAMED`.

    Raises
    ------
    QueryError, DataError
        The query asks what cannot be done, or what these events do not have.
    """
    run = _Run(events, missing, where)
    try:
        result = run.value(query, {})
        return _columns(result)
    except FemtobarnError:
        raise
    except RecursionError:
        raise QueryError("the query is nested too deeply", where=where or None) from None
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        raise QueryError(
            f"the query {_short(run.at)} cannot be evaluated: {reason}", where=where or None
        ) from error


def _columns(result: Value) -> dict[str, ak.Array]:
    if result.is_constant:  # a number for the whole file: Count(), Sum(), First()
        record = result.array
        if isinstance(record, ak.Record):
            return {name: ak.Array([record[name]]) for name in record.fields}
        return {UNNAMED: ak.Array([record])}
    if result.array.fields:
        return {name: result.array[name] for name in result.array.fields}
    return {UNNAMED: result.array}


class _Run:
    """One evaluation; ``at`` is the piece of the query being worked on."""

    def __init__(self, events: ak.Array, missing: str, where: str) -> None:
        self._events = events
        self._missing = missing
        self._file = where or None
        self._loops = 0
        self._entries: dict[int, np.ndarray[Any, np.dtype[np.int64]]] = {}
        self.at: Term = None

    def value(self, term: Term, names: Mapping[str, Value]) -> Value:
        match term:
            case Symbol(name=name) if name in names:
                return names[name]
            case Symbol(name=name):
                raise QueryError(f"{name!r} is not defined in the query", where=self._file,
                                 near=nearest(name, names))  # fmt: skip
            case Form():
                self.at = term
                return self._form(term, names)
        return Value(term)

    def _form(self, term: Form, names: Mapping[str, Value]) -> Value:
        head, args = term.head, term.args
        if head in OPERATORS:
            return self._operator(term, names)
        if head in ("attr", "subscript"):
            return self._member(self.value(args[0], names), args[1], names)
        if head == "call":
            return self._call(term, names)
        if head == "dict":
            return self._record(args[0].args, [self.value(item, names) for item in args[1].args])
        if head == "list":
            return self._record(None, [self.value(item, names) for item in args])
        if head == "if":
            test, yes, no = (self.value(item, names) for item in args)
            if test.is_constant:
                return yes if test.array else no
            return meet(ak.where, test, yes, no)
        if head == "lambda":
            raise QueryError(f"a lambda stands alone in {_short(term)}", where=self._file)
        values = [self.value(item, names) for item in args]
        if len(values) == 1:
            unary: dict[str, Callable[..., Any]] = {
                "-": operator.neg,
                "+": operator.pos,
                "not": np.logical_not,
                "~": operator.invert,
            }
            return meet(unary[head], values[0])
        if head == "+" and all(momenta.is_momentum(value.array) for value in values):
            return meet(momenta.add, *values)
        return meet(_INFIX[head], *values)

    # -- members, records, functions ---------------------------------------------------------------

    def _member(self, value: Value, name: Any, names: Mapping[str, Value]) -> Value:
        if not isinstance(name, str | int) or isinstance(name, bool):
            picked = self.value(name, names)
            if not isinstance(picked.array, int):
                raise QueryError(f"brackets in {_short(self.at)} hold a name or a number", where=self._file)
            name = picked.array
        array = value.array
        if isinstance(name, int):
            fields = getattr(array, "fields", [])
            if not fields or not array.is_tuple:
                return self._pick(value, name)
            name = str(name)
        if momenta.is_momentum(array):
            try:
                return Value(momenta.property_of(array, name), value.loops)
            except KeyError as error:
                raise QueryError(f"a four-momentum has no {name!r}", where=self._file,
                                 near=error.args[1]) from None  # fmt: skip
        if name not in getattr(array, "fields", ()):
            raise QueryError(
                f"there is no {name!r} in {_short(self.at)}", where=self._file,
                near=nearest(name, getattr(array, "fields", ())),
            )  # fmt: skip
        return Value(array[name], value.loops)

    def _record(self, keys: tuple[str, ...] | None, values: list[Value]) -> Value:
        """A dictionary or tuple of values as records, one for each turn of the loops."""
        if not values:
            raise QueryError("a dictionary or list is empty", where=self._file)
        loops = union(tuple(values))
        if not loops:
            return (
                Value(tuple(value.array for value in values))
                if keys is None
                else Value(ak.Record(dict(zip(keys, (value.array for value in values), strict=True))))
            )
        full = next((value for value in values if value.loops == loops and not value.is_constant), None)
        anchor = full or meet(lambda *arrays: functools.reduce(np.add, arrays),
                              *(skeleton(value) for value in values if value.loops))  # fmt: skip
        arrays = [over(value, anchor).array for value in values]
        fields = tuple(arrays) if keys is None else dict(zip(keys, arrays, strict=True))
        return Value(ak.zip(fields, depth_limit=len(loops)), loops)

    def _call(self, term: Form, names: Mapping[str, Value]) -> Value:
        function, *given = term.args
        match function:
            case Symbol(name="EventDataset"):
                return Value(self._events, (), np.arange(len(self._events), dtype=np.int64), whole=True)
            case Symbol(name="len"):
                return self._operator(Form("Count", tuple(given)), names)
            case Symbol(name=name) | Form(head="attr", args=(Symbol(name="np" | "numpy"), str() as name)):
                return self._function(name, [self.value(item, names) for item in given])
            case Form(head="attr", args=(source, str() as name)):
                return self._method(name, self.value(source, names), [self.value(i, names) for i in given])
        raise QueryError(f"{_short(term)} calls no function", where=self._file)

    def _function(self, name: str, values: list[Value]) -> Value:
        if name in ("ToFourMomenta", "ToFourMomentum"):
            return self._method(name, values[0], values[1:])
        if name not in FUNCTIONS:
            raise QueryError(f"{name!r} is no function of the query language", where=self._file,
                             near=nearest(name, [*FUNCTIONS, *OPERATORS, "len"]))  # fmt: skip
        return meet(getattr(np, _NUMPY_NAMES.get(name, name)), *values)

    def _method(self, name: str, value: Value, given: list[Value]) -> Value:
        if name in ("ToFourMomenta", "ToFourMomentum") and not given:
            array = value.array
            if not value.is_sequence and any(ak.fields(array)) and _lists_in(array, value.loops):
                array = ak.zip(
                    {field: array[field] for field in array.fields}, depth_limit=len(value.loops) + 1
                )
            return Value(momenta.make(array), value.loops)
        pair = momenta.two_body(name)
        if pair is not None and len(given) == 1:
            return meet(pair, value, given[0])
        raise QueryError(
            f"{name!r} is no operation of the query language", where=self._file,
            near=nearest(name, [*OPERATORS, "ToFourMomenta", "deltaR"]),
        )  # fmt: skip

    # -- operators on sequences ----------------------------------------------------------------------

    def _operator(self, term: Form, names: Mapping[str, Value]) -> Value:
        head = term.head
        if head == "Zip":
            return self._zip(self.value(term.args[0], names))
        if head == "Contains":
            return self._contains(term, names)
        source = self.value(term.args[0], names)
        self.at = term
        if not source.is_sequence:
            raise QueryError(
                f"{head} needs a sequence, but {_short(term.args[0])} is one value an item", where=self._file
            )
        if head in ("Select", "SelectMany", "Where", "OrderBy", "OrderByDescending"):
            return self._with_lambda(head, source, term.args[1], names)
        if head in ("Any", "All"):
            chosen = self._select(source, term.args[1], names) if len(term.args) == 2 else source
            return self._reduced(ak.any if head == "Any" else ak.all, chosen)
        if head in ("Sum", "Min", "Max"):
            return self._reduced({"Sum": ak.sum, "Min": ak.min, "Max": ak.max}[head], source)
        if head == "Count":
            if not source.loops:
                return Value(len(source.array))
            return Value(ak.num(source.array, axis=len(source.loops)), source.loops)
        if head in ("First", "Last"):
            return self._pick(source, 0 if head == "First" else -1)
        if head == "Concat":
            other = self.value(term.args[1], names)
            loops = union((source, other))
            both = [over(source, other).array, over(other, source).array]
            return Value(ak.concatenate(both, axis=len(loops)), loops)
        number = self.value(term.args[1], names).array
        if not isinstance(number, int) or isinstance(number, bool) or (number < 0 and head != "ElementAt"):
            raise QueryError(f"{head} takes a whole number", where=self._file)
        if head == "ElementAt":
            return self._pick(source, number)
        if head == "Take":
            cut = (*(slice(None) for _ in source.loops), slice(number))
            entries = None if source.entries is None else source.entries[:number]
            return Value(source.array[cut], source.loops, entries, source.whole)
        return self._choose(source, number)

    def _with_lambda(self, head: str, source: Value, function: Term, names: Mapping[str, Value]) -> Value:
        if head == "Where":
            return self._filtered(source, function, names)
        if head == "Select":
            return self._select(source, function, names)
        if head == "SelectMany":
            return self._select_many(source, function, names)
        return self._ordered(source, function, names, up=head == "OrderBy")

    def _enter(self, source: Value, function: Term, names: Mapping[str, Value]) -> tuple[Value, Value]:
        """Open a loop over a sequence: its item, and what the lambda makes of it."""
        self._loops += 1
        loop = self._loops
        if source.entries is not None:
            self._entries[loop] = source.entries
        item = Value(source.array, (*source.loops, loop))
        parameter = function.args[0].args[0].name
        return item, self.value(function.args[1], {**names, parameter: item})

    def _select(self, source: Value, function: Term, names: Mapping[str, Value]) -> Value:
        item, body = self._enter(source, function, names)
        if body.is_constant and not isinstance(body.array, bool | int | float | str):
            raise QueryError(f"{_short(function)} yields nothing an item", where=self._file)
        found = over(body, item)
        return Value(
            found.array, tuple(loop for loop in found.loops if loop != item.loops[-1]), source.entries
        )

    def _select_many(self, source: Value, function: Term, names: Mapping[str, Value]) -> Value:
        found = self._select(source, function, names)
        if not found.is_sequence or depth(found.array) < len(found.loops) + 2:
            raise QueryError(f"{_short(function)} yields no sequence that SelectMany could join",
                             where=self._file)  # fmt: skip
        return Value(ak.flatten(found.array, axis=len(found.loops) + 1), found.loops)

    def _filtered(self, source: Value, function: Term, names: Mapping[str, Value]) -> Value:
        item, condition = self._enter(source, function, names)
        loop = item.loops[-1]
        if condition.is_sequence:
            return self._items_filtered(source, item, condition)
        condition = over(condition, item)
        items = over(item, condition)
        keep = (
            ak.fill_none(condition.array, False, axis=None) if _optional(condition.array) else condition.array
        )
        keep = keep if _boolean(keep) else keep != 0
        kept = mask_at(items.array, keep, len(items.loops))
        entries = None
        if source.entries is not None:
            entries = source.entries[np.asarray(ak.to_numpy(keep), dtype=np.bool_)]
        return Value(kept, tuple(each for each in items.loops if each != loop), entries, source.whole)

    def _items_filtered(self, source: Value, item: Value, condition: Value) -> Value:
        """A condition on the items of each event's columns: those of all columns that are lists are kept."""
        if source.whole:
            raise QueryError(
                f"{_short(self.at)}: the condition has several values an event", where=self._file,
                action="name the columns first, .Select(lambda e: {...}).Where(...), or say .Any() or .All()",
            )  # fmt: skip
        axis = len(item.loops)
        if condition.loops != item.loops:
            raise QueryError(f"{_short(self.at)}: the condition is of another sequence", where=self._file)
        counts = ak.num(condition.array, axis=axis)

        def keep(name: str, array: Any) -> Any:
            if array.layout.purelist_depth <= axis:
                return array
            if not bool(ak.all(ak.num(array, axis=axis) == counts, axis=None)):
                raise QueryError(
                    f"{_short(self.at)}: the condition and {name} differ in their numbers of items",
                    where=self._file,
                )
            return array[condition.array]

        if not item.array.fields or item.array.layout.purelist_depth > axis:
            kept = keep("the sequence", item.array)
        else:
            parts = {name: keep(repr(name), item.array[name]) for name in item.array.fields}
            kept = ak.zip(tuple(parts.values()) if item.array.is_tuple else parts, depth_limit=axis)
        return Value(kept, source.loops, source.entries)

    def _ordered(self, source: Value, function: Term, names: Mapping[str, Value], *, up: bool) -> Value:
        item, key = self._enter(source, function, names)
        items, keys = over(item, key), over(key, item)
        order = ak.argsort(keys.array, axis=len(items.loops) - 1, ascending=up, stable=True)
        outer = tuple(loop for loop in items.loops if loop != item.loops[-1])
        entries = None if source.entries is None else source.entries[np.asarray(order)]
        return Value(items.array[order], outer, entries, source.whole)

    def _reduced(self, function: Callable[..., Any], source: Value) -> Value:
        if momenta.is_momentum(source.array) and function is ak.sum:
            sums = {n: ak.sum(source.array[n], axis=len(source.loops)) for n in ("px", "py", "pz", "E")}
            return Value(ak.zip(sums, with_name=momenta.NAME), source.loops)
        if source.array.fields:
            raise QueryError(
                f"{_short(self.at)}: records have no sum or order", where=self._file,
                action="name one of their columns: " + ", ".join(source.array.fields),
            )  # fmt: skip
        found = function(source.array, axis=len(source.loops))
        return Value(found if isinstance(found, ak.Array) else found.item() if found is not None else None,
                     source.loops)  # fmt: skip

    def _pick(self, source: Value, place: int) -> Value:
        """The item at a place (negative ones count from the end) of each sequence."""
        if not source.is_sequence:
            raise QueryError(f"{_short(self.at)} is no sequence", where=self._file)
        axis = len(source.loops)
        needed = place + 1 if place >= 0 else -place
        if not axis:
            if len(source.array) < needed:
                raise DataError(
                    f"{_short(self.at)}: there are only {len(source.array)} events", where=self._file
                )
            return Value(source.array[place])
        counts = ak.num(source.array, axis=axis)
        short = counts < needed
        if bool(ak.any(short, axis=None)):
            if self._missing != "none":
                raise self._too_short(source, short)
            if place >= 0:
                padded = ak.pad_none(source.array, needed, axis=axis)
            else:
                padded = ak.pad_none(
                    source.array[(*[slice(None)] * axis, slice(None, None, -1))], needed, axis=axis
                )
                place = needed - 1
            return Value(padded[(*[slice(None)] * axis, place)], source.loops)
        return Value(source.array[(*[slice(None)] * axis, place)], source.loops)

    def _too_short(self, source: Value, short: Any) -> DataError:
        while short.ndim > 1:
            short = ak.any(short, axis=-1)
        per_event = np.asarray(short)
        index = int(np.flatnonzero(per_event)[0])
        entries = self._entries.get(source.loops[0])
        event = int(entries[index]) if entries is not None and len(entries) == len(per_event) else index
        few = int(np.count_nonzero(per_event))
        return DataError(
            f"{_short(self.at)}: event {event} does not have it (nor {few - 1} others)"
            if few > 1
            else f"{_short(self.at)}: event {event} does not have it",
            where=self._file,
            action="select events with enough items first, .Where(lambda e: e.x.Count() > 0), or allow "
            "missing values with --missing none",
        )

    def _zip(self, source: Value) -> Value:
        array, axis = source.array, len(source.loops)
        if not axis or not array.fields:
            raise QueryError("Zip needs a dictionary of sequences", where=self._file)
        fields = {name: array[name] for name in array.fields}
        if not _lists_in(array, source.loops):
            raise QueryError("Zip needs sequences, not single values", where=self._file)
        return Value(
            ak.zip(tuple(fields.values()) if array.is_tuple else fields, depth_limit=axis + 1), source.loops
        )

    def _contains(self, term: Form, names: Mapping[str, Value]) -> Value:
        wanted = self.value(term.args[1], names)
        match term.args[0]:
            case Form(head="list", args=items):
                equal = [meet(operator.eq, self.value(item, names), wanted) for item in items]
                return functools.reduce(functools.partial(meet, np.logical_or), equal)
        source = self.value(term.args[0], names)
        if not source.is_sequence:
            raise QueryError(f"{_short(term)}: there is no sequence to look in", where=self._file)
        self._loops += 1
        item = Value(source.array, (*source.loops, self._loops))
        equal_to = over(meet(operator.eq, item, wanted), item)
        outer = tuple(loop for loop in equal_to.loops if loop != self._loops)
        return Value(ak.any(equal_to.array, axis=len(outer)), outer)

    def _choose(self, source: Value, number: int) -> Value:
        """All ways to take so many items, each a sequence of that length."""
        if number < 1:
            raise QueryError("Choose takes a number from 1", where=self._file)
        axis = len(source.loops)
        if not axis:
            raise QueryError("events cannot be combined with each other", where=self._file)
        chosen = ak.unzip(ak.combinations(source.array, number, axis=axis))
        lists = [
            ak.from_regular(part[(*[slice(None)] * (axis + 1), np.newaxis)], axis=axis + 1) for part in chosen
        ]
        return Value(ak.concatenate(lists, axis=axis + 1), source.loops)


def _optional(array: ak.Array) -> bool:
    return "?" in str(array.type) or "option" in str(array.type)


def _boolean(array: ak.Array) -> bool:
    return str(array.type).endswith("bool")


def _lists_in(array: ak.Array, loops: tuple[int, ...]) -> bool:
    return all(array[name].layout.purelist_depth > len(loops) for name in array.fields)


def _short(term: Term) -> str:
    text = to_text(term)
    return text if len(text) <= 90 else f"{text[:87]}..."

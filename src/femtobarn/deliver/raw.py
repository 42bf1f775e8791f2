"""UprootRaw queries: lists of trees, columns, expressions and cuts, as `TTree.arrays` takes them."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

from femtobarn.deliver.forms import QueryError
from femtobarn.errors import DataError, nearest
from femtobarn.expr import Expression
from femtobarn.expr.functions import AWKWARD_NAMES, NUMPY_NAMES

__all__ = ["CopyQuery", "TreeQuery", "parse", "read_tree", "readable"]

_TREE_KEYS: Final = ("treename", "expressions", "cut", "filter_name", "filter_typename", "aliases",
                     "fail_on_missing_trees", "use_standard_awkward_axis")  # fmt: skip
_COPY_KEYS: Final = ("copy_histograms",)
#: Functions that act within each event unless an axis is given (or the standard is asked for).
_WITHIN_EVENTS: Final = frozenset({
    "concatenate", "count", "count_nonzero", "sum", "nansum", "prod", "nanprod", "any", "all", "min",
    "nanmin", "max", "nanmax", "argmin", "nanargmin", "argmax", "nanargmax", "moment", "mean", "nanmean",
    "var", "nanvar", "std", "nanstd", "softmax",
})  # fmt: skip
_MORE: Final = ("nanargmin", "nanargmax", "singletons", "argcombinations", "isclose", "mask", "is_none")


@dataclass(frozen=True, slots=True)
class TreeQuery:
    """Columns of one or several trees; every field as in the official query."""

    trees: tuple[tuple[str, str], ...]
    expressions: tuple[str, ...] = ()
    cut: str = ""
    filter_name: tuple[str, ...] = ()
    filter_typename: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    fail_on_missing_trees: bool = False
    use_standard_awkward_axis: bool = False

    def to_json(self) -> dict[str, Any]:
        found = {key: value for key, value in asdict(self).items() if value and key != "trees"}
        return {
            "treename": dict(self.trees),
            **found,
            **({"aliases": dict(self.aliases)} if self.aliases else {}),
        }

    def columns(self) -> set[str]:
        """Names the query mentions: columns, patterns, names in expressions."""
        aliases = dict(self.aliases)
        found = set(self.filter_name)
        for text in (*self.expressions, *([self.cut] if self.cut else []), *aliases.values()):
            found |= {text} if _is_name(text) else set(Expression.parse(text, functions=functions()).names)
        if not self.expressions and not self.filter_name:
            found.add("*")
        return found - aliases.keys()


@dataclass(frozen=True, slots=True)
class CopyQuery:
    """Objects to copy as they are."""

    names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"copy_histograms": list(self.names)}

    def columns(self) -> set[str]:
        return set()


def parse(content: Any, *, where: str | None = None) -> tuple[TreeQuery | CopyQuery, ...]:
    """Check a query: a list of dictionaries, one dictionary, or either as JSON text.

    Raises
    ------
    QueryError
        With the place, the nearest key and what to write.
    """
    if isinstance(content, str):
        content = json.loads(content)
    items = [content] if isinstance(content, Mapping) else content
    if not isinstance(items, Sequence) or not items or not all(isinstance(item, Mapping) for item in items):
        raise QueryError("an UprootRaw query is a list of dictionaries", where=where)
    return tuple(_one({k: v for k, v in item.items() if v is not None}, where) for item in items)


def _one(item: Mapping[str, Any], where: str | None) -> TreeQuery | CopyQuery:
    known = _COPY_KEYS if "copy_histograms" in item else _TREE_KEYS
    for key in item:
        if key not in known:
            raise QueryError(
                f"unknown key {key!r} in the UprootRaw query", where=where, near=nearest(key, known)
            )
    if "copy_histograms" in item:
        return CopyQuery(_texts(item, "copy_histograms", where))
    if "treename" not in item:
        raise QueryError("the UprootRaw query names no tree (treename)", where=where)
    trees = item["treename"]
    if isinstance(trees, Mapping):
        pairs = tuple((str(name), str(out)) for name, out in trees.items())
    else:
        names = _texts(item, "treename", where)
        # One tree gets the name that all deliveries have; several keep theirs.
        pairs = ((names[0], "servicex"),) if isinstance(trees, str) else tuple((name, name) for name in names)
    aliases = item.get("aliases", {})
    if not isinstance(aliases, Mapping):
        raise QueryError("aliases: must be a dictionary of names and expressions", where=where)
    found = TreeQuery(
        pairs,
        _texts(item, "expressions", where),
        "".join(_texts(item, "cut", where)).strip(),
        _texts(item, "filter_name", where),
        _texts(item, "filter_typename", where),
        tuple((str(name), str(text)) for name, text in aliases.items()),
        bool(item.get("fail_on_missing_trees", False)),
        bool(item.get("use_standard_awkward_axis", False)),
    )
    for text in (*found.expressions, *dict(found.aliases).values(), *([found.cut] if found.cut else [])):
        if not _is_name(text):
            Expression.parse(text, functions=functions(), allow_slices=True, where=where)
    return found


def _texts(item: Mapping[str, Any], key: str, where: str | None) -> tuple[str, ...]:
    value = item.get(key, ())
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, Sequence) or not all(isinstance(each, str) for each in values):
        raise QueryError(f"{key}: must be text or a list of texts", where=where)
    return tuple(values)


def _is_name(text: str) -> bool:
    """Whether a text can only be the name of a column, as ``Muons:pt`` or ``a b`` is."""
    return re.fullmatch(r"[\w.:]+(?:\[\])?", text) is not None and ":" in text


@functools.cache
def functions(*, standard_axis: bool = False) -> Mapping[str, Callable[..., Any]]:
    """What an expression may call: numpy's and awkward's functions, bare or as ``np.x`` and ``ak.x``."""
    import awkward as ak
    import numpy as np

    table: dict[str, Callable[..., Any]] = {}
    for name in NUMPY_NAMES:
        table[name] = table[f"np.{name}"] = table[f"numpy.{name}"] = getattr(np, name)
    table |= {"arctan2": np.arctan2, "atan2": np.arctan2, "log": np.log, "pi": lambda: np.pi}
    for name in (*AWKWARD_NAMES, *_MORE):
        function = getattr(ak, name)
        if not standard_axis and name in _WITHIN_EVENTS:
            function = functools.partial(_on_axis, function, 1)
        elif not standard_axis and name == "flatten":
            function = functools.partial(_on_axis, function, 2)
        table[name] = table[f"ak.{name}"] = table[f"awkward.{name}"] = function
    return MappingProxyType(table)


def _on_axis(function: Callable[..., Any], standing: int, /, *arguments: Any, **keywords: Any) -> Any:
    if len(arguments) < (3 if function.__name__ == "moment" else 2):
        keywords.setdefault("axis", standing)
    return function(*arguments, **keywords)


def read_tree(tree: Any, query: TreeQuery, *, where: str) -> dict[str, Any]:
    """The columns that a query wants of an open TTree or RNTuple.

    Returns
    -------
    {name: awkward array}; types and jaggedness as stored, also if no event passes the cut.
    """
    return _Tree(tree, query, where).columns()


class _Tree:
    """One tree, its columns read when they are first asked for."""

    def __init__(self, tree: Any, query: TreeQuery, where: str) -> None:
        self._tree, self._query, self._where = tree, query, where
        self._names = set(
            tree.keys(recursive=True, full_paths=False) if hasattr(tree, "branches") else tree.keys()
        )
        self._aliases = dict(query.aliases)
        self._read: dict[str, Any] = {}
        self._functions = functions(standard_axis=query.use_standard_awkward_axis)

    def columns(self) -> dict[str, Any]:
        import awkward as ak
        import numpy as np

        wanted = self._query.expressions or self._filtered()
        found = {text: self.value(text) for text in wanted}
        count = int(self._tree.num_entries)
        for text, array in found.items():
            if not isinstance(array, ak.Array) and np.ndim(array) == 0:
                found[text] = ak.Array(np.full(count, array))
            elif len(array) != count:
                raise DataError(f"the expression {text!r} gives {len(array)} values for {count} events",
                                where=self._where, action="give an axis, as in sum(x, axis=1)")  # fmt: skip
        if not self._query.cut:
            return found
        keep = self.value(self._query.cut)
        if not isinstance(keep, ak.Array) or keep.ndim != 1 or len(keep) != count:
            raise DataError(
                f"the cut {self._query.cut!r} has not one value an event", where=self._where,
                action="say any(...) or all(...)",
            )  # fmt: skip
        mask = np.asarray(ak.to_numpy(ak.fill_none(keep, False))).astype(np.bool_)
        return {text: array[mask] for text, array in found.items()}

    def value(self, text: str) -> Any:
        """A column, an alias, or an expression of them."""
        if text in self._names:
            return self._column(text)
        if text in self._aliases:
            return self._named(text, ())
        if _is_name(text):
            raise self._unknown(text)
        return self._evaluate(text, ())

    def _evaluate(self, text: str, inside: tuple[str, ...]) -> Any:
        parsed = Expression.parse(text, functions=self._functions, allow_slices=True, where=self._where)
        return parsed.evaluate(lambda name: self._named(name, inside))

    def _named(self, name: str, inside: tuple[str, ...]) -> Any:
        if name in self._names and (name not in self._aliases or name in inside):
            return self._column(name)
        if name in self._aliases:
            if name in inside:
                raise QueryError(f"the alias {name!r} is defined by itself", where=self._where)
            text = self._aliases[name]
            return self._column(text) if text in self._names else self._evaluate(text, (*inside, name))
        front, _, member = name.rpartition(".")
        if front in self._names and member in getattr(self._column(front), "fields", ()):
            return self._column(front)[member]
        raise self._unknown(name)

    def _column(self, name: str) -> Any:
        from femtobarn.read.source import reading

        if name not in self._read:
            with reading(self._where, f" at branch {name!r}"):
                self._read[name] = self._tree[name].array(library="ak")
        return self._read[name]

    def _unknown(self, name: str) -> DataError:
        return DataError(f"tree {self._tree.name!r} has no column {name!r}", where=self._where,
                         near=nearest(name, [*self._names, *self._aliases]))  # fmt: skip

    def _filtered(self) -> list[str]:
        names = filtered(self._tree, self._query)
        if not names:
            wanted = (*self._query.filter_name, *self._query.filter_typename)
            raise DataError(f"no column of tree {self._tree.name!r} fits {', '.join(map(repr, wanted))}",
                            where=self._where, near=nearest(next(iter(wanted), ""), self._names))  # fmt: skip
        return names


def filtered(tree: Any, query: TreeQuery) -> list[str]:
    """Columns by pattern of name and type; those that cannot be read are no columns."""
    patterns = {"filter_name": query.filter_name, "filter_typename": query.filter_typename}
    chosen = {key: list(value) for key, value in patterns.items() if value}
    if not hasattr(tree, "branches"):
        every = list(tree.keys(**chosen))
        # Parts of a field that is chosen as a whole come with it.
        return [name for name in every if not any(name.startswith(f"{other}.") for other in every)]
    pairs = tree.iteritems(recursive=True, full_paths=False, filter_branch=readable, **chosen)
    return list(dict.fromkeys(name for name, _ in pairs))


def readable(branch: Any) -> bool:
    """Whether a branch holds values of its own that can become an array."""
    import uproot

    if branch.branches:
        return False
    interpretation = branch.interpretation
    if isinstance(interpretation, uproot.interpretation.identify.UnknownInterpretation):
        return False
    try:
        interpretation.awkward_form(branch.file)
    except uproot.interpretation.objects.CannotBeAwkward:
        return False
    return True

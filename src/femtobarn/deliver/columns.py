"""Which tree and columns a query names, found in its text alone: nothing else of a file is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from femtobarn.deliver.forms import Form, QueryError, Symbol, Term

__all__ = ["Needs", "needs"]


@dataclass
class Needs:
    """What a query reads.

    Attributes
    ----------
    tree : name of the tree, None if the query names none
    paths : names of columns; ``e.jets.pt`` is ``("jets", "pt")``: the column ``jets`` or ``jets.pt``
    everything : the query hands on whole events, so all columns are read
    """

    tree: str | None = None
    paths: set[tuple[str, ...]] = field(default_factory=set)
    everything: bool = False


@dataclass(frozen=True)
class _Stream:
    """A sequence of items of this kind."""

    item: Any


@dataclass(frozen=True)
class _Column:
    path: tuple[str, ...]


#: An event, and anything that holds no event.
_EVENT, _OTHER = "event", "other"


def needs(query: Term) -> Needs:
    """Tree and columns of a query.

    Raises
    ------
    QueryError
        It names no tree, or several.
    """
    found = Needs()
    trees: list[str | None] = []
    kind = _Walk(found, trees).kind(query, {})
    if len(trees) != 1:
        what = "does not say which tree it reads" if not trees else "reads several trees"
        raise QueryError(f"the query {what}", action="begin it with FromTree('NAME')")
    found.tree = trees[0]
    found.everything = _holds_event(kind)
    return found


def _holds_event(kind: Any) -> bool:
    if isinstance(kind, _Stream):
        return _holds_event(kind.item)
    if isinstance(kind, dict):
        return any(map(_holds_event, kind.values()))
    return bool(kind == _EVENT)


class _Walk:
    def __init__(self, found: Needs, trees: list[str | None]) -> None:
        self._found = found
        self._trees = trees

    def kind(self, term: Term, names: Mapping[str, Any]) -> Any:
        """What a term is, with columns on the way noted."""
        match term:
            case Symbol(name=name):
                return names.get(name, _OTHER)
            case Form(head="call", args=(Symbol(name="EventDataset"), _, tree)):
                if tree is not None and not isinstance(tree, str):
                    raise QueryError("the name of the tree must be text")
                self._trees.append(tree)
                return _Stream(_EVENT)
            case Form(head="attr", args=(value, str() as name)):
                return self._member(self.kind(value, names), name)
            case Form(head="subscript", args=(value, int() as place)):
                return self._member(self.kind(value, names), str(place))
            case Form(head="dict", args=(keys, values)):
                return {k: self._noted(v, names) for k, v in zip(keys.args, values.args, strict=True)}
            case Form(head="list", args=items):
                return {str(i): self._noted(item, names) for i, item in enumerate(items)}
            case Form(head="Select" | "SelectMany" as head, args=(source, function)):
                inner = self._applied(self.kind(source, names), function, names)
                if head == "SelectMany":
                    return inner if isinstance(inner, _Stream) else _Stream(_OTHER)
                return _Stream(inner)
            case Form(head="Where" | "OrderBy" | "OrderByDescending", args=(source, function)):
                kind = self.kind(source, names)
                self._applied(kind, function, names)
                return kind
            case Form(head="First" | "Last" | "ElementAt", args=(source, *_)):
                kind = self.kind(source, names)
                return kind.item if isinstance(kind, _Stream) else _OTHER
            case Form(head="Take", args=(source, _)):
                return self.kind(source, names)
            case Form(head="Concat", args=(first, second)):
                kind = self.kind(first, names)
                self.kind(second, names)
                return kind
            case Form(head="lambda", args=(_, body)):
                return self.kind(body, names)
            case Form(head="Any" | "All", args=(source, function)):
                self._applied(self.kind(source, names), function, names)
                return _OTHER
            case Form(args=args):
                for item in args:
                    self.kind(item, names)
        return _OTHER

    def _noted(self, term: Term, names: Mapping[str, Any]) -> Any:
        kind = self.kind(term, names)
        return _OTHER if isinstance(kind, _Column) else kind

    def _applied(self, kind: Any, function: Term, names: Mapping[str, Any]) -> Any:
        match function:
            case Form(head="lambda", args=(Form(args=(Symbol(name=name),)), body)):
                item = kind.item if isinstance(kind, _Stream) else _OTHER
                return self._noted(body, {**names, name: item})
        return self.kind(function, names)

    def _member(self, kind: Any, name: str) -> Any:
        if kind == _EVENT:
            self._found.paths.add((name,))
            return _Column((name,))
        if isinstance(kind, _Column):
            # e.jets.pt: perhaps the branch "jets.pt"; the shorter name is then no column of its own.
            self._found.paths.add((*kind.path, name))
            return _Column((*kind.path, name))
        if isinstance(kind, dict):
            return kind.get(name, _OTHER)
        return _OTHER

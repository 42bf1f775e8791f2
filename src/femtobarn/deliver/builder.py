"""Queries written as Python: ``FromTree('mini').Select(lambda e: {'pt': e.lep_pt})``.

A lambda's source is found by the position of its code in the file, so several on one line, or in a
dictionary, are told apart.  Nothing of it is ever called.
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any

from femtobarn.deliver.forms import Form, QueryError, Symbol, Term, from_ast, from_python

__all__ = ["FromTree", "Stream"]

#: What an operator takes: a lambda, or its text.
Function = Callable[[Any], Any] | str


def FromTree(name: str) -> Stream:  # noqa: N802 - the query language's own spelling
    """A query on a tree, to be continued with operators."""
    return Stream(Form("call", (Symbol("EventDataset"), "", name)))


@dataclass(frozen=True, slots=True)
class Stream:
    """A query under construction; each operator gives a longer one."""

    term: Term

    def _with(self, head: str, *arguments: Any) -> Stream:
        from femtobarn.deliver.forms import normal

        return Stream(normal(Form(head, (self.term, *arguments))))

    def Select(self, function: Function) -> Stream:  # noqa: N802
        """One result an item."""
        return self._with("Select", lambda_term(function))

    def SelectMany(self, function: Function) -> Stream:  # noqa: N802
        """The items of each item's sequence, one after the other."""
        return self._with("SelectMany", lambda_term(function))

    def Where(self, function: Function) -> Stream:  # noqa: N802
        """Items for which the condition holds."""
        return self._with("Where", lambda_term(function))

    def OrderBy(self, function: Function) -> Stream:  # noqa: N802
        """Items by a key, smallest first."""
        return self._with("OrderBy", lambda_term(function))

    def OrderByDescending(self, function: Function) -> Stream:  # noqa: N802
        """Items by a key, largest first."""
        return self._with("OrderByDescending", lambda_term(function))

    def Take(self, number: int) -> Stream:  # noqa: N802
        """The first items."""
        return self._with("Take", number)

    def Count(self) -> Stream:  # noqa: N802
        """How many items."""
        return self._with("Count")


def lambda_term(function: Function) -> Term:
    """The tree of a lambda, from its text or from where it was written.

    Raises
    ------
    QueryError
        The source cannot be found (an interactive prompt, several candidates); it shows the form as text.
    """
    if isinstance(function, str):
        term = from_python(function)
    else:
        code = getattr(function, "__code__", None)
        if code is None or code.co_name != "<lambda>":
            raise QueryError("an operator takes a lambda", action='or its text: "lambda e: e.lep_pt"')
        term = from_ast(_node_of(code), where=f"{code.co_filename}:{code.co_firstlineno}")
    if not (isinstance(term, Form) and term.head == "lambda"):
        raise QueryError("an operator takes a lambda", action='or its text: "lambda e: e.lep_pt"')
    return term


def _node_of(code: CodeType) -> ast.Lambda:
    where = f"{code.co_filename}:{code.co_firstlineno}"
    action = 'write it as text: Select("lambda e: {...}")'
    lines = linecache.getlines(code.co_filename)
    if not lines:
        raise QueryError("the source of the lambda cannot be found", where=where, action=action)
    spots = [p for p in code.co_positions() if (None not in p and p[0] != p[1]) or (p[2] or 0) < (p[3] or 0)]
    spans = [(p[0], p[2], p[1], p[3]) for p in spots if None not in p]
    found = [node for node in _lambdas("".join(lines)) if spans and _holds(node, spans)]
    # Of lambdas inside each other, the innermost that holds all of this code.
    found.sort(key=lambda node: (node.lineno, node.col_offset), reverse=True)
    if not found:
        raise QueryError(
            "the source of the lambda cannot be told from its neighbours", where=where, action=action
        )
    return found[0]


@functools.lru_cache(maxsize=32)
def _lambdas(source: str) -> tuple[ast.Lambda, ...]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ()
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Lambda))


def _holds(node: ast.Lambda, spans: list[tuple[Any, ...]]) -> bool:
    """Whether all positions of the code are in the body of the lambda."""
    body = node.body
    first, last = (body.lineno, body.col_offset), (body.end_lineno or 0, body.end_col_offset or 0)
    return all((a, b) >= first and (c, d) <= last for a, b, c, d in spans)

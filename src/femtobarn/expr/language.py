"""Text to a checked syntax tree, and its value for given columns.

The grammar is a part of Python's expressions: names and dotted names, numbers, ``+ - * / // % **``,
comparisons (chained ones too), ``& | ~ ^``, calls of listed functions, and, where the caller allows it,
subscripts.  Nothing is ever compiled to code or looked up on an object: a dotted name is a key handed to the
caller's ``lookup``, a function is an entry of a table.
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from femtobarn.errors import ConfigError, FemtobarnError, nearest
from femtobarn.expr.functions import standard_functions

__all__ = ["Expression", "ExpressionError", "Lookup"]

#: From a dotted name to its column.
Lookup = Callable[[str], Any]

MAX_LENGTH: Final = 20_000
MAX_DEPTH: Final = 120

_BINARY: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_, ast.BitXor: operator.xor,
}  # fmt: skip
_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
_UNARY: Final[Mapping[type[ast.unaryop], Callable[[Any], Any]]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert,
}  # fmt: skip

#: What to write in place of Python that is not part of the language.
_INSTEAD: Final[Mapping[type[ast.AST], tuple[str, str]]] = {
    ast.BoolOp: ("'and' / 'or'", "write & and | with parentheses: (a > 1) & (b < 2)"),
    ast.Not: ("'not'", "write ~(condition)"),
    ast.In: ("'in'", "write (x == 1) | (x == 2)"),
    ast.NotIn: ("'not in'", "write (x != 1) & (x != 2)"),
    ast.Is: ("'is'", "write =="),
    ast.IsNot: ("'is not'", "write !="),
    ast.IfExp: ("'... if ... else ...'", "write np.where(condition, yes, no)"),
    ast.Lambda: ("a lambda", "write the expression itself"),
    ast.JoinedStr: ("an f-string", "write the name itself"),
    ast.ListComp: ("a comprehension", "functions of lists are ak.sum, ak.num, ak.any, ..."),
    ast.GeneratorExp: ("a comprehension", "functions of lists are ak.sum, ak.num, ak.any, ..."),
    ast.NamedExpr: ("':='", "write the expression itself"),
    ast.LShift: ("'<<'", "write the number"),
    ast.RShift: ("'>>'", "write // by a power of two"),
    ast.MatMult: ("'@'", "write the products out"),
}


class ExpressionError(ConfigError):
    """An expression cannot be read or evaluated."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression.

    Attributes
    ----------
    text : str
        As written.
    names : frozenset of str
        Dotted names of the columns it reads: ``"pt"``, ``"zcands.tag.pt"``; ``events["a b"]`` is
        ``"events.a b"``.
    where : str or None
        Where it was written, for messages.
    """

    text: str
    names: frozenset[str]
    where: str | None
    _tree: ast.expr
    _functions: Mapping[str, Callable[..., Any]]
    _constants: Mapping[str, Any]

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        constants: Mapping[str, Any] | None = None,
        allow_slices: bool = False,
        where: str | None = None,
    ) -> Expression:
        """Check ``text`` and find out what it reads; nothing is evaluated.

        Parameters
        ----------
        text : str
            The expression.
        functions : mapping of dotted name to function, optional
            What may be called; default :func:`~femtobarn.expr.functions.standard_functions`.
        constants : mapping of dotted name to value, optional
            Names with a fixed value; default ``np.pi``, ``np.e``, ``np.inf``, ``np.nan`` and their like.
        allow_slices : bool
            Whether ``x[:, 0]`` and ``x[condition]`` are allowed; ``x["name"]`` always is.
        where : str, optional
            File and line, for messages.

        Raises
        ------
        ExpressionError
            Syntax, an operator or function outside the language; with the nearest name and what to write.
        """
        table = standard_functions() if functions is None else functions
        if not text.strip():
            raise ExpressionError("the expression is empty", where=where)
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"the expression is longer than {MAX_LENGTH} characters", where=where)
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
            raise ExpressionError(
                f"cannot read the expression {_short(text)}: {_reason(problem)}", where=where
            ) from None
        fixed = _CONSTANTS if constants is None else constants
        check = _Check(text, table, fixed, where, slices=allow_slices)
        check.visit(tree, 0)
        return cls(text, frozenset(check.names), where, tree, table, fixed)

    def evaluate(self, lookup: Lookup) -> Any:
        """The value for the columns ``lookup(dotted_name)`` gives.

        Errors of the house raised by ``lookup`` pass; whatever the arrays themselves refuse (shapes that do
        not broadcast, an axis that is not there) becomes an :class:`ExpressionError`.
        """
        fixed = self._constants
        try:
            return _value(
                self._tree, lambda name: fixed[name] if name in fixed else lookup(name), self._functions
            )
        except FemtobarnError:
            raise
        except (TypeError, ValueError, IndexError, KeyError, ArithmeticError, AttributeError) as problem:
            raise ExpressionError(
                f"the expression {_short(self.text)} cannot be evaluated: {_reason(problem)}",
                where=self.where,
            ) from problem


#: ``np.pi`` and its like under every usual prefix.
_CONSTANTS: Final[Mapping[str, Any]] = {
    f"{prefix}.{name}": value
    for prefix in ("np", "numpy")
    for name, value in (
        ("pi", 3.141592653589793), ("e", 2.718281828459045), ("inf", float("inf")), ("nan", float("nan")),
    )
}  # fmt: skip


def dotted(node: ast.expr) -> str | None:
    """``a.b["c d"]`` as ``"a.b.c d"``; None for anything that is not a name."""
    match node:
        case ast.Name(id=name):
            return name
        case (
            ast.Attribute(value=value, attr=name)
            | ast.Subscript(value=value, slice=ast.Constant(value=str(name)))
        ):
            front = dotted(value)
            return None if front is None else f"{front}.{name}"
    return None


class _Check:
    """One walk over the tree: refuses what is not in the language, collects the names."""

    def __init__(
        self,
        text: str,
        functions: Mapping[str, Any],
        constants: Mapping[str, Any],
        where: str | None,
        *,
        slices: bool,
    ) -> None:
        self.text, self.functions, self.constants, self.where = text, functions, constants, where
        self.slices = slices
        self.names: set[str] = set()

    def visit(self, node: ast.expr, depth: int) -> None:
        if depth > MAX_DEPTH:
            self.refuse(f"the expression is nested deeper than {MAX_DEPTH} levels", node)
        for child in self.children(node):
            self.visit(child, depth + 1)

    def children(self, node: ast.expr) -> Iterator[ast.expr]:
        name = dotted(node)
        if name is not None:
            if name in self.functions and "." in name:
                self.refuse(f"{name} is a function", node, action=f"write {name}(...)")
            if name not in self.constants:
                self.names.add(name)
            return
        match node:
            case ast.Constant(value=bool() | int() | float() | None):
                pass
            case ast.Constant(value=str()):
                self.refuse("text is allowed as a column's name in brackets only", node)
            case ast.BinOp(left=left, op=op, right=right):
                self.operator(op, (*_BINARY, ast.Pow), node)
                yield from (left, right)
            case ast.UnaryOp(op=op, operand=operand):
                self.operator(op, tuple(_UNARY), node)
                yield operand
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                for relation in ops:
                    self.operator(relation, tuple(_COMPARE), node)
                yield from (left, *comparators)
            case ast.Call():
                yield from self.call(node)
            case ast.Subscript(value=value, slice=index) if self.slices:
                yield value
                yield from _indices(index)
            case ast.Subscript():
                self.refuse("brackets hold a column's name here", node, action='write events["name"]')
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                yield from elements
            case _:
                self.refuse(*self.foreign(node))

    def call(self, node: ast.Call) -> Iterator[ast.expr]:
        name = dotted(node.func)
        if name is None or isinstance(node.func, ast.Subscript):
            self.refuse("only functions called by name are allowed", node)
        elif name not in self.functions:
            self.refuse(
                f"{name} is not a function that may be called here", node, near=nearest(name, self.functions)
            )
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                self.refuse("'*' before an argument is not allowed", node)
            yield argument
        for keyword in node.keywords:
            if keyword.arg is None:
                self.refuse("'**' before an argument is not allowed", node)
            if not (isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)):
                yield keyword.value

    def operator(self, op: ast.AST, known: tuple[type[ast.AST], ...], node: ast.expr) -> None:
        if not isinstance(op, known):
            what, _, action = self.foreign(op)
            self.refuse(what, node, action)

    def foreign(self, node: ast.AST) -> tuple[str, ast.AST, str | None]:
        name, action = _INSTEAD.get(type(node), (f"Python's {type(node).__name__}", None))
        return f"{name} is not part of the expression language", node, action

    def refuse(self, what: str, node: ast.AST, action: str | None = None, near: tuple[str, ...] = ()) -> None:
        piece = ast.get_source_segment(self.text.strip(), node) if isinstance(node, ast.expr) else None
        inside = f", at {_short(piece)}" if piece and piece != self.text.strip() else ""
        raise ExpressionError(
            f"in the expression {_short(self.text)}{inside}: {what}",
            where=self.where,
            near=near,
            action=action,
        )


def _indices(index: ast.expr) -> Iterator[ast.expr]:
    match index:
        case ast.Tuple(elts=elements):
            for element in elements:
                yield from _indices(element)
        case ast.Slice(lower=lower, upper=upper, step=step):
            yield from (part for part in (lower, upper, step) if part is not None)
        case ast.Constant(value=str() | None):
            pass
        case ast.Constant(value=value) if value is Ellipsis:
            pass
        case _:
            yield index


def _value(node: ast.expr, lookup: Lookup, functions: Mapping[str, Callable[..., Any]]) -> Any:
    name = dotted(node)
    if name is not None:
        return lookup(name)
    match node:
        case ast.Constant(value=value):
            return value
        case ast.BinOp(left=left, op=op, right=right):
            first, second = _value(left, lookup, functions), _value(right, lookup, functions)
            return _power(first, second) if isinstance(op, ast.Pow) else _BINARY[type(op)](first, second)
        case ast.UnaryOp(op=sign, operand=operand):
            inner = _value(operand, lookup, functions)
            if isinstance(sign, ast.Invert) and isinstance(inner, bool):
                return not inner
            return _UNARY[type(sign)](inner)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [_value(side, lookup, functions) for side in (left, *comparators)]
            links = [
                _COMPARE[type(relation)](low, high)
                for relation, low, high in zip(ops, sides, sides[1:], strict=False)
            ]
            return functools.reduce(operator.and_, links)
        case ast.Call(func=func, args=arguments, keywords=keywords):
            return functions[dotted(func) or ""](
                *(_value(argument, lookup, functions) for argument in arguments),
                **{keyword.arg or "": _value(keyword.value, lookup, functions) for keyword in keywords},
            )
        case ast.Subscript(value=value, slice=index):
            return _value(value, lookup, functions)[_index(index, lookup, functions)]
        case ast.Tuple(elts=elements):
            return tuple(_value(element, lookup, functions) for element in elements)
        case ast.List(elts=elements):
            return [_value(element, lookup, functions) for element in elements]
    raise AssertionError(ast.dump(node))  # parse() lets nothing else pass


def _index(node: ast.expr, lookup: Lookup, functions: Mapping[str, Callable[..., Any]]) -> Any:
    match node:
        case ast.Tuple(elts=elements):
            return tuple(_index(element, lookup, functions) for element in elements)
        case ast.Slice(lower=lower, upper=upper, step=step):
            return slice(
                *(None if part is None else _value(part, lookup, functions) for part in (lower, upper, step))
            )
    return _value(node, lookup, functions)


def _power(base: Any, exponent: Any) -> Any:
    # Two whole numbers could ask for more digits than there is memory; a column never does.
    if isinstance(base, int) and isinstance(exponent, int):
        return float(base) ** exponent
    return base**exponent


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _reason(problem: BaseException) -> str:
    """The first line of an error's message that says something."""
    if isinstance(problem, SyntaxError):
        return f"{problem.msg} (character {problem.offset})"
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[0] if lines else type(problem).__name__

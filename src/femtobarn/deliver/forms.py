"""Queries as trees: one normal form for text, Python lambdas, func_adl objects and qastle.

The normal form is qastle's: ``Form("Select", source, Form("lambda", ...))``.  Two spellings of a query
give the same tree, so the same key in the cache: parameters of lambdas are numbered, ``e['pt']`` is
``e.pt``, method and function calls of an operator are one thing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from femtobarn.errors import ConfigError, nearest

__all__ = [
    "OPERATORS",
    "Form",
    "QueryError",
    "Symbol",
    "Term",
    "from_python",
    "from_qastle",
    "normal",
    "to_text",
]

#: Operators on sequences and how many arguments they take besides the sequence.
OPERATORS: Final[Mapping[str, tuple[int, ...]]] = {
    "Select": (1,), "SelectMany": (1,), "Where": (1,), "OrderBy": (1,), "OrderByDescending": (1,),
    "Any": (0, 1), "All": (0, 1), "Zip": (0,), "Count": (0,), "Sum": (0,), "Min": (0,), "Max": (0,),
    "First": (0,), "Last": (0,), "ElementAt": (1,), "Take": (1,), "Contains": (1,), "Concat": (1,),
    "Choose": (1,),
}  # fmt: skip
#: Methods of four-momenta.
METHODS: Final = ("ToFourMomenta", "ToFourMomentum", "deltaR", "DeltaR", "deltaphi", "DeltaPhi", "deltaeta")
#: Functions of numbers, bare or as ``np.sqrt``.
FUNCTIONS: Final = (
    "abs", "absolute", "fabs", "sqrt", "sin", "cos", "tan", "exp", "log", "log10", "log2", "sinh", "cosh",
    "tanh", "arcsin", "arccos", "arctan", "asin", "acos", "atan", "atan2", "arctan2", "hypot", "power",
    "pow", "floor", "ceil", "minimum", "maximum", "isnan", "isfinite", "logical_and", "logical_or",
    "logical_not", "arcsinh", "arccosh", "arctanh", "sign",
)  # fmt: skip
CALLABLE: Final = frozenset({*METHODS, *FUNCTIONS, "len"})
#: Those whose argument is a lambda.
TAKES_LAMBDA: Final = frozenset(
    {"Select", "SelectMany", "Where", "OrderBy", "OrderByDescending", "Any", "All"}
)

MAX_LENGTH: Final = 200_000
MAX_DEPTH: Final = 200


class QueryError(ConfigError):
    """A query cannot be understood."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name: a lambda's parameter or a function."""

    name: str


@dataclass(frozen=True, slots=True)
class Form:
    """An operation and what it is applied to."""

    head: str
    args: tuple[Any, ...]


#: A form, a symbol or a constant.
Term = Any

_BINARY: Final[Mapping[type[ast.AST], str]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%", ast.Pow: "**", ast.FloorDiv: "//",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
}  # fmt: skip
_COMPARE: Final[Mapping[type[ast.AST], str]] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_UNARY: Final[Mapping[type[ast.AST], str]] = {ast.UAdd: "+", ast.USub: "-", ast.Not: "not", ast.Invert: "~"}
_HEADS: Final = frozenset(
    {*_BINARY.values(), *_COMPARE.values(), *_UNARY.values(), "and", "or", "if", "list", "dict", "attr",
     "subscript", "call", "lambda", *OPERATORS}
)  # fmt: skip


def from_python(text: str, *, where: str | None = None) -> Term:
    """The tree of a query written in Python: ``FromTree('t').Select(lambda e: ...)``.

    Raises
    ------
    QueryError
        Syntax, or Python that is no part of the query language; nothing is ever executed.
    """
    if len(text) > MAX_LENGTH:
        raise QueryError(f"the query is longer than {MAX_LENGTH} characters", where=where)
    try:
        # In brackets, so that a chain may continue on the next line.
        tree = ast.parse(f"(\n{text.strip()}\n)", mode="eval").body
    except SyntaxError as error:
        raise QueryError(
            f"the query is not valid: {error.msg} (line {max((error.lineno or 2) - 1, 1)} of the query)",
            where=where,
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise QueryError(f"the query cannot be read: {type(error).__name__}", where=where) from None
    return from_ast(tree, where=where)


def from_ast(tree: ast.AST, *, where: str | None = None) -> Term:
    """The tree of a query that is parsed already (func_adl's objects hold one)."""
    try:
        return normal(_Reader(where).read(tree))
    except RecursionError:
        raise QueryError("the query is nested too deeply", where=where) from None


class _Reader:
    """From Python's syntax tree to forms."""

    def __init__(self, where: str | None) -> None:
        self.where = where

    def refuse(
        self, what: str, node: ast.AST | None = None, *, near: tuple[str, ...] = (), action: str = ""
    ) -> QueryError:
        try:
            piece = f" in {_short(ast.unparse(node))}" if node is not None else ""
        except (AttributeError, ValueError, RecursionError):  # func_adl makes incomplete nodes
            piece = ""
        return QueryError(f"{what}{piece}", where=self.where, near=near, action=action or None)

    def read(self, node: ast.AST) -> Term:
        match node:
            case ast.Module(body=[ast.Expr(value=inner)]) | ast.Expr(value=inner):
                return self.read(inner)
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return value
            case ast.Name(id=name):
                return Symbol(name)
            case ast.Attribute(value=value, attr=name):
                return Form("attr", (self.read(value), name))
            case ast.Subscript(value=value, slice=index):
                return Form("subscript", (self.read(value), self.read(index)))
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return Form("list", tuple(self.read(item) for item in items))
            case ast.Dict(keys=keys, values=values):
                return self.table(node, keys, values)
            case ast.IfExp(test=test, body=yes, orelse=no):
                return Form("if", (self.read(test), self.read(yes), self.read(no)))
            case ast.Lambda():
                return self.function(node)
            case ast.UnaryOp(op=op, operand=operand):
                return _unary(_UNARY[type(op)], self.read(operand))
            case ast.BinOp(op=op, left=left, right=right) if type(op) in _BINARY:
                return Form(_BINARY[type(op)], (self.read(left), self.read(right)))
            case ast.BoolOp(op=op, values=values):
                word = "and" if isinstance(op, ast.And) else "or"
                return _fold(word, [self.read(value) for value in values])
            case ast.Compare():
                return self.comparison(node)
            case ast.Call():
                return self.call(node)
        raise self.refuse(f"{type(node).__name__} is no part of the query language", node)

    def table(self, node: ast.AST, keys: list[Any], values: list[ast.expr]) -> Form:
        names = [self.read(key) if key is not None else None for key in keys]
        if not all(isinstance(name, str) for name in names):
            raise self.refuse("the names of a dictionary must be text", node)
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise self.refuse(f"the column {twice!r} is given twice", node)
        return Form("dict", (Form("list", tuple(names)), Form("list", tuple(self.read(v) for v in values))))

    def function(self, node: ast.Lambda) -> Form:
        given = node.args
        if len(given.args) != 1 or any(
            (given.defaults, given.kwonlyargs, given.vararg, given.kwarg, given.posonlyargs)
        ):
            raise self.refuse("a lambda takes exactly one parameter here", node)
        return Form("lambda", (Form("list", (Symbol(given.args[0].arg),)), self.read(node.body)))

    def comparison(self, node: ast.Compare) -> Term:
        sides = [self.read(side) for side in (node.left, *node.comparators)]
        links = []
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if isinstance(op, ast.In):
                links.append(Form("Contains", (right, left)))
            elif isinstance(op, ast.NotIn):
                links.append(Form("not", (Form("Contains", (right, left)),)))
            elif type(op) in _COMPARE:
                links.append(Form(_COMPARE[type(op)], (left, right)))
            else:
                raise self.refuse("'is' compares nothing here", node, action="write ==")
        return _fold("and", links)

    def call(self, node: ast.Call) -> Term:
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self.refuse("arguments are given by position only", node)
        arguments = [self.read(argument) for argument in node.args]
        match node.func:
            case ast.Attribute(value=value, attr=name) if name in OPERATORS:
                return self.operator(node, name, [self.read(value), *arguments])
            case ast.Name(id=name) if name in OPERATORS:
                return self.operator(node, name, arguments)
            case ast.Name(id="FromTree"):
                return Form("call", (Symbol("EventDataset"), "", *arguments))
            case ast.Name(id="MetaData") if arguments:
                return arguments[0]
            case ast.Name() | ast.Attribute():
                return Form("call", (self.read(node.func), *arguments))
        raise self.refuse("only functions and methods by name can be called", node)

    def operator(self, node: ast.AST, name: str, arguments: list[Term]) -> Form:
        if not arguments:
            raise self.refuse(f"{name} needs a sequence to work on", node)
        if len(arguments) - 1 not in OPERATORS[name]:
            wanted = " or ".join(map(str, OPERATORS[name]))
            raise self.refuse(f"{name} takes {wanted} arguments, not {len(arguments) - 1}", node)
        if name in TAKES_LAMBDA and len(arguments) == 2:
            if isinstance(arguments[1], str):  # func_adl accepts a lambda as text
                arguments[1] = self.read(ast.parse(arguments[1].strip(), mode="eval").body)
            if not (isinstance(arguments[1], Form) and arguments[1].head == "lambda"):
                raise self.refuse(f"{name} takes a lambda", node, action=f"write {name}(lambda x: ...)")
        return Form(name, tuple(arguments))


_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<bracket>[()])|(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"""|(?P<word>[^\s()'"]+))""",
    re.DOTALL,
)
_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$")


def from_qastle(text: str, *, where: str | None = None) -> Term:
    """The tree of a query in qastle, as ServiceX's client sends it."""
    if len(text) > MAX_LENGTH:
        raise QueryError(f"the query is longer than {MAX_LENGTH} characters", where=where)
    stack: list[list[Term]] = [[]]
    for kind, word in _tokens(text, where):
        if kind == "bracket" and word == "(":
            stack.append([])
            if len(stack) > MAX_DEPTH:
                raise QueryError("the query is nested too deeply", where=where)
        elif kind == "bracket":
            done = stack.pop()
            if not stack:
                raise QueryError("the query has a ')' too many", where=where)
            stack[-1].append(_composite(done, where))
        else:
            stack[-1].append(_atom(kind, word))
    if len(stack) != 1 or len(stack[0]) != 1:
        raise QueryError("the query is not one complete expression in qastle", where=where)
    return normal(stack[0][0])


def _tokens(text: str, where: str | None) -> Iterator[tuple[str, str]]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise QueryError(f"the query cannot be read at {_short(text[position:])}", where=where)
        yield match.lastgroup, match[match.lastgroup]
        position = match.end()


def _atom(kind: str, token: str) -> Term:
    if kind == "text" or _NUMBER.match(token):
        return ast.literal_eval(token.lstrip("+") if kind == "word" else token)
    return {"True": True, "False": False, "None": None}.get(token, Symbol(token))


def _composite(parts: list[Term], where: str | None) -> Term:
    head = parts[0].name if parts and isinstance(parts[0], Symbol) else None
    if head not in _HEADS:
        raise QueryError(f"{head or 'an empty bracket'} is no operation of qastle", where=where,
                         near=nearest(head or "", _HEADS))  # fmt: skip
    args = tuple(parts[1:])
    if head in OPERATORS and len(args) - 1 not in OPERATORS[head]:
        raise QueryError(f"{head} has {len(args)} fields", where=where)
    if (
        head in TAKES_LAMBDA
        and len(args) == 2
        and not (isinstance(args[1], Form) and args[1].head == "lambda")
    ):
        raise QueryError(f"{head} takes a lambda", where=where)
    wrong = {"attr": 2, "subscript": 2, "if": 3, "lambda": 2, "dict": 2}.get(head, len(args)) != len(args)
    if wrong or (head == "dict" and not all(isinstance(a, Form) and a.head == "list" for a in args)):
        raise QueryError(f"{head!r} is incomplete", where=where)
    if head == "dict" and (
        len(args[0].args) != len(args[1].args) or not all(isinstance(name, str) for name in args[0].args)
    ):
        raise QueryError("a dictionary has other names than values", where=where)
    if head == "lambda" and not (
        isinstance(args[0], Form) and len(args[0].args) == 1 and isinstance(args[0].args[0], Symbol)
    ):
        raise QueryError("a lambda takes exactly one parameter here", where=where)
    return Form(head, args)


def _unary(op: str, operand: Term) -> Term:
    if isinstance(operand, int | float) and not isinstance(operand, bool) and op in "+-":
        return -operand if op == "-" else operand
    return Form(op, (operand,))


def _fold(word: str, terms: list[Term]) -> Term:
    folded = terms[0]
    for term in terms[1:]:
        folded = Form(word, (folded, term))
    return folded


def normal(term: Term, names: Mapping[str, str] | None = None) -> Term:
    """Number the parameters of lambdas, so that their names do not matter; ``e['pt']`` becomes ``e.pt``."""
    names = names or {}
    match term:
        case Symbol(name=name):
            return Symbol(names.get(name, name))
        case Form(head="lambda", args=(Form(args=(Symbol(name=name),)), body)):
            numbered = f"x{len(names)}"
            inner = {**names, name: numbered}
            while len(inner) == len(names):  # the name hides one further out
                inner[f"{name} {len(inner)}"] = ""
            return Form("lambda", (Form("list", (Symbol(numbered),)), normal(body, inner)))
        case Form(head="subscript", args=(value, str() as name)):
            return Form("attr", (normal(value, names), name))
        case Form(head="call", args=(Symbol(name="MetaData"), source, *_)):
            return normal(source, names)
        case Form(head="call", args=(Symbol(name=name), *rest)) if name in OPERATORS:
            return normal(_operator(name, rest), names)
        case Form(head="call", args=(Form(head="attr", args=(source, str() as name)), *rest)) if (
            name in OPERATORS
        ):
            return normal(_operator(name, [source, *rest]), names)
        case Form(head="call", args=(Form(head="attr", args=(_, str() as name)), *_)) if name not in CALLABLE:
            raise QueryError(f"{name!r} is no operation of the query language",
                             near=nearest(name, [*OPERATORS, *METHODS]))  # fmt: skip
        case Form(head="call", args=(Symbol(name="EventDataset"), *rest)):
            tree = rest[1] if len(rest) > 1 else None
            return Form("call", (Symbol("EventDataset"), "", tree))
        case Form(head=head, args=args):
            return Form(head, tuple(normal(item, names) for item in args))
    return term


def _operator(name: str, arguments: Sequence[Term]) -> Form:
    """An operator that is written as a call, as func_adl sends it."""
    if len(arguments) - 1 not in OPERATORS[name]:
        raise QueryError(f"{name} takes {' or '.join(map(str, OPERATORS[name]))} arguments, not "
                         f"{max(len(arguments) - 1, 0)}")  # fmt: skip
    if name in TAKES_LAMBDA and len(arguments) == 2:
        function = arguments[1]
        if not (isinstance(function, Form) and function.head == "lambda"):
            raise QueryError(f"{name} takes a lambda", action=f"write {name}(lambda x: ...)")
    return Form(name, tuple(arguments))


def to_text(term: Term) -> str:
    """A tree as text: equal trees give equal text."""
    match term:
        case Symbol(name=name):
            return name
        case Form(head=head, args=args):
            return f"({' '.join([head, *map(to_text, args)])})"
    return repr(term)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 80 else f"{text[:77]}...")

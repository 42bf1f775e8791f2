"""Types and validation errors in words: what a setting takes, and what is wrong with a value."""

from __future__ import annotations

import enum
import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from femtobarn.config.problems import shown

__all__ = [
    "OUT_OF_RANGE",
    "bounds",
    "branches",
    "choices",
    "is_list",
    "is_model",
    "is_table",
    "is_tuple",
    "item_type",
    "nested",
    "sentence",
    "type_words",
]

_WORDS: Final[Mapping[Any, str]] = {
    int: "integer", float: "number", bool: "true|false", str: "text", Path: "file", dict: "table",
    list: "list", tuple: "list", set: "list", frozenset: "list", Any: "any", type(None): "nothing",
}  # fmt: skip
_LISTS: Final = (list, tuple, set, frozenset, Sequence, AbstractSet)
_TABLES: Final = (dict, Mapping)

#: pydantic's kinds of error by what the value should have been.
_WANTED: Final[Mapping[str, str]] = {
    "int": "an integer", "float": "a number", "bool": "true or false", "string": "text", "list": "a list",
    "tuple": "a list", "set": "a list", "frozen_set": "a list", "dict": "a table of name: value",
    "mapping": "a table of name: value", "model": "a table of name: value", "path": "a file name",
    "decimal": "a number", "iterable": "a list",
}  # fmt: skip
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than": (">", "gt"), "greater_than_equal": (">=", "ge"), "less_than": ("<", "lt"),
    "less_than_equal": ("<=", "le"), "multiple_of": ("a multiple of", "multiple_of"),
}  # fmt: skip

#: pydantic's errors of values that have the right type.
OUT_OF_RANGE: Final = frozenset({*_BOUNDS, "value_error", "assertion_error", "finite_number"})


def branches(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a type without None: ``float | None`` -> ``(float,)``."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return branches(get_args(annotation)[0])
    if hasattr(annotation, "__value__"):  # a `type` statement's alias (Python 3.12)
        return branches(annotation.__value__)
    if origin in (Union, types.UnionType):
        return tuple(found for item in get_args(annotation) for found in branches(item))
    return () if annotation in (None, type(None)) else (annotation,)


def is_list(branch: Any) -> bool:
    """Whether an alternative is a list or tuple."""
    return branch in _LISTS or get_origin(branch) in _LISTS


def is_tuple(branch: Any) -> bool:
    """Whether an alternative is a tuple of fixed length."""
    return get_origin(branch) is tuple and Ellipsis not in get_args(branch)


def is_table(branch: Any) -> bool:
    """Whether an alternative is a dictionary."""
    return branch in _TABLES or get_origin(branch) in _TABLES


def is_model(branch: Any) -> bool:
    """Whether an alternative is a model with declared names of its own."""
    return isinstance(branch, type) and issubclass(branch, BaseModel)


def item_type(branch: Any) -> Any:
    """Type of a list's items or a table's values (Any if not said; of a tuple, the first)."""
    arguments = get_args(branch)
    if not arguments:
        return Any
    return arguments[1] if is_table(branch) else arguments[0]


def nested(annotation: Any) -> type[BaseModel] | None:
    """The model a parameter holds, if it does."""
    kinds = branches(annotation)
    return kinds[0] if len(kinds) == 1 and is_model(kinds[0]) else None


def choices(annotation: Any) -> tuple[Any, ...]:
    """Values a Literal or Enum allows; empty where anything goes beside them."""
    found: list[Any] = []
    for branch in branches(annotation):
        if get_origin(branch) is Literal:
            found += get_args(branch)
        elif isinstance(branch, type) and issubclass(branch, enum.Enum):
            found += [member.value for member in branch]
        else:
            return ()
    return tuple(dict.fromkeys(found))


def type_words(annotation: Any) -> str:
    """What to type, in words: ``number``, ``number,number``, ``text,...``, ``table of number``."""
    return " or ".join(dict.fromkeys(_branch_words(item) for item in branches(annotation))) or "nothing"


def _branch_words(branch: Any) -> str:
    if get_origin(branch) is Literal:
        return "|".join(_choice(item) for item in get_args(branch))
    if isinstance(branch, type) and issubclass(branch, enum.Enum):
        return "|".join(_choice(member.value) for member in branch)
    arguments = [item for item in get_args(branch) if item is not Ellipsis]
    if is_table(branch):
        return f"table of {type_words(arguments[1])}" if len(arguments) == 2 else "table"
    if is_list(branch) and arguments:
        words = [type_words(item) for item in arguments]
        return ",".join(words) if is_tuple(branch) else f"{words[0]},..."
    if is_model(branch):
        return "table"
    return _WORDS.get(branch, getattr(branch, "__name__", str(branch)))


def _choice(value: Any) -> str:
    return shown(value) if isinstance(value, bool) else str(value)


def sentence(error: Mapping[str, Any], annotation: Any = None) -> str:
    """One error of pydantic in plain words, with the value and what is allowed.

    Parameters
    ----------
    error : an item of ``ValidationError.errors()``
    annotation : type of the setting, where known (for fixed-length tuples and choices)
    """
    kind, value, context = str(error["type"]), shown(error["input"]), error.get("ctx") or {}
    if kind == "missing":
        return "is missing"
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error") or error["msg"])
    if kind in ("literal_error", "enum"):
        allowed = choices(annotation)
        return f"{value} is not one of {', '.join(map(shown, allowed)) or context.get('expected', '')}"
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"must be {words} {_limit(context[key])}, not {value}"
    if kind == "finite_number":
        return f"must be a finite number, not {value}"
    if kind in ("too_short", "too_long"):
        least = "at least" if kind == "too_short" else "at most"
        return f"needs {least} {context.get('min_length', context.get('max_length'))} values, not {value}"
    wanted = _WANTED.get(kind.rsplit("_", 1)[0]) or _WANTED.get(kind.split("_", 1)[0])
    if kind == "string_type" or (wanted and not kind.startswith("string_")):
        hint = " (write it in quotes)" if kind == "string_type" and _is_scalar(error["input"]) else ""
        return f"must be {wanted}, not {value}{hint}"
    text = str(error["msg"]).replace("Input should be", "must be").replace("String should", "must")
    return f"{text[:1].lower()}{text[1:]}, not {value}"


def _limit(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else shown(value)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float)


def bounds(field: FieldInfo) -> str:
    """Bounds of a field in words: ``>= 0, < 5``."""
    found = []
    for item in field.metadata:
        for words, key in _BOUNDS.values():
            limit = getattr(item, key, None)
            if limit is not None:
                found.append(f"{words} {_limit(limit)}")
    return ", ".join(found)

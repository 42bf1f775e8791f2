"""An analysis' parameters: from run files and ``--set`` to one checked, frozen model.

The model declares type, default, choices, bounds, unit and help once; everything here reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from femtobarn.config.describe import ParameterHelp, describe
from femtobarn.config.problems import Problems, shown
from femtobarn.config.settings import Where, merge
from femtobarn.config.words import (
    OUT_OF_RANGE,
    branches,
    choices,
    is_list,
    is_model,
    is_table,
    is_tuple,
    item_type,
    nested,
    sentence,
    type_words,
)
from femtobarn.errors import nearest

__all__ = ["ParameterHelp", "describe", "parse_settings", "read_parameters", "validate_parameters"]

Model = TypeVar("Model", bound=BaseModel)

#: What YAML makes of unquoted words that are also choices, ``crack: off``.
_SWITCHES: Final[Mapping[bool, tuple[str, ...]]] = {
    True: ("on", "yes", "true", "y"),
    False: ("off", "no", "false", "n"),
}

#: pydantic's errors of a tuple with too few or too many items.
_LENGTHS: Final = ("missing", "too_short", "too_long")


def parse_settings(
    model: type[BaseModel],
    given: Mapping[str, Any],
    settings: Sequence[str] = (),
    *,
    origin: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Parameters of a run file and of ``--set NAME=VALUE``, by name; later settings win.

    A value is read as YAML; where the parameter takes a list, ``50,106`` is one; where it takes text,
    the text stays as typed.  Dotted names reach into tables, ``xsec.ZH=0.4``, and leave the rest of
    the table (given or default) as it is.

    Parameters
    ----------
    model : the analysis' parameters
    given : values of the run file (dotted names work as well)
    settings : ``NAME=VALUE`` of the command line
    origin : {name: file:line} of the given values, for messages

    Raises
    ------
    ConfigError
        Unknown names, with the nearest and all declared ones; settings without ``=``.
    """
    problems = Problems()
    origins = origin or {}
    values = merge(model, given, settings, problems, lambda path: origins.get(str(path[0]), ""))
    problems.raise_if_any()
    return values


def validate_parameters(
    model: type[Model], values: Mapping[str, Any], *, where: Where | None = None
) -> Model:
    """The checked, frozen parameters.

    Parameters
    ----------
    model : the analysis' parameters
    values : by name, as :func:`parse_settings` gives them
    where : from a path such as ``("window", 0)`` to ``file:line`` or the flag that set it

    Raises
    ------
    ConfigError
        Every wrong value at once: the parameter, the value and what is allowed.
    """
    problems = Problems(where=where)
    found = _validate(model, values, problems)
    return _finished(found, problems)


def read_parameters(
    model: type[Model],
    given: Mapping[str, Any],
    settings: Sequence[str] = (),
    *,
    where: Where | None = None,
) -> Model:
    """:func:`parse_settings` and :func:`validate_parameters` in one, listing all problems together.

    Parameters
    ----------
    model, given, settings : as for :func:`parse_settings`
    where : ``file:line`` of a given value, :meth:`RunFile.where_parameter`

    Examples
    --------
    >>> class Cuts(BaseModel):
    ...     pt: float = 10.0
    >>> read_parameters(Cuts, {}, ["pt=25"])
    Cuts(pt=25.0)
    """
    problems = Problems(where=lambda path: _flag(settings, path) or (where(path) if where else ""))
    values = merge(model, given, settings, problems, where or (lambda _: ""))
    found = _validate(model, values, problems)
    return _finished(found, problems)


def _finished(found: Model | None, problems: Problems) -> Model:
    problems.raise_if_any()
    if found is None:
        raise RuntimeError("a model was refused without a reason")
    return found


def _validate(model: type[Model], values: Mapping[str, Any], problems: Problems) -> Model | None:
    """The model, or None and problems."""
    known = dict(values)
    told = set()
    for name, field in model.model_fields.items():
        if name in known:
            known[name] = _switched(known[name], field.annotation)
            wrong_kind = _wrong_kind(known[name], field)
            if wrong_kind:
                problems.add(wrong_kind, path=(name,))
                told.add(name)
    try:
        return model.model_validate(known)
    except ValidationError as error:
        wrong: dict[Any, list[Any]] = {}
        for item in error.errors(include_url=False):
            wrong.setdefault(item["loc"][0] if item["loc"] else None, []).append(item)
    for name, items in wrong.items():
        if name not in told:
            _report(model, name, items, known, problems)
    return None


def _flag(settings: Sequence[str], path: Sequence[Any]) -> str:
    """The last setting that gave this path or a table around it, empty if none did."""
    text = ".".join(map(str, path))
    for setting in reversed(settings):
        name = setting.partition("=")[0].strip()
        if text == name or text.startswith(f"{name}."):
            return f"--set {setting}"
    return ""


def _wrong_kind(value: Any, field: FieldInfo) -> str:
    """What pydantic would let pass: true for the number 1, and not-a-number for a number."""
    kinds = branches(field.annotation)
    if isinstance(value, bool) and kinds and all(kind in (int, float) for kind in kinds):
        return f"must be {_article(field.annotation)}, not {shown(value)}"
    return "must be a number, not nan" if isinstance(value, float) and math.isnan(value) else ""


def _article(annotation: Any) -> str:
    words = type_words(annotation)
    return f"an {words}" if words.startswith("integer") else f"a {words}"


def _switched(value: Any, annotation: Any) -> Any:
    """The choice that was meant when YAML read ``off`` as false or ``2016`` as a number."""
    allowed = choices(annotation)
    if not allowed or any(value == item and type(value) is type(item) for item in allowed):
        return value
    if isinstance(value, bool):
        return next((word for word in _SWITCHES[value] if word in allowed), value)
    return str(value) if isinstance(value, int) and str(value) in allowed else value


def _report(
    model: type[BaseModel], name: Any, items: Sequence[Any], values: Mapping[str, Any], problems: Problems
) -> None:
    """What is wrong with one parameter, in one line unless its parts have their own lines."""
    field = model.model_fields.get(name)
    if field is None:
        for item in items:
            path = () if name is None else (name,)
            text = "unknown parameter" if item["type"] == "extra_forbidden" else sentence(item)
            problems.add(text, path=path, near=nearest(str(name), model.model_fields) if name else (),
                         action="declared: " + ", ".join(model.model_fields) if name else "")  # fmt: skip
        return
    if name not in values:
        problems.add("is missing", path=(name,), action=f"give it: --set {name}=VALUE")
        return
    kinds = branches(field.annotation)
    wrong_length = any(map(is_tuple, kinds)) and any(item["type"] in _LENGTHS for item in items)
    if wrong_length or (len(kinds) > 1 and any(len(item["loc"]) > 1 for item in items)):
        # An alternative that has the type but not the range says more than the list of types.
        close = [sentence(item) for item in items if item["type"] in OUT_OF_RANGE]
        text = close[0] if close else f"takes {type_words(field.annotation)}, not {shown(values[name])}"
        problems.add(text, path=(name,), near=nearest(str(values[name]), map(str, _words(kinds))))
        return
    for item in items:
        annotation = field.annotation if len(item["loc"]) == 1 else _inner(kinds, item["loc"][1:])
        near: tuple[str, ...] = ()
        if item["type"] in ("literal_error", "enum"):
            near = nearest(str(item["input"]), map(str, choices(annotation)))
        if item["type"] == "extra_forbidden":
            inner = nested(field.annotation)
            known = list(inner.model_fields) if inner else []
            problems.add("unknown parameter", path=item["loc"], near=nearest(str(item["loc"][-1]), known),
                         action=f"declared there: {', '.join(known)}")  # fmt: skip
            continue
        problems.add(sentence(item, annotation), path=item["loc"], near=near)


def _words(kinds: Sequence[Any]) -> list[Any]:
    """Choices among alternatives: ``Literal["auto"] | float`` -> ``["auto"]``."""
    return [word for kind in kinds for word in choices(kind)]


def _inner(kinds: Sequence[Any], path: Sequence[Any]) -> Any:
    """Type of what a path leads to, Any if it cannot be told."""
    annotation: Any = kinds[0] if len(kinds) == 1 else Any
    for part in path:
        (kind, *_) = branches(annotation) or (Any,)
        if is_model(kind) and part in kind.model_fields:
            annotation = kind.model_fields[part].annotation
        elif is_list(kind) or is_table(kind):
            annotation = item_type(kind)
        else:
            return Any
    return annotation

"""``--set NAME=VALUE``: where a name leads in a model of parameters, and what the text means there."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo

from femtobarn.config.describe import describe
from femtobarn.config.located import load_text
from femtobarn.config.problems import Problems, dotted
from femtobarn.config.words import branches, is_list, is_model, is_table, item_type, type_words
from femtobarn.errors import ConfigError, nearest

__all__ = ["Where", "merge"]

#: From the path of a parameter to ``file:line`` or the flag that gave it.
Where = Callable[[tuple[Any, ...]], str]


def merge(
    model: type[BaseModel],
    given: Mapping[str, Any],
    settings: Sequence[str],
    problems: Problems,
    where: Where,
) -> dict[str, Any]:
    """Known names with their values; what is wrong goes to ``problems``."""
    values: dict[str, Any] = {}
    # Whole values first: a dotted name changes an entry of the table given beside it.
    for name, value in sorted(given.items(), key=lambda item: "." in str(item[0])):
        _Setting(model, str(name), where((name,)), problems).put(values, value)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            problems.add(f"{setting!r} is not NAME=VALUE", where=f"--set {setting}",
                         near=nearest(name, model.model_fields))  # fmt: skip
            continue
        target = _Setting(model, name.strip(), f"--set {setting}", problems)
        target.put(values, _read(text, target.annotation, target.field))
    return values


class _Setting:
    """Where a name, dotted or not, leads in a model."""

    def __init__(self, model: type[BaseModel], name: str, where: str, problems: Problems) -> None:
        self.annotation: Any = Any
        self.field: FieldInfo | None = None
        self._model = model
        self._path: tuple[str, ...] = ()
        head, dot, rest = name.partition(".")
        field = model.model_fields.get(head)
        if field is None:
            if model.model_config.get("extra") == "allow":
                self._path = (name,)
                return
            known = [item.name for item in describe(model)]
            problems.add("unknown parameter", path=(name,), where=where,
                         near=nearest(name, known) or nearest(head, model.model_fields),
                         action="declared: " + (", ".join(known) or "none"))  # fmt: skip
            return
        path: tuple[str, ...] = (head,)
        annotation, self.field = field.annotation, field
        while dot:
            table = next((item for item in branches(annotation) if is_table(item) or is_model(item)), None)
            if table is None or not rest:
                message = f"is no table: it takes {type_words(annotation)}" if rest else "ends with a dot"
                problems.add(message, path=(dotted(path),), where=where)
                return
            if is_model(table):
                part, dot, rest = rest.partition(".")
                if part not in table.model_fields:
                    problems.add("unknown parameter", path=(*path, part), where=where,
                                 near=nearest(part, table.model_fields),
                                 action=f"declared there: {', '.join(table.model_fields)}")  # fmt: skip
                    return
                self.field = table.model_fields[part]
                annotation = self.field.annotation
            else:
                annotation, self.field = item_type(table), None
                deeper = any(is_table(item) or is_model(item) for item in branches(annotation))
                # An entry's own name may hold dots unless there are tables below it.
                part, dot, rest = rest.partition(".") if deeper else (rest, "", "")
            path = (*path, part)
        self._path, self.annotation = path, annotation

    def put(self, values: dict[str, Any], value: Any) -> None:
        """Set the value, beginning with the table that is there or the default one."""
        if not self._path:
            return
        first, *rest = self._path
        if not rest:
            values[first] = value
            return
        if first not in values:
            field = self._model.model_fields[first]
            default = (
                None
                if field.is_required()
                else field.get_default(call_default_factory=True, validated_data={})
            )
            values[first] = default
        values[first] = table = _as_table(values[first])
        for name in rest[:-1]:
            table[name] = table = _as_table(table.get(name))
        table[rest[-1]] = value


def _as_table(value: Any) -> dict[str, Any]:
    """A table of one's own to change; anything else than a table is replaced."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    return copy.deepcopy(dict(value)) if isinstance(value, Mapping) else {}


def _read(text: str, annotation: Any, field: FieldInfo | None) -> Any:
    """What the text of a setting means for a parameter of this type."""
    readings = list(_readings(text.strip(), annotation))
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_adapted(annotation, field))
    except PydanticSchemaGenerationError:  # a type only its model knows how to check
        return readings[0]
    for reading in readings:
        try:
            adapter.validate_python(reading)
        except ValidationError:
            continue
        return reading
    return readings[0]


def _adapted(annotation: Any, field: FieldInfo | None) -> Any:
    return Annotated[(annotation, *field.metadata)] if field is not None and field.metadata else annotation


def _readings(text: str, annotation: Any) -> Iterable[Any]:
    """Ways to read a setting, the most natural first."""
    lists = [item for item in branches(annotation) if is_list(item)]
    parsed = _yaml(text)
    if lists and not isinstance(parsed, list | dict):
        items = [item.strip() for item in text.split(",")] if text else []
        split = [_yaml(item) for item in items]
        only_lists = len(lists) == len(branches(annotation))
        if only_lists or "," in text:
            yield split
            yield items
        yield parsed
        yield text
        yield split
        return
    yield parsed
    yield text


def _yaml(text: str) -> Any:
    """A YAML value; text that is none, or that YAML would shorten (a comment), stays text."""
    try:
        value = load_text(text).value
    except ConfigError:
        return text
    if (
        " #" in text
        or text.startswith(("#", "---", "%"))
        or (isinstance(value, str) and text[:1] not in "\"'")
    ):
        return text
    return value

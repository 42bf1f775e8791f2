"""What an analysis' parameters are, for help screens: everything the model declares, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from femtobarn.config.words import bounds, choices, nested, type_words

__all__ = ["ParameterHelp", "describe", "typed"]


@dataclass(frozen=True, slots=True)
class ParameterHelp:
    """One parameter for a help screen.

    ``default`` is text that ``--set`` takes back, empty for a required parameter, None and empty text.
    """

    name: str
    type: str
    default: str
    choices: tuple[str, ...] = ()
    unit: str = ""
    help: str = ""
    bounds: str = ""
    required: bool = False


def describe(model: type[BaseModel]) -> list[ParameterHelp]:
    """What each parameter is, in the order of declaration; a nested model's by dotted names."""
    found = []
    for name, field in model.model_fields.items():
        inner = nested(field.annotation)
        if inner is not None:
            found += [replace(item, name=f"{name}.{item.name}") for item in describe(inner)]
            continue
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        required = field.is_required()
        default = None if required else field.get_default(call_default_factory=True, validated_data={})
        found.append(
            ParameterHelp(
                name=name,
                type=type_words(field.annotation),
                default="" if default is None else typed(default),
                choices=tuple(typed(item) for item in choices(field.annotation)),
                unit=str(extra.get("unit", "")),
                help=field.description or "",
                bounds=bounds(field),
                required=required,
            )
        )
    return found


def typed(value: Any) -> str:
    """A value as one types it behind ``--set NAME=``."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        plain = not any(isinstance(item, list | tuple | dict) or "," in str(item) for item in items)
        text = [typed(item) for item in items]
        return ",".join(text) if plain and items else "[" + ", ".join(text) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {typed(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ("-.inf" if value < 0 else ".inf")
    return str(getattr(value, "value", value))

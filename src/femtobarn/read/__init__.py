"""How columns get into memory: schemas, sources, events in house units."""

from __future__ import annotations

from femtobarn.read.columns import Column, Events
from femtobarn.read.opening import open_source
from femtobarn.read.read import check_unit, expand_columns, missing_columns, read_events, require_columns
from femtobarn.read.schema import Schema, find_schema, schema_names
from femtobarn.read.source import Source

__all__ = [
    "Column",
    "Events",
    "Schema",
    "Source",
    "check_unit",
    "expand_columns",
    "find_schema",
    "missing_columns",
    "open_source",
    "read_events",
    "require_columns",
    "schema_names",
]

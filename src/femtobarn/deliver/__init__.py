"""Column delivery: queries in ServiceX's languages, run here or by a server, as verified files."""

from __future__ import annotations

from femtobarn.deliver.builder import FromTree
from femtobarn.deliver.delivered import Delivered, Options
from femtobarn.deliver.delivery import deliver, deliver_spec, explain
from femtobarn.deliver.queries import Query, query_from_codegen, query_from_tag
from femtobarn.deliver.spec import Sample, Spec, read_spec

__all__ = [
    "Delivered",
    "FromTree",
    "Options",
    "PythonFunction",
    "Query",
    "Sample",
    "Spec",
    "UprootRaw",
    "deliver",
    "deliver_spec",
    "explain",
    "query_from_codegen",
    "read_spec",
]


def UprootRaw(query: object) -> Query:  # noqa: N802 - the official client's spelling
    """A query of names, expressions and cuts: a list of dictionaries, one, or JSON text."""
    return query_from_tag("!UprootRaw", query, where=None)


def PythonFunction(source: str) -> Query:  # noqa: N802 - the official client's spelling
    """A query as Python source that defines ``run_query``."""
    return query_from_tag("!PythonFunction", source, where=None)

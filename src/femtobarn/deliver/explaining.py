"""What a query would read of an open file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from femtobarn.deliver import forms, raw
from femtobarn.deliver.columns import needs
from femtobarn.deliver.queries import Query
from femtobarn.deliver.rootfile import resolve, trees_of
from femtobarn.read.source import branch_names

__all__ = ["weigh"]


def weigh(query: Query, file: Any, find_tree: Callable[..., Any], *, where: str) -> dict[str, Any]:
    """Entries of its trees, names and compressed bytes of the columns; nothing for code."""
    if query.codegen == "uproot":
        wanted = needs(forms.from_qastle(query.text))
        tree = find_tree(file, wanted.tree, where=where)
        return _sum([(tree, resolve(tree, wanted, where=where).values())])
    found = []
    if query.codegen == "uproot-raw":
        present = trees_of(file)
        for one in raw.parse(query.text):
            for name, _ in getattr(one, "trees", ()):
                if name in present:
                    tree = file[name]
                    found.append((tree, _raw_columns(tree, one)))
    return _sum(found)


def _raw_columns(tree: Any, query: Any) -> Iterable[str]:
    if not query.expressions:
        return raw.filtered(tree, query)
    return [name for name in query.columns() if name in branch_names(tree)]


def _sum(found: list[tuple[Any, Iterable[str]]]) -> dict[str, Any]:
    entries, size, columns = 0, 0, []
    for tree, names in found:
        entries += int(tree.num_entries)
        for name in names:
            columns.append(name)
            size += int(getattr(tree[name], "compressed_bytes", 0))
    return {"entries": entries, "bytes": size, "columns": sorted(columns)}

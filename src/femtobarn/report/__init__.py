"""One self-contained HTML page a run, and an index of runs."""

from __future__ import annotations

from femtobarn.report.index import IndexEntry, read_index, render_index
from femtobarn.report.inputs import Plot, ReportInputs, Table, read_inputs, read_table
from femtobarn.report.page import fragment, render, write_report

__all__ = [
    "IndexEntry",
    "Plot",
    "ReportInputs",
    "Table",
    "fragment",
    "read_index",
    "read_inputs",
    "read_table",
    "render",
    "render_index",
    "write_report",
]

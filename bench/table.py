"""Write the table of ``docs/performance.md`` from ``bench/results.json``.

python bench/table.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rows import RESULTS, ROOT

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def line(row: dict) -> str:
    cpu, wall, ratio = row.get("cpu_s") or {}, row.get("wall_s") or {}, row.get("ratio")
    spread = (
        "–" if not ratio else f"**{number(ratio['median'])}** ({number(ratio['min'])}–{number(ratio['max'])})"
    )
    same = row.get("identical")
    same = (
        {True: "identical", None: "–"}.get(same, same)
        if not isinstance(same, float)
        else f"within {same:.1g}"
    )
    cells = [
        row["work"],
        row["peer"] + (" (quoted)" if row.get("quoted") else ""),
        number(cpu.get("femtobarn")),
        number(cpu.get("peer")),
        f"{number(wall.get('femtobarn'))} / {number(wall.get('peer'))}",
        spread,
        str(same),
    ]
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def table(path: Path = RESULTS) -> str:
    rows = json.loads(path.read_text())["rows"]
    head = (
        "| work | peer | ours, CPU s | peer, CPU s | wall s, ours / peer | ratio: median (range) "
        "| same answer? |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(line(row) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    asked = parser.parse_args()
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    new = f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"
    if asked.check:
        sys.exit(new != page)
    PAGE.write_text(new)


if __name__ == "__main__":
    main()

"""PythonFunction queries: somebody's code, run in a process of its own and only if that was allowed.

The process is handed the source and one file's path; it returns columns as Arrow data, never as pickles.
This module is what that process runs: it must not import the rest of the house.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["run_code"]

#: Seconds a query may take for one file.
_LIMIT: Final = 3600.0
_SHOWN: Final = 6


def run_code(source: str, url: str, *, limit: float = _LIMIT) -> dict[str, dict[str, Any]]:
    """Columns that ``run_query`` of this source returns for one file: {tree: {column: array}}.

    Raises
    ------
    DataError
        It failed, took too long or returned something else; the message has the last lines it wrote.
    """
    import awkward as ak
    from pyarrow import feather

    from femtobarn.errors import DataError

    with tempfile.TemporaryDirectory(prefix="femtobarn-query-") as folder:
        place = Path(folder)
        (place / "query.py").write_text(source, encoding="utf-8")
        command = [sys.executable, "-s", __file__, str(place), url]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            ended = subprocess.run(  # noqa: S603 - our own interpreter and file; the code was allowed by name
                command, capture_output=True, text=True, timeout=limit, check=False, env=environment,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise DataError(f"the Python query took longer than {limit:.0f} s", where=url) from None
        if ended.returncode:
            last = "\n    ".join(ended.stderr.strip().splitlines()[-_SHOWN:]) or "it wrote nothing"
            raise DataError(
                f"the Python query failed with exit code {ended.returncode}:\n    {last}", where=url
            )
        names: dict[str, str] = json.loads((place / "trees.json").read_text())
        found = {}
        for tree, file in names.items():
            table = ak.from_arrow(feather.read_table(place / file))
            found[tree] = {name: table[name] for name in table.fields}
        return found


def _main(folder: str, url: str) -> None:
    """In the process of its own: run the query, leave its columns in the folder."""
    import awkward as ak
    from pyarrow import feather

    place = Path(folder)
    scope: dict[str, Any] = {"__name__": "query"}
    code = compile((place / "query.py").read_text(encoding="utf-8"), "query.py", "exec")
    exec(code, scope)  # noqa: S102 - this process exists to run it
    function = scope["run_query"]
    parameters = list(inspect.signature(function).parameters.values())
    as_list = bool(parameters) and "list" in str(parameters[0].annotation).lower()
    result = function([url] if as_list else url)
    trees = result if isinstance(result, Mapping) else {"servicex": result}
    names = {}
    for number, (tree, value) in enumerate(trees.items()):
        array = value if isinstance(value, ak.Array) else ak.Array(value)
        columns = {name: array[name] for name in array.fields} or {"branch": array}
        table = ak.to_arrow_table(ak.zip(columns, depth_limit=1), extensionarray=False, list_to32=True)
        names[str(tree)] = f"{number}.arrow"
        feather.write_feather(table, place / names[str(tree)], compression="uncompressed")
    (place / "trees.json").write_text(json.dumps(names))


if __name__ == "__main__":
    # The folder of this file must not shadow anything the query imports.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent]
    _main(sys.argv[1], sys.argv[2])

"""The reference of the Python interface, written from its docstrings into ``docs/api.md``.

python docs/make_api_reference.py            # print it
python docs/make_api_reference.py --write    # put it into the page
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import Any

from femtobarn import api

PAGE = Path(__file__).resolve().parent / "api.md"
HEAD = """# Python interface

Written from the docstrings by `python docs/make_api_reference.py --write`. Every verb of the
[command line](cli.md) is one of these functions (the table there says which); `help(api.run)` shows the
same. Verbs that take a request take its fields as well:
`api.run("h4l", release="atlas-2020", files={"data": "data_*.root"}, out="RUN")`.

"""


def entry(name: str) -> str:
    """One name: heading, signature, docstring."""
    thing = getattr(api, name)
    text = inspect.cleandoc(thing.__doc__ or "")
    lines = [f"### {name}", "", "```text", signature(name, thing), "```", ""]
    # A dataclass without words of its own has its signature as docstring.
    if text and not text.startswith(f"{thing.__name__}("):
        summary, _, rest = text.partition("\n\n")
        lines += [plain(" ".join(summary.split())), ""]
        lines += ["```text", rest, "```", ""] if rest else []
    return "\n".join(lines)


def signature(name: str, thing: Any) -> str:
    """How it is called, an argument a line; of dataclasses their fields."""
    if dataclasses.is_dataclass(thing):
        fields = "".join(f"\n    {field.name}: {field.type}" for field in dataclasses.fields(thing))
        return f"class api.{name}{fields}"
    found = inspect.signature(thing)
    returned = "" if found.return_annotation is inspect.Signature.empty else f" -> {found.return_annotation}"
    listed = [argument(one) for one in found.parameters.values()]
    named = [one.kind is inspect.Parameter.KEYWORD_ONLY for one in found.parameters.values()]
    if any(named):
        listed.insert(named.index(True), "*")
    arguments = "".join(f"\n    {one}," for one in listed)
    return f"api.{name}({arguments}\n){returned}" if arguments else f"api.{name}(){returned}"


def argument(one: inspect.Parameter) -> str:
    """As in a definition; what has no short text of its own is an ellipsis."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(one.kind, "")
    text = stars + one.name
    if one.annotation is not inspect.Parameter.empty:
        text += f": {one.annotation}".replace('"', "")
    if one.default is inspect.Parameter.empty:
        return text
    return text + (" = ..." if " at 0x" in repr(one.default) else f" = {one.default!r}")


def plain(text: str) -> str:
    """Markup of Python's documentation as that of the page."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")


def page() -> str:
    """The whole page: functions, then the classes they take and return."""
    functions = [name for name in api.__all__ if name[0].islower()]
    classes = [name for name in api.__all__ if name[0].isupper()]
    parts = [HEAD, "## Functions\n\n", *(entry(name) + "\n" for name in functions)]
    parts += ["## Classes\n\n", *(entry(name) + "\n" for name in classes)]
    return re.sub(r"[ \t]+$", "", "".join(parts), flags=re.MULTILINE).rstrip() + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())

"""The three query languages behind one type: what was asked, in a form that two equal questions share."""

from __future__ import annotations

import ast
import base64
import binascii
import hashlib
import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from femtobarn.deliver import forms, raw
from femtobarn.deliver.columns import needs
from femtobarn.deliver.forms import QueryError
from femtobarn.errors import nearest

__all__ = ["LANGUAGES", "Query", "query_from_codegen", "query_from_object", "query_from_tag"]

#: Code generators of ServiceX that this engine stands in for.
LANGUAGES: Final[Mapping[str, str]] = {"uproot": "FuncADL_Uproot", "uproot-raw": "UprootRaw",
                                       "python": "PythonFunction"}  # fmt: skip
#: Tags of the official client that need a server.
_REMOTE: Final[Mapping[str, str]] = {
    "!FuncADL_ATLASr21": "atlasr21", "!FuncADL_ATLASr22": "atlasr22", "!FuncADL_ATLASxAOD": "atlasxaod",
    "!FuncADL_CMS": "cms", "!TopCP": "topcp",
}  # fmt: skip
QUERY_TAGS: Final = ("!FuncADL_Uproot", "!UprootRaw", "!PythonFunction", *_REMOTE)


@dataclass(frozen=True, slots=True)
class Query:
    """A query.

    Attributes
    ----------
    codegen : name of the code generator on a ServiceX server: uproot, uproot-raw, python or a remote one
    text : normal form: a tree as text, JSON, or source code
    """

    codegen: str
    text: str

    @property
    def language(self) -> str:
        return LANGUAGES.get(self.codegen, self.codegen)

    @property
    def is_code(self) -> bool:
        """Whether it is Python that runs as such."""
        return self.codegen == "python"

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.codegen}\n{self.text}".encode()).hexdigest()

    @property
    def selection(self) -> str:
        """As a ServiceX server takes it."""
        if self.codegen == "uproot":
            return self.text.replace("EventDataset ''", "EventDataset 'bogus.root'")
        if self.codegen == "python":
            return base64.b64encode(self.text.encode()).decode()
        return self.text

    def columns(self) -> list[str]:
        """What it reads, as far as the query itself tells."""
        if self.codegen == "uproot":
            found = needs(forms.from_qastle(self.text))
            return ["*"] if found.everything else sorted(".".join(path) for path in found.paths)
        if self.codegen == "uproot-raw":
            return sorted({name for one in raw.parse(self.text) for name in one.columns()})
        return []


def query_from_tag(tag: str, content: Any, *, where: str | None) -> Query:
    """The query under a tag of a specification file."""
    if tag in _REMOTE:
        return Query(_REMOTE[tag], content if isinstance(content, str) else json.dumps(content))
    if tag not in QUERY_TAGS:
        raise QueryError(f"{tag} is no query language", where=where, near=nearest(tag, QUERY_TAGS))
    if tag == "!UprootRaw":
        return _raw(content, where)
    if not isinstance(content, str):
        raise QueryError(f"{tag} takes text", where=where)
    if tag == "!PythonFunction":
        return _code(content, where)
    return _funcadl(forms.from_python(content, where=where), where)


def query_from_codegen(text: str, codegen: str, *, where: str | None) -> Query:
    """A query as the official client sends it to a server."""
    if codegen == "uproot":
        text = text.strip()
        tree = (forms.from_qastle if text.startswith("(") else forms.from_python)(text, where=where)
        return _funcadl(tree, where)
    if codegen == "uproot-raw":
        return _raw(text, where)
    if codegen == "python":
        try:
            return _code(base64.b64decode(text, validate=True).decode(), where)
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return _code(text, where)
    return Query(codegen, text)


def query_from_object(item: Any, *, where: str | None) -> Query:
    """A query of the official client's classes, of func_adl, or of our own builder."""
    if isinstance(item, Query):
        return item
    if hasattr(item, "generate_selection_string") and hasattr(item, "default_codegen"):
        return query_from_codegen(item.generate_selection_string(), str(item.default_codegen), where=where)
    if isinstance(getattr(item, "query_ast", None), ast.AST):
        return _funcadl(forms.from_ast(item.query_ast, where=where), where)
    if isinstance(getattr(item, "term", None), forms.Form):
        return _funcadl(item.term, where)
    raise QueryError(
        f"a {type(item).__name__} is no query",
        where=where,
        action="give FromTree('t').Select(...), UprootRaw([...]), PythonFunction('...') or a tagged text",
    )


def _funcadl(tree: forms.Term, where: str | None) -> Query:
    try:
        needs(tree)
    except QueryError as error:
        raise QueryError(
            error.what, where=error.where or where, near=error.near, action=error.action
        ) from None
    return Query("uproot", forms.to_text(tree))


def _raw(content: Any, where: str | None) -> Query:
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except ValueError as error:
            raise QueryError(f"the UprootRaw query is not JSON: {error}", where=where) from None
    asked = raw.parse(content, where=where)
    return Query("uproot-raw", json.dumps([one.to_json() for one in asked]))


def _code(text: str, where: str | None) -> Query:
    """Python as given; only looked at, never run here."""
    source = textwrap.dedent(text).strip() + "\n"
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise QueryError(f"the Python query is not valid: {error}", where=where) from None
    names = [item.name for item in tree.body if isinstance(item, ast.FunctionDef)]
    if "run_query" not in names:
        raise QueryError(
            "the Python query defines no function run_query", where=where, near=nearest("run_query", names),
            action="def run_query(input_filenames=None): ...",
        )  # fmt: skip
    return Query("python", source)

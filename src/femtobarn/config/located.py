"""YAML and JSON text read with the line of every key and value kept.

The values are those of PyYAML's ``SafeLoader``, with these differences, each because a run file is
written by people and ends as JSON in a manifest: a key given twice is an error; ``1e5`` and ``1.5e3``
are numbers; dates stay text; and only plain values exist (explicit tags such as ``!!binary`` are errors).

A format with tags of its own names them: a value under one becomes :class:`Tagged`.  Such a format may
also include other files (``!include other.yaml``, whose anchors are then known) and leave pieces out
(``!exclude``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from femtobarn.config.problems import Problems
from femtobarn.errors import ConfigError, missing_file

__all__ = ["Keys", "Located", "Tagged", "load_file", "load_text"]

#: Way to a value from the top: mapping keys and list positions.
Keys = tuple[Any, ...]

#: Aliases may repeat a value; a small file cannot grow beyond this many (exponential nesting).
_MOST_VALUES: Final = 200_000
_TAG: Final = "tag:yaml.org,2002:"
INCLUDE: Final = "!include"
EXCLUDE: Final = "!exclude"
_DEEPEST_INCLUDE: Final = 8
_MERGE: Final = _TAG + "merge"
_SCALARS: Final = frozenset(_TAG + name for name in ("null", "bool", "int", "float", "str"))
_NOT_IN_YAML: Final = re.compile("[\t\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_LINE_END: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Located:
    """A value read from a file, and the lines (from 1) its pieces stand on.

    Attributes
    ----------
    value : plain values, lists and dictionaries
    lines : {path: line} of each key; of each item for lists
    value_lines : {path: line} where each value begins (the alias' own line for an aliased value)
    file : name for messages
    """

    value: Any
    lines: Mapping[Keys, int]
    value_lines: Mapping[Keys, int]
    file: str

    def line(self, path: Keys = (), *, of_value: bool = False) -> int:
        """Line of a path, or of the nearest thing around it that is in the file."""
        lines = self.value_lines if of_value else self.lines
        for length in range(len(path), -1, -1):
            if path[:length] in lines:
                return lines[path[:length]]
        return 1

    def where(self, path: Keys = (), *, of_value: bool = False) -> str:
        """``file:line`` of a path."""
        return f"{self.file}:{self.line(path, of_value=of_value)}"


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value under a tag of the format: ``!FileList [a, b]``."""

    tag: str
    value: Any


def load_file(path: Path, *, tags: frozenset[str] = frozenset()) -> Located:
    """Read a YAML or JSON file.

    ``tags`` are those that the format knows, ``{"!FileList", ...}``; with ``!include`` among them, files
    beside this one can be included.

    Raises
    ------
    ConfigError
        There is no such file, it is not text, or it is not YAML.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise missing_file(path, ConfigError) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot be read: {reason}", where=str(path)) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("is not UTF-8 text", where=f"{path}:{line}") from error
    return load_text(text, file=str(path), tags=tags)


def load_text(text: str, *, file: str = "<text>", tags: frozenset[str] = frozenset()) -> Located:
    """Read YAML or JSON text; an empty one has the value None.

    Raises
    ------
    ConfigError
        ``file:line: message``; keys given twice are listed all at once.
    """
    try:
        # Composing builds plain nodes; no constructor of a tag in the text is ever called.
        loader = _Loader(_as_yaml(text))
        loader.file = file if INCLUDE in tags else ""
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        builder = _Builder(file, tags)
        value = None if node is None else builder.build(node, ())
    except yaml.reader.ReaderError as error:
        line = len(_LINE_END.findall(text[: error.position])) + 1
        raise ConfigError("holds a character that is not text", where=f"{file}:{line}") from error
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, file) from error
    except RecursionError as error:
        raise ConfigError("is nested too deeply", where=file) from error
    builder.problems.raise_if_any()
    return Located(value, builder.lines, builder.value_lines, file)


class _Loader(yaml.SafeLoader):
    """SafeLoader that takes ``1e5`` for a number and leaves dates as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute, copied to leave SafeLoader alone
        first: [pair for pair in pairs if pair[0] != _TAG + "timestamp" and pair[0] != _TAG + "value"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    #: The file being read, where files may be included; else empty.
    file: str = ""
    #: How deep in included files this one is.
    depth: int = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event() if self.file else None  # type: ignore[no-untyped-call]
        if not isinstance(event, yaml.ScalarEvent) or event.tag != INCLUDE:
            return super().compose_node(parent, index)
        self.get_event()  # type: ignore[no-untyped-call]
        node = self._included(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _included(self, event: Any) -> yaml.Node:
        """The content of another file; its anchors are known from here on."""
        where = f"{self.file}:{event.start_mark.line + 1}"
        path = Path(self.file).parent / str(event.value)
        if self.depth >= _DEEPEST_INCLUDE:
            raise ConfigError("files include each other", where=where)
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot include {event.value!r}: {error}", where=where) from error
        loader = _Loader(text)
        loader.file, loader.depth = str(path), self.depth + 1
        loader.check_node()  # past the start of the stream
        loader.anchors = self.anchors
        try:
            loader.get_event()  # type: ignore[no-untyped-call]
            node = loader.compose_node(None, None)
        except yaml.MarkedYAMLError as error:
            raise _syntax_error(error, str(path)) from error
        finally:
            loader.dispose()
        if node is None:
            raise ConfigError(f"the included file {event.value!r} is empty", where=where)
        return node


_Loader.add_implicit_resolver(
    _TAG + "float",
    re.compile(r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _as_yaml(text: str) -> str:
    """JSON that YAML would misread: indented with tabs, or with unusual characters unescaped.

    In valid JSON a raw tab is never, and one of these characters always, inside a string.
    """
    if text.lstrip()[:1] not in ("{", "[") or not _NOT_IN_YAML.search(text):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _NOT_IN_YAML.sub(lambda found: " " if found[0] == "\t" else f"\\u{ord(found[0]):04x}", text)


def _syntax_error(error: yaml.MarkedYAMLError, file: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    where = f"{file}:{mark.line + 1}" if mark else file
    what = str(error.problem or "cannot be understood").replace("\n", " ")
    if "'\\t'" in what:
        return ConfigError("is not valid YAML: a tab where YAML wants spaces", where=where)
    context = str(error.context or "").replace("\n", " ")
    if context and error.context_mark:
        context += f" (line {error.context_mark.line + 1})"
    text = f"{context}: {what}" if context else what
    return ConfigError(f"is not valid YAML: {text}", where=where)


class _Builder:
    """Turns composed nodes into values, noting lines."""

    def __init__(self, file: str, tags: frozenset[str] = frozenset()) -> None:
        self._tags = tags
        self.lines: dict[Keys, int] = {}
        self.value_lines: dict[Keys, int] = {}
        self.problems = Problems()
        self._file = file
        self._values = 0
        self._open: set[int] = set()
        self._constructor = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node, path: Keys, key: yaml.Node | None = None) -> Any:
        """The value of a node at a path; ``key`` is the node of its name in the mapping."""
        start = node.start_mark
        alias = key is not None and start.index < key.start_mark.index
        self.lines[path] = (key.start_mark.line if key is not None else start.line) + 1
        self.value_lines[path] = self.lines[path] if alias else start.line + 1
        self._count(node)
        if node.tag in self._tags:
            return Tagged(node.tag, self.build(_untagged(node), path, key))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise ConfigError("a value contains itself by an alias", where=self._at(node))
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                self._plain(node, "seq")
                items = [item for item in node.value if not self._excluded(item)]
                return [self.build(item, (*path, i)) for i, item in enumerate(items)]
            self._plain(node, "map")
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, path: Keys) -> dict[Any, Any]:
        value = {}
        for name, (key, item) in self._pairs(node).items():
            value[name] = self.build(item, (*path, name), key)
        return value

    def _pairs(self, node: yaml.Node) -> dict[Any, tuple[yaml.Node, yaml.Node]]:
        """Names of a mapping with their nodes; what is merged in comes first, own names win."""
        own: dict[Any, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[Any, tuple[yaml.Node, yaml.Node]] = {}
        merge: yaml.Node | None = None
        for key, item in node.value:
            if self._excluded(key) or self._excluded(item):
                continue
            if key.tag == _MERGE:
                if merge is not None:
                    self.problems.add(f"'<<' is given twice (first on line {merge.start_mark.line + 1})",
                                      where=self._at(key), action="merge both: <<: [*a, *b]")  # fmt: skip
                merge = key
                merged |= self._merged(item)
                continue
            name = self._name(key)
            if name in own:
                first = own[name][0].start_mark.line + 1
                self.problems.add(f"the key {name!r} is given twice (first on line {first})",
                                  where=self._at(key))  # fmt: skip
            own[name] = (key, item)
        return merged | own

    def _excluded(self, node: yaml.Node) -> bool:
        return EXCLUDE in self._tags and node.tag == EXCLUDE

    def _count(self, node: yaml.Node) -> None:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise ConfigError("holds too many values (aliases of aliases?)", where=self._at(node))

    def _merged(self, node: yaml.Node) -> dict[Any, tuple[yaml.Node, yaml.Node]]:
        self._count(node)
        if id(node) in self._open:
            raise ConfigError("a value contains itself by an alias", where=self._at(node))
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._pairs(node)
            if isinstance(node, yaml.SequenceNode) and all(
                isinstance(item, yaml.MappingNode) for item in node.value
            ):
                found: dict[Any, tuple[yaml.Node, yaml.Node]] = {}
                for item in reversed(node.value):  # the first one listed wins
                    found |= self._merged(item)
                return found
        finally:
            self._open.discard(id(node))
        raise ConfigError("'<<' merges mappings only", where=self._at(node))

    def _name(self, key: yaml.Node) -> Any:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError("a name must be a plain value, not a list or mapping", where=self._at(key))
        return self._scalar(key)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        # A plain '=' or '<<' as a value is text like any other.
        tag = _TAG + "str" if node.tag == _MERGE else node.tag
        if tag not in _SCALARS:
            raise ConfigError(f"unknown tag {_tag_name(node)!r}", where=self._at(node),
                              action="write a plain value")  # fmt: skip
        if tag == _TAG + "str":
            return self._text(node)
        convert = yaml.constructor.SafeConstructor.yaml_constructors[tag]
        try:
            return convert(self._constructor, node)
        except (ValueError, KeyError, IndexError, OverflowError) as error:
            kind = tag.removeprefix(_TAG)
            raise ConfigError(f"{node.value[:40]!r} is not a value of type {kind}",
                              where=self._at(node)) from error  # fmt: skip

    def _text(self, node: yaml.ScalarNode) -> str:
        text = str(node.value)
        try:
            text.encode()
        except UnicodeEncodeError:
            try:
                # JSON writes characters beyond the basic plane as two halves, "\ud83d\ude00".
                return text.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError as error:
                raise ConfigError("holds half a character (a lone surrogate)",
                                  where=self._at(node)) from error  # fmt: skip
        return text

    def _plain(self, node: yaml.Node, kind: str) -> None:
        if node.tag != _TAG + kind:
            raise ConfigError(f"unknown tag {_tag_name(node)!r}", where=self._at(node),
                              action="write a plain value")  # fmt: skip

    def _at(self, node: yaml.Node) -> str:
        return f"{self._file}:{node.start_mark.line + 1}"


def _untagged(node: yaml.Node) -> yaml.Node:
    """The node as it would be without its tag: plain text is text, not a number."""
    if isinstance(node, yaml.ScalarNode):
        return yaml.ScalarNode(_TAG + "str", node.value, node.start_mark, node.end_mark, node.style)
    kind = "seq" if isinstance(node, yaml.SequenceNode) else "map"
    return type(node)(_TAG + kind, node.value, node.start_mark, node.end_mark)


def _tag_name(node: yaml.Node) -> str:
    return str(node.tag).replace(_TAG, "!!")

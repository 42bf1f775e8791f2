"""Specifications of what to deliver: ServiceX's files and dictionaries, read unchanged and checked whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from femtobarn.config.located import Located, Tagged, load_file
from femtobarn.config.problems import Problems
from femtobarn.deliver.formats import EXTENSIONS
from femtobarn.deliver.queries import QUERY_TAGS, Query, query_from_codegen, query_from_object, query_from_tag
from femtobarn.errors import ConfigError, UsageError, nearest

__all__ = ["DATASET_TAGS", "General", "Sample", "Spec", "read_spec"]

DATASET_TAGS: Final = ("!FileList", "!CERNOpenData", "!Rucio", "!XRootD")
_TAGS: Final = frozenset({*DATASET_TAGS, *QUERY_TAGS, "!include", "!exclude"})
_TOP: Final = ("General", "Sample", "Definition", "Definitions")
_GENERAL: Final = (
    "OutputFormat",
    "Delivery",
    "OutputDirectory",
    "OutFilesetName",
    "IgnoreLocalCache",
    "Codegen",
)
_DATASETS: Final = ("Dataset", "XRootDFiles", "RucioDID")
_SAMPLE: Final = ("Name", "Query", "NFiles", "IgnoreLocalCache", "Codegen", *_DATASETS)
_DELIVERIES: Final = ("LocalCache", "URLs")


@dataclass(frozen=True, slots=True)
class General:
    """What holds for all samples."""

    format: str = "root-ttree"
    delivery: str = "LocalCache"
    directory: Path | None = None
    name: str = "servicex_fileset"
    ignore_cache: bool = False
    codegen: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One question to one dataset.

    Attributes
    ----------
    files : paths and URLs as written; empty if ``address`` says where they are
    address : of a catalogue: ``cernopendata://1``, ``rucio://scope:name``, ``root://host//path/*.root``
    most : only the first so many files
    """

    name: str
    query: Query
    files: tuple[str, ...] = ()
    address: str = ""
    most: int | None = None
    ignore_cache: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole specification; ``folder`` is where its relative paths start."""

    general: General
    samples: tuple[Sample, ...]
    folder: Path = field(default_factory=Path)
    file: str = ""


def read_spec(spec: Any) -> Spec:
    """A specification from a path, a dictionary, or an object of the official client.

    Raises
    ------
    ConfigError
        All that is wrong with it, with lines and nearest names.
    """
    if isinstance(spec, Spec):
        return spec
    if isinstance(spec, str | Path):
        path = Path(spec).expanduser()
        located = load_file(path, tags=_TAGS)
        return _Reader(located, path.resolve().parent, str(spec)).read()
    if isinstance(spec, Mapping):
        return _Reader(Located(dict(spec), {}, {}, ""), Path.cwd(), "").read()
    if hasattr(spec, "Sample") and hasattr(spec, "General"):
        return _Reader(Located(_plain(spec), {}, {}, ""), Path.cwd(), "").read()
    raise UsageError(f"a {type(spec).__name__} is no specification", action="give a path or a dictionary")


def _plain(spec: Any) -> dict[str, Any]:
    """The official client's ServiceXSpec as a dictionary, with its queries and datasets as they are."""
    general = {
        key: getattr(spec.General, key) for key in _GENERAL if getattr(spec.General, key, None) is not None
    }
    samples = []
    for item in spec.Sample:
        given = {key: item.__dict__.get(key) for key in _SAMPLE}
        samples.append({key: value for key, value in given.items() if value is not None})
    return {"General": general, "Sample": samples}


class _Reader:
    """Checks a specification; everything wrong is said at once."""

    def __init__(self, located: Located, folder: Path, file: str) -> None:
        self._located = located
        self._folder = folder
        self._file = file
        self._problems = Problems(self._place)

    def _place(self, path: tuple[Any, ...]) -> str:
        return self._located.where(path) if self._file else ""

    def read(self) -> Spec:
        content = self._located.value
        if not isinstance(content, Mapping):
            raise ConfigError(
                "is no specification: General and Sample are expected", where=self._file or None
            )
        self._keys(content, _TOP, ())
        general = self._general(content.get("General") or {})
        listed = content.get("Sample")
        if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
            self._problems.add("must be a list of samples", path=("Sample",))
            listed = []
        found = [self._sample(item, ("Sample", i), general) for i, item in enumerate(listed)]
        samples = tuple(item for item in found if item is not None)
        self._twice(samples)
        self._problems.raise_if_any()
        return Spec(general, samples, self._folder, self._file)

    def _keys(self, content: Mapping[Any, Any], known: Sequence[str], path: tuple[Any, ...]) -> None:
        for key in content:
            if key not in known:
                self._problems.add("is not a key here", path=(*path, key), near=nearest(str(key), known))

    def _choice(self, value: Any, known: Sequence[str], path: tuple[Any, ...]) -> str:
        text = str(getattr(value, "value", value))
        if text not in known:
            self._problems.add(
                f"{text!r} is not one of {', '.join(known)}", path=path, near=nearest(text, known)
            )
        return text

    def _flag(self, content: Mapping[str, Any], key: str, path: tuple[Any, ...]) -> bool:
        value = content.get(key, False)
        if not isinstance(value, bool):
            self._problems.add(f"must be true or false, not {value!r}", path=(*path, key))
        return bool(value)

    def _general(self, content: Any) -> General:
        path = ("General",)
        if not isinstance(content, Mapping):
            self._problems.add("must be a mapping", path=path)
            return General()
        self._keys(content, _GENERAL, path)
        directory = content.get("OutputDirectory")
        name = content.get("OutFilesetName", "servicex_fileset")
        if not isinstance(name, str) or not name or "/" in name:
            self._problems.add(f"{name!r} is no name of a file", path=(*path, "OutFilesetName"))
        return General(
            self._choice(
                content.get("OutputFormat", "root-ttree"), tuple(EXTENSIONS), (*path, "OutputFormat")
            ),
            self._choice(content.get("Delivery", "LocalCache"), _DELIVERIES, (*path, "Delivery")),
            None if directory is None else Path(str(directory)).expanduser(),
            str(name),
            self._flag(content, "IgnoreLocalCache", path),
            content.get("Codegen"),
        )

    def _sample(self, item: Any, path: tuple[Any, ...], general: General) -> Sample | None:
        if not isinstance(item, Mapping):
            self._problems.add("must be a mapping", path=path)
            return None
        self._keys(item, _SAMPLE, path)
        name = item.get("Name")
        if not isinstance(name, str) or not name:
            self._problems.add("a sample needs a Name", path=(*path, "Name"))
        most = item.get("NFiles")
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            self._problems.add(f"must be at least 1, not {most!r}", path=(*path, "NFiles"),
                               action="leave NFiles out to take all files")  # fmt: skip
            most = None
        given = [key for key in _DATASETS if item.get(key) is not None]
        if len(given) != 1:
            said = "has several datasets: " + ", ".join(given) if given else "has no dataset"
            self._problems.add(said, path=path, action=f"give exactly one of {', '.join(_DATASETS)}")
        files, address = self._dataset(item, given[0], (*path, given[0])) if len(given) == 1 else ((), "")
        query = self._query(item, (*path, "Query"), item.get("Codegen") or general.codegen)
        if query is None:
            return None
        ignore = general.ignore_cache or self._flag(item, "IgnoreLocalCache", path)
        return Sample(str(name), query, files, address, most, ignore, self._place(path))

    def _dataset(
        self, item: Mapping[str, Any], key: str, path: tuple[Any, ...]
    ) -> tuple[tuple[str, ...], str]:
        try:
            return dataset_of(item[key], key)
        except ConfigError as error:
            self._problems.add(error.what, path=path, near=error.near, action=error.action or "")
            return (), ""

    def _query(self, item: Mapping[str, Any], path: tuple[Any, ...], codegen: Any) -> Query | None:
        value, where = item.get("Query"), self._place(path) or None
        if value is None:
            self._problems.add("a sample needs a Query", path=path)
            return None
        try:
            if isinstance(value, Tagged):
                query = query_from_tag(value.tag, value.value, where=where)
            elif isinstance(value, str):
                if codegen is None:
                    raise ConfigError(  # noqa: TRY301 - one exit for all
                        "a plain text is of no language",
                        action="give it a tag, as !FuncADL_Uproot, or Codegen: uproot",
                    )
                return query_from_codegen(value, str(codegen), where=where)
            else:
                query = query_from_object(value, where=where)
        except ConfigError as error:
            self._problems.add(error.what, path=path, where=error.where or where or "", near=error.near,
                               action=error.action or "")  # fmt: skip
            return None
        # A tag says the language; Codegen says which generator of a server, a note for the other backend.
        return query if codegen in (None, query.codegen) else replace(query, codegen=str(codegen))

    def _twice(self, samples: Sequence[Sample]) -> None:
        """One name for two samples, or one question asked twice."""
        names: dict[str, Sample] = {}
        asked: dict[tuple[Any, ...], Sample] = {}
        for sample in samples:
            if sample.name in names:
                self._problems.add(f"two samples have the Name {sample.name!r}", where=sample.where)
            key = (sample.query, tuple(sorted(sample.files)), sample.address, sample.most)
            first = asked.setdefault(key, sample)
            if first is not sample and sample.name not in names:
                self._problems.add(
                    f"the samples {first.name!r} and {sample.name!r} ask the same of the same files",
                    where=sample.where,
                )
            names.setdefault(sample.name, sample)


def dataset_of(value: Any, key: str = "Dataset") -> tuple[tuple[str, ...], str]:
    """Files or catalogue address of a dataset: a tagged value, the client's object, text or a list."""
    tag, content = (value.tag, value.value) if isinstance(value, Tagged) else ("", value)
    files = getattr(content, "files", None)
    if files is not None and not isinstance(content, Mapping):
        content = list(files)
    elif hasattr(content, "did"):
        content = str(content.did)
    if tag == "!CERNOpenData":
        if not str(content).strip().isdigit():
            raise ConfigError(f"{content!r} is no number of a record")
        return (), f"cernopendata://{str(content).strip()}"
    if tag == "!Rucio" or key == "RucioDID":
        return (), _rucio(str(content).strip())
    if tag == "!XRootD":
        return _pattern(str(content).strip())
    if isinstance(content, str):
        text = content.strip()
        if text.startswith("rucio:"):
            return (), _rucio(text)
        if text.startswith("xrootd://"):
            return _pattern(text.removeprefix("xrootd://"))
        if text.startswith(("cernopendata://", "das://", "atlas://", "fileset:")):
            return (), text
        content = [text]
    if not isinstance(content, Sequence) or not content or not all(isinstance(i, str) and i for i in content):
        raise ConfigError("must be a list of files", action="!FileList [a.root, b.root]")
    twice = next((item for item in content if content.count(item) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice!r} is listed twice", action="list every file once")
    return tuple(content), ""


def _rucio(text: str) -> str:
    """A Rucio address, checked before anybody is asked: scope:name, once prefixed at most."""
    name = text.removeprefix("rucio://")
    body = name.split("?", 1)[0]
    if "://" in body:
        raise ConfigError(f"{text!r} has a prefix twice", action="write scope:name")
    scope, colon, rest = body.partition(":")
    if not colon or not scope or not rest:
        raise ConfigError(
            f"{text!r} names no scope", action="write scope:name, as user.jdoe:user.jdoe.sample"
        )
    return f"rucio://{name}"


def _pattern(text: str) -> tuple[tuple[str, ...], str]:
    if "://" not in text.removeprefix("root://") and text.startswith("root://"):
        return (text,), ""
    raise ConfigError(f"{text!r} is no pattern of XRootD", action="write root://host//path/*.root")

"""The run file: which analysis, on what, with which parameters, run how, written where.

Everything in it can be said by flags as well; defaults < run file < flags.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
)

from femtobarn.config.located import Located, load_file, load_text
from femtobarn.config.problems import Problems, shown
from femtobarn.config.words import sentence
from femtobarn.errors import nearest

__all__ = ["EXECUTORS", "Execution", "RunFile", "json_schema", "parse_run_file", "read_run_file",
           "resolve_files", "resolve_path"]  # fmt: skip

#: What may be asked for; whether an executor is installed here is the engine's to say.
EXECUTORS: Final = ("auto", "serial", "threads", "processes", "dask", "slurm", "htcondor", "pbs")
_INPUTS: Final = ("release", "fileset", "files")
_NAME: Final = re.compile(r"[A-Za-z0-9_.+-]+")
_NAMED: Final = re.compile(r"^([A-Za-z0-9_.+-]+)=(.+)$", re.DOTALL)
_TREE: Final = re.compile(r"^(.+\.(?:root|parquet|csv))(:[^/\\]+)?$", re.IGNORECASE | re.DOTALL)
_SIZE: Final = re.compile(r"^\s*([0-9]+(?:\.[0-9]*)?)\s*([A-Za-z]*)\s*$")
_UNITS: Final[Mapping[str, int]] = {
    "": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


def _count(value: Any) -> Any:
    """A whole number: ``1e6`` is one, ``true`` is not."""
    if isinstance(value, bool):
        raise ValueError(f"must be an integer, not {shown(value)}")  # noqa: TRY004 - pydantic wants ValueError
    return value


def _bytes(value: Any) -> Any:
    """Bytes from ``64MiB``, ``1.5 GB`` or a number."""
    match = _SIZE.match(value) if isinstance(value, str) else None
    if match is None:
        if isinstance(value, str):
            raise ValueError(f"must be a size like 64MiB, not {shown(value)}")
        return _count(value)
    units = {name.casefold(): factor for name, factor in _UNITS.items()}
    if match[2].casefold() not in units:
        near = nearest(match[2], _UNITS)
        hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
        raise ValueError(f"unknown unit {match[2]!r} of a size{hint}; units: {', '.join(list(_UNITS)[1:])}")
    return round(float(match[1]) * units[match[2].casefold()])


def _executor(value: Any) -> Any:
    if isinstance(value, str) and value not in EXECUTORS and not value.startswith(("dask://", "dask/")):
        near = nearest(value, EXECUTORS)
        hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
        raise ValueError(f"unknown executor {value!r}{hint}; known: {', '.join(EXECUTORS)}, dask://HOST:PORT")
    return value


def _files(value: Any) -> Any:
    """Files by dataset from what people write: a path, a list (``DATASET=GLOB`` as in flags) or a table."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple):
        found: dict[str, list[Any]] = {}
        for item in value:
            match = _NAMED.match(item) if isinstance(item, str) else None
            found.setdefault(match[1] if match else "data", []).append(match[2] if match else item)
        value = found
    if isinstance(value, Mapping):
        return {name: [item] if isinstance(item, str) else item for name, item in value.items()}
    raise ValueError(f"must be a path, a list of paths or a table of DATASET: paths, not {shown(value)}")


_TEXT_OR_LIST: Final = [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
Count = Annotated[int, Field(ge=1), BeforeValidator(_count)]
Size = Annotated[
    int, Field(ge=1), BeforeValidator(_bytes), WithJsonSchema({"type": ["integer", "string"], "minimum": 1})
]
Files = Annotated[
    dict[str, tuple[str, ...]],
    BeforeValidator(_files),
    WithJsonSchema(
        {"anyOf": [*_TEXT_OR_LIST, {"type": "object", "additionalProperties": {"anyOf": _TEXT_OR_LIST}}]}
    ),
]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Execution(_Strict):
    """How the work is done; none of it changes the result."""

    executor: Annotated[str, BeforeValidator(_executor)] = "auto"
    """auto, serial, threads, processes, dask, dask://HOST:PORT, slurm, htcondor or pbs."""
    workers: Count | None = None
    """Number of workers; without it, as many as there are processors."""
    part_events: Count | None = Field(
        default=None,
        validation_alias=AliasChoices("part_events", "chunk_size"),
        serialization_alias="part_events",
    )
    """Events in a part, exactly; without it parts follow the file's clusters."""
    part_bytes: Size | None = None
    """Most compressed bytes of needed columns in a part, for example 64MiB."""
    max_files: Count | None = None
    """First files of each dataset only."""
    max_events: Count | None = None
    """First events of each dataset only."""
    allow_missing: bool = False
    """End well although parts are missing; everything made then says so."""
    fresh: bool = False
    """Reuse nothing cached and replace an earlier run."""
    cache: Literal["outcomes", "columns"] | None = None
    """columns keeps what is read uncompressed, too, so that the next pass need not decompress it."""
    site: str | None = None
    """Where jobs go: a site that comes along, or a YAML file."""
    cores: Count | None = None
    """Cores of a job."""
    memory: str | None = None
    """Memory of a job, for example 2GiB."""
    disk: str | None = None
    """Scratch disk of a job, for example 2GiB."""
    walltime: str | None = None
    """Time limit of a job, for example 04:00:00 (in quotes)."""
    queue: str | None = None
    """Partition, queue or job flavour."""
    scaleout: Count | None = None
    """Number of workers or jobs."""
    adaptive: bool | None = None
    """Let a cluster grow with the work."""
    log_directory: str | None = None
    """Where jobs log."""
    dashboard_address: str | None = None
    """Of the Dask dashboard, [HOST:]PORT."""
    voms: str | None = None
    """Virtual organisation that the grid proxy must be of."""


class RunFile(_Strict):
    """A run file as understood: checked, frozen, files grouped by dataset."""

    analysis: str = Field(min_length=1)
    """Name of an installed analysis, or a Python file that defines one."""
    release: str | None = None
    """Public release to process; the same as the parameter of that name."""
    fileset: str | None = None
    """A coffea fileset JSON."""
    files: Files | None = None
    """Paths, globs or URLs: one, a list (dataset 'data', or DATASET=GLOB), or a table by dataset."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """The analysis' parameters, as --set gives them."""
    model: dict[str, Any] | None = None
    """Statistical model to build from the histograms."""
    execution: Execution = Field(default_factory=Execution)
    """How the work is done."""
    out: str | None = None
    """Run directory; without it runs/NAME-YYYYMMDD-HHMMSS."""

    _source: Located | None = PrivateAttr(default=None)
    _moved: dict[str, tuple[str, ...]] = PrivateAttr(default_factory=dict)

    def where(self, path: tuple[Any, ...] = ()) -> str:
        """``file:line`` where a setting was given, empty for one built in memory."""
        return "" if self._source is None else self._source.where(_placed(path, self._moved), of_value=True)

    def where_parameter(self, path: tuple[Any, ...] = ()) -> str:
        """``file:line`` of a parameter, empty if the file does not give it."""
        for length in range(len(path), 0, -1):  # a dotted name may reach into a table
            name = ".".join(map(str, path[:length]))
            if self._source is not None and name in self.parameters:
                return self.where(("parameters", name, *path[length:]))
        return ""

    @property
    def folder(self) -> Path | None:
        """Folder of the run file, None for one built in memory."""
        return None if self._source is None else Path(self._source.file).parent


def read_run_file(path: Path | str) -> RunFile:
    """Read and check a run file.

    Raises
    ------
    ConfigError
        Everything wrong with the file at once, each as ``file:line: path: message``.
    """
    return _understand(load_file(Path(path)))


def parse_run_file(text: str, *, file: str = "<text>") -> RunFile:
    """Check the text of a run file; as :func:`read_run_file`."""
    return _understand(load_text(text, file=file))


def _understand(source: Located) -> RunFile:
    moved: dict[str, tuple[str, ...]] = {}
    problems = Problems()
    if not isinstance(source.value, dict):
        got = "is empty" if source.value is None else f"holds {shown(source.value)}"
        problems.add(f"{got}: a run file is a table of name: value", where=source.where(),
                     action="begin with: analysis: h4l")  # fmt: skip
        problems.raise_if_any()
    # A name with nothing behind it leaves the default.
    raw = {key: value for key, value in source.value.items() if value is not None}
    _flatten_inputs(raw, moved, problems, source)
    if isinstance(raw.get("execution"), dict):
        raw["execution"] = {key: value for key, value in raw["execution"].items() if value is not None}
    _check_together(raw, moved, problems, source)
    try:
        run = RunFile.model_validate(raw)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            _report(item, moved, problems, source)
    problems.raise_if_any()
    run._source, run._moved = source, moved  # noqa: SLF001 - where a setting stands is set here only
    return run


def _flatten_inputs(
    raw: dict[Any, Any], moved: dict[str, tuple[str, ...]], problems: Problems, source: Located
) -> None:
    """Take ``release``, ``fileset`` and ``files`` out of a grouping ``inputs``."""
    inputs = raw.pop("inputs", None)
    if inputs is None:
        return
    if not isinstance(inputs, dict):
        problems.add(f"must be a table of {', '.join(_INPUTS)}, not {shown(inputs)}", path=("inputs",),
                     where=source.where(("inputs",), of_value=True))  # fmt: skip
        return
    for key, value in inputs.items():
        path = ("inputs", key)
        if key not in _INPUTS:
            problems.add("unknown key", path=path, where=source.where(path), near=nearest(str(key), _INPUTS),
                         action=f"inputs are {', '.join(_INPUTS)}")  # fmt: skip
        elif value is None:
            continue
        elif key in raw:
            first = source.line((key,))
            problems.add(f"is given twice (also on line {first}, outside of inputs)", path=path,
                         where=source.where(path), action="keep one")  # fmt: skip
        else:
            raw[key] = value
            moved[key] = path


def _check_together(
    raw: dict[Any, Any], moved: Mapping[str, tuple[str, ...]], problems: Problems, source: Located
) -> None:
    """Settings that exclude or repeat each other."""
    if raw.get("files") and raw.get("fileset"):
        path = _placed(("files",), moved)
        problems.add("files and fileset both say what to process", path=path, where=source.where(path),
                     action="keep one of files and fileset")  # fmt: skip
    parameters = raw.get("parameters")
    if "release" in raw and isinstance(parameters, dict):
        other = parameters.get("release", raw["release"])
        if other != raw["release"]:
            path = ("parameters", "release")
            problems.add(f"is {shown(other)}, but release is {shown(raw['release'])}", path=path,
                         where=source.where(path), action="keep one release")  # fmt: skip
    files = raw.get("files")
    if isinstance(files, list) and not all(isinstance(item, str) for item in files):
        for i, item in enumerate(files):
            if not isinstance(item, str):
                path = _placed(("files", i), moved)
                problems.add(f"must be a path, not {shown(item)}", path=path, where=source.where(path))
        del raw["files"]  # said; grouped by dataset its line would be lost
    for name in files if isinstance(files, dict) else ():
        if isinstance(name, str) and not _NAME.fullmatch(name):
            path = _placed(("files", name), moved)
            problems.add(f"{name!r} is no name for a dataset: letters, digits and _ . + - only", path=path,
                         where=source.where(path))  # fmt: skip


def _placed(path: tuple[Any, ...], moved: Mapping[str, tuple[str, ...]]) -> tuple[Any, ...]:
    """The path as the file writes it (``files`` may be ``inputs.files``)."""
    return (*moved[path[0]], *path[1:]) if path and path[0] in moved else path


def _report(item: Any, moved: Mapping[str, tuple[str, ...]], problems: Problems, source: Located) -> None:
    """Turn one of pydantic's errors into a problem."""
    loc = tuple(item["loc"])
    path = _placed(tuple(part for part in loc if part != "[key]"), moved)
    if item["type"] == "extra_forbidden":
        if loc == ("execution", "chunk_size"):
            problems.add("is another name of part_events, which is given as well", path=path,
                         where=source.where(path), action="keep one")  # fmt: skip
            return
        model, here = (Execution, "execution keys") if loc[0] == "execution" else (RunFile, "keys")
        known = [*model.model_fields, *(["inputs"] if model is RunFile else ["chunk_size"])]
        problems.add("unknown key", path=path, where=source.where(path),
                     near=nearest(str(loc[-1]), known), action=f"{here}: {', '.join(known)}")  # fmt: skip
    elif loc == ("analysis",) and item["type"] in ("missing", "string_too_short"):
        problems.add("is missing", path=path, where=source.where(path), action="say which: analysis: h4l")
    elif loc[-1:] == ("[key]",) or item["type"] == "invalid_key":
        problems.add(f"a name must be text, not {shown(item['input'])} (write it in quotes)",
                     path=path, where=source.where(path))  # fmt: skip
    else:
        problems.add(sentence(item), path=path, where=source.where(path, of_value=True))


def resolve_path(path: str, folder: Path | None) -> str:
    """A relative path or glob as it is from here, else from the run file's folder.

    URLs and absolute paths stay; so does what exists in neither place, for the reader to complain.
    A ``:TREE`` behind a file name is kept.
    """
    if path.startswith("fileset:") and folder is not None:
        return "fileset:" + resolve_path(path.removeprefix("fileset:").removeprefix("//"), folder)
    if "://" in path or folder is None or Path(path).expanduser().is_absolute() or path.startswith("~"):
        return path
    match = _TREE.match(path)
    name, tree = (match[1], match[2] or "") if match else (path, "")
    beside = str(folder / name)
    return beside + tree if not _exists(name) and _exists(beside) else path


def _exists(path: str) -> bool:
    try:
        if Path(path).exists():
            return True
        found = glob.iglob(path, recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
        return glob.has_magic(path) and next(found, None) is not None
    except (OSError, ValueError):  # a name the system refuses
        return False


def resolve_files(
    files: Mapping[str, tuple[str, ...]] | None, folder: Path | None
) -> dict[str, tuple[str, ...]]:
    """The run file's ``files`` with relative paths resolved by :func:`resolve_path`.

    Examples
    --------
    >>> resolve_files({"data": ("https://a.org/x.root",)}, Path("here"))
    {'data': ('https://a.org/x.root',)}
    """
    return {
        name: tuple(resolve_path(path, folder) for path in paths) for name, paths in (files or {}).items()
    }


def json_schema() -> dict[str, Any]:
    """JSON schema of run files, for editors that complete and check while typing."""
    schema = RunFile.model_json_schema()
    properties = schema["properties"]
    inputs = {key: properties[key] for key in _INPUTS}
    properties["inputs"] = {
        "type": "object", "additionalProperties": False, "properties": inputs,
        "description": "release, fileset and files may be grouped here.",
    }  # fmt: skip
    execution = schema["$defs"]["Execution"]["properties"]
    execution["chunk_size"] = {**execution["part_events"], "description": "Another name of part_events."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "femtobarn run file",
    }

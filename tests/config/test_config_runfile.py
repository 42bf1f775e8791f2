"""The run file: what it may say, and what is said about what it may not."""

from __future__ import annotations

import copy
import json
import textwrap

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from femtobarn.config import (
    Execution,
    RunFile,
    json_schema,
    parse_run_file,
    read_run_file,
    resolve_files,
    resolve_path,
)
from femtobarn.config.located import _Loader
from femtobarn.errors import ConfigError

FULL = """\
analysis: h4l
inputs:
  release: atlas-2020
  files:
    data: [a.root, "b*.root"]
    ZZ: zz.root
parameters:
  pt: 25
  xsec: {ZH: 0.4}
model:
  General: {POI: mu}
execution:
  executor: processes
  workers: 2
  chunk_size: 1e5
  part_bytes: 64MiB
  allow_missing: true
out: runs/mine
"""


def refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_run_file(textwrap.dedent(text), file="R.yaml")
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def test_a_full_run_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(FULL)
    run = read_run_file(path)
    assert run.analysis == "h4l"
    assert run.release == "atlas-2020"
    assert run.files == {"data": ("a.root", "b*.root"), "ZZ": ("zz.root",)}
    assert run.parameters == {"pt": 25, "xsec": {"ZH": 0.4}}
    assert run.model == {"General": {"POI": "mu"}}
    assert run.execution == Execution(
        executor="processes", workers=2, part_events=100_000, part_bytes=64 * 2**20, allow_missing=True
    )
    assert run.out == "runs/mine"
    assert run.folder == tmp_path
    assert run.where(("parameters", "pt")) == f"{path}:8"
    assert run.where_parameter(("xsec", "ZH")) == f"{path}:9"
    assert run.where_parameter(("mass",)) == ""
    assert run.where(("files", "ZZ")) == f"{path}:6"
    assert copy.deepcopy(run).where(("out",)) == f"{path}:18"


def test_a_short_run_file_has_the_defaults():
    run = parse_run_file("analysis: hyy\nparameters:\nexecution:\n  workers:\nfiles:\n")
    assert run.model_dump() == RunFile(analysis="hyy").model_dump()
    assert run.execution == Execution()
    assert RunFile(analysis="hyy").where(("analysis",)) == ""
    assert RunFile(analysis="hyy").folder is None


def test_run_files_are_frozen():
    with pytest.raises(ValidationError):
        parse_run_file("analysis: hyy").analysis = "h4l"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("x.root", {"data": ("x.root",)}),
        ("[x.root, y.root]", {"data": ("x.root", "y.root")}),
        ("[ZZ=x.root, ZZ=y.root, z.root]", {"ZZ": ("x.root", "y.root"), "data": ("z.root",)}),
        ("{ZZ: x.root, data: [y.root]}", {"ZZ": ("x.root",), "data": ("y.root",)}),
        ("https://a.org/x?b=c.root", {"data": ("https://a.org/x?b=c.root",)}),
    ],
)
def test_ways_to_name_files(files, expected):
    assert parse_run_file(f"analysis: h4l\nfiles: {files}").files == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [("64MiB", 67108864), ("1.5 GB", 1_500_000_000), ("2k" + "b", 2000), ("1000", 1000), (5, 5), ("7B", 7)],
)
def test_sizes(size, expected):
    assert (
        parse_run_file(f"analysis: h4l\nexecution: {{part_bytes: {size}}}").execution.part_bytes == expected
    )


@pytest.mark.parametrize("name", ["auto", "serial", "processes", "dask", "dask://host:8786", "slurm"])
def test_executors(name):
    assert parse_run_file(f"analysis: h4l\nexecution: {{executor: '{name}'}}").execution.executor == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: is empty: a run file is a table of name: value"),
        ("- h4l", "1: holds ['h4l']: a run file is a table of name: value"),
        ("out: x", "1: analysis: is missing"),
        ("out: x\nanalysis:", "2: analysis: is missing"),
        ("out: x\nanalysis: ''", "2: analysis: is missing"),
        ("analysis: 4", "1: analysis: must be text, not 4 (write it in quotes)"),
        ("analysis: a\nparmeters: {}", "2: parmeters: unknown key (did you mean 'parameters' or 'release'?)"),
        ("analysis: a\nzzzz: {}", "2: zzzz: unknown key"),
        ("analysis: a\n3: {}", "2: 3: a name must be text, not 3 (write it in quotes)"),
        ("analysis: a\nparameters: 3", "2: parameters: must be a table of name: value, not 3"),
        ("analysis: a\nparameters:\n  1: 3",
         "3: parameters[1]: a name must be text, not 1 (write it in quotes)"),
        ("analysis: a\nmodel: [x]", "2: model: must be a table of name: value, not ['x']"),
        ("analysis: a\ninputs: x", "2: inputs: must be a table of release, fileset, files, not 'x'"),
        ("analysis: a\ninputs:\n  file: x",
         "3: inputs.file: unknown key (did you mean 'files' or 'fileset'?)"),
        ("analysis: a\nfiles: x\ninputs:\n  files: x",
         "4: inputs.files: is given twice (also on line 2, outside of inputs)"),
        ("analysis: a\nfileset: f.json\nfiles: x", "3: files: files and fileset both say what to process"),
        ("analysis: a\nfiles: 3",
         "2: files: must be a path, a list of paths or a table of DATASET: paths, not 3"),
        ("analysis: a\nfiles:\n  - x\n  - 3", "4: files[1]: must be a path, not 3"),
        ("analysis: a\nfiles:\n  ZZ:\n  - x\n  - [y]", "5: files.ZZ[1]: must be text, not ['y']"),
        ("analysis: a\nfiles:\n  a/b: x",
         "3: files.a/b: 'a/b' is no name for a dataset: letters, digits and _ . + - only"),
        ("analysis: a\nrelease: x\nparameters:\n  release: y",
         "4: parameters.release: is 'y', but release is 'x'"),
        ("analysis: a\nexecution: fast", "2: execution: must be a table of name: value, not 'fast'"),
        ("analysis: a\nexecution:\n  wokers: 1",
         "3: execution.wokers: unknown key (did you mean 'workers' or 'cores'?)"),
        ("analysis: a\nexecution:\n  workers: true", "3: execution.workers: must be an integer, not true"),
        ("analysis: a\nexecution:\n  workers: 0", "3: execution.workers: must be >= 1, not 0"),
        ("analysis: a\nexecution:\n  workers:\n    two",
         "4: execution.workers: must be an integer, not 'two'"),
        ("analysis: a\nexecution:\n  max_events: 1.5",
         "3: execution.max_events: must be an integer, not 1.5"),
        ("analysis: a\nexecution:\n  chunk_size: x", "3: execution.chunk_size: must be an integer, not 'x'"),
        ("analysis: a\nexecution:\n  part_events: 1\n  chunk_size: 1",
         "4: execution.chunk_size: is another name of part_events, which is given as well"),
        ("analysis: a\nexecution:\n  part_bytes: lots",
         "3: execution.part_bytes: must be a size like 64MiB, not 'lots'"),
        ("analysis: a\nexecution:\n  part_bytes: 0", "3: execution.part_bytes: must be >= 1, not 0"),
        ("analysis: a\nexecution:\n  fresh: maybe", "3: execution.fresh: must be true or false, not 'maybe'"),
    ],
)  # fmt: skip
def test_one_mistake_one_line(text, message):
    assert refused(text)[0] == f"R.yaml:{message}"


def test_names_near_a_unit_and_an_executor():
    lines = refused("analysis: a\nexecution: {part_bytes: 3 MiBs,\n  executor: proceses}")
    assert lines[0].startswith(
        "R.yaml:2: execution.part_bytes: unknown unit 'MiBs' of a size (did you mean 'MiB'"
    )
    assert lines[1].startswith(
        "R.yaml:3: execution.executor: unknown executor 'proceses' (did you mean 'processes'?)"
    )


def test_all_mistakes_are_told_at_once_in_the_order_of_lines():
    lines = refused("""\
        relase: x
        execution:
          workers: two
          fresh: maybe
        out: 5
        """)
    assert lines == [
        "R.yaml:1: analysis: is missing",
        "R.yaml:1: relase: unknown key (did you mean 'release'?)",
        "R.yaml:3: execution.workers: must be an integer, not 'two'",
        "R.yaml:4: execution.fresh: must be true or false, not 'maybe'",
        "R.yaml:5: out: must be text, not 5 (write it in quotes)",
        "  -> say which: analysis: h4l",
        "  -> keys: analysis, release, fileset, files, parameters, model, execution, out, inputs",
    ]


def test_a_name_with_a_line_break_stays_on_one_line():
    assert refused('"a\\nb": 1\nanalysis: x') == [
        "R.yaml:1: 'a\\nb': unknown key",
        "  -> keys: analysis, release, fileset, files, parameters, model, execution, out, inputs",
    ]


def test_paths_from_here_then_from_the_run_file(tmp_path, monkeypatch):
    here, beside = tmp_path / "here", tmp_path / "beside"
    here.mkdir()
    beside.mkdir()
    monkeypatch.chdir(here)
    (here / "both.root").touch()
    for name in ("both.root", "only.root", "g1.root"):
        (beside / name).touch()
    assert resolve_path("both.root", beside) == "both.root"
    assert resolve_path("only.root", beside) == f"{beside}/only.root"
    assert resolve_path("only.root:tree", beside) == f"{beside}/only.root:tree"
    assert resolve_path("g*.root", beside) == f"{beside}/g*.root"
    assert resolve_path("b*.root", beside) == "b*.root"
    assert resolve_path("none.root", beside) == "none.root"
    assert resolve_path("only.root", None) == "only.root"
    for fixed in ("root://a.org//x.root", "/abs/x.root", "~/x.root"):
        assert resolve_path(fixed, beside) == fixed
    assert resolve_files({"a": ("both.root", "only.root")}, beside) == {
        "a": ("both.root", f"{beside}/only.root")
    }  # fmt: skip
    assert resolve_files(None, beside) == {}


def test_a_run_file_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("analysis: h4l\nfiles: none.root\n")
    run = read_run_file("run.yaml")
    assert resolve_files(run.files, run.folder) == {"data": ("none.root",)}


def test_the_schema_says_what_the_reader_accepts():
    schema = json_schema()
    json.dumps(schema, allow_nan=False)
    assert schema["required"] == ["analysis"]
    assert set(schema["properties"]) == {*RunFile.model_fields, "inputs"}
    assert set(schema["properties"]["inputs"]["properties"]) == {"release", "fileset", "files"}
    execution = schema["$defs"]["Execution"]["properties"]
    assert set(execution) == {*Execution.model_fields, "chunk_size"}
    assert all(item.get("description") for item in [*schema["properties"].values(), *execution.values()])


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (FULL, True),
        ("{analysis: h4l, files: x}", True),
        ("{analysis: h4l, execution: {part_bytes: 5, workers: 3}}", True),
        ("{files: x}", False),
        ("{analysis: h4l, file: x}", False),
        ("{analysis: h4l, files: {data: 3}}", False),
        ("{analysis: h4l, inputs: {file: x}}", False),
        ("{analysis: h4l, execution: {workers: 0}}", False),
    ],
)
def test_schema_and_reader_agree(text, valid):
    jsonschema = pytest.importorskip("jsonschema", reason="needs the jsonschema package to apply the schema")
    value = json.loads(json.dumps(yaml.safe_load(text.replace("1e5", "100000"))))
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(value) is valid
    if valid:
        parse_run_file(text)
    else:
        assert refused(text)


class Dumper(yaml.SafeDumper):
    """PyYAML takes ``1e5`` for text and would write the text "1e5" without quotes."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


COUNTS = st.none() | st.integers(1, 10**9)
NAMES = st.from_regex(r"\A[A-Za-z0-9_.+-]+\Z")
PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
TABLES = st.dictionaries(st.text(), PLAIN | st.lists(PLAIN, max_size=3), max_size=4)
RUNS = st.builds(
    RunFile,
    analysis=st.text(min_size=1),
    release=st.none() | st.text(),
    files=st.none() | st.dictionaries(NAMES, st.lists(st.text(), max_size=3).map(tuple), max_size=3),
    parameters=TABLES.filter(lambda table: "release" not in table),
    model=st.none() | TABLES,
    execution=st.builds(
        Execution, workers=COUNTS, part_events=COUNTS, part_bytes=COUNTS, max_files=COUNTS, max_events=COUNTS,
        fresh=st.booleans(),
    ),
    out=st.none() | st.text(),
)  # fmt: skip


@settings(deadline=None)
@given(RUNS, st.sampled_from(["yaml", "json"]))
def test_what_is_written_is_read_back(run, form):
    value = json.loads(json.dumps(run.model_dump()))
    text = yaml.dump(value, Dumper=Dumper) if form == "yaml" else json.dumps(value)
    assert parse_run_file(text).model_dump() == run.model_dump()


def outcome(text):
    try:
        return parse_run_file(text, file="R.yaml")
    except ConfigError as error:
        return error


WORDS = st.sampled_from([
    "analysis", "release", "fileset", "files", "inputs", "parameters", "model", "execution", "out", "workers",
    "chunk_size", "part_events", "part_bytes", "executor", "fresh", ":", ": ", "\n", "\n  ", "- ", "{",
    "}", "[", "]", ",",
    "&a ", "*a", "<<: *a", "!!int ", "!x ", "|\n", ">", "'", '"', "#", "\t", "---\n", "...", "? ", "h4l",
    "1", "1e5",
    "true", "~", ".nan", "64MiB", "a=b", "\\ud83d", "\r", "\x85", "%YAML 1.1\n", "0x", "=", "1:2", "0b_",
    "-.inf",
])  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(st.text() | st.lists(WORDS | st.text(max_size=2), max_size=30).map("".join))
def test_any_text_is_a_run_file_or_a_config_error(text):
    found = outcome(text)
    if not isinstance(found, RunFile):
        assert all(line.startswith(("R.yaml", "  -> ")) for line in str(found).split("\n"))


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from([*RunFile.model_fields, "inputs", "x"]) | st.integers(),
        st.recursive(
            PLAIN,
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*Execution.model_fields, "chunk_size", "files", "release", "data"])
                | st.integers() | st.none() | st.booleans() | st.floats(),
                inner, max_size=3,
            ),
            max_leaves=8,
        ),
        max_size=6,
    )
)  # fmt: skip
def test_any_value_is_a_run_file_or_a_config_error(value):
    found = outcome(yaml.safe_dump({"analysis": "h4l", **value}))
    assert isinstance(found, RunFile) or str(found).startswith("R.yaml:")

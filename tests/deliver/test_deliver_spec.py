"""Specifications and configurations of ServiceX: read unchanged, and every mistake named with its line."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from femtobarn.deliver.endpoints import find_endpoints
from femtobarn.deliver.spec import read_spec
from femtobarn.errors import ConfigError, UsageError


def write(folder, text, name="spec.yaml"):
    path = folder / name
    path.write_text(text)
    return path


def test_definitions_includes_and_what_is_excluded(tmp_path):
    write(tmp_path, '- &files [a.root, b.root]\n- &q !UprootRaw \'{"treename": "t"}\'\n', "common.yaml")
    write(tmp_path, "OutputFormat: parquet\nOutFilesetName: mine\n", "general.yaml")
    spec = read_spec(write(tmp_path, """
Definitions:
  !include common.yaml
General: !include general.yaml
Sample:
  - &first
    Name: one
    Dataset: !FileList [x.root]
    Query: *q
  - <<: *first
    Name: two
    Dataset: !FileList ["y.root", z.root]
    NFiles: 1
  - !exclude
    Name: gone
  - Name: three
    XRootDFiles: *files
    Query: *q
  - {Name: four, RucioDID: "user.me:sample", Query: *q}
  - {Name: five, Dataset: !CERNOpenData 1507, Query: *q, NFiles: 2}
"""))  # fmt: skip
    assert (spec.general.format, spec.general.name) == ("parquet", "mine")
    assert [(s.name, s.files, s.address, s.most) for s in spec.samples] == [
        ("one", ("x.root",), "", None),
        ("two", ("y.root", "z.root"), "", 1),
        ("three", ("a.root", "b.root"), "", None),
        ("four", (), "rucio://user.me:sample", None),
        ("five", (), "cernopendata://1507", 2),
    ]
    assert len({s.query.digest for s in spec.samples}) == 1


def test_every_mistake_at_once_with_its_line(tmp_path):
    path = write(tmp_path, """General:
  OutputFormt: parquet
  Delivery: Cache
Sample:
  - Name: a
    NFiles: 0
    RucioDID: abc
    Query: !FuncADL_Uproot "FromTree('t').Selct(lambda e: e.x)"
  - Name: a
    Dataset: !FileList [x]
    XRootDFiles: y
    Query: !UprootRaw '[{"treenam": "t"}]'
  - Name: b
    Dataset: !FileList [x]
    Query: !PythonFunction "def run(f): return 1"
  - Name: c
    Dataset: !FileList [x]
    Query: plain
""")  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        read_spec(path)
    text = str(caught.value)
    for line, says in (
        (2, "General.OutputFormt: is not a key here (did you mean 'OutputFormat'"),
        (3, "'Cache' is not one of LocalCache, URLs (did you mean 'LocalCache'"),
        (6, "NFiles: must be at least 1, not 0"),
        (7, "'abc' names no scope"),
        (8, "'Selct' is no operation of the query language (did you mean 'Select'"),
        (9, "has several datasets"),
        (12, "unknown key 'treenam' in the UprootRaw query (did you mean 'treename'"),
        (15, "defines no function run_query"),
        (18, "a plain text is of no language"),
    ):
        assert any(item.startswith(f"{path}:{line}: ") and says in item for item in text.splitlines()), says
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("General: {}\n", "must be a list of samples"),
        ("Sample: !include nowhere.yaml\n", "cannot include 'nowhere.yaml'"),
        ("Sample: !include spec.yaml\n", "files include each other"),
        ("Sample:\n  - !Evil x\n", "unknown tag '!Evil'"),
        ("Sample:\n  - !!python/object/apply:os.system ['x']\n", "unknown tag"),
        ("[1, 2]\n", "is no specification"),
    ],
)
def test_what_is_no_specification(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        read_spec(write(tmp_path, text))


def test_the_same_sample_twice():
    sample = {"Dataset": ["x"], "Codegen": "uproot"}
    queries = ["FromTree('t').Select(lambda e: e.a)", "FromTree('t').Select(lambda q: q['a'])"]
    samples = [{**sample, "Name": name, "Query": query} for name, query in zip("ab", queries, strict=True)]
    with pytest.raises(ConfigError, match="'a' and 'b' ask the same of the same files"):
        read_spec({"Sample": samples})
    samples[1] |= {"Name": "a", "Dataset": ["y"]}
    with pytest.raises(ConfigError, match="two samples have the Name 'a'"):
        read_spec({"Sample": samples})


@dataclass
class _Files:
    files: list[str]


@dataclass
class _Query:
    default_codegen: str = "uproot-raw"

    def generate_selection_string(self):
        return '[{"treename": "t", "cut": null, "expressions": ["a"]}]'


@dataclass
class _Sample:
    Name: str = "s"
    Dataset: _Files = field(default_factory=lambda: _Files(["x.root"]))
    Query: _Query = field(default_factory=_Query)
    NFiles: int | None = None
    IgnoreLocalCache: bool = False


def test_objects_shaped_like_the_official_client():
    general = SimpleNamespace(OutputFormat=SimpleNamespace(value="parquet"), Delivery="LocalCache")
    spec = read_spec(SimpleNamespace(General=general, Sample=[_Sample()]))
    assert spec.general.format == "parquet"
    assert spec.samples[0].files == ("x.root",)
    assert spec.samples[0].query.columns() == ["a"]


CONFIG = """
api_endpoints:
  - name: new
    endpoint: https://new.example
    token: secret
  - endpoint: http://127.0.0.1:1
    type: cms_run1_aod
default-endpoint: new
"""


def test_endpoints_by_name_and_in_old_files_by_type(tmp_path, monkeypatch, caplog):
    write(tmp_path, CONFIG, ".servicex")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    found = find_endpoints()
    assert found.choose(None).url == "https://new.example"
    assert found.choose("cms_run1_aod").url == "http://127.0.0.1:1"
    assert "'type' is of an older client" in caplog.text
    with pytest.raises(UsageError, match="there is no endpoint 'nwe'") as caught:
        found.choose("nwe")
    assert caught.value.near == ("new",)


def test_old_configuration_of_the_reference(shared):
    found = find_endpoints(shared("oracles/delivery/servicex.yaml"))
    assert [one.name for one in found.known] == ["uproot", "cms_run1_aod"]
    assert found.choose(None).name == "uproot"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\n", "lists no api_endpoints"),
        ("api_endpoints: [{name: x}]\n", "needs its address"),
        ("[]\n", "no config"),
    ],
)
def test_wrong_configurations(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        find_endpoints(write(tmp_path, text, "servicex.yaml"))

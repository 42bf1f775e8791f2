"""Text to values with lines: what YAML means, what we refuse, and on which line."""

from __future__ import annotations

import json
import textwrap

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from femtobarn.config import load_file, load_text
from femtobarn.config.located import _Loader
from femtobarn.errors import ConfigError

TEXT = """\
# comment
analysis: h4l
files:
  data:
    - a.root
    - b.root
execution: {workers: 2,
            executor: serial}
out:
  deep/folder
"""


@pytest.mark.parametrize(
    ("path", "line", "value_line"),
    [
        ((), 2, 2),
        (("analysis",), 2, 2),
        (("files",), 3, 4),
        (("files", "data"), 4, 5),
        (("files", "data", 1), 6, 6),
        (("execution", "workers"), 7, 7),
        (("execution", "executor"), 8, 8),
        (("out",), 9, 10),
    ],
)
def test_every_key_and_value_has_its_line(path, line, value_line):
    located = load_text(TEXT, file="R.yaml")
    assert located.lines[path] == line
    assert located.value_lines[path] == value_line
    assert located.where(path) == f"R.yaml:{line}"


def test_a_path_that_is_not_there_is_where_its_surroundings_are():
    located = load_text(TEXT, file="R.yaml")
    assert located.line(("execution", "wrokers", "deep")) == 7
    assert located.line(("nothing",)) == 2


def test_anchors_and_merge_keys():
    text = textwrap.dedent("""\
        base: &base {x: 1, y: 2}
        other: &other
          z: 3
          x: 9
        both:
          <<: [*base, *other]
          y: 5
        again: *base
        """)
    located = load_text(text)
    assert located.value == yaml.safe_load(text)
    assert located.value["both"] == {"x": 1, "y": 5, "z": 3}
    assert located.lines["both", "x"] == 1  # the line that says 1
    assert located.lines["both", "y"] == 7
    # An alias is blamed where it stands, its contents where they are written.
    assert located.line(("again",), of_value=True) == 8
    assert located.line(("again", "y"), of_value=True) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e5", 1e5), ("1.5e3", 1.5e3), ("-2E-3", -2e-3), (".5e1", 5.0), ("1e5x", "1e5x"), ("0x1f", 31),
        ("2016-05-01", "2016-05-01"), ("off", False), ("'off'", "off"), ("~", None), ("", None), ("=", "="),
        (".inf", float("inf")), ("1_000", 1000), ("a<b", "a<b"), ("2e2mu", "2e2mu"),
    ],
)  # fmt: skip
def test_plain_values(text, value):
    found = load_text(text).value
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "R.yaml:3: the key 'a' is given twice (first on line 1)"),
        ("x:\n- {b: 1,\n   b: 2}\n", "R.yaml:3: the key 'b' is given twice (first on line 2)"),
        ("{1: a, 0x1: b}", "R.yaml:1: the key 1 is given twice (first on line 1)"),
        ("a: 1\n\tb: 2\n", "R.yaml:2: is not valid YAML: a tab where YAML wants spaces"),
        ("a: b: c\n", "R.yaml:1: is not valid YAML: mapping values are not allowed here"),
        ("a: 1\nb: *nope\n", "R.yaml:2: is not valid YAML: found undefined alias 'nope'"),
        ("a: 1\n--- \nb: 1\n", "R.yaml:2: is not valid YAML: expected a single document in the stream"),
        ("a:\n  - &x [*x]\n", "R.yaml:2: a value contains itself by an alias"),
        ("a: &x {<<: *x}\n", "R.yaml:1: a value contains itself by an alias"),
        ("a: 1\nb: !!python/name:os.system x\n", "R.yaml:2: unknown tag '!!python/name:os.system'"),
        ("\n\nb: !!set {x}\n", "R.yaml:3: unknown tag '!!set'"),
        ("a: 1\n[1, 2]: b\n", "R.yaml:2: a name must be a plain value, not a list or mapping"),
        ("a: 1\n<<: 3\n", "R.yaml:2: '<<' merges mappings only"),
        ("a: 1\nb: !!int no\n", "R.yaml:2: 'no' is not a value of type int"),
        ("a: 1\nb: 0x_\n", "R.yaml:2: '0x_' is not a value of type int"),
        ("a: 1\nb: \x07\n", "R.yaml:2: holds a character that is not text"),
        ('a: 1\nb: "\\ud83d"\n', "R.yaml:2: holds half a character (a lone surrogate)"),
        ("[" * 1000, "R.yaml: is nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_refused_and_where(text, message):
    with pytest.raises(ConfigError) as caught:
        load_text(text, file="R.yaml")
    found = str(caught.value)
    assert message in found
    assert found.startswith("R.yaml:")
    assert caught.value.exit_code == 2


def test_keys_given_twice_are_listed_all_at_once():
    with pytest.raises(ConfigError) as caught:
        load_text("a: 1\na: 2\nb: {c: 1, c: 2}\n<<: {d: 1}\n<<: {d: 1}\n", file="R.yaml")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()[:3]] == [
        "R.yaml:2", "R.yaml:3", "R.yaml:5",
    ]  # fmt: skip


def test_aliases_of_aliases_end():
    levels = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ConfigError, match="too many values"):
        load_text("\n".join(levels))
    merges = ["a0: &a0 {x: 1}"]
    merges += [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40)]
    with pytest.raises(ConfigError, match="too many values"):
        load_text("\n".join(merges))


def test_json_with_tabs_and_surrogate_pairs_keeps_its_lines():
    value = {"analysis": "h4l", "parameters": {"note": "\U0001f600 tab\t", "cuts": [1, 2.5, None, True]}}
    located = load_text(json.dumps(value, indent="\t"))
    assert located.value == value
    assert located.lines["parameters", "cuts", 1] == 7


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_count_with_any_line_end(end):
    assert load_text(f"a: 1{end}b: 2{end}c: 3").lines["c",] == 3


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "run.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError) as caught:
        load_file(tmp_path / "run.yaml")
    assert str(caught.value) == f"{tmp_path}/run.yaml:2: is not UTF-8 text"
    with pytest.raises(ConfigError) as caught:
        load_file(tmp_path / "rum.yaml")
    assert str(caught.value) == f"{tmp_path}/rum.yaml: no such file (did you mean 'run.yaml'?)"
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_file(tmp_path)
    with pytest.raises(ConfigError):
        load_file(tmp_path / "a\0b")
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert load_file(tmp_path / "bom.yaml").value == {"a": 1}


class Dumper(yaml.SafeDumper):
    """PyYAML takes ``1e5`` for text and would write the text "1e5" without quotes."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(VALUES, st.booleans())
def test_yaml_comes_back(value, flow):
    text = yaml.dump(value, Dumper=Dumper, default_flow_style=flow)
    assert load_text(text).value == value


@settings(deadline=None)
@given(VALUES, st.booleans())
def test_json_comes_back(value, ascii_only):
    text = json.dumps([value], indent="\t", ensure_ascii=ascii_only)
    # Keys beyond 1024 characters are not YAML; hypothesis does not make them.
    assert load_text(text).value == json.loads(text)


@settings(deadline=None)
@given(VALUES)
def test_every_value_has_a_line_and_lines_grow(value):
    located = load_text(yaml.dump(value, Dumper=Dumper, default_flow_style=False, sort_keys=False))

    def walk(item, path):
        yield path
        if isinstance(item, dict):
            for key, inner in item.items():
                yield from walk(inner, (*path, key))
        elif isinstance(item, list):
            for i, inner in enumerate(item):
                yield from walk(inner, (*path, i))

    paths = list(walk(value, ()))
    assert set(paths) == set(located.lines) == set(located.value_lines)
    lines = [located.lines[path] for path in paths]
    assert lines == sorted(lines)
    assert all(located.value_lines[path] >= located.lines[path] for path in paths)

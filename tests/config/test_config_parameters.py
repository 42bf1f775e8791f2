"""Parameters: how settings are read, what is refused in which words, and what help screens are told."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from femtobarn.config import (
    ParameterHelp,
    describe,
    parse_run_file,
    parse_settings,
    read_parameters,
    validate_parameters,
)
from femtobarn.errors import ConfigError


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Search(Frozen):
    width: float = Field(1.0, gt=0, description="Width of a bin.", json_schema_extra={"unit": "GeV"})
    mode: Literal["fast", "full"] = "fast"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def _even(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} is odd")
    return value


class Cuts(Frozen):
    pt: float = Field(10.0, ge=0, lt=1000, description="Least pT.", json_schema_extra={"unit": "GeV"})
    number: int = 3
    even: Annotated[int, AfterValidator(_even)] = 2
    sfos: bool = True
    name: str = "x"
    mask: str | None = None
    path: Path | None = None
    window: tuple[float, float] = (50.0, 106.0)
    jets: list[str] = []
    edges: tuple[float, ...] = ()
    crack: Literal["on", "off"] = "on"
    release: Literal["2016", "2020"] = "2016"
    order: Literal[1, 2] = 1
    mu: float | tuple[float, float] | None = None
    width: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    xsec: dict[str, float] = {"ZH": 0.1, "ggH": 2.0}
    deep: dict[str, dict[str, int]] = {}
    search: Search = Search()
    colour: Colour = Colour.RED
    anything: Any = None


NAMES = list(Cuts.model_fields)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("pt=25", 25.0), ("pt=1e2", 100.0), ("pt= 25 ", 25.0), ("number=1e3", 1000), ("number=1_000", 1000),
        ("sfos=false", False), ("sfos=off", False), ("sfos=1", True),
        ("name=abc", "abc"), ("name=12", "12"), ("name=true", "true"), ("name=a=b", "a=b"), ("name=", ""),
        ("name='12'", "12"), ("name=a #b", "a #b"), ("name=[", "["), ("name=a: b", "a: b"),
        ("name=1,2", "1,2"),
        ("name=null", "null"), ("mask=null", None), ("mask=", None), ("mask=f.json", "f.json"),
        ("path=a/b.json", Path("a/b.json")),
        ("window=60,120", (60.0, 120.0)), ("window=[60, 120]", (60.0, 120.0)), ("window= 60 , 1e2 ",
        (60.0, 100.0)),
        ("jets=a,b", ["a", "b"]), ("jets=a", ["a"]), ("jets=", []), ("jets=1,true", ["1", "true"]),
        ("jets=[a, 'b,c']", ["a", "b,c"]), ("edges=1,2,3", (1.0, 2.0, 3.0)), ("edges=7", (7.0,)),
        ("crack=off", "off"), ("crack='on'", "on"), ("release=2020", "2020"), ("order=2", 2),
        ("mu=1.5", 1.5), ("mu=0,2", (0.0, 2.0)), ("mu=null", None), ("width=auto", "auto"), ("width=2", 2.0),
        ("xsec={ZH: 1}", {"ZH": 1.0}), ("xsec.ZH=0.4", {"ZH": 0.4, "ggH": 2.0}),
        ("xsec.a.b=3", {"ZH": 0.1, "ggH": 2.0, "a.b": 3.0}), ("deep.a.b=3", {"a": {"b": 3}}),
        ("search.width=5", Search(width=5)), ("search={mode: full}", Search(mode="full")),
        ("colour=blue", Colour.BLUE), ("anything={a: [1, x]}", {"a": [1, "x"]}), ("anything=0x10", 16),
    ],
)  # fmt: skip
def test_a_setting_means(setting, expected):
    name = setting.partition("=")[0].partition(".")[0]
    found = getattr(read_parameters(Cuts, {}, [setting]), name)
    assert found == expected
    assert type(found) is type(expected)


def test_later_settings_win_and_the_run_file_is_below_them():
    values = parse_settings(Cuts, {"pt": 1, "number": 5}, ["pt=2", "pt=3"])
    assert values == {"pt": 3, "number": 5}


def test_dotted_names_keep_the_rest_of_the_table():
    given_values = {"xsec": {"WH": 1.0}, "xsec.ttH": 4}
    found = read_parameters(Cuts, given_values, ["xsec.ZH=0.4", "search.width=2", "search.mode=full"])
    assert found.xsec == {"WH": 1.0, "ttH": 4.0, "ZH": 0.4}
    assert found.search == Search(width=2, mode="full")
    assert given_values == {"xsec": {"WH": 1.0}, "xsec.ttH": 4}
    assert Cuts().xsec == {"ZH": 0.1, "ggH": 2.0}
    assert parse_settings(Cuts, {}, ["xsec.ZH=1", "xsec={a: 2}", "xsec.b=3"]) == {"xsec": {"a": 2, "b": 3}}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("ptt=3", "ptt: unknown parameter (did you mean 'pt' or 'path'?)"),
        ("search.widht=3", "search.widht: unknown parameter (did you mean 'width'?)"),
        ("pt.x=3", "pt: is no table: it takes number"),
        ("xsec.=3", "xsec: ends with a dot"),
        ("pt", "'pt' is not NAME=VALUE (did you mean 'pt' or 'path'?)"),
        ("=3", "'=3' is not NAME=VALUE"),
        ("pt=abc", "pt: must be a number, not 'abc'"),
        ("pt=-1", "pt: must be >= 0, not -1"),
        ("pt=1000", "pt: must be < 1000, not 1000"),
        ("pt=.nan", "pt: must be a number, not nan"),
        ("pt=true", "pt: must be a number, not true"),
        ("pt=1,2", "pt: must be a number, not '1,2'"),
        ("number=2.5", "number: must be an integer, not 2.5"),
        ("number=true", "number: must be an integer, not true"),
        ("number=.inf", "number: must be a finite number, not inf"),
        ("even=3", "even: 3 is odd"),
        ("sfos=maybe", "sfos: must be true or false, not 'maybe'"),
        ("window=1", "window: takes number,number, not [1]"),
        ("window=1,2,3", "window: takes number,number, not [1, 2, 3]"),
        ("window=1,x", "window[1]: must be a number, not 'x'"),
        ("jets={a: b}", "jets: must be a list, not {a: 'b'}"),
        ("crack=of", "crack: 'of' is not one of 'on', 'off' (did you mean 'off' or 'on'?)"),
        ("release=2021", "release: 2021 is not one of '2016', '2020' (did you mean '2020' or '2016'?)"),
        ("colour=blu", "colour: 'blu' is not one of 'red', 'blue' (did you mean 'blue'?)"),
        ("mu=x", "mu: takes number or number,number, not 'x'"),
        ("width=atuo", "width: takes auto or number, not 'atuo' (did you mean 'auto'?)"),
        ("width=-1", "width: must be > 0, not -1"),
        ("xsec.ZH=x", "xsec.ZH: must be a number, not 'x'"),
        ("xsec=3", "xsec: must be a table of name: value, not 3"),
        ("search=3", "search: must be a table of name: value, not 3"),
        ("search={widht: 1}", "search.widht: unknown parameter (did you mean 'width'?)"),
        ("search.mode=ful", "search.mode: 'ful' is not one of 'fast', 'full' (did you mean 'full'?)"),
    ],
)
def test_a_wrong_setting_is_told(setting, message):
    with pytest.raises(ConfigError) as caught:
        read_parameters(Cuts, {}, [setting])
    assert str(caught.value).splitlines()[0] == f"--set {setting}: {message}"
    assert caught.value.exit_code == 2


def test_unknown_names_list_the_declared_ones():
    with pytest.raises(ConfigError) as caught:
        parse_settings(Search, {"widht": 1}, ["mod=fast"], origin={"widht": "R.yaml:4"})
    assert str(caught.value).splitlines() == [
        "--set mod=fast: mod: unknown parameter (did you mean 'mode'?)",
        "R.yaml:4: widht: unknown parameter (did you mean 'width'?)",
        "  -> declared: width, mode",
    ]


def test_all_problems_at_once_with_the_lines_of_the_run_file():
    run = parse_run_file(
        "analysis: mine\nparameters:\n  pt: high\n  number: 7\n  nunber: 7\n  xsec:\n    ZH: 1\n    WH: x\n"
        "  search.width: 0\n  window: [1,\n    y]\n  sfos: 5\n",
        file="R.yaml",
    )
    with pytest.raises(ConfigError) as caught:
        read_parameters(Cuts, run.parameters, ["crack=of", "sfos=true"], where=run.where_parameter)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("--set crack=of: crack: 'of' is not one of")
    assert lines[1:-1] == [
        "R.yaml:3: pt: must be a number, not 'high'",
        "R.yaml:5: nunber: unknown parameter (did you mean 'number'?)",
        "R.yaml:8: xsec.WH: must be a number, not 'x'",
        "R.yaml:9: search.width: must be > 0, not 0",
        "R.yaml:11: window[1]: must be a number, not 'y'",
    ]
    assert lines[-1].startswith("  -> declared: pt, number,")


def test_choices_survive_what_yaml_makes_of_them():
    run = parse_run_file("analysis: mine\nparameters: {crack: off, release: 2020, order: 2}")
    found = read_parameters(Cuts, run.parameters)
    assert (found.crack, found.release, found.order) == ("off", "2020", 2)


def test_validation_alone_tells_where():
    with pytest.raises(ConfigError) as caught:
        validate_parameters(Cuts, {"pt": -1, "nmae": "x"}, where=lambda path: f"R.yaml:{len(path)}")
    assert str(caught.value).splitlines()[:2] == [
        "R.yaml:1: pt: must be >= 0, not -1",
        "R.yaml:1: nmae: unknown parameter (did you mean 'name' or 'number' or 'mask'?)",
    ]
    assert validate_parameters(Cuts, {"pt": 3}) == Cuts(pt=3)


class Needy(Frozen):
    mass: float
    extra: str = "a"


def test_a_required_parameter():
    with pytest.raises(ConfigError) as caught:
        read_parameters(Needy, {}, [])
    assert str(caught.value) == "mass: is missing\n  -> give it: --set mass=VALUE"
    assert describe(Needy)[0] == ParameterHelp("mass", "number", "", required=True)


def test_a_rule_between_parameters():
    from pydantic import model_validator

    class Ordered(Frozen):
        low: float = 1
        high: float = 2

        @model_validator(mode="after")
        def _ordered(self):
            if self.low >= self.high:
                raise ValueError("low must be below high")
            return self

    with pytest.raises(ConfigError, match=r"^low must be below high$"):
        read_parameters(Ordered, {}, ["low=5"])


def test_help_says_what_the_model_declares():
    found = {item.name: item for item in describe(Cuts)}
    assert found["pt"] == ParameterHelp("pt", "number", "10.0", (), "GeV", "Least pT.", ">= 0, < 1000")
    assert found["crack"] == ParameterHelp("crack", "on|off", "on", ("on", "off"))
    assert found["search.width"] == ParameterHelp(
        "search.width", "number", "1.0", (), "GeV", "Width of a bin.", "> 0"
    )
    assert {name: item.type for name, item in found.items()} == {
        "pt": "number", "number": "integer", "even": "integer", "sfos": "true|false", "name": "text",
        "mask": "text", "path": "file", "window": "number,number", "jets": "text,...", "edges": "number,...",
        "crack": "on|off", "release": "2016|2020", "order": "1|2", "mu": "number or number,number",
        "width": "auto or number", "xsec": "table of number", "deep": "table of table of integer",
        "search.width": "number", "search.mode": "fast|full", "colour": "red|blue", "anything": "any",
    }  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(
    st.builds(
        Cuts,
        pt=st.floats(0, 999),
        number=st.integers(),
        sfos=st.booleans(),
        window=st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)),
        edges=st.lists(st.floats(allow_nan=False, allow_infinity=False)).map(tuple),
        crack=st.sampled_from(["on", "off"]),
        release=st.sampled_from(["2016", "2020"]),
        mu=st.none() | st.floats(allow_nan=False) | st.tuples(st.floats(0, 1), st.floats(0, 1)),
        jets=st.lists(st.from_regex(r"\A[a-z0-9_*.]+\Z"), max_size=3),
        name=st.from_regex(r"\A[A-Za-z0-9_./*-]+\Z"),
        search=st.builds(Search, width=st.floats(0.001, 100), mode=st.sampled_from(["fast", "full"])),
    )
)
def test_what_help_shows_can_be_typed_back(cuts):
    """The default as help shows it, given by ``--set``, is the default."""
    shown = type("Shown", (Cuts,), {})
    for name in NAMES:
        shown.model_fields[name].default = getattr(cuts, name)
    flags = [
        f"{item.name}={item.default}"
        for item in describe(shown)
        if not item.name.startswith("search.") and item.default
    ]
    found = read_parameters(Cuts, {}, flags).model_dump()
    assert found == cuts.model_dump() | {"search": Search().model_dump()}


def outcome(values, flags):
    try:
        return read_parameters(Cuts, values, flags)
    except ConfigError as error:
        return error


TEXTS = st.text() | st.sampled_from(
    ["1", "a,b", "[1, 2]", "{a: 1}", "true", "null", ".nan", "1e400", "-", "{", "&a [*a]"]
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from([*NAMES, "xsec.a", "deep.a", "deep.a.b", "search.width", "x", ""]), TEXTS)
    )
)
def test_any_settings_are_parameters_or_a_config_error(pairs):
    found = outcome({}, [f"{name}={text}" for name, text in pairs])
    assert isinstance(found, Cuts) or "--set" in str(found)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*NAMES, "xsec.a"]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=6,
)))  # fmt: skip
def test_any_values_are_parameters_or_a_config_error(values):
    assert isinstance(outcome(values, []), Cuts | ConfigError)

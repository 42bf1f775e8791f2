from __future__ import annotations

import contextlib
import copy
import json

import pytest

from femtobarn.errors import ConfigError, DataError, FemtobarnError, UsageError
from femtobarn.stats import Model, read_workspace, write_workspace
from femtobarn.stats.histfactory.workspace_reader import parse_workspace, read_workspace_file


@pytest.fixture
def document():
    return {
        "version": "1.0.0",
        "channels": [
            {
                "name": "sr",
                "samples": [
                    {
                        "name": "sig",
                        "data": [5.0, 4.0],
                        "modifiers": [{"name": "mu", "type": "normfactor", "data": None}],
                    },
                    {
                        "name": "bkg",
                        "data": [50.0, 60.0],
                        "modifiers": [
                            {"name": "x", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}},
                            {
                                "name": "sh",
                                "type": "histosys",
                                "data": {"hi_data": [52, 61], "lo_data": [48, 59]},
                            },
                            {"name": "st", "type": "staterror", "data": [1.0, 2.0]},
                        ],
                    },
                ],
            }
        ],
        "observations": [{"name": "sr", "data": [55, 63]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
    }


def problems(document):
    with pytest.raises(ConfigError) as error:
        parse_workspace(document)
    assert error.value.exit_code == 2
    return str(error.value)


def test_reading_back_gives_the_identical_likelihood(document, tmp_path):
    model = Model(parse_workspace(document))
    write_workspace(model.workspace, tmp_path / "w.json")
    again = read_workspace(tmp_path / "w.json")
    assert again.names == model.names
    assert again.twice_nll(model.init) == model.twice_nll(model.init)
    write_workspace(again.workspace, tmp_path / "v.json")
    assert (tmp_path / "v.json").read_bytes() == (tmp_path / "w.json").read_bytes()


def test_every_violation_is_named_by_its_pointer(document):
    bad = copy.deepcopy(document)
    sample = bad["channels"][0]["samples"][1]
    sample["modifiers"][0]["data"]["hi"] = -0.5
    sample["modifiers"][1]["data"]["lo_data"] = [48]
    sample["modifiers"][2]["type"] = "stateror"
    bad["channels"][0]["samples"][0]["data"][1] = float("nan")
    bad["observations"][0]["dat"] = [1]
    text = problems(bad)
    assert "/channels/0/samples/1/modifiers/0/data/hi: a normsys factor must be above zero" in text
    assert "/channels/0/samples/1/modifiers/1/data/lo_data: has 1 bins, its sample has 2" in text
    assert "unknown modifier 'stateror' (did you mean 'staterror'" in text
    assert "/channels/0/samples/0/data/1: must be finite, not nan" in text
    assert "/observations/0/dat: unknown key (did you mean 'data'?)" in text


def test_zero_normsys_and_missing_keys(document):
    document["channels"][0]["samples"][1]["modifiers"][0]["data"] = {"hi": 0.0}
    text = problems(document)
    assert "must be above zero, not 0" in text
    assert "'lo' is missing" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["observations"].clear(), "must not be empty"),
        (
            lambda d: d["observations"][0].update(name="srr"),
            "channel 'sr' has no observation (did you mean 'srr'?)",
        ),
        (lambda d: d["observations"][0].update(data=[1.0]), "has 1 bins, its channel has 2"),
        (lambda d: d["channels"].append(d["channels"][0]), "two channels 'sr'"),
        (lambda d: d["channels"][0]["samples"].append(d["channels"][0]["samples"][0]), "two samples 'sig'"),
        (
            lambda d: d["measurements"][0]["config"].update(poi="mo"),
            "no parameter 'mo' in the model (did you mean 'mu'?)",
        ),
        (lambda d: d["measurements"].append(d["measurements"][0]), "two measurements 'm'"),
        (
            lambda d: d["channels"][0]["samples"][0]["modifiers"].append(
                {"name": "mu", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
            ),
            "'mu' is a normsys here and a normfactor elsewhere",
        ),
        (
            lambda d: d["channels"][0]["samples"][1]["modifiers"].append(
                {"name": "x", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
            ),
            "normsys 'x' is there twice",
        ),
        (
            lambda d: d["channels"][0]["samples"][1]["modifiers"].append(
                {"name": "lumi", "type": "lumi", "data": None}
            ),
            "needs its auxdata and sigmas",
        ),
        (lambda d: d.update(version="2.0.0"), "not a version this reads"),
        (lambda d: d["observations"][0]["data"].__setitem__(0, -3), "cannot be negative"),
        (lambda d: d["observations"][0]["data"].__setitem__(0, "3"), "must be a number, not a string"),
        (
            lambda d: d["channels"][0]["samples"][1]["modifiers"][2]["data"].__setitem__(0, -1),
            "cannot be negative",
        ),
    ],
)
def test_bad_workspaces_are_refused_in_words(document, change, words):
    change(document)
    assert words in problems(document)


def test_settings_that_do_not_fit_their_parameter(document):
    document["measurements"][0]["config"]["parameters"] = [
        {"name": "mu", "inits": [1.0, 2.0]},
        {"name": "x", "factors": [1.0]},
    ]
    workspace = parse_workspace(document)
    with pytest.raises(ConfigError) as error:
        Model(workspace)
    assert "'mu' has 1 values, its inits has 2" in str(error.value)


def test_a_file_that_is_not_there_or_not_json(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_workspace(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text('{"channels": [\n,]}')
    with pytest.raises(ConfigError, match=r"broken\.json:2"):
        read_workspace_file(tmp_path / "broken.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ConfigError, match="must be an object, not an array"):
        read_workspace_file(tmp_path / "list.json")


def test_measurement_and_interpolation_by_name(document):
    workspace = parse_workspace(document)
    with pytest.raises(UsageError, match="no measurement 'n'"):
        Model(workspace, measurement="n")
    with pytest.raises(UsageError, match="no interpolation 'code5'"):
        Model(workspace, interp={"normsys": "code5"})
    with pytest.raises(UsageError, match="'histosis' is not interpolated"):
        Model(workspace, interp={"histosis": "code0"})


def test_an_absent_or_empty_poi_is_a_model_for_fits_only(document):
    for config in ({"parameters": []}, {"poi": "", "parameters": []}):
        document["measurements"][0]["config"] = config
        model = Model(parse_workspace(document))
        assert model.poi is None
        with pytest.raises(UsageError, match="no parameter of interest"):
            model.poi_index()


def test_names_may_hold_anything_and_vectors_are_numbered(document):
    document["channels"][0]["samples"][1]["modifiers"][0]["name"] = "b-tag NP 1, up+down"
    model = Model(parse_workspace(document))
    assert model.names == ("sh", "mu", "b-tag NP 1, up+down", "st[0]", "st[1]")
    assert model.indices("st") == [3, 4]
    with pytest.raises(UsageError, match="there is no parameter 'stt'"):
        model.index("stt")


def test_a_point_or_data_of_wrong_length_is_refused(document):
    model = Model(parse_workspace(document))
    with pytest.raises(UsageError, match="5 numbers"):
        model.expected([1.0])
    with pytest.raises(UsageError, match="2 bins"):
        model.twice_nll(model.init, data=[1.0, 2.0, 3.0])


def test_json_of_a_workspace_is_strict(document):
    json.dumps(parse_workspace(document).to_json(), allow_nan=False)


def test_every_kind_of_problem_is_reported_at_once(document):
    document["channels"][0]["samples"][0]["modifiers"].append({"name": "x", "type": "foo", "data": None})
    document["channels"][0]["samples"][0]["data"].append(1.0)
    document["measurements"][0]["config"]["poi"] = "nothing"
    document["observations"][0]["name"] = "elsewhere"
    with pytest.raises(ConfigError) as caught:
        parse_workspace(document)
    text = str(caught.value)
    for words in ("unknown modifier 'foo'", "bins", "no parameter 'nothing'", "no channel 'elsewhere'"):
        assert words in text


def _places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*path, key))


@pytest.mark.parametrize("bad", [None, [], {}, "text", -1.0, float("nan"), True])
def test_anything_anywhere_is_a_workspace_or_an_answer(document, bad):
    for path in list(_places(document))[1:]:
        broken = json.loads(json.dumps(document))
        parent = broken
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = bad
        with contextlib.suppress(FemtobarnError):
            Model(parse_workspace(broken))

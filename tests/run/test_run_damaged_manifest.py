"""A manifest that was damaged, or edited into something else, is refused in words."""

from __future__ import annotations

import json

import pytest

from femtobarn import api
from femtobarn.errors import FemtobarnError


@pytest.fixture(scope="module")
def manifest(toy_folder, tmp_path_factory):
    """A finished run, and its manifest."""
    run = tmp_path_factory.mktemp("whole") / "run"
    request = api.Request(what=str(toy_folder / "toy.py"), files=[f"data={toy_folder}/data_a.root"],
                          out=str(run), executor="serial")  # fmt: skip
    api.run(request, process_only=True)
    return run, (run / "manifest.json").read_text()


def damages(text):
    """Keys gone, and values of another kind: (what, the manifest)."""
    for outer in ("", "config", "execution", "ledger"):
        for name in json.loads(text)[outer] if outer else json.loads(text):
            for value in ("gone", 3, []):
                raw = json.loads(text)
                place = raw[outer] if outer else raw
                if value == "gone":
                    del place[name]
                else:
                    place[name] = value
                yield f"{outer}.{name}: {value}", raw


def test_any_key_gone_or_of_another_kind(manifest):
    run, text = manifest
    refused = 0
    for what, raw in damages(text):
        (run / "manifest.json").write_text(json.dumps(raw))
        try:
            api.status(run)
            api.resume(run, executor="serial")
        except FemtobarnError:
            refused += 1
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            pytest.fail(f"{what}: {type(error).__name__}: {error}")
    assert refused > 50


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", '{"analysis": 1}', "{" * 2000, "\x00"])
def test_no_manifest_at_all(manifest, text):
    run, _ = manifest
    (run / "manifest.json").write_text(text)
    with pytest.raises(FemtobarnError, match=r"manifest.json: (is damaged|cannot be read)|not in parts"):
        api.status(run)

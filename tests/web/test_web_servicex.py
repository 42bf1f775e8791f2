"""ServiceX's protocol, with the official client where there is one and by hand where there is not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

pytest.importorskip("fastapi", reason="needs the extra web")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra web")
httpx = pytest.importorskip("httpx")

from femtobarn.deliver.requests import Rules  # noqa: E402
from femtobarn.web.servicex import create_servicex  # noqa: E402

SELECTION = (
    "(Select (call EventDataset 'bogus.root' 'mini') "
    "(lambda (list e) (dict (list 'pt') (list (attr e 'pt')))))"
)
CODE = "def run_query(f):\n    return []\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("inputs")
    for number in range(2):
        pt = ak.Array([[1.5, 2.5], [], [3.0 + number]])
        with uproot.recreate(place / f"in{number}.root") as file:
            file.mktree("mini", {"pt": pt.type.content, "n": np.int32}).extend(
                {"pt": pt, "n": np.array([2, 0, 1], dtype=np.int32)}
            )
    return place


@pytest.fixture
def url(folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = create_servicex(Rules((folder.resolve(),)))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(500):
        if server.started:
            break
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)
    app.state.requests.close()


def body(*files, **changes):
    return {
        "title": "t", "file-list": [str(file) for file in files], "selection": SELECTION, "codegen": "uproot",
        "result-destination": "object-store", "result-format": "parquet", **changes,
    }  # fmt: skip


def finished(url, content):
    name = httpx.post(f"{url}/servicex/transformation", json=content).json()["request_id"]
    for _ in range(1500):
        status = httpx.get(f"{url}/servicex/transformation/{name}").json()
        if status["status"] in ("Complete", "Fatal", "Canceled", "Bad Dataset"):
            return name, status
        time.sleep(0.02)
    pytest.fail("the request does not end")


def test_a_request_from_end_to_end(url, folder, tmp_path):
    info = httpx.get(f"{url}/servicex").json()
    assert set(info["code-gen-image"]) == {"uproot", "uproot-raw", "python"}
    assert "poll_local_transformation_results" in info["capabilities"]
    name, status = finished(url, body(folder / "in0.root", folder / "in1.root"))
    assert (status["status"], status["files"], status["files-completed"], status["files-failed"]) == (
        "Complete",
        2,
        2,
        0,
    )
    results = httpx.get(f"{url}/servicex/transformation/{name}/results").json()["results"]
    assert len(results) == 2
    listing = httpx.get(f"{url}/{name}", params={"list-type": "2"}).text
    for number, result in enumerate(results):
        address = f"{url}/{name}/{result['s3-object-name']}"
        whole = httpx.get(address)
        assert (
            len(whole.content) == result["total-bytes"] == int(httpx.head(address).headers["content-length"])
        )
        part = httpx.get(address, headers={"Range": "bytes=4-9"})
        assert (part.status_code, part.content) == (206, whole.content[4:10])
        assert f"<Key>{result['s3-object-name']}</Key>" in listing
        (tmp_path / "x.parquet").write_bytes(whole.content)
        assert ak.from_parquet(tmp_path / "x.parquet").pt.tolist() == [[1.5, 2.5], [], [3.0 + number]]
    assert [one["request_id"] for one in httpx.get(f"{url}/servicex/transformation").json()["requests"]] == [
        name
    ]
    assert httpx.delete(f"{url}/servicex/transformation/{name}").status_code == 200
    assert httpx.get(f"{url}/servicex/transformation/{name}").status_code == 404


def test_one_failed_file_makes_it_fatal(url, folder):
    _, status = finished(url, body(folder / "in0.root", folder / "in9.root"))
    assert (status["status"], status["files-completed"], status["files-failed"]) == ("Fatal", 1, 1)
    assert "in9.root: no such file" in status["failure-info"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"file-list": ["/etc/passwd"]}, "outside of the folders"),
        ({"file-list": ["{folder}/../x.root"]}, "outside of the folders"),
        ({"file-list": ["{folder}/*.root"]}, "patterns of local files are not read"),
        ({"file-list": ["ftp://a/b.root"]}, "addresses of this kind are not read"),
        ({"file-list": [], "did": "fileset:/etc/x.json"}, "datasets of this kind are not looked up"),
        ({"file-list": []}, "either did or file-list"),
        ({"codegen": "python", "selection": CODE}, "Python code is not run here"),
        ({"codegen": "atlasr22"}, "there is no code generator"),
        ({"result-format": "csv"}, "there is no result format"),
        ({"selection": "(Select (call EventDataset 'x' 'mini') 1)"}, "takes a lambda"),
        ({"selection": "(Launch 1)"}, "no operation of qastle"),
    ],
)
def test_what_is_refused(url, folder, changes, says):
    content = body(folder / "in0.root", **changes)
    content["file-list"] = [name.replace("{folder}", str(folder)) for name in content["file-list"]]
    answer = httpx.post(f"{url}/servicex/transformation", json=content)
    assert answer.status_code == 400
    assert says in answer.json()["message"]


def test_a_link_out_of_the_folder_is_refused(url, folder):
    link = folder / "link.root"
    link.symlink_to("/etc/hostname")
    answer = httpx.post(f"{url}/servicex/transformation", json=body(link))
    link.unlink()
    assert answer.status_code == 400


def test_other_names_of_this_machine_are_refused(url):
    assert httpx.get(f"{url}/servicex", headers={"Host": "evil.example:80"}).status_code == 403


def test_garbage_is_an_answer(url):
    post = f"{url}/servicex/transformation"
    assert httpx.post(post, content=b"{").status_code == 400
    assert httpx.post(post, content=b"[]").status_code == 400
    assert httpx.get(f"{url}/nobucket").status_code == 404
    assert httpx.get(f"{url}/nobucket/..%2F..%2Fetc%2Fpasswd").status_code == 404


@pytest.fixture(scope="session")
def client_python(tmp_path_factory):
    """A Python that has the official client: named, this one, or (in CI) one made for it.

    The client needs 36 packages and older ones than ours: it gets an environment of its own.
    """
    named = os.environ.get("FEMTOBARN_SERVICEX_PYTHON")
    candidates = [named] if named else [sys.executable]
    for candidate in candidates:
        if not subprocess.run(
            [candidate, "-c", "import servicex"], capture_output=True, check=False
        ).returncode:
            return candidate
    if not os.environ.get("CI"):
        pytest.skip(
            "needs the official client: set FEMTOBARN_SERVICEX_PYTHON to a Python that has servicex 3.3"
        )
    place = tmp_path_factory.mktemp("client") / "venv"
    made = subprocess.run([sys.executable, "-m", "venv", str(place)], capture_output=True, check=False)
    python = str(place / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "servicex==3.3.*"]
    if made.returncode or subprocess.run(install, capture_output=True, check=False, timeout=300).returncode:
        pytest.skip("the official client cannot be installed here (no network?)")
    return python


CLIENT = """
import json, sys
from servicex import dataset, deliver, query

files, config = json.loads(sys.argv[1]), sys.argv[2]
found = {}
for kind in ("parquet", "root-ttree"):
    for delivery in ("LocalCache", "URLs"):
        asked = {
            "General": {"OutputFormat": kind, "Delivery": delivery},
            "Sample": [
                {"Name": "adl", "Dataset": dataset.FileList(list(files)),
                 "Query": query.FuncADL_Uproot().FromTree("mini").Select(lambda e: {"pt": e.pt})},
                {"Name": "raw", "Dataset": dataset.FileList(list(files)),
                 "Query": query.UprootRaw([{"treename": "mini", "expressions": ["n"], "cut": "n > 0"}])},
            ],
        }
        result = deliver(asked, config_path=config, progress_bar="none")
        found[f"{kind} {delivery}"] = {name: sorted(paths) for name, paths in result.items()}
bad = {"General": {"OutputFormat": "parquet"}, "Sample": [
    {"Name": "bad", "Dataset": dataset.FileList([files[0], files[0] + "x"]),
     "Query": query.UprootRaw([{"treename": "mini", "expressions": ["n"]}])}]}
try:
    found["bad"] = list(deliver(bad, config_path=config, progress_bar="none")["bad"])
except Exception as error:
    found["raised"] = type(error).__name__
print("ANSWER" + json.dumps(found))
"""


def test_the_official_client(url, folder, tmp_path, client_python):
    config = tmp_path / "servicex.yaml"
    endpoint = f"  - name: here\n    endpoint: {url}\n    token: anything\n"
    config.write_text(f"api_endpoints:\n{endpoint}cache_path: {tmp_path}/cache\n")
    (tmp_path / "client.py").write_text(CLIENT)
    files = json.dumps([str(folder / "in0.root"), str(folder / "in1.root")])
    ended = subprocess.run(
        [client_python, str(tmp_path / "client.py"), files, str(config)], capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    lines = [line for line in ended.stdout.splitlines() if line.startswith("ANSWER")]
    assert lines, ended.stderr[-2000:]
    found = json.loads(lines[0].removeprefix("ANSWER"))
    assert found.pop("raised") == "ReturnValueException"
    for what, samples in found.items():
        for name, paths in samples.items():
            assert len(paths) == 2
            column = "pt" if name == "adl" else "n"
            values = []
            for path in paths:
                place = Path(path)
                if path.startswith("http"):
                    place = tmp_path / "fetched"
                    place.write_bytes(httpx.get(path).content)
                array = (
                    ak.from_parquet(place) if "parquet" in what else uproot.open(place)["servicex"].arrays()
                )
                values += array[column].tolist()
            assert values == (
                [[1.5, 2.5], [], [3.0], [1.5, 2.5], [], [4.0]] if name == "adl" else [2, 1, 2, 1]
            )

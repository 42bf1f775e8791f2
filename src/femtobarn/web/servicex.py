"""ServiceX's protocol in front of the engine of this machine, for its unmodified client.

What a ServiceX server offers, as far as the client uses it: requests, their status and results, and an S3
store that holds the outputs (one bucket a request, path style).  It listens on loopback only: there is no
password.
"""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse

import femtobarn
from femtobarn.deliver.requests import Output, Rules, Transformation, Transformations
from femtobarn.errors import FemtobarnError

__all__ = ["create_servicex"]

_IMAGES: Final = {"uproot": "femtobarn", "uproot-raw": "femtobarn", "python": "femtobarn"}
_MOST_BODY: Final = 10_000_000
_LONG: Final = 365 * 24 * 3600
_HOSTS: Final = re.compile(r"^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$")


def create_servicex(rules: Rules, *, workers: int | None = None) -> FastAPI:
    """The application.

    Parameters
    ----------
    rules : what requests may read and run
    workers : processes of a delivery
    """
    requests = Transformations(rules, workers=workers)
    app = FastAPI(title="femtobarn servicex", version=femtobarn.__version__, docs_url=None, redoc_url=None,
                  openapi_url=None)  # fmt: skip
    app.state.requests = requests

    @app.middleware("http")
    async def _local(request: Request, call: Any) -> Response:
        # A page in a browser that points its own name at this machine must not reach it.
        if not _HOSTS.match(request.headers.get("host", "")):
            return JSONResponse({"message": "only for this machine"}, 403)
        answer: Response = await call(request)
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    @app.exception_handler(FemtobarnError)
    async def _refused(_: Request, error: FemtobarnError) -> JSONResponse:
        return JSONResponse({"message": str(error)}, 400)

    _add_requests(app, requests)
    _add_datasets(app, requests)
    _add_store(app, requests)
    return app


def _missing(what: str) -> JSONResponse:
    return JSONResponse({"message": f"{what} not found"}, 404)


def _add_requests(app: FastAPI, requests: Transformations) -> None:
    """Requests: submitted, watched, cancelled, forgotten."""

    @app.get("/servicex")
    def info() -> dict[str, Any]:
        return {"app-version": f"femtobarn-{femtobarn.__version__}", "code-gen-image": _IMAGES,
                "capabilities": ["poll_local_transformation_results", "long_sample_titles_1024"]}  # fmt: skip

    @app.post("/token/refresh")
    def refresh() -> dict[str, str]:
        return {"access_token": _token()}

    @app.post("/servicex/transformation")
    async def submit(request: Request) -> Response:
        content = await request.body()
        if len(content) > _MOST_BODY:
            return JSONResponse({"message": "the request is too long"}, 413)
        try:
            body = json.loads(content)
        except ValueError:
            return JSONResponse({"message": "the request is not JSON"}, 400)
        if not isinstance(body, dict):
            return JSONResponse({"message": "the request is no object"}, 400)
        return JSONResponse({"request_id": requests.submit(body).id})

    @app.get("/servicex/transformation")
    def listed(request: Request) -> dict[str, Any]:
        return {"requests": [one.describe(request.url.netloc) for one in requests.listed()]}

    @app.get("/servicex/transformation/{name}")
    def status(name: str, request: Request) -> Response:
        one = requests.get(name)
        return _missing(name) if one is None else JSONResponse(one.describe(request.url.netloc))

    @app.get("/servicex/transformation/{name}/results")
    def results(name: str) -> Response:
        one = requests.get(name)
        if one is None:
            return _missing(name)
        # later_than is a hint to save bytes; all results are always told, and the client knows which it has.
        return JSONResponse({"results": [_result(one, output) for output in one.outputs]})

    @app.get("/servicex/transformation/{name}/cancel")
    def cancel(name: str) -> Response:
        if requests.get(name) is None:
            return _missing(name)
        requests.cancel(name)
        return JSONResponse({"message": f"Canceled transformation request {name}"})

    @app.delete("/servicex/transformation/{name}")
    def delete(name: str) -> Response:
        if requests.get(name) is None:
            return _missing(name)
        requests.delete(name)
        return JSONResponse({"message": f"Deleted transformation request {name}"})


def _result(one: Transformation, output: Output) -> dict[str, Any]:
    return {
        "request_id": one.id, "transform_status": "success", "s3-object-name": output.name,
        "created_at": output.created.replace(tzinfo=None).isoformat(), "total-bytes": output.size,
        "total-events": 0, "file-path": str(output.path),
    }  # fmt: skip


def _add_datasets(app: FastAPI, requests: Transformations) -> None:
    """What requests have asked of; nothing is kept of a dataset but its request."""

    def described(one: Transformation) -> dict[str, Any]:
        at = one.submitted.isoformat()
        return {
            "id": one.number, "name": one.did or "File List Provided in Request", "did_finder": "femtobarn",
            "n_files": one.files, "size": 0, "events": 0, "last_used": at, "last_updated": at,
            "lookup_status": "does_not_exist" if one.status == "Bad Dataset" else "complete",
            "is_stale": False, "files": [],
        }  # fmt: skip

    @app.get("/servicex/datasets")
    def datasets() -> dict[str, Any]:
        return {"datasets": [described(one) for one in requests.listed()]}

    @app.get("/servicex/datasets/{number}")
    def dataset(number: int) -> Response:
        one = next((one for one in requests.listed() if one.number == number), None)
        return _missing(f"dataset {number}") if one is None else JSONResponse(described(one))

    @app.delete("/servicex/datasets/{number}")
    def delete(number: int) -> Response:
        known = any(one.number == number for one in requests.listed())
        return JSONResponse({"dataset-id": number, "stale": True}) if known else _missing(f"dataset {number}")


def _add_store(app: FastAPI, requests: Transformations) -> None:
    """The outputs, as S3 offers them: bucket = request, HEAD, GET with ranges, list."""

    def found(bucket: str, name: str) -> Output | None:
        one = requests.get(bucket)
        return None if one is None else next((o for o in one.outputs if o.name == name), None)

    @app.get("/{bucket}")
    def listing(bucket: str) -> Response:
        one = requests.get(bucket)
        if one is None:
            return _no_key("NoSuchBucket", bucket)
        items = "".join(
            f"<Contents><Key>{escape(o.name)}</Key><LastModified>{_zulu(o)}</LastModified>"
            f"<ETag>&quot;{_tag(o.path)}&quot;</ETag><Size>{o.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for o in one.outputs
        )
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{escape(bucket)}</Name><Prefix></Prefix><KeyCount>{one.completed}</KeyCount>"
            f"<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{items}</ListBucketResult>"
        )
        return Response(text, media_type="application/xml")

    @app.api_route("/{bucket}/{name}", methods=["GET", "HEAD"])
    def item(bucket: str, name: str) -> Response:
        output = found(bucket, name)
        if output is None or not output.path.is_file():
            return _no_key("NoSuchKey", name)
        return FileResponse(
            output.path, media_type="application/octet-stream",
            headers={"ETag": f'"{_tag(output.path)}"', "Accept-Ranges": "bytes"},
        )  # fmt: skip


def _no_key(code: str, name: str) -> Response:
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Key>{escape(name)}</Key></Error>'
    )
    return Response(text, 404, media_type="application/xml")


def _tag(path: Path) -> str:
    """Changes with the file; S3's own is a hash of its content, but nobody compares."""
    status = path.stat()
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"


def _zulu(output: Output) -> str:
    return output.created.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _token() -> str:
    """A token in the form clients read their expiry from; it grants nothing."""

    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    now = int(time.time())
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part({'iat': now, 'exp': now + _LONG})}.{part({})}"

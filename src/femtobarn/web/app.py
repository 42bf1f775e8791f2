"""The reference-run page and its JSON interface.

Everything is read once at the start (and again when a file changes); no request writes anything.
"""

from __future__ import annotations

import csv
import io
import threading
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import jinja2
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

import femtobarn
from femtobarn.api.refrun.overlay import overlay_svg
from femtobarn.api.refrun.records import LoadedRecords, RecordSources, load_records
from femtobarn.api.refrun.verbs import SuggestRequest, answer_question, question_of
from femtobarn.errors import FemtobarnError, UsageError

__all__ = ["create_app"]

_SCHEMA: Final = 1
#: Which parameter of the interface a flag in an error message belongs to.
_FIELDS: Final = {"--reco": "reco", "--class": "class", "--protocol": "protocol", "--history": "history",
                  "--top": "top", "--embargo": "embargo", "--order": "order", "--list": "list", "RUN": "run",
                  "--why-not": "why_not"}  # fmt: skip
_CHOICES: Final = {
    "recos": ("express", "prompt", "rereco", "rerecoul"),
    "classes": ("", "collisions", "cosmics", "HI"),
    "protocols": ("run-ordered+express", "run-ordered", "embargo", "append", "append-embargo"),
    "histories": ("latest", "model"),
    "orders": ("history", "physics"),
}
#: Nothing from elsewhere, no scripts at all.
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


class _Records:
    """The records, read again when a source has changed."""

    def __init__(self, sources: RecordSources) -> None:
        self.sources = sources
        self._lock = threading.Lock()
        self._stamp = self._now()
        self._loaded = load_records(sources)

    def _now(self) -> tuple[Any, ...]:
        stamps: list[Any] = []
        for name in (self.sources.pairs, self.sources.runs, self.sources.lumisections, self.sources.store):
            path = Path(name) if name else None
            # A store in use grows its log before the file itself.
            for item in (path, path.with_name(path.name + "-wal") if path else None):
                found = item.stat() if item is not None and item.is_file() else None
                stamps.append((found.st_mtime_ns, found.st_size) if found else None)
        return tuple(stamps)

    def get(self) -> LoadedRecords:
        with self._lock:
            stamp = self._now()
            if stamp != self._stamp:
                self._loaded = load_records(self.sources)
                self._stamp = stamp
            return self._loaded


def _request(
    run: int,
    reco: str,
    run_class: str,
    protocol: str,
    history: str,
    top: int,
    order: str,
    why_not: int | None,
) -> tuple[int, SuggestRequest]:
    if top > 500:
        raise UsageError(f"{top} references are more than 500", where="--top")
    return run, SuggestRequest(
        reco=reco, run_class=run_class or None, protocol=protocol, history=history, top=top, order=order,
        why_not=() if why_not is None else (why_not,),
    )  # fmt: skip


def create_app(sources: RecordSources) -> FastAPI:
    """The application; sources are read before it answers anything.

    Raises
    ------
    FemtobarnError
        If a source is missing or wrong.
    """
    records = _Records(sources)
    # The first figure takes seconds (fonts, drawing library): do that before anybody waits for it.
    threading.Thread(target=overlay_svg, args=(records.get(), 0, ()), daemon=True).start()
    app = FastAPI(title="femtobarn refrun", version=femtobarn.__version__, docs_url=None, redoc_url=None,
                  description="Reference runs for certification: ranked, explained, read-only.")  # fmt: skip
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("femtobarn.web", "templates"), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip

    @app.middleware("http")
    async def _headers(request: Request, call: Any) -> Response:
        answer: Response = await call(request)
        answer.headers["Content-Security-Policy"] = _POLICY
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        detail = [{"field": str(item["loc"][-1]), "message": str(item["msg"])} for item in error.errors()]
        return JSONResponse({"detail": detail}, 422)

    @app.exception_handler(FemtobarnError)
    async def _known(_: Request, error: FemtobarnError) -> JSONResponse:
        if isinstance(error, UsageError):
            field = _FIELDS.get(error.where or "", error.where or "")
            return JSONResponse({"detail": [{"field": field, "message": str(error)}]}, 422)
        return JSONResponse({"detail": [{"field": "", "message": str(error)}]}, 500)

    def answer(
        run: int,
        reco: str,
        run_class: str,
        protocol: str,
        history: str,
        top: int,
        order: str,
        why_not: int | None,
    ) -> dict[str, Any]:
        number, request = _request(run, reco, run_class, protocol, history, top, order, why_not)
        loaded = records.get()
        return {"schema_version": _SCHEMA, **answer_question(question_of(number, request), loaded).to_json()}

    @app.get("/", include_in_schema=False)
    def _home() -> RedirectResponse:
        return RedirectResponse("/refrun")

    @app.get("/api/v1/refrun/health")
    def health() -> dict[str, Any]:
        """How much is known."""
        loaded = records.get()
        lumi = loaded.lumisections
        return {
            "status": "ok",
            "version": femtobarn.__version__,
            "pairs": len(loaded.records.pairs),
            "runs": len(loaded.records.runs),
            "lumisections": 0 if lumi is None else len(lumi),
        }

    @app.get("/api/v1/refrun/suggest")
    def suggest(
        run: Annotated[int, Query(gt=0, description="run number")],
        reco: Annotated[str, Query(description="express, prompt, rereco or rerecoul")] = "express",
        run_class: Annotated[
            str, Query(alias="class", description="collisions, cosmics or HI; overrides the records")
        ] = "",
        protocol: Annotated[str, Query(description="what of the past may be used")] = "run-ordered+express",
        history: Annotated[str, Query(description="latest or model")] = "latest",
        top: Annotated[int, Query(ge=1, le=500, description="how many references")] = 10,
        order: Annotated[str, Query(description="history or physics")] = "history",
        why_not: Annotated[int | None, Query(gt=0, description="why is this run not first?")] = None,
    ) -> dict[str, Any]:
        """Ranked references for a run: the content of ``suggest.json``."""
        return answer(run, reco, run_class, protocol, history, top, order, why_not)

    @app.get("/refrun/overlay.svg")
    def overlay(
        run: Annotated[int, Query(gt=0)],
        ref: Annotated[str, Query(max_length=200)] = "",
        quantity: Annotated[str, Query()] = "luminosity",
    ) -> Response:
        """Luminosity (or pileup) of a run and of references ``ref=A,B`` against time."""
        if quantity not in ("luminosity", "pileup"):
            raise UsageError(f"{quantity!r} is neither luminosity nor pileup", where="quantity")
        words = [word for word in ref.split(",") if word.strip()]
        if not all(word.strip().isdigit() for word in words):
            raise UsageError(f"{ref!r} is no list of runs", where="ref")
        loaded = records.get()
        svg = overlay_svg(loaded, run, [int(word) for word in words[:10]], quantity)
        return Response(svg, media_type="image/svg+xml")

    @app.get("/refrun.csv", include_in_schema=False)
    def download(
        run: Annotated[int, Query(gt=0)],
        reco: str = "express",
        run_class: Annotated[str, Query(alias="class")] = "",
        protocol: str = "run-ordered+express",
        history: str = "latest",
        top: Annotated[int, Query(ge=1, le=500)] = 10,
        order: str = "history",
    ) -> Response:
        found = answer(run, reco, run_class, protocol, history, top, order, None)
        headers = {
            "Content-Disposition": f'attachment; filename="refrun-{run}-{found["target"]["reco"]}.csv"'
        }
        return Response(_csv(found), media_type="text/csv", headers=headers)

    @app.get("/refrun", response_class=HTMLResponse, include_in_schema=False)
    def page(request: Request) -> HTMLResponse:
        return _page(pages, request, answer, records.get())

    return app


def _csv(found: dict[str, Any]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("rank", "reference", "reco", "history_rank", "history_score", "physics_rank",
                     "physics_distance", "flags", "reasons"))  # fmt: skip
    for c in found["candidates"]:
        row = (c["rank"], c["reference"], c["reco"], c["history"]["rank"], c["history"]["score"],
               c["physics"]["rank"], c["physics"]["distance"], " ".join(c["flags"]),
               "; ".join(c["history"]["reasons"]))  # fmt: skip
        writer.writerow(["" if cell is None else cell for cell in row])
    return out.getvalue()


def _page(pages: jinja2.Environment, request: Request, answer: Any, loaded: LoadedRecords) -> HTMLResponse:
    """The page: a form, and below it the answer or what is wrong with the question."""
    asked = request.query_params
    values = {name: asked.get(name, default).strip() for name, default in (
        ("run", ""), ("reco", "express"), ("class", ""), ("protocol", "run-ordered+express"),
        ("history", "latest"), ("top", "10"), ("order", "history"), ("why_not", ""),
    )}  # fmt: skip
    found, problem, status = None, "", 200
    if values["run"]:
        try:
            numbers = {name: _whole(values[name], name) for name in ("run", "top", "why_not")}
            found = answer(
                numbers["run"], values["reco"], values["class"], values["protocol"], values["history"],
                numbers["top"] or 10, values["order"], numbers["why_not"],
            )  # fmt: skip
        except FemtobarnError as error:
            problem, status = str(error), 422 if isinstance(error, UsageError) else 500
    profile = None
    if found is not None and loaded.lumisections is not None:
        drawn = [c["reference"] for c in found["candidates"][:3]]
        profile = ",".join(map(str, drawn))
    content = pages.get_template("refrun.html").render(
        values=values,
        found=found,
        problem=problem,
        choices=_CHOICES,
        profile=profile,
        query=urlencode({name: value for name, value in values.items() if value}),
        pairs=len(loaded.records.pairs),
        runs=len(loaded.records.runs),
        toy=loaded.origin == "toy",
        version=femtobarn.__version__,
    )
    return HTMLResponse(content, status)


def _whole(text: str, name: str) -> int | None:
    if not text:
        return None
    if not text.isdigit() or len(text) > 9 or int(text) == 0:
        raise UsageError(
            f"{text[:40]!r} is no number of a run" if name != "top" else f"{text[:40]!r} is no number",
            where=name,
        )
    return int(text)

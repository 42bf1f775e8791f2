"""The web application: one router a page, and what holds for all of them.

Everything is read once at the start (and again when a file changes); no request writes anything.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

import femtobarn
from femtobarn.api.refrun.overlay import overlay_svg
from femtobarn.api.refrun.records import RecordSources
from femtobarn.errors import FemtobarnError
from femtobarn.web.mistakes import Mistake, mistake_of, mistakes_in
from femtobarn.web.records import CurrentRecords
from femtobarn.web.refrun import refrun_router

__all__ = ["create_app"]

#: Nothing from elsewhere, no scripts at all.
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


def create_app(sources: RecordSources) -> FastAPI:
    """The application; sources are read before it answers anything.

    Raises
    ------
    FemtobarnError
        If a source is missing or wrong.
    """
    records = CurrentRecords(sources)
    # The first figure takes seconds (fonts, drawing library): do that before anybody waits for it.
    threading.Thread(target=overlay_svg, args=(records.get(), 0, ()), daemon=True).start()
    app = FastAPI(title="femtobarn refrun", version=femtobarn.__version__, docs_url=None, redoc_url=None,
                  description="Reference runs for certification: ranked, explained, read-only.")  # fmt: skip
    app.include_router(refrun_router(records))

    @app.middleware("http")
    async def _headers(request: Request, call: Any) -> Response:
        answer: Response = await call(request)
        answer.headers["Content-Security-Policy"] = _POLICY
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return _refusal(mistakes_in(error.errors()))

    @app.exception_handler(FemtobarnError)
    async def _known(_: Request, error: FemtobarnError) -> JSONResponse:
        return _refusal([mistake_of(error)])

    return app


def _refusal(mistakes: list[Mistake]) -> JSONResponse:
    return JSONResponse({"detail": [mistake.to_json() for mistake in mistakes]}, mistakes[0].status)

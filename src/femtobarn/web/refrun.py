"""The reference-run page and its JSON interface, as one router: four addresses that answer one question."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import jinja2
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

import femtobarn
from femtobarn.api.refrun.overlay import overlay_svg
from femtobarn.api.refrun.records import LoadedRecords
from femtobarn.api.refrun.verbs import SuggestRequest, answer_question, question_of
from femtobarn.errors import FemtobarnError, UsageError
from femtobarn.web.mistakes import Mistake, mistake_of, mistakes_in
from femtobarn.web.records import CurrentRecords

__all__ = ["Asked", "refrun_router"]

_SCHEMA: Final = 1
#: References whose profile is drawn with the run's.
_DRAWN: Final = 3
_CHOICES: Final = {
    "recos": ("express", "prompt", "rereco", "rerecoul"),
    "classes": ("", "collisions", "cosmics", "HI"),
    "protocols": ("run-ordered+express", "run-ordered", "embargo", "append", "append-embargo"),
    "histories": ("latest", "model"),
    "orders": ("history", "physics"),
}
#: An empty field of the form is one that was not filled in; a space is a plus sign that was not escaped.
_Text = Annotated[str, BeforeValidator(lambda value: str(value).strip().replace(" ", "+"))]
_Run = Annotated[int, Field(gt=0, lt=10**9)]
_NoRun = Annotated[_Run | None, BeforeValidator(lambda value: None if str(value).strip() == "" else value)]


class Asked(BaseModel):
    """Parameters of the page, of the interface and of the downloads."""

    model_config = ConfigDict(populate_by_name=True)

    run: Annotated[_Run, Field(description="run number")]
    reco: Annotated[_Text, Field(description="express, prompt, rereco or rerecoul")] = "express"
    run_class: Annotated[
        _Text, Field(alias="class", description="collisions, cosmics or HI; overrides the records")
    ] = ""
    protocol: Annotated[_Text, Field(description="what of the past may be used")] = "run-ordered+express"
    history: Annotated[_Text, Field(description="latest or model")] = "latest"
    order: Annotated[_Text, Field(description="history or physics")] = "history"
    top: Annotated[int, Field(ge=1, le=500, description="how many references")] = 10
    why_not: Annotated[_NoRun, Field(description="why is this run not first?")] = None

    def request(self) -> SuggestRequest:
        """As the verb wants it."""
        return SuggestRequest(
            reco=self.reco, run_class=self.run_class or None, protocol=self.protocol, history=self.history,
            top=self.top, order=self.order, why_not=() if self.why_not is None else (self.why_not,),
        )  # fmt: skip


def refrun_router(records: CurrentRecords) -> APIRouter:
    """Pages and interface on some records; nothing is written."""
    router = APIRouter()
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("femtobarn.web", "templates"), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip

    @router.get("/", include_in_schema=False)
    def home() -> RedirectResponse:
        return RedirectResponse("/refrun")

    @router.get("/api/v1/refrun/health")
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

    @router.get("/api/v1/refrun/suggest")
    def suggest(asked: Annotated[Asked, Query()]) -> dict[str, Any]:
        """Ranked references for a run: the content of ``suggest.json``."""
        return _answer(asked, records.get())

    @router.get("/refrun/overlay.svg")
    def overlay(
        run: Annotated[int, Query(gt=0)],
        ref: Annotated[str, Query(max_length=200)] = "",
        quantity: Annotated[str, Query()] = "luminosity",
    ) -> Response:
        """Luminosity (or pileup) of a run and of references ``ref=A,B`` against time."""
        if quantity not in ("luminosity", "pileup"):
            raise UsageError(f"{quantity!r} is neither luminosity nor pileup", where="quantity")
        words = [word.strip() for word in ref.split(",") if word.strip()]
        if not all(word.isascii() and word.isdigit() for word in words):
            raise UsageError(f"{ref!r} is no list of runs", where="ref")
        svg = overlay_svg(records.get(), run, [int(word) for word in words[:10]], quantity)
        return Response(svg, media_type="image/svg+xml")

    @router.get("/refrun.csv", include_in_schema=False)
    def download(asked: Annotated[Asked, Query()]) -> Response:
        found = _answer(asked, records.get())
        name = f"refrun-{asked.run}-{found['target']['reco']}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(_csv(found), media_type="text/csv", headers=headers)

    @router.get("/refrun", response_class=HTMLResponse, include_in_schema=False)
    def page(request: Request) -> HTMLResponse:
        return _page(pages.get_template("refrun.html"), dict(request.query_params), records.get())

    return router


def _answer(asked: Asked, loaded: LoadedRecords) -> dict[str, Any]:
    answer = answer_question(question_of(asked.run, asked.request()), loaded)
    return {"schema_version": _SCHEMA, **answer.to_json()}


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


def _page(template: jinja2.Template, given: dict[str, str], loaded: LoadedRecords) -> HTMLResponse:
    """The page: a form that keeps what was typed, and below it the answer or what is wrong."""
    found, mistake = None, None
    if given.get("run", "").strip():
        try:
            found = _answer(Asked.model_validate({k: v for k, v in given.items() if v.strip()}), loaded)
        except ValidationError as error:
            mistake = mistakes_in(error.errors())[0]
        except FemtobarnError as error:
            mistake = mistake_of(error)
    values = {field.alias or name: "" if field.is_required() or field.default is None else str(field.default)
              for name, field in Asked.model_fields.items()}  # fmt: skip
    values |= {name: given[name].strip() for name in values if given.get(name, "").strip()}
    content = template.render(
        values=values,
        found=found,
        mistake=mistake,
        choices=_CHOICES,
        drawn=_drawn(found, loaded),
        query=urlencode({name: value for name, value in values.items() if value}),
        pairs=len(loaded.records.pairs),
        runs=len(loaded.records.runs),
        toy=loaded.origin == "toy",
        version=femtobarn.__version__,
    )
    return HTMLResponse(content, _status(mistake))


def _status(mistake: Mistake | None) -> int:
    return 200 if mistake is None else mistake.status


def _drawn(found: dict[str, Any] | None, loaded: LoadedRecords) -> str:
    """The references to draw beside the run; empty if there are lumisections of none of them."""
    if found is None or loaded.lumisections is None:
        return ""
    references = [c["reference"] for c in found["candidates"][:_DRAWN]]
    known = any(loaded.lumisections.profile(run) for run in (found["target"]["run_number"], *references))
    return ",".join(map(str, references)) if known else ""

"""The client of OMS: JSON:API resources, page by page, with every unit converted.

Rows are under ``data[i].attributes``, their units under ``meta.row.<attribute>.units``.  Runs are asked for
in ranges, never one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

from femtobarn.catalog.attributes import ATTRIBUTES, Attribute, convert, parse
from femtobarn.catalog.omsauth import Auth, NoAuth
from femtobarn.errors import DataError, NetworkError
from femtobarn.net import Answer, HttpClient, Limits, safe_url

__all__ = ["DIALS_URL", "FIELDS", "OMS_URL", "RESOURCES", "Filter", "OmsClient", "Row"]

log: Final = logging.getLogger("femtobarn.catalog")

OMS_URL: Final = "https://cmsoms.cern.ch/agg/api/v1"
DIALS_URL: Final = "https://cmsdials-api.web.cern.ch/api/v1/oms-proxy"
_REDIRECTS: Final = (301, 302, 303, 307, 308)
RESOURCES: Final = ("runs", "fills", "lumisections")
#: Rows asked for at once; servers may give fewer.
PAGE: Final = 1000
#: Pages that are asked for at a time.
IN_FLIGHT: Final = 4
_MOST_PAGES: Final = 100_000
#: Attributes of fills that have other names in our tables.
_FILL_NAMES: Final = {
    "bunches_colliding": "fill_n_colliding", "peak_pileup": "fill_peak_pileup", "energy": "fill_energy",
    "b_field": "fill_b_field", "injection_scheme": "fill_injection_scheme", "fill_type_runtime": "fill_type",
    "peak_lumi": "fill_peak_lumi_1e34",
}  # fmt: skip
#: What is asked for of runs and fills, which have many more attributes; of lumisections all of them.
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "runs": (
        "run_number", "fill_number", "start_time", "end_time", "duration", "init_lumi", "end_lumi",
        "recorded_lumi", "delivered_lumi", "energy", "b_field", "l1_rate", "hlt_physics_rate",
        "hlt_physics_counter", "initial_prescale_index", "l1_hlt_mode", "hlt_key", "components",
        "stable_beam", "last_lumisection_number",
    ),
    "fills": (
        "fill_number", "start_time", "end_time", "bunches_colliding", "peak_pileup", "peak_lumi", "energy",
        "b_field", "injection_scheme", "fill_type_runtime",
    ),
}  # fmt: skip
#: How a server refuses a parameter.
_REFUSED: Final = (400, 422)
_LS_ATTRIBUTES: Final = {"pileup": Attribute("pileup", "number", "", 0, 200)}


@dataclass(frozen=True, slots=True)
class Filter:
    """``filter[attribute][operator]=value``; operators EQ NEQ LT GT LE GE LIKE CT."""

    attribute: str
    operator: str
    value: str

    def parameter(self) -> tuple[str, str]:
        return f"filter[{self.attribute}][{self.operator}]", self.value


@dataclass(frozen=True, slots=True)
class Row:
    """One record in our units; ``units`` says which."""

    id: str
    values: Mapping[str, Any]
    units: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Query:
    """What is asked for, page by page."""

    resource: str
    filters: tuple[Filter, ...]
    fields: tuple[str, ...]
    sort: str

    def parameters(self, offset: int, *, fields: bool) -> list[tuple[str, str]]:
        found = [item.parameter() for item in self.filters]
        if self.fields and fields:
            found.append(("fields", ",".join(self.fields)))
        if self.sort:
            found.append(("sort", self.sort))
        return [*found, ("include", "meta"), ("page[offset]", str(offset)), ("page[limit]", str(PAGE))]


def _total(document: Mapping[str, Any], before: int | None) -> int | None:
    """Rows in all, as the answer says; a server may say it once only."""
    stated = (document.get("meta") or {}).get("totalResourceCount")
    return stated if isinstance(stated, int) else before


class OmsClient:
    """Asks one server; use as a context manager.

    Parameters
    ----------
    url : address up to and including ``/v1`` (of the proxy: and ``/oms-proxy``)
    auth : how to log in
    proxy : the resource is a parameter ``endpoint``, as the proxy of DIALS wants it
    """

    def __init__(
        self,
        url: str = OMS_URL,
        auth: Auth | None = None,
        limits: Limits | None = None,
        *,
        proxy: bool = False,
    ) -> None:
        self.url = url.rstrip("/")
        self.proxy = proxy
        self._slash = ""
        self._all_fields: set[str] = set()
        how = auth or NoAuth()
        # A redirect leads to a login page and must not be followed with a token.
        self.http = HttpClient(
            limits or Limits(connect=10.0, per_host=IN_FLIGHT), authorise=how.headers, renew=how.renew,
            follow=False,
        )  # fmt: skip
        self.warnings: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def rows(
        self, resource: str, filters: Sequence[Filter] = (), *, fields: Sequence[str] = (), sort: str = ""
    ) -> Iterator[Row]:
        """All rows that pass the filters, page after page.

        Raises
        ------
        NetworkError
            A page is missing, the server keeps failing, or it wants a login.
        DataError
            A unit is unknown or a value is of another kind.
        """
        seen: set[str] = set()
        asked = _Query(resource, tuple(filters), tuple(fields), sort)
        for document in self._documents(asked):
            meta = document.get("meta") or {}
            for item in document["data"]:
                row = self._row(resource, item, meta)
                if row.id in seen:
                    raise NetworkError(f"{resource} {row.id} came on two pages: rows moved between requests",
                                       where=safe_url(self.url), action="fetch again")  # fmt: skip
                seen.add(row.id)
                yield row

    def _documents(self, asked: _Query) -> Iterator[dict[str, Any]]:
        """All pages in order.

        Once the first has said how many rows there are and how many the server gives at once, the others are
        asked for several at a time; a page of another size ends that, and the rest comes one by one.
        """
        first = self._page(asked, 0)
        yield first
        offset, total = len(first["data"]), _total(first, None)
        if offset and total is not None and offset < total:
            places = range(offset, total, offset)
            with ThreadPoolExecutor(min(IN_FLIGHT, self.http.limits.per_host or IN_FLIGHT)) as pool:
                pages = [pool.submit(self._page, asked, place) for place in places]
                try:
                    for place, page in zip(places, pages, strict=True):
                        found = page.result()
                        if len(found["data"]) != min(places.step, total - place):
                            break
                        yield found
                        offset += len(found["data"])
                finally:
                    pool.shutdown(cancel_futures=True)
        yield from self._one_by_one(asked, offset, total, ended=offset == 0)

    def _one_by_one(
        self, asked: _Query, offset: int, total: int | None, *, ended: bool
    ) -> Iterator[dict[str, Any]]:
        for _ in range(_MOST_PAGES):
            if total is not None and offset >= total:
                return
            if ended:
                if total is not None:
                    raise NetworkError(f"gave {offset} of {total} {asked.resource} and then an empty page",
                                       where=safe_url(self.url), action="fetch again")  # fmt: skip
                return
            page = self._page(asked, offset)
            total = _total(page, total)
            ended = not page["data"]
            offset += len(page["data"])
            yield page
        raise NetworkError(f"never ended the list of {asked.resource}", where=safe_url(self.url))

    def _page(self, asked: _Query, offset: int) -> dict[str, Any]:
        where = f"{self.url}/" if self.proxy else f"{self.url}/{asked.resource}{self._slash}"
        parameters = [("endpoint", asked.resource)] if self.proxy else []
        parameters += asked.parameters(offset, fields=asked.resource not in self._all_fields)
        answer = self.http.get(where, parameters, headers={"Accept": "*/*"})
        if not self.proxy and not self._slash and _wants_slash(answer, where):
            self._slash = "/"
            return self._page(asked, offset)
        if answer.status in _REFUSED and asked.fields and asked.resource not in self._all_fields:
            # A server that does not know one of them gives everything instead.
            self._all_fields.add(asked.resource)
            return self._page(asked, offset)
        return _document(answer, safe_url(where))

    def _row(self, resource: str, item: Any, meta: Mapping[str, Any]) -> Row:
        where = f"{safe_url(self.url)}/{resource}"
        attributes = item.get("attributes") if isinstance(item, dict) else None
        if not isinstance(attributes, dict):
            raise NetworkError("answered a row without attributes", where=where)
        stated = {**_units(meta), **_units(item.get("meta") or {})}
        values, units = self._values(resource, attributes, stated, where)
        return Row(_key(resource, values), values, units)

    def _values(
        self, resource: str, attributes: Mapping[str, Any], stated: Mapping[str, str], where: str
    ) -> tuple[dict[str, Any], dict[str, str]]:
        values: dict[str, Any] = {}
        units: dict[str, str] = {}
        for name, raw in attributes.items():
            ours = _FILL_NAMES.get(name, name) if resource == "fills" else name
            attribute = ATTRIBUTES.get(ours) or _LS_ATTRIBUTES.get(ours)
            if attribute is None:
                if isinstance(raw, bool) or (resource == "lumisections" and raw in ("true", "false")):
                    values[name] = raw in (True, "true")
                elif isinstance(raw, int | float | str):
                    values[name] = raw
                continue
            if resource == "lumisections" and attribute.kind == "flag":
                attribute = Attribute(ours, "flag")
            value = parse(raw, attribute, where=where)
            if value is not None and attribute.unit:
                unit = stated.get(name)
                if unit is None:
                    self._warn(f"{where}: the unit of {name} is not stated; {attribute.unit} is assumed")
                else:
                    value = convert(float(value), unit, attribute, where=where)
                units[ours] = attribute.unit
            if not attribute.allows(value):
                self._warn(
                    f"{where}: values of {name} outside [{attribute.low:g}, {attribute.high:g}] are rejected"
                )
            values[ours] = value
        return values, units

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
            log.info("%s", text)


def _wants_slash(answer: Answer, where: str) -> bool:
    """Whether the server knows the address only with a slash at its end."""
    location = answer.headers.get("location", "").partition("?")[0]
    return answer.status == 404 or (
        answer.status in _REDIRECTS and location.endswith(f"{urlsplit(where).path}/")
    )


def _document(answer: Answer, where: str) -> dict[str, Any]:
    """The JSON:API document of an answer, or what is wrong with it."""
    login = "html" in answer.headers.get("content-type", "") and answer.status == 200
    if answer.status in (*_REDIRECTS, 401, 403) or login:
        raise NetworkError(
            "wants a login" if answer.status != 403 else "does not allow this client to read it", where=where,
            action="choose --auth oidc, device or krb and check the registration of the client",
        )  # fmt: skip
    if answer.status != 200:
        raise NetworkError(f"answered {answer.status}", where=where)
    document = answer.json()
    if not isinstance(document, dict) or not isinstance(document.get("data"), list):
        raise NetworkError("answered JSON without a list `data`", where=where,
                           action="is this the address of an OMS API (.../agg/api/v1)?")  # fmt: skip
    return document


def _units(meta: Mapping[str, Any]) -> dict[str, str]:
    rows = meta.get("row")
    if not isinstance(rows, dict):
        return {}
    return {
        name: str(entry["units"])
        for name, entry in rows.items()
        if isinstance(entry, dict) and entry.get("units")
    }


def _key(resource: str, values: Mapping[str, Any]) -> str:
    """The identity of a row: by its numbers, as servers' own ids differ."""
    try:
        if resource == "runs":
            return str(values["run_number"])
        if resource == "fills":
            return str(values["fill_number"])
        return f"{values['run_number']}_{values['lumisection_number']}"
    except KeyError as error:
        raise DataError(f"a row of {resource} has no {error.args[0]}") from error

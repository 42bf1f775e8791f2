"""Fetch records of runs, fills, lumisections and pairs into a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from femtobarn.analyses import refrun as job
from femtobarn.api.refrun.verbs import JobDone
from femtobarn.catalog.attributes import ATTRIBUTES
from femtobarn.catalog.certhelper import read_pairs
from femtobarn.catalog.lumisections import read_lumisections
from femtobarn.catalog.oms import DIALS_URL, FIELDS, OMS_URL, RESOURCES, Filter, OmsClient, Row
from femtobarn.catalog.omsauth import make_auth
from femtobarn.catalog.runstore import Range, RunStore
from femtobarn.catalog.runtable import canonical, read_rows, read_runs
from femtobarn.errors import DataError, NetworkError, UsageError, nearest
from femtobarn.net import HttpClient, Limits, safe_url
from femtobarn.run.task import default_out, task

__all__ = ["parse_runs", "refrun_fetch"]

_BACKENDS: Final = ("oms", "dials", "file")
#: Runs (or fills) asked for in one query; gaps up to this size are asked along.
_BATCH: Final = {"runs": 2000, "fills": 2000, "lumisections": 200}
_GAP: Final = 100
_DAY: Final = 86_400.0


def parse_runs(text: str) -> list[Range]:
    """``315190-315286`` or ``315190,315255`` as inclusive ranges."""
    ranges = []
    for word in text.split(","):
        first, dash, last = word.strip().partition("-")
        try:
            low = int(first)
            high = int(last) if dash else low
        except ValueError as error:
            raise UsageError(
                f"{text!r} is neither a range nor a list of runs",
                where="--runs",
                action="write --runs 315190-315286 or --runs 315190,315255",
            ) from error
        if low <= 0 or high < low:
            raise UsageError(f"the range {word.strip()} is empty or reversed", where="--runs")
        ranges.append((low, high))
    return sorted(ranges)


def _batches(ranges: Sequence[Range], size: int) -> list[Range]:
    """Join ranges with small gaps, then cut them: few queries, none too large."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first - joined[-1][1] <= _GAP:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return [
        (low, min(low + size - 1, last)) for first, last in joined for low in range(first, last + 1, size)
    ]


@dataclass
class _Fetch:
    """Counts of one fetch."""

    store: RunStore
    source: str
    refresh: bool
    stored: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESOURCES, 0))
    from_cache: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESOURCES, 0))
    failed: list[dict[str, Any]] = field(default_factory=list)

    def ranges(self, client: OmsClient, resource: str, wanted: Sequence[Range]) -> None:
        """Ask for what is missing of some ranges, batch by batch."""
        left = list(wanted) if self.refresh else self.store.missing(resource, self.source, wanted)
        known = self.store.count(resource, wanted)
        attribute = "fill_number" if resource == "fills" else "run_number"
        renewed = 0
        for first, last in _batches(left, _BATCH[resource]):
            filters = (Filter(attribute, "GE", str(first)), Filter(attribute, "LE", str(last)))
            renewed += self.store.count(resource, [(first, last)])
            try:
                rows = list(client.rows(resource, filters, fields=FIELDS.get(resource, ())))
            except (NetworkError, DataError) as error:
                self.failed.append({"resource": resource, "range": [first, last], "error": str(error)})
                continue
            self.stored[resource] += self.store.put(resource, self.source, (first, last), rows)
        self.from_cache[resource] += max(known - renewed, 0)


def refrun_fetch(
    store: str | Path,
    *,
    runs: str | None = None,
    resources: Sequence[str] = RESOURCES,
    oms_url: str | None = None,
    auth: str = "none",
    backend: str = "oms",
    pairs: str | None = None,
    files: Mapping[str, str] | None = None,
    refresh: bool = False,
    out: str | Path | None = None,
    fresh: bool = False,
    command: Sequence[str] = (),
    limits: Limits | None = None,
    tell: Callable[[str], None] | None = None,
) -> JobDone:
    """Fill a store; what it holds is not asked for again unless ``refresh`` says so.

    ``tell`` shows a person where to confirm a login (``auth="device"``).

    Raises
    ------
    UsageError
        A flag is wrong, or a secret is missing.  Failures of the network do not raise: the result is
        ``refused`` and ``failed`` in ``tables/fetch.json`` names what is missing.
    """
    for name in resources:
        _known(name, (*RESOURCES, "pairs"), "resource", "--resources")
    _known(backend, _BACKENDS, "backend", "--backend")
    wanted = parse_runs(runs) if runs else []
    asked = [name for name in RESOURCES if name in resources]
    if asked and not wanted and backend != "file":
        raise UsageError("no runs are named", where="--runs", action="write --runs 315190-315286")
    url = oms_url or (DIALS_URL if backend == "dials" else OMS_URL)
    config = {"verb": "fetch", "store": str(store), "runs": runs, "resources": list(resources),
              "oms_url": safe_url(url), "auth": auth, "backend": backend, "pairs": safe_url(pairs or ""),
              "files": dict(files or {}), "refresh": refresh}  # fmt: skip
    login = make_auth(auth, url, tell=tell) if backend != "file" else None
    path = Path(out) if out is not None else default_out("refrun-fetch")
    with task(path, job="refrun", title=job.TITLE, config=config, inputs={}, command=command,
              fresh=fresh) as opened, RunStore(Path(store)) as opened_store:  # fmt: skip
        source = "file" if backend == "file" else safe_url(url)
        found = _Fetch(opened_store, source, refresh)
        requests = 0
        if backend == "file":
            _from_files(found, files or {}, opened)
        elif login is not None and asked:
            with OmsClient(url, login, limits, proxy=backend == "dials") as client:
                for name in asked:
                    ranges = wanted if name != "fills" else [(n, n) for n in opened_store.fills_of(wanted)]
                    if name == "fills" and not ranges:
                        opened.warn("no fill is known of these runs: fetch the resource runs as well")
                    found.ranges(client, name, ranges)
                requests = client.http.requests
                opened.warn(*client.warnings)
        if "pairs" in resources or pairs is not None:
            requests += _pairs(found, pairs, limits)
        content = {"requests": requests, "stored": found.stored, "from_cache": sum(found.from_cache.values()),
                   "from_cache_by_resource": found.from_cache, "failed": found.failed}  # fmt: skip
        opened.table("fetch", content)
        job.write_fetched(path / "tables", content)
        for name, count in found.stored.items():
            broken = [item for item in found.failed if item["resource"] == name]
            opened.part(name, state="failed" if broken else "done", records=count,
                        error="; ".join(item["error"] for item in broken))  # fmt: skip
        headline = (", ".join(f"{count} {name}" for name, count in found.stored.items())
                    + f" stored with {requests} requests, {content['from_cache']} were there.")  # fmt: skip
        opened.finish(headline)
        from femtobarn.report import write_report

        write_report(opened.path)
    return JobDone(path, headline, content, opened.warnings, _refusal(found.failed, path))


def _refusal(failed: Sequence[Mapping[str, Any]], path: Path) -> str:
    """What could not be fetched, in one sentence; empty if everything was."""
    if not failed:
        return ""
    first = failed[0]
    runs = f" {first['range'][0]}-{first['range'][1]}" if first["range"] else ""
    more = f" ({len(failed) - 1} more in {path / 'tables' / 'fetch.json'})" if len(failed) > 1 else ""
    return f"{first['resource']}{runs} were not fetched{more}: {first['error']}"


def _known(name: str, names: Sequence[str], what: str, flag: str) -> None:
    if name not in names:
        raise UsageError(f"there is no {what} {name!r}", where=flag, near=nearest(name, names),
                         action=f"known are {', '.join(names)}")  # fmt: skip


def _from_files(found: _Fetch, files: Mapping[str, str], opened: Any) -> None:
    """Put files of the same attributes into the store."""
    if not files:
        raise UsageError("no file is named", where="--file", action="write --file runs=runs.csv")
    for resource, name in files.items():
        _known(resource, RESOURCES, "resource", "--file")
        path = Path(name)
        if resource == "lumisections":
            table = read_lumisections(path)
            opened.warn(*table.warnings)
            rows = [_section(table, i) for i in range(len(table))]
        elif resource == "runs":
            read = read_runs(path)
            opened.warn(*read.warnings)
            rows = [
                Row(str(run), {"run_number": run, **{n: q.value for n, q in read.get(run).values.items()
                                                    if q.value is not None}},
                    {n: q.unit for n, q in read.get(run).values.items() if q.unit})
                for run in read
            ]  # fmt: skip
        else:
            rows = [
                Row(
                    str(row["fill_number"]),
                    {canonical(k): v for k, v in row.items() if v not in ("", None)},
                    {},
                )
                for _, row in read_rows(path, "fill_number")
            ]
        numbers = [int(row.values["fill_number" if resource == "fills" else "run_number"]) for row in rows]
        found.stored[resource] += found.store.put(resource, "file", (min(numbers), max(numbers)), rows)


def _section(table: Any, i: int) -> Row:
    run, number = int(table.run[i]), int(table.number[i])
    values: dict[str, Any] = {"run_number": run, "lumisection_number": number}
    values |= {n: float(c[i]) for n, c in table.columns.items() if c[i] == c[i]}
    values |= {n: bool(f[i]) for n, f in table.flags.items()}
    units = {n: ATTRIBUTES[n].unit for n in table.columns if n in ATTRIBUTES and ATTRIBUTES[n].unit}
    return Row(f"{run}_{number}", values, units)


def _pairs(found: _Fetch, pairs: str | None, limits: Limits | None) -> int:
    """The pair list, from a file or at most daily from an address; requests sent."""
    if pairs is None:
        raise UsageError(
            "no list of pairs is named", where="--pairs", action="write --pairs FILE or --pairs URL"
        )
    requests = 0
    if pairs.startswith(("http://", "https://")):
        age = found.store.pairs_age()
        if age is not None and age < _DAY and not found.refresh:
            found.from_cache["pairs"] = found.store.count("pairs")
            return 0
        with HttpClient(limits) as client:
            try:
                path = client.download(pairs, max_age=0.0 if found.refresh else _DAY)
            except NetworkError as error:
                found.failed.append({"resource": "pairs", "range": None, "error": str(error)})
                return client.requests
            requests = client.requests
    else:
        path = Path(pairs)
    found.stored["pairs"] = found.store.put_pairs(read_pairs(path).pairs, safe_url(pairs))
    return requests

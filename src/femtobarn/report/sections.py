"""The parts of a report, each from plain values to tables; a part without content is empty."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

import numpy as np

from femtobarn.report.inputs import ReportInputs, Table
from femtobarn.report.probes import probe_fits
from femtobarn.report.values import (
    Grid,
    Node,
    duration,
    grid,
    moment,
    node,
    number,
    percent,
    plus_minus,
    size,
)

__all__ = [
    "Notice",
    "account",
    "command",
    "counted",
    "cutflows",
    "disclaimer",
    "failures",
    "fit_parts",
    "input_files",
    "ledger",
    "notices",
    "pull_rows",
    "samples",
    "table",
    "timings",
    "versions",
    "yields",
]

Manifest = Mapping[str, Any]

#: Keys of fit.json with a place of their own on the page.
_OWN_PLACE: Final = frozenset(
    {
        "schema_version", "mle", "ranking", "timing", "warnings", "scans", "scans2d", "cls_curve", "pruning",
        "kind",
    }
)  # fmt: skip
#: What was seen or made to stand for it; it is no part of what is expected.
_OBSERVED: Final = ("pseudodata", "data")
#: Analyses whose samples are compared and do not add up.
_SIDE_BY_SIDE: Final = ("tagprobe",)
#: More regions than these are rows: they do not fit beside each other.
_MOST_REGIONS: Final = 4
#: Headings of analyses' own keys, and of the likelihood fit's in the order of the page.
_HEADINGS: Final = {"results": "Results", "fits": "Fits", "search": "Search", "models": "Models"}
_LIKELIHOOD: Final = {
    "significance": "Significance",
    "limit": "Upper limit",
    "goodness_of_fit": "Goodness of fit",
    "hypotests": "Hypothesis tests",
    "groups": "Uncertainty by group",
    "toys": "Toys",
    "workspace": "Model",
}
#: Columns whose numbers are names: never shortened or grouped.
_LABEL: Final = re.compile(r"(^|_)(run|lumi|lumisection|event|fill|reference|dsid|seed|year|number)s?$")
_MOST_FILES: Final = 60
_MOST_PAIRS: Final = 10
_MOST_RANKED: Final = 15


@dataclass(frozen=True, slots=True)
class Notice:
    """A box at the top of the page: ``bad`` (something is missing), ``toy`` or ``note``."""

    kind: str
    title: str
    text: str


def notices(manifest: Manifest) -> list[Notice]:
    """What a reader must know before any number: losses, an unfinished run, toy input, limits asked for."""
    found = []
    if manifest and manifest.get("finished", "?") is None:
        found.append(Notice("bad", "This run has not finished.", "The numbers below are incomplete or old."))
    elif (loss := _loss(manifest)) is not None:
        found.append(loss)
    if manifest.get("origin") == "toy":
        text = "All input was generated; no detector recorded any of it."
        found.append(Notice("toy", "femtobarn toy simulation.", text))
    sizing = (manifest.get("config") or {}).get("sizing") or {}
    asked = [f"{value} {key.removeprefix('max_')}" for key, value in sorted(sizing.items())
             if key in ("max_files", "max_events") and value]  # fmt: skip
    if asked:
        text = f"At most {' and '.join(asked)} of each dataset; predictions are scaled to the whole."
        found.append(Notice("note", "A part of the input was asked for.", text))
    return found


def _loss(manifest: Manifest) -> Notice | None:
    account = manifest.get("ledger") or {}
    parts = account.get("parts") or {}
    gone = (parts.get("failed") or 0) + (parts.get("missing") or 0)
    fraction = account.get("lost_fraction") or 0.0
    if not gone and not fraction:
        return None
    total = parts.get("total", 0)
    text = (
        f"{gone} of {total} parts failed or are missing: {percent(fraction)} of the events are in no number, "
        "table or figure of this page."
    )
    allowed = (manifest.get("execution") or {}).get("allow_missing") or "--allow-missing" in manifest.get(
        "command", ()
    )
    if allowed:
        text += " The loss was allowed with --allow-missing."
    return Notice("bad", "Incomplete.", text)


def disclaimer(manifest: Manifest) -> str:
    """What the result is not."""
    if manifest.get("origin") == "toy":
        return (
            "This is not a measurement: the input is the femtobarn toy simulation, made to exercise the "
            "analysis. Its systematic uncertainties are demonstrations."
        )
    return (
        "This is not an official result of any collaboration, and none has reviewed it: it is made from "
        "public data with public software, and its systematic uncertainties are demonstrations, not a "
        "complete model."
    )


def ledger(manifest: Manifest) -> Grid | None:
    """The account of parts and events."""
    account = manifest.get("ledger")
    if not account:
        return None
    parts, events = account.get("parts") or {}, account.get("events") or {}
    rows = [
        (f"parts {key}", number(parts[key]))
        for key in ("total", "done", "cached", "failed", "missing")
        if key in parts
    ]
    what = counted(manifest)
    rows += [(f"{what} {key}", number(events[key])) for key in ("expected", "processed") if key in events]
    rows.append((f"lost fraction of {what}", percent(account.get("lost_fraction"))))
    return grid(f"Parts and {what}", ("account", "number"), rows)


def account(manifest: Manifest) -> str:
    """The ledger in one sentence."""
    found = manifest.get("ledger") or {}
    parts, events = found.get("parts") or {}, found.get("events") or {}
    what = counted(manifest)
    gone = (parts.get("failed") or 0) + (parts.get("missing") or 0)
    lost = f"{percent(found.get('lost_fraction'))} of the {what} lost" if gone else "nothing lost"
    kept = f", {number(parts['cached'])} of them kept from an earlier run" if parts.get("cached") else ""
    good = (parts.get("done") or 0) + (parts.get("cached") or 0)
    return (
        f"{number(events.get('processed'))} of {number(events.get('expected'))} {what} processed in "
        f"{number(good)} of {number(parts.get('total'))} parts{kept}: {lost}."
    )


def counted(manifest: Manifest) -> str:
    """What the parts of a job consist of."""
    return "records" if manifest.get("analysis") == "refrun" else "events"


def failures(manifest: Manifest) -> Grid | None:
    """Parts that failed, with the reason."""
    found = manifest.get("failures") or ()
    if not found:
        return None
    rows = [
        (str(one.get("dataset", "")), str(one.get("file", "")),
         f"{number(one.get('start'))}–{number(one.get('stop'))}", str(one.get("error", "")))
        for one in found[:_MOST_FILES]
    ]  # fmt: skip
    note = (
        f"The first {_MOST_FILES} of {len(found)}; manifest.json has all." if len(found) > _MOST_FILES else ""
    )
    return grid("Parts that failed", ("dataset", "file", "events", "error"), rows, note=note)


def timings(manifest: Manifest, fit: Mapping[str, Any]) -> Grid | None:
    """How long it took."""
    account = manifest.get("ledger") or {}
    rows = []
    delivery = (manifest.get("execution") or {}).get("delivery_s")
    if delivery is not None:
        rows.append(("delivery", duration(delivery)))
    if "wall_s" in account:
        rows.append(
            ("wall time" if delivery is None else "processing, wall time", duration(account["wall_s"]))
        )
    if "cpu_s" in account:
        rows.append(("CPU time of the parts", duration(account["cpu_s"])))
        done = (account.get("events") or {}).get("processed") or 0
        cached = (account.get("parts") or {}).get("cached")
        if account["cpu_s"] and done and not cached and counted(manifest) == "events":
            rows.append(("events per CPU second", number(float(f"{done / account['cpu_s']:.3g}"))))
    if "bytes_read" in account:
        rows.append(("read", size(account["bytes_read"])))
    rows += [
        (f"fit, {key.removesuffix('_cpu_s')} (CPU)", duration(value))
        for key, value in (fit.get("timing") or {}).items()
        if isinstance(value, int | float)
    ]
    return grid("Time", ("step", "time"), rows) if rows else None


def cutflows(inputs: ReportInputs) -> list[tuple[str, Grid]]:
    """A table a dataset, each with a one-line summary."""
    out = []
    for dataset, rows in inputs.cutflow.items():
        if not rows:
            continue
        body = []
        for before, row in itertools.pairwise([rows[0], *rows]):
            step, all_ = (
                row["events"] / one["events"] if one["events"] else None for one in (before, rows[0])
            )
            body.append(
                (
                    str(row["cut"]),
                    number(row["events"]),
                    percent(step),
                    percent(all_),
                    number(float(row["sumw"])),
                )
            )
        columns = ("cut", "events", "of the cut before", "of all", "sum of weights (raw)")
        summary = f"{dataset}: {number(rows[0]['events'])} → {number(rows[-1]['events'])} events"
        out.append((summary, grid(f"Cutflow of {dataset}", columns, body)))
    return out


def yields(inputs: ReportInputs) -> list[Grid]:
    """Expected and observed events a region; and what each variation changes, in per cent."""
    regions = inputs.yields
    if not regions:
        return []
    processes = list(dict.fromkeys(name for rows in regions.values() for name in rows))
    rows = {name: [_yield(found.get(name)) for found in regions.values()] for name in processes}
    expected = [name for name in processes if name not in _OBSERVED]
    if len(expected) > 1 and inputs.manifest.get("analysis") not in _SIDE_BY_SIDE:
        rows["sum of expectations"] = [_yield(_sum(found, expected)) for found in regions.values()]
    for name in _OBSERVED:
        if name in processes:
            rows[name] = rows.pop(name)  # last
    if "data" in processes:
        rows["data"] = [number(float((one.get("data") or {}).get("value", 0.0))) for one in regions.values()]
    if len(regions) > _MOST_REGIONS:
        columns, body = ("region", *rows), list(zip(regions, *rows.values(), strict=True))
    else:
        columns, body = ("process", *regions), [(name, *values) for name, values in rows.items()]
    tables = [grid("Events by process and region (statistical errors)", columns, body)]
    varied = [
        (f"{region}, {name}", label, f"{100 * (shifted / row['value'] - 1):+.2f} %".replace("-", "−"))
        for region, rows in regions.items()
        for name, row in rows.items()
        for label, shifted in (row.get("variations") or {}).items()
        if row["value"] and shifted is not None and name != "data"
    ]
    if varied:
        tables.append(
            grid("Change of the yields by variation", ("region, process", "variation", "change"), varied)
        )
    return tables


def _yield(row: Mapping[str, Any] | None) -> str:
    if row is None or row.get("value") is None:
        return ""
    return plus_minus(float(row["value"]), float(row.get("stat") or 0.0))


def _sum(rows: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, float]:
    chosen = [rows[name] for name in names if name in rows and rows[name].get("value") is not None]
    return {
        "value": float(sum(row["value"] for row in chosen)),
        "stat": float(np.sqrt(sum(float(row.get("stat") or 0.0) ** 2 for row in chosen))),
    }


def pull_rows(fit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Fitted parameters with value, errors and where a small bar shows their pull (in per cent of 6 s.d.)."""
    mle = fit.get("mle") or {}
    parameters = mle.get("parameters") or {}
    rows = []
    for name in mle.get("labels") or parameters:
        one = parameters.get(name) or {}
        value, pull = one.get("value"), one.get("pull")
        if value is None:
            continue
        up, down = one.get("profile_up"), one.get("profile_down")
        hesse = one.get("hesse")
        asymmetric = f"+{number(up, 3)} {number(down, 3)}" if up is not None and down is not None else ""
        rows.append(
            {
                "name": str(name),
                "value": plus_minus(value, hesse)
                if hesse
                else f"{number(float(value))}{' (fixed)' if one.get('fixed') else ''}",
                "profile": asymmetric,
                "pull": "" if pull is None else f"{pull:+.2f}".replace("-", "−"),
                "at": None if pull is None else round(50 + 100 / 6 * max(-3.0, min(3.0, float(pull))), 1),
                "bound": name in (mle.get("at_bound") or ()),
            }
        )
    return rows


def fit_parts(fit: Mapping[str, Any]) -> tuple[list[Node], list[Node]]:
    """What an analysis put into fit.json; and the likelihood fit's keys, ranking and correlations."""
    own = ["results", *(key for key in fit if key not in _LIKELIHOOD and key not in _OWN_PLACE)]
    probes = fit.get("kind") == "tagprobe" and all("status" in one for one in fit.get("fits", ()))
    analysis = [
        probe_fits(fit[key])
        if probes and key == "fits"
        else node(_HEADINGS.get(key, key), _search(fit[key]) if key == "search" else fit[key])
        for key in dict.fromkeys(own)
        if key in fit
    ]
    model = [node(heading, fit[key]) for key, heading in _LIKELIHOOD.items() if key in fit]
    if fit.get("ranking"):
        model.append(_ranking(fit["ranking"]))
    pairs = _correlated(fit.get("mle") or {})
    if pairs:
        model.append(grid("Strongest correlations", ("parameters", "correlation"), pairs))
    return [one for one in analysis if one is not None], [one for one in model if one is not None]


def _search(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """A bump search: where its best spectra are listed, many others need no table of their own."""
    rows = found.get("histograms", ())
    if not found.get("best") or len(rows) <= len(found["best"]):
        return found
    return {
        **found,
        "histograms": f"all {len(rows)} spectra are in fit.json; best: the least probable excesses",
    }


def _ranking(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """The parameters with the largest impacts."""

    def impact(row: Mapping[str, Any]) -> float:
        return max(abs(float(row.get(f"impact_{side}_postfit") or 0.0)) for side in ("up", "down"))

    keys = ("pull", "constraint", *(f"impact_{s}_{w}" for w in ("postfit", "prefit") for s in ("up", "down")))
    body = [
        (str(row["parameter"]), *("" if row.get(key) is None else number(float(row[key]), 3) for key in keys))
        for row in sorted(rows, key=impact, reverse=True)[:_MOST_RANKED]
    ]
    columns = ("parameter", "pull", "constraint", "+1 post-fit", "−1 post-fit", "+1 pre-fit", "−1 pre-fit")
    note = f"The first {_MOST_RANKED} of {len(rows)}; fit.json has all." if len(rows) > _MOST_RANKED else ""
    return grid("Ranking: impact on the parameter of interest", columns, body, note=note)


def _correlated(mle: Mapping[str, Any]) -> list[tuple[str, str]]:
    labels, matrix = mle.get("labels") or (), mle.get("correlation") or ()
    pairs = [
        (abs(value), f"{labels[j]} and {labels[i]}", f"{value:+.2f}".replace("-", "−"))
        for i, row in enumerate(matrix)
        for j, value in enumerate(row[:i])
        if value is not None and abs(value) >= 0.05
    ]
    return [
        (names, text) for _, names, text in sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:_MOST_PAIRS]
    ]


def samples(inputs: ReportInputs) -> Grid | None:
    """``tables/samples.csv``: what was read and how it is weighted."""
    return (
        None if inputs.samples is None else table(inputs.samples, caption="Datasets and their normalisation")
    )


def table(found: Table, *, caption: str = "") -> Grid:
    """The head of a CSV table."""
    names = [bool(_LABEL.search(column)) for column in found.columns]
    rows = [[text if name else _from_csv(text) for text, name in zip(row, names, strict=True)]
            for row in found.rows]  # fmt: skip
    note = f"The first {len(found.rows)} of {number(found.length)} rows; all are in tables/{found.name}.csv."
    return grid(
        caption or found.name, found.columns, rows, note=note if found.length > len(found.rows) else ""
    )


def _from_csv(text: str) -> str:
    """Numbers of a CSV cell, shortened; other text as it is."""
    try:
        return number(int(text))
    except ValueError:
        pass
    try:
        return number(float(text), 6)
    except ValueError:
        return text


def input_files(manifest: Manifest) -> list[Grid]:
    """The files a run read, and the datasets it did not use."""
    tables = []
    files = manifest.get("inputs") or ()
    if files:
        rows = [
            (PurePath(str(one.get("path", ""))).name or str(one.get("path", "")), str(one.get("dataset", "")),
             number(one.get("entries")), size(one.get("size")), str(one.get("schema") or ""),
             str(one.get("uuid") or "")[:8], str(one.get("path", "")))
            for one in files[:_MOST_FILES]
        ]  # fmt: skip
        note = (
            f"The first {_MOST_FILES} of {len(files)} files; manifest.json has all."
            if len(files) > _MOST_FILES
            else ""
        )
        columns = ("file", "dataset", "entries", "size", "schema", "uuid", "path")
        tables.append(grid("Input files", columns, rows, note=note))
    if manifest.get("unused"):
        rows_unused = [(str(name), str(reason)) for name, reason in manifest["unused"].items()]
        tables.append(grid("Datasets not used", ("dataset", "reason"), rows_unused))
    return tables


def versions(manifest: Manifest) -> Grid | None:
    """Software versions, seed and times."""
    rows = [("femtobarn", str(manifest["femtobarn"]))] if manifest.get("femtobarn") else []
    rows += [(str(k), str(v)) for k, v in (manifest.get("versions") or {}).items() if k != "femtobarn"]
    if manifest.get("seed") is not None:
        rows.append(("seed", str(manifest["seed"])))
    rows += [(key, moment(manifest[key])) for key in ("started", "finished") if manifest.get(key)]
    return grid("Versions and times", ("what", "which"), rows) if rows else None


def command(manifest: Manifest) -> str:
    """The command that made the run, as it can be typed."""
    words = [str(word) for word in manifest.get("command") or ()]
    if not words:
        return ""
    if PurePath(words[0]).name in ("femtobarn", "fb", "__main__.py"):
        words[0] = "femtobarn"
    elif words[0] != "femtobarn":
        words = ["femtobarn", *words]
    return shlex.join(words)

"""What a survey leaves behind: tables, histograms, statistics, verdict, search, headline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.analyses.survey.parameters import SurveyParameters
from femtobarn.analyses.survey.spectra import Row, histogram, histogram_name, rows, whole
from femtobarn.analyses.survey.weighting import factors
from femtobarn.analysis import Stored
from femtobarn.export.bumpnet import LoaderCuts, Verdict, export_bumpnet
from femtobarn.export.th1 import Histogram1D, root_file
from femtobarn.kernels.exact import rounded
from femtobarn.physics.resonances import RESONANCES, mask_resonances
from femtobarn.run.files import read_json
from femtobarn.run.pool import in_pool
from femtobarn.run.resources import peak_memory_mb
from femtobarn.stats.bumps.search import Injection, SpectrumToSearch, search_all

__all__ = ["bumpnet", "files", "headline", "infer", "search", "tables", "verdict"]


def tables(stored: Stored) -> dict[str, dict[str, list[Any]]]:
    """``final_states.csv``, ``signatures.csv`` and, where asked for, the known resonances."""
    states: dict[str, list[Any]] = {"dataset": [], "final_state": [], "events": [], "sumw": []}
    for dataset, spectra in sorted(stored.outcome.spectra.items()):
        sumw = (
            rounded(spectra.state_sumw) if spectra.weighted else spectra.events_of_states().astype(np.float64)
        )
        events = spectra.events_of_states().tolist()
        named = [(spectra.names[int(code)], i) for i, code in enumerate(spectra.state)]
        for name, i in sorted(named):
            for key, value in zip(states, (dataset, name, events[i], float(sumw[i])), strict=True):
                states[key].append(value)
    out: dict[str, dict[str, list[Any]]] = {"final_states": states, "signatures": _signatures(rows(stored))}
    parameters: SurveyParameters = stored.parameters
    if parameters.resonances != "none":
        out["resonances"] = {
            "name": [item.name for item in RESONANCES],
            "mass_gev": [item.mass for item in RESONANCES],
            "window_gev": [item.window for item in RESONANCES],
            "treatment": [parameters.resonances] * len(RESONANCES),
        }
    return out


def _signatures(found: Sequence[Row]) -> dict[str, list[Any]]:
    """Columns of ``signatures.csv``."""
    sums: dict[str, list[Any]] = {name: [] for name in _SUMS}
    for _, group in groupby(found, key=lambda row: row.dataset):
        some = list(group)
        spectra, at = some[0].spectra, [row.index for row in some]
        sumw, sumw2 = spectra.sums_of_weights()
        columns = (spectra.n, spectra.totals(), spectra.low, spectra.high, sumw, sumw2, spectra.overflow)
        for name, column in zip(_SUMS, columns, strict=True):
            sums[name] += column[at].tolist()
    after = [row.cut for row in found]
    return {
        "dataset": [row.dataset for row in found],
        "final_state": [row.state for row in found],
        "combination": [row.combination.name for row in found],
        **sums,
        "peak_edge_gev": ["" if cut is None else cut.edge for cut in after],
        "n_main": ["" if cut is None else cut.n_main for cut in after],
        "n_outliers": ["" if cut is None else cut.n_outliers for cut in after],
        "nbins_main": ["" if cut is None else cut.nbins for cut in after],
        "status": ["exported" if row.exported else "rejected" for row in found],
        "reason": [row.reason for row in found],
    }


_SUMS: Final = ("n", "sum_gev", "min_gev", "max_gev", "sumw", "sumw2", "overflow")


def files(stored: Stored) -> Iterator[tuple[str, bytes]]:
    """``histograms/``, processed arrays and the statistics of the run."""
    parameters: SurveyParameters = stored.parameters
    if parameters.histograms:
        yield from _histogram_files(stored, parameters)
    if parameters.keep_arrays and parameters.post_processing != "none":
        yield from _processed_arrays(stored)
    yield "logs/aggregated_stats.json", json.dumps(_statistics(stored), indent=1, sort_keys=True).encode()


def _histogram_files(stored: Stored, parameters: SurveyParameters) -> Iterator[tuple[str, bytes]]:
    scale = factors(stored)
    chosen: dict[str, list[Row]] = {}
    for row in rows(stored):
        if row.exported:
            chosen.setdefault(row.dataset, []).append(row)
    several = len(chosen) > 1
    # A width suffix hides the charge tag from BumpNet: one file a width instead.
    groups = (
        [(width,) for width in parameters.widths] if parameters.naming == "bumpnet" else [parameters.widths]
    )
    for dataset, found in chosen.items():
        for widths in groups:
            made = list(_made(found, parameters, widths, scale[dataset]))
            yield from _as_files(made, parameters, widths, dataset if several else "")
        if parameters.before_cuts:
            whole = list(_made(found, parameters, parameters.widths[:1], scale[dataset], cut=False))
            stem = f"{dataset}_" if several else ""
            yield f"histograms/{stem}{parameters.before_filename}", root_file(whole)


def _made(
    found: Iterable[Row],
    parameters: SurveyParameters,
    widths: Sequence[float],
    factor: float,
    *,
    cut: bool = True,
) -> Iterator[Histogram1D]:
    for row in found:
        for width in widths:
            one = histogram(
                row,
                parameters,
                width,
                naming=parameters.naming,
                grid=parameters.grid_width,
                factor=factor,
                cut=cut,
            )
            if one is not None:
                yield one


def _as_files(
    made: Sequence[Histogram1D], parameters: SurveyParameters, widths: Sequence[float], dataset: str
) -> Iterator[tuple[str, bytes]]:
    stem = f"{dataset}_" if dataset else ""
    if not made:
        return
    if not parameters.single_file:
        for one in made:
            yield f"histograms/{stem}{one.name}.root", root_file([one])
        return
    name = Path(parameters.filename)
    suffix = (
        f"_width_{float(widths[0])}" if parameters.naming == "bumpnet" and len(parameters.widths) > 1 else ""
    )
    yield f"histograms/{stem}{name.stem}{suffix}{name.suffix or '.root'}", root_file(made)


def _processed_arrays(stored: Stored) -> Iterator[tuple[str, bytes]]:
    import io

    for row in rows(stored):
        if row.main is None or row.outliers is None:
            continue
        for part, values in (("main", row.main), ("outliers", row.outliers)):
            out = io.BytesIO()
            np.save(out, values)
            name = f"{row.dataset}_FS_{row.state}_IM_{row.combination.name}_{part}.npy"
            yield f"im_arrays_processed/{name}", out.getvalue()


def _statistics(stored: Stored) -> dict[str, Any]:
    """What the predecessor's statistics held, under its names, with true values."""
    manifest = read_json(stored.folder / "manifest.json") if stored.folder is not None else {"inputs": []}
    inputs = manifest["inputs"]
    failed = {item["file"]: item["error"] for item in manifest.get("failures", ())}
    failed |= {item["path"]: item["error"] for item in inputs if item.get("error")}
    total = len(inputs)
    good = total - len(failed)
    ledger = manifest.get("ledger", {})
    spectra = stored.outcome.spectra.values()
    return {
        "schema_version": 1,
        "summary": {
            "total_final_states": sum(len(item.state) for item in spectra),
            "total_signatures": sum(len(item) for item in spectra),
            "total_masses": int(sum(item.n.sum() for item in spectra)),
            "wall_s": ledger.get("wall_s", 0.0),
            "cpu_s": ledger.get("cpu_s", 0.0),
        },
        "parsing": {
            "total_files": total,
            "successful_files": good,
            "failed_files": len(failed),
            "success_rate": 100.0 * good / total if total else 0.0,
            "total_events": sum(done for done, _ in stored.entries.values()),
            "total_chunks": ledger.get("parts", {}).get("total", 0),
            "total_size_mb": sum(item.get("size") or 0 for item in inputs) / 1e6,
            "max_memory_mb": peak_memory_mb(),
            "error_types": _counted(failed.values()),
        },
    }


def _counted(reasons: Iterable[str]) -> dict[str, int]:
    out: dict[str, int] = {}
    for reason in reasons:
        text = reason.split("\n", 1)[0]
        out[text] = out.get(text, 0) + 1
    return out


def verdict(stored: Stored) -> str:
    """Why a survey is no result: nothing was classified, or no histogram came out though asked for."""
    parameters: SurveyParameters = stored.parameters
    classified = sum(int(item.events_of_states().sum()) for item in stored.outcome.spectra.values())
    if not classified:
        cuts = "; ".join(
            f"{name}: " + ", ".join(f"{count.cut} {count.events}" for count in stored.outcome.cutflow(name))
            for name in stored.outcome.cutflows
        )
        return f"no event was classified ({cuts or 'no events'})"
    if not parameters.histograms:
        return ""
    found = list(rows(stored))
    if any(row.exported for row in found):
        return ""
    return f"no histogram was made: {_why_none(stored, found, parameters)}"


def _reason(row: Row, parameters: SurveyParameters) -> str:
    """Why a signature is not exported, without the numbers that tell it from others."""
    few = f"of a final state with fewer than {parameters.min_events} events"
    return row.reason if row.reason.startswith("no mass") else few


def _why_none(stored: Stored, found: Sequence[Row], parameters: SurveyParameters) -> str:
    reasons: dict[str, int] = {}
    for row in found:
        text = _reason(row, parameters)
        reasons[text] = reasons.get(text, 0) + 1
    large = sum(
        int((item.events_of_states() >= parameters.min_events).sum())
        for item in stored.outcome.spectra.values()
    )
    with_combination = {(row.dataset, row.state) for row in found if "fewer than" not in row.reason}
    parts = [f"{number} signatures {text}" for text, number in sorted(reasons.items())]
    parts.append(
        f"{large} final states have at least {parameters.min_events} events, "
        f"{len(with_combination)} of them a combination"
    )
    return "; ".join(parts)


def bumpnet(
    stored: Stored, out: Path, cuts: LoaderCuts | None = None, *, write: bool = True
) -> list[Verdict]:
    """Export everything that BumpNet's loader accepts (or only judge), and say why not the rest."""
    parameters: SurveyParameters = stored.parameters
    scale = factors(stored)
    several = len(stored.outcome.spectra) > 1
    made: dict[str, list[Histogram1D]] = {}
    for row in rows(stored):
        if row.exported:
            one = histogram(
                row, parameters, parameters.widths[0], naming="bumpnet", grid=parameters.grid_width,
                factor=scale[row.dataset],
            )  # fmt: skip
            if one is not None:
                made.setdefault(row.dataset, []).append(one)
    verdicts = []
    for dataset, histograms in made.items() or {"": []}.items():
        verdicts += export_bumpnet(histograms, out / dataset if several else out, cuts, write=write)
    return verdicts


def to_search(stored: Stored) -> list[SpectrumToSearch]:
    """The whole spectra of all exported signatures, beyond their gaps too: no cut may hide a bump."""
    parameters: SurveyParameters = stored.parameters
    several = len(stored.outcome.spectra) > 1
    out = []
    for row in rows(stored):
        if not row.exported:
            continue
        counts, edges, outside = whole(row, parameters)
        masked = None
        if parameters.resonances == "mask" and row.combination.leptons_only:
            masked = mask_resonances(edges)
        name = histogram_name(row, parameters, parameters.widths[0], naming="bumpnet")
        name = f"{row.dataset}/{name}" if several else name
        out.append(
            SpectrumToSearch(
                name, counts, edges, masked, f"{row.dataset}/{row.state}", whole=True, outside=outside
            )
        )
    return out


def search(
    stored: Stored, *, toys: int = 400, seed: int = 1, injection: Injection | None = None
) -> dict[str, Any]:
    """``search`` of fit.json."""
    found = search_all(
        to_search(stored), toys=toys, seed=seed, injection=injection,
        mapped=partial(in_pool, what="spectra"),
    )  # fmt: skip
    reasons: dict[str, int] = {}
    for row in rows(stored):
        if not row.exported:
            text = _reason(row, stored.parameters)
            reasons[text] = reasons.get(text, 0) + 1
    for item in found["histograms"]:
        if item["status"].startswith("only "):
            text = "fewer bins or entries than a search needs"
            reasons[text] = reasons.get(text, 0) + 1
    found["global"]["not_searched"] = reasons
    return found


def infer(stored: Stored) -> dict[str, Any]:
    """The bump search at the end of a run, where asked for."""
    parameters: SurveyParameters = stored.parameters
    if not parameters.search:
        return {}
    return {"search": search(stored)}


def headline(stored: Stored, fitted: Mapping[str, Any]) -> str:
    """One sentence: how many spectra, and whether one sticks out."""
    spectra = stored.outcome.spectra.values()
    classified = sum(int(item.events_of_states().sum()) for item in spectra)
    states, signatures = sum(len(item.state) for item in spectra), sum(len(item) for item in spectra)
    exported = sum(row.exported for row in rows(stored)) if signatures else 0
    text = f"{classified} events in {states} final states, {signatures} mass spectra, "
    text += f"{exported} of them exported."
    found = fitted.get("search", {}).get("global", {})
    if found.get("p_global") is not None:
        best = next(item for item in fitted["search"]["histograms"] if item["name"] == found["best"])
        text += (
            f" Least probable excess of {found['n_histograms']} searched spectra: "
            f"at {best['mass_gev']:g} GeV in {found['best']}, p = {found['p_global']:.2g} after all trials."
        )
        if found["poorly_described"]:
            text += (
                f" No smooth background describes {len(found['poorly_described'])} of them: "
                "an excess there may be its fault."
            )
    return text

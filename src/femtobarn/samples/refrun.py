"""Synthetic records of runs and of certifications, with the policy they were made by as truth.

A shift leader promotes a long, recent run of each class every few dozen runs; shifters compare with the
current reference and, now and then, with the one before.  Express moves to a new reference a few runs later
than prompt.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.samples.streams import stream

__all__ = ["make_refrun"]

_FIRST_RUN: Final = 900_001
_LS_SECONDS: Final = 23.31
#: Inelastic proton-proton cross-section [mb] and revolution frequency of the LHC [Hz].
_INELASTIC: Final = 80.0
_REVOLUTIONS: Final = 11245.5
_DATASETS: Final = {"collisions": "/ToyZeroBias/Toy2031-{}/DQMIO", "cosmics": "/ToyCosmics/Toy2031-{}/DQMIO"}


@dataclass
class _Toys:
    """What is generated, column by column."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    sections: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)
    promotions: list[dict[str, Any]] = field(default_factory=list)
    golden: dict[str, list[list[int]]] = field(default_factory=dict)


def make_refrun(out: Path, *, runs: int = 600, seed: int = 1, noise: float = 0.04) -> Path:
    """Write ``pairs.json``, ``runs.csv``, ``lumisections.csv``, ``golden.json`` and ``truth.json``.

    Parameters
    ----------
    out : pathlib.Path
        Folder; made if missing, files of an earlier call are replaced.
    runs : int
        Number of runs; about half of them are of cosmic muons.
    seed : int
        Equal arguments give equal files.
    noise : float
        Probability that a shifter takes the reference before the current one.

    Returns
    -------
    pathlib.Path
        Of ``truth.json``.
    """
    rng = stream(seed, "refrun")
    toys = _Toys()
    _make_runs(toys, rng, runs)
    _certify(toys, rng, noise)
    out.mkdir(parents=True, exist_ok=True)
    _csv(out / "runs.csv", [{k: v for k, v in run.items() if k != "class"} for run in toys.runs])
    _csv(out / "lumisections.csv", toys.sections)
    truth = {
        "schema_version": 1,
        "label": "femtobarn toy simulation",
        "origin": "toy",
        "job": "refrun",
        "release": "records",
        "seed": seed,
        "runs": runs,
        "noise": noise,
        "promotions": toys.promotions,
        "class": {str(run["run_number"]): run["class"] for run in toys.runs},
    }
    for name, content in (("pairs", toys.pairs), ("golden", toys.golden), ("truth", truth)):
        (out / f"{name}.json").write_text(
            json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
    return out / "truth.json"


def _make_runs(toys: _Toys, rng: np.random.Generator, count: int) -> None:
    """Fills of several runs with falling luminosity, and cosmic runs between them."""
    number, fill = _FIRST_RUN, 9000
    while len(toys.runs) < count:
        fill += 1
        bunches = int(rng.choice([12, 600, 1200, 2400], p=[0.1, 0.2, 0.3, 0.4]))
        pileup = float(rng.uniform(25, 60))
        since, recorded = 0, 0.0
        for position in range(int(rng.integers(1, 5))):
            length = int(np.clip(rng.lognormal(4.8, 1.0), 5, 900))
            recorded = _collisions(
                toys, rng, number, (fill, position, bunches, pileup), since, length, recorded
            )
            since += length
            number += int(rng.integers(1, 4))
        for _ in range(int(rng.integers(1, 5))):
            fields = {
                "run_number": number,
                "class": "cosmics",
                "oms_duration": round(float(rng.uniform(300, 30_000))),
                "fill_b_field": 3.8,
                "oms_hlt_key": "/cdaq/cosmic/toy/V1",
            }
            toys.runs.append({**dict.fromkeys(_COLUMNS, ""), **fields})
            number += int(rng.integers(1, 3))
    del toys.runs[count:]
    last = toys.runs[-1]["run_number"]
    toys.sections = [row for row in toys.sections if row["run_number"] <= last]


_COLUMNS: Final = (
    "run_number", "class", "fill_number", "pos_in_fill", "fill_energy", "fill_b_field", "fill_n_colliding",
    "fill_peak_pileup", "n_stable_ls", "oms_duration", "oms_init_lumi", "oms_end_lumi", "oms_recorded_lumi",
    "oms_last_lumisection_number", "oms_hlt_key",
)  # fmt: skip


def _collisions(
    toys: _Toys, rng: np.random.Generator, number: int, fill: tuple[int, int, int, float], since: int,
    length: int, recorded: float,
) -> float:  # fmt: skip
    """One run and its lumisections; returns the luminosity of the fill so far [pb-1]."""
    fill_number, position, bunches, peak = fill
    # 1 mb = 1e-27 cm2; luminosity in 1e34 cm-2 s-1.
    peak_lumi = peak * bunches * _REVOLUTIONS / (_INELASTIC * 1e-27) / 1e34
    at = since + np.arange(length + 1)
    lumi = peak_lumi * np.exp(-at * _LS_SECONDS / 3600.0 / 12.0)
    begun = recorded
    for i in range(length):
        recorded += float(lumi[i]) * 1e34 * _LS_SECONDS * 1e-36 * float(rng.uniform(0.93, 0.97))
        toys.sections.append({
            "run_number": number, "lumisection_number": i + 1, "fill_number": fill_number,
            "init_lumi": round(float(lumi[i]), 8), "end_lumi": round(float(lumi[i + 1]), 8),
            "pileup": round(peak * float(lumi[i]) / peak_lumi, 5), "recorded_lumi": round(recorded, 8),
            "delivered_lumi": round(recorded / 0.95, 8), "beam1_stable": True, "beam2_stable": True,
            "tob_ready": bool(i > 1), "cms_active": True,
        })  # fmt: skip
    toys.runs.append(
        {
            **dict.fromkeys(_COLUMNS, ""),
            "run_number": number,
            "class": "collisions",
            "fill_number": fill_number,
            "pos_in_fill": position,
            "fill_energy": 6800.0,
            "fill_b_field": 3.8,
            "fill_n_colliding": bunches,
            "fill_peak_pileup": round(peak, 3),
            "n_stable_ls": length,
            "oms_duration": round(length * _LS_SECONDS),
            "oms_init_lumi": round(float(lumi[0]), 8),
            "oms_end_lumi": round(float(lumi[-1]), 8),
            "oms_recorded_lumi": round(recorded - begun, 8),
            "oms_last_lumisection_number": length,
            "oms_hlt_key": "/cdaq/physics/toy/V1",
        }
    )
    if length > 20 and rng.uniform() < 0.9:
        toys.golden[str(number)] = [[3, length]]
    return recorded


def _certify(toys: _Toys, rng: np.random.Generator, noise: float) -> None:
    """References come into use, and every run is certified against one of them."""
    state: dict[str, dict[str, Any]] = {
        name: {"list": [], "next": 8, "count": 0, "lag": 0} for name in _DATASETS
    }
    seen: dict[str, list[dict[str, Any]]] = {name: [] for name in _DATASETS}
    for run in toys.runs:
        name = run["class"]
        policy, past = state[name], seen[name]
        policy["count"] += 1
        if policy["count"] >= policy["next"] and len(past) >= 5:
            chosen = max(past[-25:], key=lambda row: _worth(row, run["run_number"]))["run_number"]
            if chosen not in policy["list"][-1:]:
                policy["list"].append(chosen)
                toys.promotions.append({"class": name, "reference": chosen, "from_run": run["run_number"]})
                policy["lag"] = 3
            policy["next"] = policy["count"] + int(rng.integers(20, 60))
        past.append(run)
        if not policy["list"]:
            continue
        for reco in ("express", "prompt"):
            back = 1 + (reco == "express" and policy["lag"] > 0) + bool(rng.uniform() < noise)
            reference = policy["list"][-min(back, len(policy["list"]))]
            toys.pairs.append({
                "run_number": run["run_number"], "run_reconstruction_type": reco,
                "reference_run_number": reference, "reference_run_reconstruction_type": reco,
                "dataset": _DATASETS[name].format(reco.capitalize()),
            })  # fmt: skip
        policy["lag"] -= 1


def _worth(run: dict[str, Any], now: int) -> float:
    length = float(run["n_stable_ls"] or run["oms_duration"] / _LS_SECONDS)
    return math.log(max(length, 1.0)) - float(now - run["run_number"]) / 150.0


def _csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

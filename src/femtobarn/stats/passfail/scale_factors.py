"""Scale factors, efficiency in data over efficiency in simulation, with statistical and systematic errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from femtobarn.errors import UsageError, nearest
from femtobarn.stats.intervals import weighted_efficiency
from femtobarn.stats.passfail.likelihood import Spectra

__all__ = [
    "RMS_MEMBERS",
    "Efficiency",
    "ScaleFactor",
    "combine",
    "count_efficiency",
    "fitted_efficiency",
    "how_many_good",
    "table_columns",
]

COMBINATIONS: Final = ("quadrature", "envelope", "rms2024")
#: Fits whose mean the combination rms2024 quotes.
RMS_MEMBERS: Final = ("nominal", "altSig", "altBkg", "altSigBkg")
#: Two variations that are one source: the larger shift counts.
_TWO_SIDED: Final = {"massRangeUp": "massRange", "massRangeDown": "massRange", "puUp": "pu", "puDown": "pu"}
#: Columns of the flat table: before the ranges and after them.
_FIRST: Final = ("filter", "label", "region", "bin")
_NUMBERS: Final = (
    "eff_data", "eff_data_stat", "eff_data_down", "eff_data_up", "eff_mc", "eff_mc_stat", "eff_mc_down",
    "eff_mc_up", "sf", "stat", "stat_down", "stat_up", "syst", "total", "combination", "status",
)  # fmt: skip
_WORSE: Final = {"good": 0, "suspect": 1, "failed": 2}


@dataclass(frozen=True, slots=True)
class Efficiency:
    """An efficiency with distances to both ends of its 68 % interval; None where it is not known."""

    value: float | None
    down: float | None = None
    up: float | None = None
    status: str = "good"
    reasons: tuple[str, ...] = ()

    @property
    def error(self) -> float | None:
        """One number for both sides."""
        known = [one for one in (self.down, self.up) if one is not None]
        return sum(known) / len(known) if known else None


def count_efficiency(spectra: Spectra) -> Efficiency:
    """Efficiency by counting all probes in the spectra's range (Clopper-Pearson, weights allowed)."""
    (passed, failed), (passed2, failed2) = spectra.totals, spectra.variances.sum(axis=1)
    value, low, high, _ = (float(a) for a in weighted_efficiency(passed, failed, passed2, failed2))
    if math.isnan(value):
        return Efficiency(None, status="failed", reasons=("no simulated probes in the range",))
    return Efficiency(value, value - low, high - value)


def fitted_efficiency(fit: Mapping[str, Any] | None) -> Efficiency:
    """Efficiency of an entry of ``fits``: profile errors, the Hessian's where a side has none."""
    if fit is None:
        return Efficiency(None, status="failed", reasons=("there is no such fit",))
    found, reasons = fit["efficiency"], tuple(fit["reasons"])
    value, hesse = found["value"], found["hesse"]
    if fit["status"] == "failed" or value is None:
        return Efficiency(None, status="failed", reasons=reasons)
    low, high = found["minos"] or (None, None)
    down = hesse if low is None else value - low
    up = hesse if high is None else high - value
    return Efficiency(value, down, up, fit["status"], reasons)


@dataclass(frozen=True)
class ScaleFactor:
    """A scale factor; numbers are None where they cannot be given.

    Attributes
    ----------
    sources : {name: signed shift of the scale factor}
        None for a variation that failed.
    alternatives : {variation: (efficiency in data, in simulation)}
    """

    data: Efficiency
    mc: Efficiency
    value: float | None
    stat: float | None
    stat_down: float | None
    stat_up: float | None
    syst: float | None
    total: float | None
    sources: Mapping[str, float | None]
    status: str
    reasons: tuple[str, ...] = field(default=())
    alternatives: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The numbers of a row of ``tables/scale_factors``."""
        return {
            "eff_data": self.data.value, "eff_data_stat": self.data.error,
            "eff_data_down": self.data.down, "eff_data_up": self.data.up,
            "eff_mc": self.mc.value, "eff_mc_stat": self.mc.error,
            "eff_mc_down": self.mc.down, "eff_mc_up": self.mc.up,
            "sf": self.value, "stat": self.stat, "stat_down": self.stat_down, "stat_up": self.stat_up,
            "syst": self.syst, "total": self.total, "sources": dict(self.sources),
            "status": self.status, "reasons": list(self.reasons),
            "alternatives": {name: list(pair) for name, pair in self.alternatives.items()},
        }  # fmt: skip


def ratio(data: Efficiency, mc: Efficiency) -> float | None:
    """Data over simulation; None if either is unknown or simulation is zero."""
    if data.value is None or not mc.value:
        return None
    return data.value / mc.value


def combine(
    variations: Mapping[str, tuple[Efficiency, Efficiency]], *, combination: str = "quadrature"
) -> ScaleFactor:
    """The scale factor of a bin from the (data, simulation) efficiencies of each variation.

    - ``quadrature``: nominal value, shifts added in quadrature;
    - ``envelope``: nominal value, the largest shift;
    - ``rms2024``: mean of nominal, altSig, altBkg and altSigBkg; the systematic error squared is
      ``(sum of squared deviations from the mean / 3) / 4 + altMC^2``, where the shift of altMC counts only if
      the simulated efficiency moves by more than its statistical error.

    Errors of both efficiencies are propagated to either side of the ratio.
    """
    if combination not in COMBINATIONS:
        raise UsageError(f"unknown combination {combination!r}", near=nearest(combination, COMBINATIONS),
                         action=f"choose {', '.join(COMBINATIONS)}")  # fmt: skip
    data, mc = variations["nominal"]
    nominal = ratio(data, mc)
    reasons = [f"data: {r}" for r in data.reasons] + [f"simulation: {r}" for r in mc.reasons]
    status = max((data.status, mc.status), key=_WORSE.__getitem__)
    if mc.value == 0.0:
        status, reasons = "failed", [*reasons, "the simulated efficiency is zero"]
    sources = _sources(variations, nominal)
    lost = [name for name, shift in sources.items() if shift is None]
    if nominal is not None and lost:
        status = max(status, "suspect", key=_WORSE.__getitem__)
        reasons.append(f"no result for {', '.join(lost)}")
    value, syst = nominal, None
    if nominal is not None:
        known = [shift for shift in sources.values() if shift is not None]
        syst = math.hypot(*known) if combination == "quadrature" else max(map(abs, known), default=0.0)
        if combination == "rms2024":
            data, value, syst = _rms(variations, sources)
            if value is None:
                status, reasons = "failed", [*reasons, "rms2024 needs all of " + ", ".join(RMS_MEMBERS)]
    down, up = _propagated(data, mc) if value is not None else (None, None)
    stat = None
    if value is not None and down is not None and mc.value and data.error is not None:
        stat = math.hypot(data.error, value * (mc.error or 0.0)) / mc.value
    total = None if stat is None or syst is None else math.hypot(stat, syst)
    others = {name: (d.value, m.value) for name, (d, m) in variations.items() if name != "nominal"}
    return ScaleFactor(data, mc, value, stat, down, up, syst, total, sources, status, tuple(reasons), others)


def _sources(
    variations: Mapping[str, tuple[Efficiency, Efficiency]], nominal: float | None
) -> dict[str, float | None]:
    """Signed shifts by source; of two-sided ones the larger."""
    out: dict[str, float | None] = {}
    for name, pair in variations.items():
        if name == "nominal":
            continue
        source, shifted = _TWO_SIDED.get(name, name), ratio(*pair)
        shift = None if shifted is None or nominal is None else shifted - nominal
        before = out.get(source)
        if source not in out or shift is None or (before is not None and abs(shift) > abs(before)):
            out[source] = shift
    return out


def _rms(
    variations: Mapping[str, tuple[Efficiency, Efficiency]], sources: Mapping[str, float | None]
) -> tuple[Efficiency, float | None, float | None]:
    """Mean efficiency in data, its scale factor and systematic error."""
    data, mc = variations["nominal"]
    members = [variations[name][0].value for name in RMS_MEMBERS if name in variations]
    values = [one for one in members if one is not None]
    if len(values) != len(RMS_MEMBERS) or not mc.value:
        return data, None, None
    mean = sum(values) / len(values)
    spread = sum((one - mean) ** 2 for one in values) / (len(values) - 1) / len(values)
    other = 0.0
    if "altMC" in variations:
        moved, shift = variations["altMC"][1].value, sources.get("altMC")
        if moved is not None and shift is not None and abs(moved - mc.value) >= (mc.error or 0.0):
            other = shift
    quoted = Efficiency(mean, data.down, data.up, data.status, data.reasons)
    return quoted, mean / mc.value, math.sqrt(spread / mc.value**2 + other**2)


def _propagated(data: Efficiency, mc: Efficiency) -> tuple[float | None, float | None]:
    """Errors of the ratio downwards and upwards: simulation's upward error pulls it down."""
    value = ratio(data, mc)
    if value is None or mc.value is None:
        return None, None
    ends = (data.down, data.up, mc.down, mc.up)
    if any(one is None for one in ends):
        return None, None
    d_down, d_up, m_down, m_up = (one or 0.0 for one in ends)
    return (
        math.hypot(d_down, value * m_up) / mc.value,
        math.hypot(d_up, value * m_down) / mc.value,
    )


def how_many_good(fits: Sequence[Mapping[str, Any]]) -> str:
    """``29 of 32 fits are good``."""
    return f"{sum(one['status'] == 'good' for one in fits)} of {len(fits)} fits are good"


def table_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows of ``scale_factors`` as flat columns: ranges as ``pt_low``, ``pt_high``, a column a source."""
    variables = _union(row["edges"] for row in rows)
    sources = _union(row["sources"] for row in rows)
    out: dict[str, list[Any]] = {key: [row[key] for row in rows] for key in _FIRST}
    for name in variables:
        for k, end in enumerate(("low", "high")):
            out[f"{name}_{end}"] = [row["edges"].get(name, (None, None))[k] for row in rows]
    out |= {key: [row[key] for row in rows] for key in _NUMBERS}
    out |= {f"source_{name}": [row["sources"].get(name) for row in rows] for name in sources}
    return out | {"reasons": ["; ".join(row["reasons"]) for row in rows]}


def _union(items: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for one in items for name in one))

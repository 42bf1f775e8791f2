"""Names, units and plausible ranges of run, fill and lumisection attributes, and unit conversion.

Names are those of the run registry OMS; columns of a run table may carry the prefix ``oms_``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from femtobarn.catalog.quantity import Quantity, absent
from femtobarn.errors import DataError

__all__ = ["ATTRIBUTES", "Attribute", "convert", "parse", "quantity"]

Kind = Literal["number", "count", "text", "flag", "list"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """How an attribute is read: ``unit`` is ours, ``low`` and ``high`` bound what is possible."""

    name: str
    kind: Kind = "number"
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf

    @property
    def bounded(self) -> bool:
        """Whether any number is impossible."""
        return self.low > -math.inf or self.high < math.inf

    def allows(self, value: Any) -> bool:
        """Whether a parsed value is possible; one that is missing or no number is."""
        return not isinstance(value, int | float) or self.low <= value <= self.high


_LUMI: Final = "1e34 cm-2 s-1"


def _table(*rows: tuple[Any, ...]) -> dict[str, Attribute]:
    return {row[0]: Attribute(*row) for row in rows}


ATTRIBUTES: Final[Mapping[str, Attribute]] = _table(
    ("run_number", "count"),
    ("fill_number", "count", "", 0),
    ("pos_in_fill", "count"),
    ("n_runs_in_fill", "count"),
    ("fill_create_time", "text"),
    ("fill_type", "text"),
    ("fill_injection_scheme", "text"),
    ("fill_energy", "number", "GeV", 0),
    ("fill_b_field", "number", "T"),
    ("fill_n_colliding", "count", "", 0),
    ("fill_peak_lumi_1e34", "number", _LUMI),
    # More interactions a crossing than any fill of the LHC has had: a lost decimal point.
    ("fill_peak_pileup", "number", "", 0, 200),
    ("fill_stable_minutes", "number", "min"),
    ("n_stable_ls", "count"),
    ("duration", "number", "s"),
    ("init_lumi", "number", _LUMI),
    ("end_lumi", "number", _LUMI),
    ("recorded_lumi", "number", "pb-1"),
    ("delivered_lumi", "number", "pb-1"),
    ("energy", "number", "GeV"),
    ("b_field", "number", "T"),
    ("last_lumisection_number", "count"),
    ("l1_rate", "number", "Hz"),
    ("hlt_physics_rate", "number", "Hz"),
    ("hlt_physics_counter", "count"),
    ("initial_prescale_index", "count"),
    ("l1_hlt_mode", "text"),
    ("ls_pileup_mean", "number", "", 0, 200),
    ("ls_pileup_std", "number"),
    ("ls_pileup_q10", "number"),
    ("ls_pileup_q50", "number"),
    ("ls_pileup_q90", "number"),
    ("ls_pileup_n", "count"),
    ("ls_ready_fraction", "number"),
    ("ls_count", "count"),
    ("start_time", "text"),
    ("end_time", "text"),
    ("components", "list"),
    ("hlt_key", "text"),
    ("stable_beam", "flag"),
    ("apv_mode", "text"),
)

#: Units that OMS writes, normalised, and what one of them is in our unit.
_FACTORS: Final[Mapping[tuple[str, str], float]] = {
    ("s", "s"): 1.0, ("min", "s"): 60.0, ("h", "s"): 3600.0, ("ms", "s"): 1e-3,
    ("min", "min"): 1.0, ("s", "min"): 1 / 60, ("h", "min"): 60.0,
    ("GeV", "GeV"): 1.0, ("TeV", "GeV"): 1000.0, ("MeV", "GeV"): 1e-3,
    ("T", "T"): 1.0,
    ("Hz", "Hz"): 1.0, ("kHz", "Hz"): 1e3, ("MHz", "Hz"): 1e6,
    ("pb-1", "pb-1"): 1.0, ("fb-1", "pb-1"): 1e3, ("nb-1", "pb-1"): 1e-3, ("ub-1", "pb-1"): 1e-6,
    ("1e34cm-2s-1", _LUMI): 1.0, ("1e33cm-2s-1", _LUMI): 0.1, ("1e32cm-2s-1", _LUMI): 1e-2,
    ("1e30cm-2s-1", _LUMI): 1e-4, ("1e27cm-2s-1", _LUMI): 1e-7, ("cm-2s-1", _LUMI): 1e-34,
    ("Hz/nb", _LUMI): 0.1, ("Hz/ub", _LUMI): 1e-4,
}  # fmt: skip


def _normalised(unit: str) -> str:
    """``10^{34}cm^{-2}s^{-1}`` as ``1e34cm-2s-1``; ``/pb`` as ``pb-1``."""
    text = unit.replace("µ", "u").replace("μ", "u").replace("\\mu", "u").replace("sec", "s")
    text = re.sub(r"[\s{}$\\*·.]|\bx\b|mathrm|text", "", text).replace("−", "-")
    text = re.sub(r"(?:1x)?10\^?(\d+)", r"1e\1", text).replace("^", "")
    text = re.sub(r"^/([pfnu]b)$", r"\1-1", text)
    text = re.sub(r"/cm2/s$|/\(?cm2s\)?$", "cm-2s-1", text)
    return {"ubarn-1": "ub-1", "seconds": "s", "second": "s", "minutes": "min", "gev": "GeV", "hz": "Hz",
            "Tesla": "T", "tesla": "T", "khz": "kHz"}.get(text, text)  # fmt: skip


def convert(value: float, unit: str, attribute: Attribute, *, where: str) -> float:
    """A value in the attribute's own unit.

    Raises
    ------
    DataError
        If the unit is unknown, or is of another kind of quantity.
    """
    if not attribute.unit:
        return value
    factor = _FACTORS.get((_normalised(unit), attribute.unit))
    if factor is None:
        raise DataError(f"{attribute.name} comes in {unit!r}, which cannot be converted to {attribute.unit}",
                        where=where, action="add the unit to femtobarn.catalog.attributes")  # fmt: skip
    return value if factor == 1.0 else value * factor


_TAG: Final = re.compile(r"<[^>]*>")


def parse(value: Any, attribute: Attribute, *, where: str) -> Any:
    """A cell or JSON value as the attribute's kind; None if it holds nothing.

    Numbers may come as text or inside HTML tags; what is no number is an error.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if attribute.kind == "list":
        return _items(value)
    if isinstance(value, list | tuple):
        if len(value) > 1:
            raise DataError(f"{attribute.name} is a list of {len(value)} values", where=where)
        return parse(value[0], attribute, where=where) if value else None
    if isinstance(value, str):
        value = _TAG.sub("", value).strip()
        if value in ("", "null", "None", "nan", "NaN", "N/A", "-"):
            return None
    if attribute.kind == "text":
        return str(value)
    if attribute.kind == "flag":
        return _flag(value, attribute.name, where)
    return _number(value, attribute, where)


def _items(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        value = re.split(r"[,;\s]+", _TAG.sub("", value).strip("[](){} \n").replace("'", "").replace('"', ""))
    items = tuple(str(item) for item in value if str(item))
    return items or None


def _flag(value: Any, name: str, where: str) -> bool:
    text = str(value).strip().lower()
    if text in ("true", "1", "1.0", "yes"):
        return True
    if text in ("false", "0", "0.0", "no"):
        return False
    raise DataError(f"{name} is {value!r}, neither true nor false", where=where)


def _number(value: Any, attribute: Attribute, where: str) -> float | int | None:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{attribute.name} is {value!r}, not a number", where=where) from error
    if not math.isfinite(number):
        return None
    return int(number) if attribute.kind == "count" and number == int(number) else number


def quantity(value: Any, attribute: Attribute, source: str) -> Quantity:
    """A parsed value as a quantity; an impossible one is rejected, not replaced."""
    if value is None:
        return absent(attribute.unit, source)
    if not attribute.allows(value):
        return absent(attribute.unit, source, "rejected")
    if attribute.name == "energy" and value == 0:
        return absent(attribute.unit, source)  # 0 stands for "not known or no beam" in OMS
    return Quantity(value, attribute.unit, source)

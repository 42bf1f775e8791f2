"""The flags of ``femtobarn fit``, from text to :class:`FitOptions`; every malformed one is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from femtobarn.errors import UsageError, nearest

if TYPE_CHECKING:
    from femtobarn.stats.run_fit import FitOptions

__all__ = ["parse_options"]


def parse_options(**flags: Any) -> FitOptions:
    """Options of a fit from the values of the flags, by flag name."""
    from femtobarn.stats.run_fit import FitOptions

    smooth = flags["smooth"]
    if smooth not in (None, "353QH"):
        raise UsageError(f"--smooth: there is no algorithm {smooth!r}", near=nearest(smooth, ["353QH"]),
                         action="choose 353QH")  # fmt: skip
    gof = flags["gof"]
    if gof not in (None, "saturated", "toys"):
        raise UsageError(f"--gof: there is no method {gof!r}", near=nearest(gof, ["saturated", "toys"]),
                         action="choose saturated or toys")  # fmt: skip
    return FitOptions(
        measurement=flags["measurement"],
        poi=flags["poi"],
        interp=dict(_each("interp", _commas(flags["interp"]), _word_pair)),
        fix=dict(_each("fix", flags["fix"], _number_pair)),
        channels=tuple(_commas(flags["channels"])),
        patch=flags["patch"],
        prune=flags["prune"],
        smooth=smooth is not None,
        correlate=tuple(_each("correlate", flags["correlate"], _correlation)),
        decorrelate=tuple(_each("decorrelate", flags["decorrelate"], _decorrelation)),
        profile=tuple(flags["profile"] or ()),
        scan=tuple(_each("scan", flags["scan"], _range)),
        scan2d=tuple(_each("scan2d", flags["scan2d"], _pair)),
        hypotest=tuple(flags["hypotest"] or ()),
        limit=flags["limit"],
        cl=flags["cl"],
        significance=flags["significance"],
        ranking=flags["ranking"],
        gof=gof,
        toys=flags["toys"],
        seed=flags["seed"],
        asimov=dict(_each("asimov", _commas(flags["asimov"]), _number_pair)) if flags["asimov"] else None,
        postfit=flags["postfit"],
    )


def _each(flag: str, texts: Sequence[str] | None, read: Callable[[str], Any]) -> list[Any]:
    found = []
    for text in texts or ():
        try:
            found.append(read(text))
        except ValueError as error:
            raise UsageError(f"--{flag}: {text!r} is not of the form {error}") from None
    return found


def _commas(text: str | None) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()] if text else []


def _float(text: str, form: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(form) from None


def _word_pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise ValueError("normsys=code4")
    return name, value


def _number_pair(text: str) -> tuple[str, float]:
    name, found, value = text.rpartition("=")
    if not found:
        raise ValueError("PARAMETER=VALUE")
    return name, _float(value, "PARAMETER=VALUE")


def _range(text: str) -> tuple[str, float, float, int]:
    form = "PARAMETER=LOW:HIGH:POINTS"
    name, found, rest = text.rpartition("=")
    numbers = rest.split(":")
    if not found or len(numbers) != 3 or not numbers[2].isdigit():
        raise ValueError(form)
    return name, _float(numbers[0], form), _float(numbers[1], form), int(numbers[2])


def _pair(text: str) -> tuple[str, str]:
    first, found, second = text.partition(",")
    if not found:
        raise ValueError("PARAMETER,PARAMETER")
    return first, second


def _correlation(text: str) -> tuple[str, str, float]:
    names, value = _number_pair(text)
    first, found, second = names.partition(":")
    if not found:
        raise ValueError("A:B=R")
    return first, second, value


def _decorrelation(text: str) -> tuple[str, str]:
    name, _, by = text.rpartition(":")
    if not name or by not in ("channel", "sample"):
        raise ValueError("NAME:channel or NAME:sample")
    return name, by

"""The flags of ``femtobarn fit``, from text to :class:`FitOptions`; every malformed one is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from femtobarn.errors import UsageError, nearest

if TYPE_CHECKING:
    from femtobarn.stats.histfactory.full_fit import FitOptions

__all__ = ["model_options", "parse_options"]


def parse_options(**flags: Any) -> FitOptions:
    """Options of a fit from the values of the flags, by flag name."""
    from femtobarn.stats.histfactory.full_fit import FitOptions

    smooth = _chosen("smooth", flags["smooth"], ("353QH",))
    gof = _chosen("gof", flags["gof"], ("saturated", "toys"))
    engine = _chosen("engine", flags["engine"] or "own", ("own", "pyhf"))
    for flag, low in (("toys", 0), ("seed", 0), ("prune", 0)):
        if flags[flag] is not None and not flags[flag] >= low:
            raise UsageError(f"--{flag}: {flags[flag]} is below {low}")
    if not 0.0 < flags["cl"] < 1.0:
        raise UsageError(f"--cl: {flags['cl']:g} does not lie between 0 and 1", action="write 0.95 for 95 %")
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
        engine=engine,
    )


def model_options(
    *, measurement: str | None, interp: str | None, channels: str | None, patch: str | None
) -> Any:
    """The flags that change a model and ask for nothing; None if none was given."""
    from femtobarn.stats.histfactory.full_fit import FitOptions

    asked = FitOptions(
        measurement=measurement,
        interp=dict(_each("interp", _commas(interp), _word_pair)),
        channels=tuple(_commas(channels)),
        patch=patch,
    )
    return asked if asked != FitOptions() else None


def _chosen(flag: str, value: str | None, known: Sequence[str]) -> Any:
    if value is not None and value not in known:
        raise UsageError(
            f"--{flag}: there is no {value!r}",
            near=nearest(value, known),
            action=f"choose {' or '.join(known)}",
        )
    return value


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
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(form)
    return number


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
    form = "PARAMETER=LOW:HIGH:POINTS (at least 2 points)"
    name, found, rest = text.rpartition("=")
    numbers = rest.split(":")
    if not found or len(numbers) != 3 or not numbers[2].isdecimal() or int(numbers[2]) < 2:
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

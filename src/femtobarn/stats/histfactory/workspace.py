"""A HistFactory workspace as frozen values: what a likelihood is made of, without any arithmetic.

The JSON form is that of pyhf 1.0.0 (https://scikit-hep.org/pyhf/schemas/1.0.0/); reading reports all problems
of a document at once, each by its JSON pointer (RFC 6901).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from femtobarn.errors import ConfigError, DataError, UsageError, missing_file, nearest

__all__ = [
    "MODIFIER_KINDS",
    "Channel",
    "Measurement",
    "Modifier",
    "ModifierKind",
    "Observation",
    "ParameterConfig",
    "Sample",
    "Workspace",
    "write_workspace",
]

ModifierKind = Literal["histosys", "lumi", "normfactor", "normsys", "shapefactor", "shapesys", "staterror"]
#: In the order in which pyhf lists the parameters they make.
MODIFIER_KINDS: Final[tuple[ModifierKind, ...]] = (
    "histosys",
    "lumi",
    "normfactor",
    "normsys",
    "shapefactor",
    "shapesys",
    "staterror",
)
Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Modifier:
    """One effect on one sample.

    Attributes
    ----------
    hi, lo : tuple of float or None
        ``normsys``: one factor each; ``histosys``: varied bin contents.
    sizes : tuple of float or None
        ``shapesys``, ``staterror``: absolute uncertainty per bin.
    """

    name: str
    kind: ModifierKind
    hi: Numbers | None = None
    lo: Numbers | None = None
    sizes: Numbers | None = None

    def to_json(self) -> dict[str, Any]:
        data: Any = None
        if self.kind == "normsys" and self.hi and self.lo:
            data = {"hi": self.hi[0], "lo": self.lo[0]}
        elif self.kind == "histosys" and self.hi and self.lo:
            data = {"hi_data": list(self.hi), "lo_data": list(self.lo)}
        elif self.sizes is not None:
            data = list(self.sizes)
        return {"name": self.name, "type": self.kind, "data": data}


@dataclass(frozen=True, slots=True)
class Sample:
    """Nominal bin contents of one process in one channel, and what may change them."""

    name: str
    data: Numbers
    modifiers: tuple[Modifier, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "data": list(self.data),
            "modifiers": [modifier.to_json() for modifier in self.modifiers],
        }


@dataclass(frozen=True, slots=True)
class Channel:
    """A histogram that is compared with data."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def bins(self) -> int:
        return len(self.samples[0].data) if self.samples else 0

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "samples": [sample.to_json() for sample in self.samples]}


@dataclass(frozen=True, slots=True)
class Observation:
    """Observed counts of a channel."""

    name: str
    data: Numbers

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "data": list(self.data)}


@dataclass(frozen=True, slots=True)
class ParameterConfig:
    """What a measurement says about a parameter; None leaves the default."""

    name: str
    inits: Numbers | None = None
    bounds: tuple[tuple[float, float], ...] | None = None
    auxdata: Numbers | None = None
    sigmas: Numbers | None = None
    factors: Numbers | None = None
    fixed: bool | None = None

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"name": self.name}
        for key in ("inits", "auxdata", "sigmas", "factors"):
            values = getattr(self, key)
            if values is not None:
                out[key] = list(values)
        if self.bounds is not None:
            out["bounds"] = [list(pair) for pair in self.bounds]
        if self.fixed is not None:
            out["fixed"] = self.fixed
        return out


@dataclass(frozen=True, slots=True)
class Measurement:
    """A parameter of interest ("" for none) and parameter settings."""

    name: str
    poi: str = ""
    parameters: tuple[ParameterConfig, ...] = ()

    def parameter(self, name: str) -> ParameterConfig | None:
        return next((p for p in self.parameters if p.name == name), None)

    def to_json(self) -> dict[str, Any]:
        config = {"poi": self.poi, "parameters": [p.to_json() for p in self.parameters]}
        return {"name": self.name, "config": config}


@dataclass(frozen=True, slots=True)
class Workspace:
    """Channels, observations and measurements.

    ``correlations`` are pairs of Gaussian-constrained parameters with the correlation of their constraint;
    the pyhf format has no word for them (see :func:`femtobarn.stats.histfactory.transform.uncorrelated`).
    """

    channels: tuple[Channel, ...]
    observations: tuple[Observation, ...]
    measurements: tuple[Measurement, ...]
    correlations: tuple[tuple[str, str, float], ...] = field(default=())
    version: str = "1.0.0"

    def measurement(self, name: str | None = None) -> Measurement:
        """The named measurement; the first if no name is given."""
        if name is None:
            return self.measurements[0]
        for measurement in self.measurements:
            if measurement.name == name:
                return measurement
        known = [m.name for m in self.measurements]
        raise UsageError(f"there is no measurement '{name}'", near=nearest(name, known) or known[:3])

    def to_json(self) -> dict[str, Any]:
        """The pyhf 1.0.0 document (correlated constraints are not part of it)."""
        return {
            "channels": [channel.to_json() for channel in self.channels],
            "measurements": [measurement.to_json() for measurement in self.measurements],
            "observations": [observation.to_json() for observation in self.observations],
            "version": self.version,
        }

    def sha256(self) -> str:
        """Digest of the canonical JSON text, correlated constraints included."""
        document: dict[str, Any] = self.to_json()
        if self.correlations:
            document["correlations"] = [list(c) for c in self.correlations]
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def write_workspace(workspace: Workspace, path: str | Path) -> None:
    """Write a workspace as pyhf JSON, keys sorted, order of the lists kept."""
    text = json.dumps(workspace.to_json(), indent=1, sort_keys=True, allow_nan=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def read_document(path: str | Path) -> Any:
    """Parse a JSON file; a syntax error names the line."""
    where = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise missing_file(path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=where) from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"is not JSON: {error.msg}", where=f"{where}:{error.lineno}") from None

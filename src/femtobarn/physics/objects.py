"""Collections of objects as an analysis of many formats sees them: one name a type, whatever the file.

Some releases keep electrons and muons in one list of leptons; masses come from a mass branch, an energy
branch or the particle itself.  Everything here is in GeV and float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from femtobarn.kernels.combinations import sort_selected
from femtobarn.kernels.jagged import Jagged
from femtobarn.kernels.momenta import cartesian, mass_from_energy
from femtobarn.read.columns import Events
from femtobarn.read.schema import Schema
from femtobarn.units import ELECTRON_MASS, MUON_MASS, TAU_MASS

__all__ = [
    "COLLECTIONS",
    "MassModel",
    "Objects",
    "collection_columns",
    "four_momenta",
    "is_sound",
    "read_objects",
]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
MassModel = Literal["true", "massless", "classic"]

#: Type -> collection in the schemas, type of an entry in a mixed lepton list, mass where nothing says it.
COLLECTIONS: Final = {
    "electrons": ("electron", 11, ELECTRON_MASS),
    "muons": ("muon", 13, MUON_MASS),
    "jets": ("jet", 0, 0.0),
    "photons": ("photon", 0, 0.0),
    "taus": ("tau", 0, TAU_MASS),
}
#: What the survey's predecessor added, in the unit of the file.
_CLASSIC: Final = {"electrons": 0.000511, "muons": 0.105}
#: Beyond these an object is no measurement: the beam pipe, and more than the beams' energy.
ETA_LIMIT: Final = 20.0
PT_LIMIT: Final = 1e9


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects of one type.

    Attributes
    ----------
    offsets : (n + 1,) int64
    pt, eta, phi, mass : (m,) float64, GeV
    charge : (m,) float64 or None
    index : (m,) int64
        Where each was in the file's columns of this part.
    """

    offsets: NDArray[np.int64]
    pt: Floats
    eta: Floats
    phi: Floats
    mass: Floats
    charge: Floats | None
    index: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    @classmethod
    def none(cls, events: int) -> Objects:
        """No object in any event."""
        empty = np.zeros(0)
        return cls(
            np.zeros(events + 1, dtype=np.int64), empty, empty, empty, empty, empty, np.zeros(0, np.int64)
        )

    def take(self, offsets: NDArray[np.int64], positions: NDArray[np.int64]) -> Objects:
        """The objects at these positions, event by event."""
        columns: dict[str, Any] = {
            item.name: None if getattr(self, item.name) is None else getattr(self, item.name)[positions]
            for item in fields(self)
            if item.name != "offsets"
        }
        return replace(self, offsets=offsets, **columns)

    def where(self, keep: Mask) -> Objects:
        """The objects with ``keep`` set, in stored order."""
        passed = np.zeros(len(keep) + 1, dtype=np.int64)
        np.cumsum(keep, out=passed[1:])
        return self.take(passed[self.offsets], np.flatnonzero(keep))

    def ordered(self, key: Floats) -> Objects:
        """Highest ``key`` first; ties in stored order."""
        return self.take(*sort_selected(self.offsets, np.ones(len(key), dtype=np.bool_), key))


def _mixed(schema: Schema, kind: str) -> bool:
    """Whether a type shares a list of leptons with another in this schema."""
    return bool(COLLECTIONS[kind][1]) and "lepton.type" in schema.columns


def _prefix(schema: Schema, kind: str) -> str:
    return "lepton" if _mixed(schema, kind) else COLLECTIONS[kind][0]


def collection_columns(schema: Schema, kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns a type needs, and those that give its mass if they are there."""
    prefix = _prefix(schema, kind)
    needed = [f"{prefix}.{name}" for name in ("pt", "eta", "phi")]
    if _mixed(schema, kind):
        needed.append("lepton.type")
    if kind not in ("jets", "taus"):
        return tuple(needed), ()
    known = [name for name in ("mass", "e") if _resolves(schema, f"{prefix}.{name}")]
    return tuple(needed), tuple(f"{prefix}.{name}" for name in known)


def _resolves(schema: Schema, name: str) -> bool:
    """Whether the schema itself names a column (and not only passes the name on)."""
    return schema.resolve(name).name != name


def read_objects(events: Events, schema: Schema, kind: str, *, charge: bool = False) -> Objects:
    """All objects of a type, in stored order; none if the file has no such objects."""
    prefix = _prefix(schema, kind)
    if f"{prefix}.pt" not in events:
        return Objects.none(len(events))
    pt = events.jagged(f"{prefix}.pt")

    def column(name: str) -> Floats:
        found = events.jagged(f"{prefix}.{name}")
        if not np.array_equal(found.offsets, pt.offsets):
            raise ValueError(f"columns {prefix}.pt and {prefix}.{name} differ in their number of objects")
        return np.asarray(found.values, dtype=np.float64)

    eta, phi, values = column("eta"), column("phi"), np.asarray(pt.values, dtype=np.float64)
    charges = column("charge") if charge and f"{prefix}.charge" in events else None
    mass = np.full(len(values), COLLECTIONS[kind][2])
    if kind in ("jets", "taus") and f"{prefix}.mass" in events:
        mass = column("mass")
    elif kind in ("jets", "taus") and f"{prefix}.e" in events:
        mass = mass_from_energy(values, eta, column("e"))
    # A calibrated mass may come out negative (releases of 2016 have -176 MeV); it counts as none.
    mass = np.maximum(mass, 0.0)
    found = Objects(pt.offsets, values, eta, phi, mass, charges, np.arange(len(values)))
    if _mixed(schema, kind):
        found = found.where(np.abs(events.jagged("lepton.type").values) == COLLECTIONS[kind][1])
    return found


def is_sound(objects: Objects) -> Mask:
    """(m,) whether an object's numbers can be a measurement: finite, pt >= 0 and |eta| <= 20."""
    finite = (
        np.isfinite(objects.pt)
        & np.isfinite(objects.eta)
        & np.isfinite(objects.phi)
        & np.isfinite(objects.mass)
    )
    with np.errstate(invalid="ignore"):
        possible = (objects.pt >= 0) & (objects.pt < PT_LIMIT) & (np.abs(objects.eta) <= ETA_LIMIT)
        return np.asarray(finite & possible & (objects.mass < PT_LIMIT))


def four_momenta(objects: Objects, kind: str, *, model: MassModel, unit: float) -> Floats:
    """(m, 4) px, py, pz, E.

    Parameters
    ----------
    objects : Objects
    kind : type
    model : ``true`` masses, ``massless``, or ``classic`` (lepton masses of the predecessor)
    unit : GeV in one unit of the file, for the classic masses
    """
    mass = objects.mass
    if model == "massless":
        mass = np.zeros_like(mass)
    elif model == "classic":
        mass = np.full_like(mass, _CLASSIC.get(kind, 0.0) * unit)
    return cartesian(objects.pt, objects.eta, objects.phi, mass)


def flags(events: Events, schema: Schema, kind: str, name: str, objects: Objects) -> NDArray[Any]:
    """Another column of the same objects, by the name it has after the type's prefix."""
    found: Jagged = events.jagged(f"{_prefix(schema, kind)}.{name}")
    return found.values[objects.index]


def needs(schema: Schema, kind: str, names: Sequence[str]) -> tuple[str, ...]:
    """Logical names of further columns of a type."""
    return tuple(f"{_prefix(schema, kind)}.{name}" for name in names)

"""What certification knows: runs, fills, lumisections, and which reference a run was compared with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Literal

from femtobarn.catalog.quantity import Quantity, absent
from femtobarn.errors import DataError, UsageError, nearest

__all__ = [
    "CLASSES",
    "RECOS",
    "Fill",
    "Lumisection",
    "Pair",
    "Promotion",
    "Run",
    "RunClass",
    "RunKey",
    "class_from_dataset",
    "class_from_run",
    "parse_class",
    "parse_reco",
]

RunClass = Literal["collisions", "cosmics", "HI", "undefined"]

#: Classes that are evaluated, in the order of tables; ``undefined`` is the fourth.
CLASSES: Final[tuple[RunClass, ...]] = ("collisions", "cosmics", "HI")
RECOS: Final = ("express", "prompt", "rereco", "rerecoul")

_UNDEFINED: Final = "To Be Defined"
_COSMICS: Final = re.compile(r"cosmic|CRUZET|CRAFT|MWGR|CRUZ", re.IGNORECASE)
#: Letter case matters: ``Commissioning`` contains ``ion``.
_HEAVY_IONS: Final = re.compile(r"HI|Heavy|Ion|PbPb|OO|NeNe")
_PHYSICS_MENUS: Final = ("/cdaq/physics", "/cdaq/special")


@dataclass(frozen=True, slots=True, order=True)
class RunKey:
    """A run as reconstructed once: what is certified."""

    run: int
    reco: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A certified run and the reference it was compared with.

    ``order`` is the position in the export: close to the order of certification, but no date.
    """

    key: RunKey
    reference: RunKey
    dataset: str | None
    order: int
    run_class: RunClass


@dataclass(frozen=True, slots=True)
class Promotion:
    """A run made a reference; ``date`` and ``by`` are empty where the list does not say."""

    key: RunKey
    date: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A run with whatever is known of it; names are those of OMS (``duration``, ``init_lumi``)."""

    number: int
    values: Mapping[str, Quantity] = field(default_factory=lambda: MappingProxyType({}))

    def get(self, name: str) -> Quantity:
        """The attribute, or an absent quantity."""
        found = self.values.get(name)
        return absent() if found is None else found

    @property
    def fill(self) -> int | None:
        number = self.get("fill_number").number
        return None if number is None else int(number)


@dataclass(frozen=True, slots=True)
class Fill:
    """A fill of the collider with whatever is known of it."""

    number: int
    values: Mapping[str, Quantity] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Lumisection:
    """One lumisection (23.31 s) of a run.

    ``recorded``, ``delivered`` [pb-1] as in the record: in some exports cumulative over the fill.
    """

    run: int
    number: int
    init_lumi: float | None
    end_lumi: float | None
    pileup: float | None
    recorded: float | None
    delivered: float | None
    flags: Mapping[str, bool]


@lru_cache(maxsize=4096)
def class_from_dataset(dataset: str | None) -> RunClass:
    """Kind of data from the name of the dataset; undefined if there is none."""
    name = (dataset or "").strip()
    if not name or name == _UNDEFINED:
        return "undefined"
    if _COSMICS.search(name):
        return "cosmics"
    return "HI" if _HEAVY_IONS.search(name) else "collisions"


def class_from_run(run: Run) -> RunClass:
    """Kind of data of a run without dataset: collisions needs a physics menu and stable beams."""
    menu = run.get("hlt_key").value
    physics = isinstance(menu, str) and any(part in menu for part in _PHYSICS_MENUS)
    return "collisions" if physics and has_stable_beams(run) else "cosmics"


def has_stable_beams(run: Run) -> bool:
    """Whether any record says that the run saw stable beams."""
    if run.get("stable_beam").value is True:
        return True
    return any((run.get(name).number or 0) > 0 for name in ("n_stable_ls", "fill_stable_minutes"))


def parse_reco(text: Any, *, where: str | None = None) -> str:
    """A known reconstruction; letter case does not matter."""
    name = str(text).strip().lower()
    if name not in RECOS:
        known = f"known are {', '.join(RECOS)}"
        what = f"{text!r} is no reconstruction"
        if where is None:
            raise UsageError(what, where="--reco", near=nearest(name, RECOS), action=known)
        raise DataError(what, where=where, near=nearest(name, RECOS), action=known)
    return name


def parse_class(text: str) -> RunClass:
    """One of the classes that are evaluated."""
    for name in CLASSES:
        if text.strip().lower() == name.lower():
            return name
    raise UsageError(f"{text!r} is no class", where="--class", near=nearest(text, CLASSES),
                     action=f"known are {', '.join(CLASSES)}")  # fmt: skip

"""Four-momenta of a query: ``ToFourMomenta()``, their sums and what can be asked of them.

A momentum is a record named :data:`NAME` with ``px py pz E`` in float64 beside the fields it was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import awkward as ak
import numpy as np

from femtobarn.errors import nearest

__all__ = ["NAME", "add", "is_momentum", "make", "property_of", "two_body"]

NAME: Final = "FourMomentum"
_CARTESIAN: Final = ("px", "py", "pz", "E")
_SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "pt": ("pt", "rho"), "eta": ("eta",), "phi": ("phi",), "mass": ("mass", "m", "M", "tau"),
    "E": ("E", "e", "energy", "t"), "px": ("px", "x"), "py": ("py", "y"), "pz": ("pz", "z"),
})  # fmt: skip


def is_momentum(array: Any) -> bool:
    """Whether the items are four-momenta."""
    return isinstance(array, ak.Array) and array.layout.purelist_parameter("__record__") == NAME


def make(array: ak.Array) -> ak.Array:
    """Four-momenta from records with pt eta phi and mass or energy, or with px py pz and energy.

    Raises
    ------
    ValueError
        The records lack what is needed.
    """
    found = {}
    for quantity, names in _SYNONYMS.items():
        name = next((name for name in names if name in array.fields), None)
        if name is not None:
            found[quantity] = ak.values_astype(array[name], np.float64)
    if {"px", "py", "pz"} <= found.keys():
        px, py, pz = found["px"], found["py"], found["pz"]
    elif {"pt", "eta", "phi"} <= found.keys():
        pt, eta, phi = found["pt"], found["eta"], found["phi"]
        px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    else:
        raise ValueError(
            f"records with {', '.join(array.fields) or 'no names'} are no four-momenta: pt, eta, phi and "
            "mass or energy are needed (or px, py, pz)"
        )
    if "E" in found:
        energy = found["E"]
    elif "mass" in found:
        mass = found["mass"]
        energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
    else:
        raise ValueError("four-momenta need a mass or an energy")
    for name, column in zip(_CARTESIAN, (px, py, pz, energy), strict=True):
        array = ak.with_field(array, column, name)
    return ak.with_name(array, NAME)


def add(first: ak.Array, second: ak.Array) -> ak.Array:
    """Sums of momenta, item by item."""
    sums = {name: first[name] + second[name] for name in _CARTESIAN}
    return ak.with_name(ak.zip(sums), NAME)


def _mass(p: Any) -> Any:
    square = p["E"] ** 2 - p["px"] ** 2 - p["py"] ** 2 - p["pz"] ** 2
    return np.sign(square) * np.sqrt(np.abs(square))


def _pt(p: Any) -> Any:
    return np.hypot(p["px"], p["py"])


def _eta(p: Any) -> Any:
    return np.arcsinh(p["pz"] / _pt(p))


def _phi(p: Any) -> Any:
    return np.arctan2(p["py"], p["px"])


def _rapidity(p: Any) -> Any:
    return np.arctanh(p["pz"] / p["E"])


_PROPERTIES: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType({
    "mass": _mass, "m": _mass, "pt": _pt, "eta": _eta, "phi": _phi, "rapidity": _rapidity,
    "p": lambda p: np.sqrt(p["px"] ** 2 + p["py"] ** 2 + p["pz"] ** 2),
    "energy": lambda p: p["E"], "e": lambda p: p["E"],
})  # fmt: skip


def property_of(array: ak.Array, name: str) -> Any:
    """A field the momenta were made of, or what follows from px, py, pz and E.

    Raises
    ------
    KeyError
        There is no such quantity; its second argument are near names.
    """
    if name in array.fields:
        return array[name]
    if name not in _PROPERTIES:
        raise KeyError(name, nearest(name, [*array.fields, *_PROPERTIES]))
    return _PROPERTIES[name](array)


def _delta_phi(a: Any, b: Any) -> Any:
    return (_phi(a) - _phi(b) + np.pi) % (2 * np.pi) - np.pi


_TWO_BODY: Final[Mapping[str, Callable[[Any, Any], Any]]] = MappingProxyType({
    "deltaphi": _delta_phi,
    "deltaeta": lambda a, b: _eta(a) - _eta(b),
    "deltaR": lambda a, b: np.hypot(_eta(a) - _eta(b), _delta_phi(a, b)),
})  # fmt: skip


def two_body(name: str) -> Callable[[Any, Any], Any] | None:
    """``deltaR``, ``deltaphi``, ``deltaeta`` of two momenta."""
    return _TWO_BODY.get({"DeltaR": "deltaR", "DeltaPhi": "deltaphi"}.get(name, name))

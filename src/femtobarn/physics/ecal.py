"""The electromagnetic calorimeter of CMS as selections see it: its gap, and where photons hit it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.read.columns import Events

__all__ = ["GAP", "in_gap", "photon_sc_position", "surface_position"]

#: |eta| between barrel and endcap (CMS Collaboration, JINST 3 (2008) S08004, section 4).
GAP: Final = (1.4442, 1.566)
#: Radius of the barrel's and distance of the endcap's front face, cm, as CMS' photon selections use them.
_RADIUS: Final = 130.0
_DISTANCE: Final = 310.0


def in_gap(eta: NDArray[Any]) -> NDArray[np.bool_]:
    """(m,) whether objects lie between barrel and endcap, both edges included."""
    size = np.abs(eta)
    found: NDArray[np.bool_] = (size >= GAP[0]) & (size <= GAP[1])
    return found


def surface_position(
    eta: NDArray[Any], phi: NDArray[Any], vertex: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    barrel: NDArray[Any], endcap: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Pseudorapidity and azimuth, seen from the detector's centre, of where straight tracks hit.

    Parameters
    ----------
    eta, phi : (m,) float
        Direction as seen from the vertex.
    vertex : three (m,) floats, cm
    barrel, endcap : (m,) bool
        Which part is hit; of those that hit neither the direction is returned.
    """
    x0, y0, z0 = (np.asarray(one, dtype=np.float64) for one in vertex)
    ux, uy, uz = np.cos(phi), np.sin(phi), np.sinh(eta)
    along = x0 * ux + y0 * uy
    to_barrel = -along + np.sqrt(np.maximum(along**2 + _RADIUS**2 - x0**2 - y0**2, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        to_endcap = np.where(uz != 0, (np.sign(eta) * _DISTANCE - z0) / uz, 0.0)
    length = np.where(barrel, to_barrel, to_endcap)
    x, y, z = x0 + length * ux, y0 + length * uy, z0 + length * uz
    rho = np.hypot(x, y)
    hits = (np.asarray(barrel, dtype=np.bool_) | np.asarray(endcap, dtype=np.bool_)) & (rho > 0)
    found = np.arcsinh(np.where(hits, z, 0.0) / np.where(hits, rho, 1.0))
    return np.where(hits, found, eta), np.where(hits, np.arctan2(y, x), phi)


def photon_sc_position(events: Events) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pseudorapidity and azimuth of the superclusters of NanoAOD's photons."""
    eta = events.jagged("Photon_eta")
    counts = eta.counts
    x, y, z = (np.repeat(events.flat(f"PV_{axis}"), counts) for axis in "xyz")
    phi = events.jagged("Photon_phi").values
    barrel = events.jagged("Photon_isScEtaEB").values
    endcap = events.jagged("Photon_isScEtaEE").values
    return surface_position(eta.values, phi, (x, y, z), barrel != 0, endcap != 0)

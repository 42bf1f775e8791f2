"""Random numbers that are a function of what they are for, not of the order in which they are drawn.

A draw is named by integers (seed, run, luminosity section, event, object index, purpose), so smearing is
the same for any chunking, any number of workers and any order.  The mixing function is SplitMix64's
(Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["mix", "normal", "normals"]

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_ONE, _TWO = np.uint64(1), np.uint64(2)
_SCALE: Final = 1.0 / 9007199254740992.0  # 2^-53


@numba.njit(cache=True)
def mix(z: Any) -> Any:
    """SplitMix64's output function of a 64-bit word, arithmetic modulo 2^64."""
    z = z + _GAMMA
    z = (z ^ (z >> _S30)) * _FIRST
    z = (z ^ (z >> _S27)) * _SECOND
    return z ^ (z >> _S31)


@numba.njit(cache=True)
def normal(key: Any, index: Any, purpose: Any) -> Any:
    """A standard normal number (Box-Muller) of an event's key, an object's index and a purpose.

    Parameters
    ----------
    key : uint64
        Of seed, run, luminosity section and event, mixed in this order.
    index, purpose : uint64
    """
    k = mix(mix(key ^ index) ^ purpose)
    u1 = (np.float64(mix(k ^ _ONE) >> _S11) + 0.5) * _SCALE
    u2 = (np.float64(mix(k ^ _TWO) >> _S11) + 0.5) * _SCALE
    return np.sqrt(-2.0 * np.log(u1)) * np.cos(2.0 * np.pi * u2)


@numba.njit(cache=True)
def event_key(seed: Any, run: Any, lumi: Any, event: Any) -> Any:
    """The key of an event: its numbers mixed into the seed, one after the other."""
    k = mix(np.uint64(0) ^ np.uint64(seed))
    k = mix(k ^ np.uint64(run))
    k = mix(k ^ np.uint64(lumi))
    return mix(k ^ np.uint64(event))


@numba.njit(cache=True)
def normals(seed: int, run: Any, lumi: Any, event: Any, offsets: Any, purpose: int) -> NDArray[np.float64]:
    """One standard normal number for every object of every event.

    Parameters
    ----------
    seed : int
    run, lumi, event : (n,) integers
    offsets : (n + 1,) int64
        Objects of event ``i`` are ``offsets[i]:offsets[i + 1]``; their index counts from 0 in each event.
    purpose : int
        Tells independent draws for the same object apart.

    Returns
    -------
    (m,) float64
    """
    out = np.empty(offsets[-1])
    for i in range(len(event)):
        key = event_key(seed, run[i], lumi[i], event[i])
        for j in range(offsets[i], offsets[i + 1]):
            out[j] = normal(key, np.uint64(j - offsets[i]), np.uint64(purpose))
    return out

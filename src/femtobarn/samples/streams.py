"""Random streams that are named, not numbered: adding a dataset leaves every other one as it was."""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["stream"]


def stream(seed: int, *names: str) -> np.random.Generator:
    """A generator that depends on ``seed`` and ``names`` and on nothing else.

    Parameters
    ----------
    seed : int
        The seed of the whole sample set, >= 0.
    names : str
        What the numbers are for, from the general to the particular: ``"h4l", "mc", "ggH"``.

    Returns
    -------
    numpy.random.Generator
        PCG64 seeded by the seed and a SHA-256 of the names.
    """
    digest = hashlib.sha256("\x00".join(names).encode()).digest()
    words = tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=words)))

"""Sums over boosted decision trees, as the libraries that train them make them: in float32, tree by tree."""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np

__all__ = ["LEAF", "margins"]

#: "Left child" of a leaf.
LEAF: Final = -1
#: Rows that go through a tree together: their sums and the tree's nodes stay in the cache.
_BLOCK: Final = 256


@numba.njit(cache=True, nogil=True)
def margins(
    features: Any, roots: Any, feature: Any, threshold: Any, left: Any, missing_left: Any, base: Any
) -> Any:
    """Sum of the leaves that each row ends in.

    Parameters
    ----------
    features : (n, f) float32
    roots : (t,) int32
        First node of each tree.
    feature : (m,) int16
        What a node asks for; a row goes left if the value is smaller than the threshold.
    threshold : (m,) float32
        Or the value of a leaf.
    left : (m,) int32
        The left child, ``LEAF`` of a leaf; the right one stands behind it.
    missing_left : (m,) bool
        Where values that are no number go.
    base : float32
        Where the sums begin.

    Returns
    -------
    (n,) float32
    """
    n = len(features)
    out = np.empty(n, np.float32)
    for first in range(0, n, _BLOCK):
        last = min(first + _BLOCK, n)
        out[first:last] = base
        for root in roots:
            for row in range(first, last):
                node = root
                child = left[node]
                while child != LEAF:
                    value = features[row, feature[node]]
                    if value < threshold[node]:
                        node = child
                    elif value >= threshold[node]:
                        node = child + 1
                    else:
                        node = child if missing_left[node] else child + 1
                    child = left[node]
                out[row] += threshold[node]
    return out

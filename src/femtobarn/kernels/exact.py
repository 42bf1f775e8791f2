"""Sums of float64 numbers that are exact, so that no order, grouping or number of parts can change them.

A sum is kept as a fixed-point number of 256 bits: eight digits of 32 bits, the lowest worth 2^-160, the
highest with a sign.  Adding a number splits its 53-bit mantissa over three digits; merging adds digits.
A number is represented exactly if it is a multiple of 2^-160 (any number above 2^-108, about 3e-33) and
smaller than 2^84 (about 2e25); smaller ones are rounded to that grid, each for itself, which is as
independent of the order.  Rounding to float64 happens once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DIGITS",
    "LARGEST",
    "add_exactly",
    "carried",
    "exact",
    "exact_sum",
    "packed",
    "rounded",
    "unpacked",
]

#: Digits of a sum.
DIGITS: Final = 8
#: Numbers from here on cannot be added.
LARGEST: Final = 2.0**84
_BITS: Final = 32
_LOWEST: Final = 160
_MASK: Final = 0xFFFFFFFF

Digits = NDArray[np.int64]


@numba.njit(cache=True)
def add_exactly(digits: Any, x: float) -> None:
    """Add x to the digits (8,) in place, without carrying (at most 2^30 times in a row)."""
    m, e = math.frexp(x)
    k = np.int64(m * 9007199254740992.0)
    shift = e - 53 + 160
    if shift < 0:
        if shift < -60:
            return
        k = (k + (np.int64(1) << (-shift - 1))) >> (-shift)
        shift = 0
    i = shift >> 5
    r = shift & 31
    low = (k & 0xFFFFFFFF) << r
    high = (k >> 32) << r
    digits[i] += low & 0xFFFFFFFF
    digits[i + 1] += (low >> 32) + (high & 0xFFFFFFFF)
    digits[i + 2] += high >> 32


@numba.njit(cache=True)
def _add_all(digits: Any, values: Any) -> None:
    for value in values:
        add_exactly(digits, value)


def carried(digits: Digits) -> Digits:
    """Digits (..., 8) with every one but the last in 0..2^32-1: equal sums have equal digits."""
    out = np.array(digits, dtype=np.int64)
    for i in range(DIGITS - 1):
        out[..., i + 1] += out[..., i] >> _BITS
        out[..., i] &= _MASK
    return out


def packed(digits: Digits) -> NDArray[np.uint32]:
    """Digits (..., 8) in half the memory: one integer of 256 bits in two's complement."""
    return np.asarray(carried(digits) & _MASK, dtype=np.uint32)


def unpacked(digits: NDArray[np.uint32]) -> Digits:
    """Digits (..., 8) from :func:`packed` ones."""
    out = np.array(digits, dtype=np.int64)
    out[..., -1] = digits[..., -1].astype(np.int32)
    return out


def exact_sum(values: NDArray[Any] | Iterable[float]) -> Digits:
    """(8,) digits of the sum of finite numbers."""
    array = np.ascontiguousarray(values, dtype=np.float64).ravel()
    if not np.all(np.abs(array) < LARGEST):
        raise ValueError(f"only finite numbers below {LARGEST:g} can be added exactly")
    digits = np.zeros(DIGITS, dtype=np.int64)
    for start in range(0, len(array), 1 << 24):
        _add_all(digits, array[start : start + (1 << 24)])
        digits = carried(digits)
    return digits


@numba.njit(cache=True)
def _each(digits: Any, values: Any) -> None:
    for i in range(values.shape[0]):
        add_exactly(digits[i], values[i])


def exact(values: NDArray[Any] | Iterable[float]) -> Digits:
    """(n, 8) digits of n finite numbers, each for itself."""
    array = np.ascontiguousarray(values, dtype=np.float64)
    if not np.all(np.abs(array) < LARGEST):
        raise ValueError(f"only finite numbers below {LARGEST:g} can be added exactly")
    digits = np.zeros((len(array), DIGITS), dtype=np.int64)
    _each(digits, array)
    return carried(digits)


def rounded(digits: Digits) -> NDArray[np.float64]:
    """Sums (...,) as the nearest float64 (ties to even), from digits (..., 8)."""
    flat = carried(digits).reshape(-1, DIGITS)
    out = np.empty(len(flat))
    _round(flat, out)
    return out.reshape(digits.shape[:-1])


@numba.njit(cache=True)
def _round(digits: Any, out: Any) -> None:
    """Nearest numbers of carried digits (n, 8); the digits are used up."""
    for i in range(digits.shape[0]):
        d = digits[i]
        negative = d[DIGITS - 1] < 0
        if negative:
            carry = np.int64(1)
            for k in range(DIGITS):
                total = (~d[k] & 0xFFFFFFFF) + carry
                d[k] = total & 0xFFFFFFFF
                carry = total >> 32
        top = DIGITS - 1
        while top > 0 and d[top] == 0:
            top -= 1
        # The 64 bits from the first one that is set, and whether anything is set behind them.
        shift = 0
        while shift < 32 and not (d[top] << shift) & 0x80000000:
            shift += 1
        if shift == 32:
            out[i] = 0.0
            continue
        second = d[top - 1] if top > 0 else np.int64(0)
        third = d[top - 2] if top > 1 else np.int64(0)
        high = ((d[top] << shift) | (second >> (32 - shift))) & 0xFFFFFFFF
        low = ((second << shift) | (third >> (32 - shift))) & 0xFFFFFFFF
        rest = (third << shift) & 0xFFFFFFFF
        for k in range(top - 2):
            rest |= d[k]
        # 53 of them are kept: 32 and the upper 21 of the lower half.
        mantissa = (high << 21) | (low >> 11)
        cut = low & 0x7FF
        if cut > 0x400 or (cut == 0x400 and (rest != 0 or mantissa & 1)):
            mantissa += 1
        value = math.ldexp(np.float64(mantissa), 32 * (top - 1) - shift + 11 - _LOWEST)
        out[i] = -value if negative else value

"""Functions an expression may call: pure ones of numpy and awkward, by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

__all__ = ["AWKWARD_NAMES", "NUMPY_NAMES", "standard_functions"]

#: Element by element, so that they keep the shape of their arguments.
NUMPY_NAMES: Final = (
    "abs", "absolute", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cbrt",
    "ceil", "clip", "cos", "cosh", "deg2rad", "degrees", "equal", "exp", "exp2", "expm1", "fabs",
    "floor", "fmod", "greater", "greater_equal", "hypot", "isfinite", "isinf", "isnan", "less",
    "less_equal", "log", "log10", "log1p", "log2", "logical_and", "logical_not", "logical_or",
    "logical_xor", "maximum", "minimum", "mod", "nan_to_num", "negative", "not_equal", "power",
    "rad2deg", "radians", "remainder", "rint", "round", "sign", "sin", "sinh", "sqrt", "square", "tan",
    "tanh", "trunc", "where",
)  # fmt: skip

#: Of jagged arrays: reductions, counting, ordering, pairing, missing values.
AWKWARD_NAMES: Final = (
    "all", "any", "argcartesian", "argcombinations", "argmax", "argmin", "argsort", "cartesian",
    "combinations", "concatenate", "corr", "count", "count_nonzero", "covar", "drop_none", "fill_none",
    "firsts", "flatten", "full_like", "is_none", "isclose", "local_index", "mask", "max", "mean", "min",
    "moment", "nan_to_none", "nan_to_num", "nanargmax", "nanargmin", "nanmax", "nanmean", "nanmin",
    "nanprod", "nanstd", "nansum", "nanvar", "num", "ones_like", "pad_none", "prod", "ptp", "ravel",
    "run_lengths", "singletons", "softmax", "sort", "std", "sum", "unflatten", "unzip", "values_astype",
    "var", "where", "zeros_like", "zip",
)  # fmt: skip


@functools.cache
def standard_functions() -> Mapping[str, Callable[..., Any]]:
    """``np.*``, ``numpy.*``, ``ak.*``, ``awkward.*`` by dotted name; bare ``abs round min max``.

    Bare ``min`` and ``max`` take two or more arguments and go element by element.
    """
    import awkward as ak
    import numpy as np

    table: dict[str, Callable[..., Any]] = {}
    for name in NUMPY_NAMES:
        table[f"np.{name}"] = table[f"numpy.{name}"] = getattr(np, name)
    for name in AWKWARD_NAMES:
        table[f"ak.{name}"] = table[f"awkward.{name}"] = getattr(ak, name)
    table |= {
        "abs": np.abs,
        "round": np.round,
        "min": functools.partial(_pairwise, np.minimum),
        "max": functools.partial(_pairwise, np.maximum),
    }
    return MappingProxyType(table)


def _pairwise(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    if not others:
        raise TypeError("needs two arguments or more; for the extreme of each list write ak.min or ak.max")
    return functools.reduce(function, others, first)

"""Number crunching on plain arrays: jagged columns, four-vectors, fills.  NumPy and Numba only."""

from __future__ import annotations

from femtobarn.kernels.fourvec import FourVectors, delta_r, mass_of_sum
from femtobarn.kernels.jagged import Jagged, exactly, leading, scatter

__all__ = ["FourVectors", "Jagged", "delta_r", "exactly", "leading", "mass_of_sum", "scatter"]

"""-2 log L of binned templates with exact gradient and Hessian.

Every *cell* is one bin of one sample.  Its expectation is ``A * M`` with the additive part
``A = nominal + sum of histosys shifts`` and the product M of all factors; a bin's is the sum over its cells.
With ``l_p = (dM/dx_p) / M`` and ``A_p = dA/dx_p`` the derivatives of a cell are

    nu_p  = A_p M + nu l_p
    nu_pq = M (A_p l_q + A_q l_p) + nu l_p l_q            for p != q
    nu_pp = M (A_pp + 2 A_p l_p) + A M_pp

because no two factors of a cell share a parameter.  Only sums over cells enter, which are matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from femtobarn.stats.histfactory.interpolation import HistosysCode, histosys_shift, normsys_factor

__all__ = [
    "Block",
    "Constraints",
    "Data",
    "Likelihood",
    "Templates",
    "cell_jacobian",
    "saturated_twice_nll",
    "split",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

#: Stands for a factor of exactly zero, so that M / factor is still the product of the others.
_TINY: Final = 1e-100
#: Expectations below this share of the data's bin are continued smoothly: a finite penalty, never nan.
_FLOOR: Final = 1e-10
#: Negative expectations of bins without events are bent to a constant over this range [events].
_BEND: Final = 1e-3
#: Elements of a dense (cells, parameters) array up to which one block is fastest.
_DENSE: Final = 50_000
_LOG_2PI: Final = math.log(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class Data:
    """Main counts (bins,) and auxiliary data (in the order of the constrained parameters)."""

    main: FloatArray
    aux: FloatArray

    def constant(self) -> float:
        """-2 log L of the saturated model: the part that depends on the main data alone."""
        n = self.main
        return 2.0 * float(np.sum(special.gammaln(n + 1.0) + n - special.xlogy(n, n)))


@dataclass(frozen=True, slots=True)
class Templates:
    """Numbers of the expectation.  Cells are sorted by bin; *entries* pair a cell or row with a parameter.

    A row is one sample of one channel: factors that are the same in all its bins are multiplied once a row.

    Attributes
    ----------
    nominal : (cells,) float array
    row : (cells,) int array
    bin : (cells,) int array
    starts : (bins,) int array
        First cell of each bin.
    shift_* : histosys entries: cell, parameter, hi - nominal, nominal - lo
    scale_* : normsys entries: row, parameter, log hi, log lo, code4 coefficients (None: code1)
    norm_* : normfactor and lumi entries: row, parameter
    gamma_* : shapesys, staterror, shapefactor entries: cell, parameter
    """

    parameters: int
    rows: int
    nominal: FloatArray
    row: IntArray
    bin: IntArray
    starts: IntArray
    shift_cell: IntArray
    shift_parameter: IntArray
    shift_up: FloatArray
    shift_down: FloatArray
    shift_code: HistosysCode
    scale_row: IntArray
    scale_parameter: IntArray
    scale_log_hi: FloatArray
    scale_log_lo: FloatArray
    scale_coefficients: FloatArray | None
    norm_row: IntArray
    norm_parameter: IntArray
    gamma_cell: IntArray
    gamma_parameter: IntArray

    def expectation(self, x: FloatArray) -> FloatArray:
        """Expected events per cell."""
        additive = self.nominal.copy()
        if self.shift_cell.size:
            alpha = x[self.shift_parameter]
            shift = histosys_shift(alpha, self.shift_up, self.shift_down, self.shift_code)[0]
            np.add.at(additive, self.shift_cell, shift)
        factor = np.ones(self.rows)
        if self.scale_row.size:
            alpha = x[self.scale_parameter]
            values = normsys_factor(alpha, self.scale_log_hi, self.scale_log_lo, self.scale_coefficients)[0]
            np.multiply.at(factor, self.scale_row, values)
        np.multiply.at(factor, self.norm_row, x[self.norm_parameter])
        cells = additive * factor[self.row]
        np.multiply.at(cells, self.gamma_cell, x[self.gamma_parameter])
        return cells

    def corners(self) -> IntArray:
        """Parameters whose interpolation has different slopes on either side of 0 (code0 and code1)."""
        parts = [np.zeros(0, dtype=np.intp)]
        if self.shift_code == "code0":
            parts.append(self.shift_parameter)
        if self.scale_coefficients is None:
            parts.append(self.scale_parameter)
        return np.unique(np.concatenate(parts))


@dataclass(frozen=True, slots=True)
class Constraints:
    """Constraint terms.  ``*_aux`` gives the place of each term's auxiliary datum.

    ``precision`` is the inverse covariance of the Gaussian ones where some are correlated, else None.
    """

    gauss: IntArray
    gauss_aux: IntArray
    width: FloatArray
    precision: FloatArray | None
    poisson: IntArray
    poisson_aux: IntArray
    tau: FloatArray

    def gauss_constant(self) -> float:
        """Normalisation of the Gaussian terms."""
        if self.precision is None:
            return float(np.sum(_LOG_2PI + 2.0 * np.log(self.width)))
        return self.width.size * _LOG_2PI - float(np.linalg.slogdet(self.precision)[1])


def _main(n: FloatArray, nu: FloatArray) -> float:
    """-2 log Poisson relative to the saturated model, continued smoothly below zero expectation.

    ``nu - n - n log(nu / n)`` is ``n (r - log(1 + r))`` with ``r = (nu - n) / n``, which keeps its digits
    where large counts agree with their expectation.
    """
    seen = n > 0.0
    floor = np.where(seen, _FLOOR * n, 1.0)
    safe = np.maximum(nu, floor)
    scale = np.where(seen, n, 1.0)
    r = (safe - n) / scale
    terms = np.where(seen, n * (r - np.log1p(r * seen)), _nothing_seen(nu)[0])
    low = seen & (nu < floor)
    if low.any():
        t = (nu - safe) / floor
        terms = np.where(low, terms + np.maximum(nu, 0.0) - safe - n * (t - 0.5 * t * t), terms)
    return 2.0 * float(terms.sum())


def _weights(n: FloatArray, nu: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First and second derivative of :func:`_main` by each bin's expectation."""
    seen = n > 0.0
    floor = np.where(seen, _FLOOR * n, 1.0)
    low = nu < floor
    safe = np.maximum(nu, floor)
    ratio = n / safe
    first, second = 2.0 * (1.0 - ratio), 2.0 * ratio / safe
    if low.any():
        t = np.where(low & seen, (nu - safe) / floor, 0.0)
        rising = np.where(nu > 0.0, 2.0, 0.0)
        first = np.where(low & seen, rising - 2.0 * ratio * (1.0 - t), first)
    empty = ~seen & (nu <= 0.0)
    if empty.any():
        _, slope, curvature = _nothing_seen(nu)
        first, second = np.where(empty, 2.0 * slope, first), np.where(empty, 2.0 * curvature, second)
    return first, second


def _nothing_seen(nu: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Expectation of bins without events, and its derivatives; what is negative is bent to a floor.

    A minimum at an edge of slope 1 and 0, where templates cancel, could not be found.
    """
    t = np.clip(nu / _BEND, -1.0, 0.0)
    inside = (nu <= 0.0) & (nu > -_BEND)
    return np.maximum(nu, 0.0) + _BEND * (t + 0.5 * t * t), 1.0 + t, np.where(inside, 1.0 / _BEND, 0.0)


@dataclass(frozen=True, slots=True)
class Block:
    """Templates of some channels over the parameters that act there (their places in the model's order)."""

    templates: Templates
    parameters: IntArray
    bins: slice


def split(templates: Templates, channels: Sequence[slice]) -> tuple[Block, ...]:
    """Divide templates by channel where one dense array over all parameters would be large.

    Most parameters of a large model are per-bin ones of a single channel: each channel's own array is small.
    """
    if templates.nominal.size * templates.parameters <= _DENSE or len(channels) < 2:
        return (Block(templates, np.arange(templates.parameters), slice(0, templates.starts.size)),)
    return tuple(_channel_block(templates, where) for where in channels)


def _channel_block(t: Templates, where: slice) -> Block:
    cells = (t.bin >= where.start) & (t.bin < where.stop)
    rows = np.unique(t.row[cells])
    new_cell, new_row = np.cumsum(cells) - 1, np.full(t.rows, -1)
    new_row[rows] = np.arange(rows.size)
    in_row = new_row >= 0
    shift, gamma = cells[t.shift_cell], cells[t.gamma_cell]
    scale, norm = in_row[t.scale_row], in_row[t.norm_row]
    acting = [t.shift_parameter[shift], t.gamma_parameter[gamma]]
    acting += [t.scale_parameter[scale], t.norm_parameter[norm]]
    parameters = np.unique(np.concatenate(acting)).astype(np.intp)
    place = np.zeros(t.parameters, dtype=np.intp)
    place[parameters] = np.arange(parameters.size)
    first = int(np.flatnonzero(cells)[0])
    local = Templates(
        parameters=int(parameters.size),
        rows=int(rows.size),
        nominal=t.nominal[cells],
        row=new_row[t.row[cells]],
        bin=t.bin[cells] - where.start,
        starts=t.starts[where] - first,
        shift_cell=new_cell[t.shift_cell[shift]],
        shift_parameter=place[t.shift_parameter[shift]],
        shift_up=t.shift_up[shift],
        shift_down=t.shift_down[shift],
        shift_code=t.shift_code,
        scale_row=new_row[t.scale_row[scale]],
        scale_parameter=place[t.scale_parameter[scale]],
        scale_log_hi=t.scale_log_hi[scale],
        scale_log_lo=t.scale_log_lo[scale],
        scale_coefficients=None if t.scale_coefficients is None else t.scale_coefficients[:, scale],
        norm_row=new_row[t.norm_row[norm]],
        norm_parameter=place[t.norm_parameter[norm]],
        gamma_cell=new_cell[t.gamma_cell[gamma]],
        gamma_parameter=place[t.gamma_parameter[gamma]],
    )
    return Block(local, parameters, where)


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Evaluation of -2 log L for given data."""

    templates: Templates
    blocks: tuple[Block, ...]
    constraints: Constraints
    data: Data
    constant: float
    corners: IntArray

    @classmethod
    def of(
        cls, templates: Templates, blocks: tuple[Block, ...], constraints: Constraints, data: Data
    ) -> Likelihood:
        poisson = 2.0 * float(special.gammaln(data.aux[constraints.poisson_aux] + 1.0).sum())
        constant = data.constant() + poisson + constraints.gauss_constant()
        return cls(templates, blocks, constraints, data, constant, templates.corners())

    def value(self, x: FloatArray) -> float:
        """-2 log L, factorials and constants included."""
        nu = np.add.reduceat(self.templates.expectation(x), self.templates.starts)
        return _main(self.data.main, nu) + self._constraint_value(x) + self.constant

    def _constraint_value(self, x: FloatArray) -> float:
        c = self.constraints
        pull = x[c.gauss] - self.data.aux[c.gauss_aux]
        if c.precision is None:
            total = float(np.sum((pull / c.width) ** 2))
        else:
            total = float(pull @ c.precision @ pull)
        if c.poisson.size:
            rate = c.tau * np.maximum(x[c.poisson], _TINY)
            total += 2.0 * float(np.sum(rate - special.xlogy(self.data.aux[c.poisson_aux], rate)))
        return total

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """-2 log L, its gradient (p,) and its Hessian (p, p)."""
        gradient, hessian = np.zeros(x.size), np.zeros((x.size, x.size))
        value = self._constraint_value(x) + self.constant
        for block in self.blocks:
            value += self._add_block(block, x, gradient, hessian)
        self._add_constraints(x, gradient, hessian)
        return value, gradient, hessian

    def _add_block(self, block: Block, x: FloatArray, gradient: FloatArray, hessian: FloatArray) -> float:
        t, places, n = block.templates, block.parameters, self.data.main[block.bins]
        cells = _Cells.at(t, x[places])
        nu = np.add.reduceat(cells.nu, t.starts)
        first, second = _weights(n, nu)
        jacobian = np.add.reduceat(cells.jacobian, t.starts, axis=0)
        curvature = cells.curvature(first[t.bin]) + jacobian.T @ (second[:, None] * jacobian)
        gradient[places] += jacobian.T @ first
        if places.size == x.size:
            hessian += curvature
        else:
            hessian[np.ix_(places, places)] += curvature
        return _main(n, nu)

    def _add_constraints(self, x: FloatArray, gradient: FloatArray, hessian: FloatArray) -> None:
        c = self.constraints
        pull = x[c.gauss] - self.data.aux[c.gauss_aux]
        if c.precision is None:
            gradient[c.gauss] += 2.0 * pull / c.width**2
            hessian[c.gauss, c.gauss] += 2.0 / c.width**2
        else:
            gradient[c.gauss] += 2.0 * c.precision @ pull
            hessian[np.ix_(c.gauss, c.gauss)] += 2.0 * c.precision
        if c.poisson.size:
            gamma = np.maximum(x[c.poisson], _TINY)
            ratio = self.data.aux[c.poisson_aux] / gamma
            gradient[c.poisson] += 2.0 * (c.tau - ratio)
            hessian[c.poisson, c.poisson] += 2.0 * ratio / gamma


@dataclass(frozen=True, slots=True)
class _Cells:
    """Expectation of the cells and what its derivatives are made of, at one point.

    Attributes
    ----------
    nu, product : (cells,) float arrays
        Expectation A M, and M.
    slopes, logs, jacobian : (cells, p) float arrays
        A_p, l_p and nu_p.
    curves : (shift entries,) float array
        A_pp; ``pure`` is M_pp / M of the normsys entries (other factors are linear).
    """

    templates: Templates
    nu: FloatArray
    product: FloatArray
    slopes: FloatArray
    logs: FloatArray
    jacobian: FloatArray
    curves: FloatArray
    pure: FloatArray

    @classmethod
    def at(cls, t: Templates, x: FloatArray) -> _Cells:
        slopes = np.zeros((t.nominal.size, t.parameters))
        additive, curves = t.nominal, np.zeros(0)
        if t.shift_cell.size:
            alpha = x[t.shift_parameter]
            shift, slope, curves = histosys_shift(alpha, t.shift_up, t.shift_down, t.shift_code)
            slopes[t.shift_cell, t.shift_parameter] = slope
            additive = additive + np.bincount(t.shift_cell, weights=shift, minlength=t.nominal.size)
        factor, row_logs, pure = _row_factors(t, x)
        logs, product = row_logs[t.row], factor[t.row]
        if t.gamma_cell.size:
            gamma = x[t.gamma_parameter]
            gamma = np.where(gamma == 0.0, _TINY, gamma)
            np.multiply.at(product, t.gamma_cell, gamma)
            logs[t.gamma_cell, t.gamma_parameter] = 1.0 / gamma
        nu = additive * product
        jacobian = product[:, None] * slopes + nu[:, None] * logs
        return cls(t, nu, product, slopes, logs, jacobian, curves, pure)

    def curvature(self, weight: FloatArray) -> FloatArray:
        """Sum over the cells of ``weight * nu_pq``."""
        t = self.templates
        wm, wn = weight * self.product, weight * self.nu
        half = wm[:, None] * self.slopes + (0.5 * wn)[:, None] * self.logs
        crossed = half.T @ self.logs
        out = crossed + crossed.T
        diagonal = 2.0 * np.einsum("c,cp,cp->p", wm, self.slopes, self.logs)
        if t.shift_cell.size:
            diagonal += np.bincount(t.shift_parameter, wm[t.shift_cell] * self.curves, t.parameters)
        if t.scale_row.size:
            per_row = np.bincount(t.row, wn, t.rows)
            diagonal += np.bincount(t.scale_parameter, per_row[t.scale_row] * self.pure, t.parameters)
        np.fill_diagonal(out, diagonal)
        return np.asarray(out)


def cell_jacobian(templates: Templates, x: FloatArray) -> FloatArray:
    """Derivatives of each cell's expectation by the parameters, (cells, p)."""
    return _Cells.at(templates, x).jacobian


def _row_factors(t: Templates, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Product of the rows' factors (rows,), its logarithmic derivatives (rows, p), M_pp / M (normsys)."""
    factor, logs, pure = np.ones(t.rows), np.zeros((t.rows, t.parameters)), np.zeros(0)
    if t.scale_row.size:
        alpha = x[t.scale_parameter]
        f, df, ddf = normsys_factor(alpha, t.scale_log_hi, t.scale_log_lo, t.scale_coefficients)
        np.multiply.at(factor, t.scale_row, f)
        logs[t.scale_row, t.scale_parameter] = df / f
        pure = ddf / f
    if t.norm_row.size:
        mu = x[t.norm_parameter]
        mu = np.where(mu == 0.0, _TINY, mu)
        np.multiply.at(factor, t.norm_row, mu)
        logs[t.norm_row, t.norm_parameter] = 1.0 / mu
    return factor, logs, pure


def saturated_twice_nll(likelihood: Likelihood) -> float:
    """-2 log L of the model that predicts every bin exactly, with all constraints at their maximum."""
    aux = likelihood.data.aux[likelihood.constraints.poisson_aux]
    return 2.0 * float(np.sum(aux - special.xlogy(aux, aux))) + likelihood.constant

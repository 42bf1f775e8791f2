"""Histograms of several axes of which most bins stay empty: only the filled bins are kept.

A probe's pt, eta, phi and the mass of its pair make two million bins; a run fills some thousand.  Sums
are compensated pairs as in :mod:`femtobarn.hists.accumulate`, so that no cutting into parts changes them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.hists.accumulate import _add, _fill, _two_sum
from femtobarn.hists.spec import Axis, regular, variable

__all__ = ["Sparse", "is_sparse_entry", "read_sparse_entry", "sparse_entries"]

Array = NDArray[np.float64]
#: Below this filled share a histogram of several axes is stored sparse.
_SPARSE_SHARE: Final = 0.1
_SCHEMA: Final = 1
#: Marks our entries among those of a ``hists.zip``.
_KIND: Final = "plain"


def _no_bins() -> NDArray[np.int64]:
    return np.zeros(0, dtype=np.int64)


@dataclass
class Sparse:
    """Weighted counts on some axes, without categories.

    Attributes
    ----------
    axes : tuple of Axis
    bins : (k,) int64
        Flat numbers of the filled bins (flow bins counted, last axis fastest), ascending.
    sums : (4, k) float64
        Sum of weights, its compensation, sum of squared weights, its compensation.
    """

    axes: tuple[Axis, ...]
    bins: NDArray[np.int64] = field(default_factory=_no_bins)
    sums: Array = field(default_factory=lambda: np.zeros((4, 0)))

    @classmethod
    def of(
        cls, axes: tuple[Axis, ...], values: Sequence[NDArray[Any]], weight: NDArray[Any] | float
    ) -> Sparse:
        """A histogram of these values: one (n,) array an axis."""
        flat = np.zeros(len(values[0]), dtype=np.int64)
        for axis, array in zip(axes, values, strict=True):
            flat = flat * (axis.nbins + 2) + axis.index(array)
        bins, place = np.unique(flat, return_inverse=True)
        sums = np.zeros((4, len(bins)))
        weights = np.array(np.broadcast_to(np.asarray(weight, dtype=np.float64), flat.shape))
        _fill(place.astype(np.int64).ravel(), weights, sums)
        return cls(axes, bins, sums)

    @property
    def shape(self) -> tuple[int, ...]:
        """Bins with flow, an axis."""
        return tuple(axis.nbins + 2 for axis in self.axes)

    @property
    def values(self) -> Array:
        """(k,) sums of weights of the filled bins."""
        return np.asarray(self.sums[0] + self.sums[1])

    @property
    def variances(self) -> Array:
        """(k,) sums of squared weights of the filled bins."""
        return np.asarray(self.sums[2] + self.sums[3])

    @property
    def index(self) -> tuple[NDArray[np.intp], ...]:
        """Bin numbers an axis (0 is underflow) of the filled bins."""
        return np.unravel_index(self.bins, self.shape)

    def dense(self) -> tuple[Array, Array]:
        """Values and variances with flow, of the axes' shape."""
        out = np.zeros((2, int(np.prod(self.shape))))
        out[0, self.bins], out[1, self.bins] = self.values, self.variances
        return out[0].reshape(self.shape), out[1].reshape(self.shape)

    def project(self, *names: str) -> Sparse:
        """Summed over all axes but these, flow bins included."""
        keep = [i for i, axis in enumerate(self.axes) if axis.name in names]
        axes = tuple(self.axes[i] for i in keep)
        index = self.index
        flat = np.zeros(len(self.bins), dtype=np.int64)
        for i, axis in zip(keep, axes, strict=True):
            flat = flat * (axis.nbins + 2) + index[i]
        bins, place = np.unique(flat, return_inverse=True)
        sums = np.zeros((4, len(bins)))
        np.add.at(sums[0], place.ravel(), self.values)
        np.add.at(sums[2], place.ravel(), self.variances)
        return Sparse(axes, bins, sums)

    def scaled(self, factor: float) -> Sparse:
        """All weights times a factor."""
        return Sparse(
            self.axes, self.bins, self.sums * np.array([[factor], [factor], [factor**2], [factor**2]])
        )

    def __add__(self, other: Sparse) -> Sparse:
        if self.axes != other.axes:
            raise ValueError("histograms of other binnings cannot be added")
        if not len(other.bins):
            return self
        if not len(self.bins):
            return other
        bins = np.union1d(self.bins, other.bins)
        mine, theirs = np.zeros((4, len(bins))), np.zeros((4, len(bins)))
        mine[:, np.searchsorted(bins, self.bins)] = self.sums
        theirs[:, np.searchsorted(bins, other.bins)] = other.sums
        return Sparse(self.axes, bins, _add(mine, theirs))

    def total(self) -> tuple[float, float]:
        """Sum of weights and of squared weights over all bins, flow included."""
        out = []
        for row in (0, 2):
            value, rest = 0.0, 0.0
            for x, error in zip(self.sums[row], self.sums[row + 1], strict=True):
                value, lost = _two_sum(value, float(x))
                rest += float(lost) + float(error)
            out.append(float(value + rest))
        return out[0], out[1]

    def same(self, other: Sparse) -> bool:
        """Whether two histograms agree bit for bit."""
        return (
            self.axes == other.axes
            and np.array_equal(self.bins, other.bins)
            and np.array_equal(self.values, other.values)
            and np.array_equal(self.variances, other.variances)
        )


def sparse_entries(name: str, histogram: Sparse) -> Iterator[tuple[str, bytes]]:
    """The files of a UHI histogram in a zip: dense with arrays beside it, or sparse if nearly empty."""
    axes = [_axis(axis) for axis in histogram.axes]
    size = int(np.prod(histogram.shape))
    content: dict[str, Any] = {"uhi_schema": _SCHEMA, "axes": axes, "metadata": {"name": name, "kind": _KIND}}
    if len(axes) > 1 and len(histogram.bins) < _SPARSE_SHARE * size:
        content["storage"] = {
            "type": "weighted",
            "index": [part.tolist() for part in histogram.index],
            "values": histogram.values.tolist(),
            "variances": histogram.variances.tolist(),
        }
    else:
        storage = {"type": "weighted"}
        for key, array in zip(("values", "variances"), histogram.dense(), strict=True):
            storage[key] = f"{name}_storage_{key}.npy"
            out = io.BytesIO()
            np.save(out, array)
            yield storage[key], out.getvalue()
        content["storage"] = storage
    yield f"{name}.json", json.dumps(content, sort_keys=True).encode()


def _axis(axis: Axis) -> dict[str, Any]:
    label = f"{axis.label} [{axis.unit}]" if axis.unit else axis.label
    flow = {"underflow": True, "overflow": True, "circular": False}
    about = {"metadata": {"name": axis.name, "label": label}}
    if axis.uniform:
        return (
            {"type": "regular", "lower": axis.edges[0], "upper": axis.edges[-1], "bins": axis.nbins}
            | flow
            | about
        )
    return {"type": "variable", "edges": list(axis.edges)} | flow | about


def is_sparse_entry(content: dict[str, Any]) -> bool:
    """Whether an entry of the zip is a histogram without categories."""
    return bool(content.get("metadata", {}).get("kind") == _KIND)


def read_sparse_entry(content: dict[str, Any]) -> Sparse | None:
    """A histogram as UHI reads it from the zip; None for an entry of another kind."""
    if not is_sparse_entry(content):
        return None
    axes = tuple(_read_axis(axis) for axis in content["axes"])
    storage = content["storage"]
    values, variances = np.asarray(storage["values"]), np.asarray(storage["variances"])
    shape = tuple(axis.nbins + 2 for axis in axes)
    if "index" in storage:
        index = np.asarray(storage["index"], dtype=np.int64).reshape(len(axes), -1)
        bins = np.asarray(np.ravel_multi_index(tuple(index), shape), dtype=np.int64).ravel()
    else:
        bins = np.flatnonzero((values != 0).ravel() | (variances != 0).ravel()).astype(np.int64)
        values, variances = values.ravel()[bins], variances.ravel()[bins]
    sums = np.zeros((4, len(bins)))
    sums[0], sums[2] = values, variances
    return Sparse(axes, bins, sums)


def _read_axis(axis: dict[str, Any]) -> Axis:
    about = axis["metadata"]
    label, _, unit = str(about["label"]).removesuffix("]").partition(" [")
    if axis["type"] == "regular":
        return regular(axis["bins"], axis["lower"], axis["upper"], about["name"], label=label, unit=unit)
    return variable([float(edge) for edge in axis["edges"]], about["name"], label=label, unit=unit)

"""ROOT histograms (TH1D) written and read without ROOT."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import missing_file
from femtobarn.read.source import reading

__all__ = ["Histogram1D", "read_1d", "root_file"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Histogram1D:
    """A one-dimensional histogram as ROOT keeps it.

    Attributes
    ----------
    name, title : str
    edges : (n + 1,) float64
    values, variances : (n,) float64
        Sums of weights and of squared weights.
    entries : float
        Times it was filled.
    moments : (sumw, sumw2, sumwx, sumwx2)
        Statistics that ROOT's GetMean uses; None computes them from the bins.
    classname : str
        What it was read as.
    """

    name: str
    edges: Floats
    values: Floats
    variances: Floats
    entries: float
    title: str = ""
    moments: tuple[float, float, float, float] | None = None
    classname: str = "TH1D"


class _Buffer(io.BytesIO):
    """Bytes that outlive the closing of the file written into them."""

    content = b""

    def close(self) -> None:
        if not self.closed:
            self.content = self.getvalue()
        super().close()


def root_file(histograms: Iterable[Histogram1D]) -> bytes:
    """A ROOT file of TH1D with Sumw2, in this order."""
    import uproot

    out = _Buffer()
    with uproot.recreate(out) as file:
        for histogram in histograms:
            file[histogram.name] = _th1d(histogram)
    out.close()
    return out.content


def _th1d(histogram: Histogram1D) -> Any:
    from uproot.writing.identify import to_TAxis, to_TH1x

    edges = np.asarray(histogram.edges, dtype=np.float64)
    n = len(edges) - 1
    uniform = np.allclose(np.diff(edges), (edges[-1] - edges[0]) / n, rtol=1e-12, atol=0)
    axis = to_TAxis(
        fName="xaxis", fTitle="m [GeV]", fNbins=n, fXmin=float(edges[0]), fXmax=float(edges[-1]),
        fXbins=np.zeros(0) if uniform else edges.astype(">f8"),
    )  # fmt: skip
    moments = histogram.moments or _moments(histogram)
    return to_TH1x(
        fName=histogram.name, fTitle=histogram.title or histogram.name,
        data=_with_flow(histogram.values), fEntries=float(histogram.entries),
        fTsumw=moments[0], fTsumw2=moments[1], fTsumwx=moments[2], fTsumwx2=moments[3],
        fSumw2=_with_flow(histogram.variances), fXaxis=axis,
    )  # fmt: skip


def _moments(histogram: Histogram1D) -> tuple[float, float, float, float]:
    centres = (histogram.edges[1:] + histogram.edges[:-1]) / 2
    w = histogram.values
    return float(w.sum()), float(histogram.variances.sum()), float(w @ centres), float(w @ centres**2)


def _with_flow(values: Floats) -> NDArray[Any]:
    return np.concatenate([[0.0], values, [0.0]]).astype(">f8")


#: What a loader of spectra can use; a THStack is the sum of its histograms.
_ONE_D: Final = ("TH1",)


def read_1d(path: Path) -> Iterator[Histogram1D]:
    """All one-dimensional histograms (and stacks, summed) of a ROOT file; other objects keep their class.

    Raises
    ------
    DataError
        The file is missing or damaged.
    """
    import uproot

    if not path.is_file():
        raise missing_file(path)
    with reading(str(path)), uproot.open(path) as file:
        for name, kind in file.classnames(cycle=False).items():
            if kind.startswith(_ONE_D):
                yield _from_root(name, kind, [file[name]])
            elif kind == "THStack":
                yield _from_root(name, kind, list(file[name].member("fHists")))
            else:
                empty = np.zeros(0)
                yield Histogram1D(name, np.zeros(1), empty, empty, 0.0, classname=kind)


def _from_root(name: str, kind: str, parts: list[Any]) -> Histogram1D:
    values = sum(np.asarray(part.values(), dtype=np.float64) for part in parts)
    variances = sum(_variances(part) for part in parts)
    edges = np.asarray(parts[0].axis().edges(), dtype=np.float64)
    entries = float(sum(part.member("fEntries") for part in parts))
    return Histogram1D(name, edges, np.asarray(values), np.asarray(variances), entries, classname=kind)


def _variances(part: Any) -> Floats:
    found = part.variances()
    return np.asarray(part.values() if found is None else found, dtype=np.float64)

"""Histogram files in the layout CMS published for Run 1: directory ``demo``, one file a sample.

The means are those of the published 2012 example, so that its luminosity, cross-sections and numbers
of generated events apply to the toy as well; the contents are drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from femtobarn.errors import UsageError
from femtobarn.samples.events import Floats
from femtobarn.samples.processes import continuum_zz, higgs_to_four_leptons
from femtobarn.samples.streams import stream

__all__ = ["CHANNELS", "CMS_BINNINGS", "make_cms_histograms"]

CHANNELS: Final = ("4mu", "4e", "2mu2e")
#: Suffix of the histogram name -> (bins, low, high) in GeV.
CMS_BINNINGS: Final = {
    "8TeV_low": (37, 70.0, 181.0),
    "8TeV": (74, 70.0, 810.0),
    "7TeV": (51, 98.0, 608.0),
    "full": (300, 0.0, 900.0),
}
_TITLE: Final = {"4mu": "4muon", "4e": "4 electron", "2mu2e": "2mu2e"}
_LOW: Final = (70.0, 181.0)


@dataclass(frozen=True, slots=True)
class _Sample:
    """A simulated sample: mean selected events with 70 < m4l < 181 GeV by channel, and its weight.

    The weight is L x xsec x SF / N of the published example (2012, 11580 pb-1).
    """

    stem: str
    shape: str
    mean: tuple[float, float, float]
    weight: float


_LUMI: Final = 11580.0
_SAMPLES: Final = (
    _Sample("HZZ", "H", (10900, 6259, 14723), _LUMI * 0.0065 / 299973),
    _Sample("ZZ4mu", "ZZ", (32706, 0, 0), _LUMI * 0.077 * 1.386 / 1499064),
    _Sample("ZZ4e", "ZZ", (0, 15210, 0), _LUMI * 0.077 * 1.386 / 1499093),
    _Sample("ZZ2mu2e", "ZZ", (0, 0, 13869), _LUMI * 0.18 * 1.386 / 1497445),
    _Sample("DY50TuneZ", "soft", (0, 0, 2), _LUMI * 2955.0 * 1.12 / 29426492),
    _Sample("DY10", "soft", (0, 0, 0), _LUMI * 10.742 * 1.12 / 6462290),
    _Sample("TTBar", "soft", (0, 0, 1), _LUMI * 200.0 / 6423106),
)
#: sigma(m)/m of the three channels.
_RESOLUTION: Final = {"4mu": 0.010, "4e": 0.017, "2mu2e": 0.013}
#: Share of 2mu2e data events that the double-electron trigger recorded too.
_OVERLAP: Final = 0.3

_ByChannel = dict[str, Floats]


def _smeared(rng: np.random.Generator, true: Floats, channel: str) -> Floats:
    return np.asarray(true * (1.0 + _RESOLUTION[channel] * rng.normal(size=len(true))))


@cache
def _low_share(channel: str) -> float:
    """Share of continuum ZZ whose measured mass is in the low range; a constant of the toy."""
    rng = stream(0, "cms-histograms", "low share", channel)
    masses = _smeared(rng, continuum_zz(rng, 100_000).mass, channel)
    return float(np.mean((masses > _LOW[0]) & (masses < _LOW[1])))


def _masses(rng: np.random.Generator, shape: str, mean: float, *, channel: str, mass: float) -> Floats:
    """Measured masses [GeV]; on average ``mean`` of them are in the low range."""
    if shape == "H":
        true = higgs_to_four_leptons(rng, int(rng.poisson(mean)), mass=mass).mass
    elif shape == "ZZ":
        true = continuum_zz(rng, int(rng.poisson(mean / _low_share(channel)))).mass
    else:
        true = 80.0 + rng.gamma(2.0, 20.0, int(rng.poisson(mean)))
    return _smeared(rng, true, channel)


def _simulated(seed: int, sample: _Sample, mass: float) -> _ByChannel:
    simulated: _ByChannel = {}
    for channel, mean in zip(CHANNELS, sample.mean, strict=True):
        rng = stream(seed, "cms-histograms", sample.stem, channel)
        simulated[channel] = _masses(rng, sample.shape, mean, channel=channel, mass=mass)
    return simulated


def _observed(seed: int, mu: float, mass: float) -> _ByChannel:
    """Pseudo-data: each sample's mean times its weight, the signal times ``mu``."""
    observed: _ByChannel = {}
    for position, channel in enumerate(CHANNELS):
        parts = []
        for sample in _SAMPLES:
            mean = sample.mean[position] * sample.weight * (mu if sample.shape == "H" else 1.0)
            rng = stream(seed, "cms-histograms", "data", sample.stem, channel)
            parts.append(_masses(rng, sample.shape, mean, channel=channel, mass=mass))
        observed[channel] = np.concatenate(parts)
    return observed


def _write(path: Path, masses: _ByChannel, pairs: np.random.Generator) -> None:
    import hist
    import uproot

    with uproot.recreate(path) as file:
        for channel in CHANNELS:
            for suffix, (bins, low, high) in CMS_BINNINGS.items():
                content = hist.Hist.new.Reg(
                    bins, low, high, name="mass", label=f"Invariant mass of {_TITLE[channel]} (in GeV/c^2)"
                ).Double()
                content.fill(masses[channel])
                file[f"demo/mass{channel}_{suffix}"] = content
        n = sum(len(values) for values in masses.values())
        isolation = hist.Hist.new.Reg(50, 0.0, 2.0, name="iso").Reg(40, 0.0, 100.0, name="pt").Double()
        isolation.fill(pairs.exponential(0.1, n), 7.0 + pairs.exponential(25.0, n))
        file["demo/e_RelPFIso_pT"] = isolation


def make_cms_histograms(out: Path, *, seed: int = 1, mu: float = 1.0, mass: float = 125.0) -> Path:
    """Write toy counterparts of the published 2012 histogram files.

    ``Toy_<stem>12.root`` for the stems DoubleMu, DoubleE (pseudo-data), HZZ, ZZ4mu, ZZ4e, ZZ2mu2e,
    DY50TuneZ, DY10 and TTBar, each with ``demo/mass{4mu,4e,2mu2e}_{8TeV_low,8TeV,7TeV,full}`` and a
    TH2.  DoubleE repeats some 2mu2e events of DoubleMu, as the real trigger streams do.

    Parameters
    ----------
    out : pathlib.Path
        Folder, made if missing.
    seed : int
    mu : float
        Signal strength in the pseudo-data.
    mass : float, GeV

    Returns
    -------
    pathlib.Path
        ``out``.
    """
    if seed < 0 or not mu >= 0.0:
        raise UsageError(f"seed={seed}, mu={mu} cannot be generated", action="neither may be negative")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    files = {sample.stem: _simulated(seed, sample, mass) for sample in _SAMPLES}
    data = _observed(seed, mu, mass)
    nothing = np.zeros(0)
    both = stream(seed, "cms-histograms", "data", "overlap").uniform(size=len(data["2mu2e"])) < _OVERLAP
    files["DoubleMu"] = data | {"4e": nothing}
    files["DoubleE"] = {"4mu": nothing, "4e": data["4e"], "2mu2e": data["2mu2e"][both]}
    for stem, masses in files.items():
        _write(out / f"Toy_{stem}12.root", masses, stream(seed, "cms-histograms", stem, "isolation"))
    return out

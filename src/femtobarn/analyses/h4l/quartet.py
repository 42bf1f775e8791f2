"""Four chosen leptons and what becomes of them: pairs, histograms, a table of candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.hists import Axis, HistSpec, regular
from femtobarn.kernels import FourVectors
from femtobarn.outcome import Outcome
from femtobarn.physics.leptons import ELECTRON, MUON
from femtobarn.physics.pairing import ZPair
from femtobarn.records import NOMINAL

__all__ = [
    "CHANNELS",
    "LEPTON_SCALE",
    "M4L_SCALE",
    "REGIONS",
    "Quartet",
    "channel_of",
    "fill",
    "inside",
    "join",
    "list_candidates",
    "specs",
]

Array = NDArray[np.float64]

#: Sum of the four lepton types (electron 11, muon 13) -> channel.
CHANNELS: Final = {4 * ELECTRON: "4e", 2 * ELECTRON + 2 * MUON: "2e2mu", 4 * MUON: "4mu"}
#: Variations: of the lepton momenta, as simulation files state it; of the four-lepton mass, as set.
LEPTON_SCALE: Final = "lepton_scale"
M4L_SCALE: Final = "m4l_scale"
REGIONS: Final = ("4e", "4mu", "2e2mu", "4l")


def channel_of(types: NDArray[Any]) -> NDArray[np.str_]:
    """(n,) channel of each row of four lepton types; empty where there is none."""
    total = types.astype(np.int64).sum(axis=1)
    names = np.full(len(types), "", dtype="<U5")
    for number, name in CHANNELS.items():
        names[total == number] = name
    return names


@dataclass(frozen=True, slots=True)
class Quartet:
    """Events with four chosen leptons, one row an event.

    Attributes
    ----------
    events : (n,) int64
        Event numbers within the part, each at most once.
    vectors : FourVectors (n, 4)
    eta, phi, types, charge : (n, 4)
    pairs : ZPair
    channel : (n,) str
    """

    events: NDArray[np.int64]
    vectors: FourVectors
    eta: Array
    phi: Array
    types: NDArray[Any]
    charge: NDArray[Any]
    pairs: ZPair
    channel: NDArray[np.str_]

    def rows(self, keep: NDArray[np.bool_]) -> Quartet:
        """The rows with ``keep`` set."""
        pairs = ZPair(*(getattr(self.pairs, name)[keep] for name in ZPair.__slots__))
        return Quartet(
            self.events[keep], self.vectors[keep], self.eta[keep], self.phi[keep],
            self.types[keep], self.charge[keep], pairs, self.channel[keep],
        )  # fmt: skip

    @property
    def mass(self) -> Array:
        """(n,) four-lepton mass, GeV."""
        return self.vectors.sum().mass


def join(quartets: Sequence[Quartet]) -> Quartet:
    """One table of several with different events, in event order."""
    order = np.argsort(np.concatenate([q.events for q in quartets]), kind="stable")

    def merged(*path: str) -> NDArray[Any]:
        columns = []
        for quartet in quartets:
            value: Any = quartet
            for name in path:
                value = getattr(value, name)
            columns.append(value)
        return np.concatenate(columns)[order]

    return Quartet(
        merged("events"),
        FourVectors(*(merged("vectors", name) for name in FourVectors.__slots__)),
        merged("eta"),
        merged("phi"),
        merged("types"),
        merged("charge"),
        ZPair(*(merged("pairs", name) for name in ZPair.__slots__)),
        merged("channel"),
    )


def inside(values: Array, window: tuple[float, float]) -> NDArray[np.bool_]:
    """Whether each value lies in the open window."""
    return (values > window[0]) & (values < window[1])


def _gev(nbins: int, low: float, high: float, name: str, label: str) -> Axis:
    return regular(nbins, low, high, name, label=label, unit="GeV")


def specs(main: Axis) -> tuple[HistSpec, ...]:
    """All four-lepton histograms; ``main`` is the binning of the discovery plot."""
    mass = "Four-lepton mass"
    leptons: list[Axis] = []
    for i in range(1, 5):
        leptons += [
            _gev(40, 0, 200, f"lepton{i}_pt", f"pT of lepton {i}"),
            regular(25, -2.5, 2.5, f"lepton{i}_eta", label=f"Pseudorapidity of lepton {i}"),
            regular(32, -np.pi, np.pi, f"lepton{i}_phi", label=f"Azimuth of lepton {i}", unit="rad"),
        ]
    axes = (
        main,
        _gev(60, 60, 180, "m4l_60_180", mass),
        _gev(36, 80, 170, "m4l_fit", mass),
        _gev(300, 0, 900, "m4l_full", mass),
        _gev(60, 0, 120, "m12", "Mass of the leading pair"),
        _gev(60, 0, 120, "m34", "Mass of the other pair"),
        _gev(40, 0, 200, "pt4l", "Four-lepton pT"),
        regular(25, -2.5, 2.5, "y4l", label="Four-lepton rapidity"),
        regular(10, -0.5, 9.5, "n_jets", label="Jets (pT > 30 GeV)"),
        *leptons,
        _gev(240, 0, 120, "m_pair", "Mass of a lepton pair"),
    )
    return tuple(HistSpec(axis.name, (axis,)) for axis in axes)


def fill(
    out: Outcome,
    quartet: Quartet,
    weight: Array,
    *,
    variation: str = NOMINAL.label,
    jets: NDArray[np.int64] | None = None,
    mass_scale: float = 1.0,
) -> None:
    """Fill every histogram, in the candidate's channel and in ``4l``.

    Parameters
    ----------
    out : Outcome
    quartet : Quartet
    weight : (n,) event weights
    variation : str
    jets : (n,) int, optional
        Number of jets; without it ``n_jets`` stays empty.
    mass_scale : float
        Factor on the four-lepton mass (a systematic variation).
    """
    total = quartet.vectors.sum()
    mass = total.mass * mass_scale
    values: dict[str, NDArray[Any]] = {
        "m4l": mass, "m4l_60_180": mass, "m4l_fit": mass, "m4l_full": mass,
        "m12": quartet.pairs.m12, "m34": quartet.pairs.m34, "pt4l": total.pt, "y4l": total.rapidity,
    }  # fmt: skip
    order = np.argsort(-quartet.vectors.pt, axis=1, kind="stable")
    for i in range(4):
        at = order[:, i : i + 1]
        for field, array in (("pt", quartet.vectors.pt), ("eta", quartet.eta), ("phi", quartet.phi)):
            values[f"lepton{i + 1}_{field}"] = np.take_along_axis(array, at, axis=1)[:, 0]
    if jets is not None:
        values["n_jets"] = jets
    for region in REGIONS:
        inside = np.ones(len(mass), dtype=np.bool_) if region == "4l" else quartet.channel == region
        for name, array in values.items():
            out.fill(name, array[inside], weight=weight[inside], region=region, variation=variation)


def list_candidates(
    out: Outcome, quartet: Quartet, weight: Array, identity: Mapping[str, NDArray[Any]]
) -> None:
    """Add the candidates to the table of that name.

    ``identity`` holds the event-level columns run, lumi (absent in ATLAS files) and event.
    """
    n = len(weight)
    ids = {
        name: identity[name][quartet.events].astype(np.int64) if name in identity else np.full(n, -1)
        for name in ("run", "lumi", "event")
    }
    out.add_table(
        "candidates",
        {
            "dataset": np.full(n, out.dataset, dtype=f"<U{max(len(out.dataset), 1)}"),
            **ids,
            "channel": quartet.channel,
            "m4l": quartet.mass,
            "m12": quartet.pairs.m12,
            "m34": quartet.pairs.m34,
            "weight": weight,
        },
    )

"""A NanoAOD-like dimuon file: the Z peak on a falling continuum, for the first own analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from femtobarn.errors import UsageError
from femtobarn.samples.decays import Z_WIDTH, breit_wigner, produce, two_body
from femtobarn.samples.events import Floats, Ints
from femtobarn.samples.formats.branches import Branches, Jagged
from femtobarn.samples.formats.nanoaod import nano_counter
from femtobarn.samples.formats.writing import write_tree
from femtobarn.samples.streams import stream
from femtobarn.units import MUON_MASS, Z_MASS

__all__ = ["make_dimuon"]

_PEAK_SHARE: Final = 0.5
_CONTINUUM: Final = (20.0, 150.0)
_RESOLUTION: Final = 0.013  # sigma(pT)/pT


def _pairs(rng: np.random.Generator, n: int) -> tuple[Floats, Ints]:
    """Smeared muon four-vectors (n, 2, 4) and charges (n, 2)."""
    low, high = _CONTINUUM
    peak = breit_wigner(rng, n, Z_MASS, Z_WIDTH, low=60.0, high=120.0)
    continuum = low * (high / low) ** rng.uniform(size=n)
    mass = np.where(rng.uniform(size=n) < _PEAK_SHARE, peak, continuum)
    muon = np.full(n, MUON_MASS)
    pair = np.stack(two_body(rng, produce(rng, mass, pt_scale=30.0), mass, muon, muon), axis=1)
    pair = pair * (1.0 + _RESOLUTION * rng.normal(size=(n, 2, 1)))
    first = np.where(rng.uniform(size=n) < 0.5, 1, -1)
    return pair, np.stack([first, -first], axis=1)


def make_dimuon(out: Path, *, events: int = 20000, seed: int = 1) -> Path:
    """Write ``events`` events with up to two muons each to the ROOT file ``out`` (tree ``Events``).

    Branches: run, luminosityBlock, event, nMuon, Muon_pt, Muon_eta, Muon_phi, Muon_mass, Muon_charge
    (GeV, radians); half of the pairs are Z bosons, the others have a density 1/m from 20 to 150 GeV.
    Muons below 3 GeV or beyond |eta| = 2.4 are not written, so some events hold one muon or none.

    Returns
    -------
    pathlib.Path
        ``out``.
    """
    if events < 1 or seed < 0:
        raise UsageError(f"events={events}, seed={seed} cannot be generated", action="events >= 1, seed >= 0")
    rng = stream(seed, "dimuon")
    pair, charge = _pairs(rng, events)
    pt = np.hypot(pair[..., 0], pair[..., 1])
    eta = np.arcsinh(pair[..., 2] / pt)
    phi = np.arctan2(pair[..., 1], pair[..., 0])
    # Highest pT first, as in NanoAOD.
    order = np.argsort(-pt, axis=1)
    pt, eta, phi, charge = (np.take_along_axis(column, order, axis=1) for column in (pt, eta, phi, charge))
    seen = (pt > 3.0) & (np.abs(eta) < 2.4)
    counts = seen.sum(axis=1).astype(np.int64)
    numbers = np.arange(events)
    branches: Branches = {
        "run": np.full(events, 1, dtype=np.uint32),
        "luminosityBlock": (1 + numbers // 100).astype(np.uint32),
        "event": (1 + numbers).astype(np.uint64),
        "Muon_pt": Jagged(counts, pt[seen].astype(np.float32)),
        "Muon_eta": Jagged(counts, eta[seen].astype(np.float32)),
        "Muon_phi": Jagged(counts, phi[seen].astype(np.float32)),
        "Muon_mass": Jagged(counts, np.full(int(counts.sum()), MUON_MASS, dtype=np.float32)),
        "Muon_charge": Jagged(counts, charge[seen].astype(np.int32)),
    }
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_tree(out, branches, tree="Events", counter=nano_counter)
    return out

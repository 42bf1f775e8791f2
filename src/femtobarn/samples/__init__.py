"""Built-in samples: synthetic files in the formats we read, with known truth ("femtobarn toy simulation").

The road of an event: :mod:`~femtobarn.samples.processes` generates four-vectors with
:mod:`~femtobarn.samples.decays`, :mod:`~femtobarn.samples.detector` smears and selects,
:mod:`~femtobarn.samples.formats` names and writes; :mod:`~femtobarn.samples.truth` records it.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["make", "make_cms_histograms", "make_dimuon", "make_physlite"]


def make(
    job: str,
    out: Path,
    *,
    release: str,
    seed: int = 1,
    mu: float = 1.0,
    scale: float = 1.0,
    mass: float = 125.0,
    simulate: bool = True,
) -> Path:
    """Write synthetic samples of a job: simulated datasets, pseudo-data, fileset and truth.

    Pseudo-data hold a Poisson number of events around ``mu`` x signal + background and are drawn
    independently of the simulated datasets.  The same arguments give the same arrays; each dataset
    depends on its own named random stream only.

    Parameters
    ----------
    job : str
        ``"h4l"`` or ``"hyy"``.
    out : pathlib.Path
        Folder to write to; made if missing, files of an earlier call are replaced.
    release : str
        ``"atlas-2016"`` (not for hyy), ``"atlas-2020"``, ``"atlas-2025"`` or ``"cms-nanoaod"``.
    seed : int
        Not negative.
    mu : float
        Signal strength in the pseudo-data.
    scale : float
        Multiplies luminosity and simulated statistics.
    mass : float, GeV
        Mass of the Higgs boson, in simulation and pseudo-data.
    simulate : bool
        False writes the pseudo-data alone (the same events): more toys of one simulation.

    Returns
    -------
    pathlib.Path
        ``out/fileset.json`` (coffea layout, file names relative to it); ``out/truth.json`` is beside it.

    Raises
    ------
    femtobarn.errors.UsageError
        Unknown job or release, or a number out of range.
    """
    from femtobarn.samples.higgs import make_higgs

    return make_higgs(
        job, Path(out), release=release, seed=seed, mu=mu, scale=scale, mass=mass, simulate=simulate
    )


def make_cms_histograms(out: Path, *, seed: int = 1, mu: float = 1.0, mass: float = 125.0) -> Path:
    """Toy histogram files in the published CMS layout; see :mod:`femtobarn.samples.histograms`."""
    from femtobarn.samples import histograms

    return histograms.make_cms_histograms(Path(out), seed=seed, mu=mu, mass=mass)


def make_dimuon(out: Path, *, events: int = 20000, seed: int = 1) -> Path:
    """A NanoAOD-like dimuon file; see :mod:`femtobarn.samples.dimuon`."""
    from femtobarn.samples import dimuon

    return dimuon.make_dimuon(Path(out), events=events, seed=seed)


def make_physlite(
    out: Path,
    *,
    release: str = "physlite",
    events: int = 20_000,
    seed: int = 1,
    mass: float = 250.0,
    width: float = 5.0,
    signal: int = 160,
) -> Path:
    """PHYSLITE-like events with a bump in one spectrum; see :mod:`femtobarn.samples.physlite`."""
    from femtobarn.samples import physlite

    return physlite.make_physlite(
        Path(out), release=release, events=events, seed=seed, mass=mass, width=width, signal=signal
    )

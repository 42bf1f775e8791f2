"""Built-in synthetic samples, and the tables of the public releases."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from femtobarn.catalog import RELEASES, find_release, read_fileset, write_fileset
from femtobarn.config import read_parameters
from femtobarn.errors import StoreError, UsageError, nearest
from femtobarn.records import Dataset, FileRef
from femtobarn.run.files import SCHEMA_VERSION, read_json, write_json

__all__ = ["MadeSamples", "data_list", "data_make", "sample_jobs"]


class _Toy(BaseModel):
    """Base of the settings of a generator."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _HiggsToy(_Toy):
    mu: float = Field(1.0, ge=0, description="signal strength in the pseudo-data")
    scale: float = Field(1.0, gt=0, le=1000, description="factor on luminosity and simulated statistics")
    mass: float = Field(125.0, ge=60, le=400, description="mass of the Higgs boson",
                        json_schema_extra={"unit": "GeV"})  # fmt: skip


class _TtbarToy(_Toy):
    mu: float = Field(1.0, ge=0, description="factor on the top-pair cross-section in the pseudo-data")
    scale: float = Field(1.0, gt=0, le=1000, description="factor on luminosity and simulated statistics")
    format: Literal["ttree", "rntuple", "parquet"] = Field("ttree", description="how NanoAOD is written")


class _PoetToy(_Toy):
    mu: float = Field(1.0, ge=0, description="factor on the top-pair cross-section in the pseudo-data")
    scale: float = Field(1.0, gt=0, le=1000, description="factor on luminosity and simulated statistics")


class _DimuonToy(_Toy):
    events: int = Field(20_000, ge=1, description="events in the file")


class _RefrunToy(_Toy):
    runs: int = Field(600, ge=20, le=100_000, description="number of runs")
    noise: float = Field(
        0.04, ge=0, le=1, description="how often a shifter takes the reference before the current one"
    )


class _SurveyToy(_Toy):
    events: int = Field(20_000, ge=1, le=20_000_000, description="events in the file")
    signal: int = Field(160, ge=0, description="events with the particle that makes the bump")
    mass: float = Field(250.0, ge=60, le=3000, description="its mass", json_schema_extra={"unit": "GeV"})
    width: float = Field(5.0, gt=0, description="width of its peak", json_schema_extra={"unit": "GeV"})


class _TagprobeToy(_Toy):
    events: int = Field(60_000, ge=1, le=20_000_000, description="events of data, and as many simulated")
    background: float = Field(0.0, ge=0, lt=1, description="share of data events that are no Z bosons")


@dataclass(frozen=True, slots=True)
class _Job:
    """What can be generated: settings, releases (the first is the default), and how it is written."""

    settings: type[_Toy]
    releases: tuple[str, ...]
    write: Callable[..., Path]


@dataclass(frozen=True)
class MadeSamples:
    """Synthetic files just written.

    Attributes
    ----------
    fileset, truth : pathlib.Path
        The coffea fileset (metadata ``origin: toy``) and the record of what was generated.
    job, release : str
    """

    job: str
    release: str
    fileset: Path
    truth: Path

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        return read_fileset(self.fileset)

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return {
            "job": self.job,
            "release": self.release,
            "fileset": str(self.fileset),
            "truth": str(self.truth),
        }


def sample_jobs() -> tuple[str, ...]:
    """Jobs that have built-in samples."""
    return tuple(_JOBS)


def data_make(
    job: str,
    *,
    out: str | Path,
    release: str | None = None,
    seed: int = 1,
    settings: Sequence[str] = (),
    **values: Any,
) -> MadeSamples:
    """Write synthetic input files of a job ("femtobarn toy simulation") with fileset and truth.

    Parameters
    ----------
    job : str
        ``h4l``, ``hyy``, ``ttbar``, ``agc-poet``, ``refrun``, ``survey``, ``tagprobe`` or ``dimuon``.
    out : path
        Folder; made if missing, files of an earlier call are replaced.
    release : str, optional
        Public release (or its alias) whose format is written.
    seed : int
        Equal arguments give equal files.
    settings : sequence of str
        ``NAME=VALUE``, as ``--set`` takes them.
    **values
        The same by name: ``mu``, ``scale``, ``mass`` (h4l, hyy); ``events`` (dimuon);
        ``events``, ``signal``, ``mass``, ``width`` (survey); ``events``, ``background`` (tagprobe).

    Raises
    ------
    UsageError, ConfigError
        Unknown job, release or setting, with the nearest valid names.
    """
    known = _JOBS.get(job)
    if known is None:
        raise UsageError(f"there are no built-in samples of {job!r}", near=nearest(job, _JOBS),
                         action="choose one of " + ", ".join(_JOBS))  # fmt: skip
    if seed < 0:
        raise UsageError(f"--seed must not be negative, not {seed}")
    chosen = _release(job, known, release)
    chosen_values = read_parameters(known.settings, values, list(settings)).model_dump()
    try:
        fileset = known.write(job, Path(out), release=chosen, seed=seed, **chosen_values)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(out)) from error
    return MadeSamples(job, chosen, fileset, fileset.with_name("truth.json"))


def _release(job: str, known: _Job, name: str | None) -> str:
    if name is None:
        return known.releases[0]
    if name in known.releases:
        return name
    release = find_release(name).name
    if release not in known.releases:
        raise UsageError(
            f"the built-in samples of {job} do not exist in the format of {release}",
            near=nearest(release, known.releases),
            action="choose one of " + ", ".join(known.releases),
        )
    return release


def _write_higgs(job: str, out: Path, *, release: str, seed: int, **values: Any) -> Path:
    from femtobarn import samples

    return samples.make(job, out, release=release, seed=seed, **values)


def _write_ttbar(job: str, out: Path, *, release: str, seed: int, **values: Any) -> Path:
    from femtobarn.samples.ttbar import make_ttbar

    form: Any = "poet" if job == "agc-poet" else values.pop("format")
    return make_ttbar(out, seed=seed, form=form, **values)


def _write_dimuon(job: str, out: Path, *, release: str, seed: int, events: int) -> Path:
    from femtobarn import samples

    samples.make_dimuon(out / "dimuon.root", events=events, seed=seed)
    metadata = {"origin": "toy", "release": release, "nevts": events}
    _write_records(out, Dataset("dimuon", (FileRef("dimuon.root", "Events"),), metadata),
                   {"job": job, "release": release, "seed": seed, "events": events})  # fmt: skip
    return out / "fileset.json"


def _write_refrun(job: str, out: Path, *, release: str, seed: int, **values: Any) -> Path:
    from femtobarn.samples.refrun import make_refrun

    make_refrun(out, seed=seed, **values)
    names = {
        "pairs": "pairs.json",
        "runs": "runs.csv",
        "lumisections": "lumisections.csv",
        "golden": "golden.json",
    }
    metadata = {"origin": "toy", "release": release, "job": job}
    write_fileset(out / "fileset.json", [Dataset(n, (FileRef(f),), metadata) for n, f in names.items()])
    return out / "fileset.json"


def _write_survey(job: str, out: Path, *, release: str, seed: int, **values: Any) -> Path:
    from femtobarn import samples

    return samples.make_physlite(out, release=release, seed=seed, **values)


def _write_tagprobe(job: str, out: Path, *, release: str, seed: int, **values: Any) -> Path:
    from femtobarn.samples.tagprobe import make_tagprobe

    return make_tagprobe(out, release=release, seed=seed, **values)


def _write_records(out: Path, dataset: Dataset, truth: Mapping[str, Any]) -> None:
    """fileset.json and truth.json of one dataset."""
    write_fileset(out / "fileset.json", [dataset])
    label = "femtobarn toy simulation"
    write_json(out / "truth.json", {"schema_version": SCHEMA_VERSION, "label": label, **truth})


#: What ``data make`` makes; one line a job.
_JOBS: Final[Mapping[str, _Job]] = MappingProxyType(
    {
        "h4l": _Job(_HiggsToy, ("atlas-2020", "atlas-2025", "atlas-2016", "cms-nanoaod"), _write_higgs),
        "hyy": _Job(_HiggsToy, ("atlas-2020", "atlas-2025", "cms-nanoaod"), _write_higgs),
        "ttbar": _Job(_TtbarToy, ("cms-nanoaod",), _write_ttbar),
        "agc-poet": _Job(_PoetToy, ("agc-poet",), _write_ttbar),
        "refrun": _Job(_RefrunToy, ("records",), _write_refrun),
        "dimuon": _Job(_DimuonToy, ("cms-nanoaod",), _write_dimuon),
        "survey": _Job(_SurveyToy, ("physlite", "physlite-rntuple"), _write_survey),
        "tagprobe": _Job(
            _TagprobeToy,
            ("cms-nanoaod", "mini-ntuples", "nano-ntuples", "pairs-root", "pairs-parquet", "pairs-csv"),
            _write_tagprobe,
        ),
    }
)


def data_list(release: str | None = None) -> list[dict[str, Any]]:
    """The public releases, or the sample table of one, as rows.

    A sample's ``suspicious`` says why a published number is doubted, empty if it is not.  A release
    whose files or filesets state everything themselves has no rows.

    Raises
    ------
    UsageError
        Unknown release, with the nearest names.
    """
    if release is None:
        return [
            {"name": r.name, "aliases": list(r.aliases), "experiment": r.experiment, "sqrt_s_tev": r.sqrt_s,
             "lumi_fb": r.lumi, "samples": len(data_list(r.name)), "title": r.title}
            for r in RELEASES.values()
        ]  # fmt: skip
    found = find_release(release)
    if found.name == "cms-run1":
        return _published_histograms()
    return [
        {"name": s.name, "dsid": s.dsid, "group": s.group, "xsec_pb": s.xsec, "sumw": s.sumw,
         "red_eff": s.red_eff, "suspicious": s.suspicious}
        for s in found.samples.values()
    ]  # fmt: skip


def _published_histograms() -> list[dict[str, Any]]:
    """The samples behind the histogram files of CMS Run 1, by name and year."""
    place = resources.files("femtobarn.catalog") / "tables" / "run1-histograms.csv"
    lines = [line for line in place.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    kinds: Mapping[str, Callable[[str], Any]] = {
        "year": int, "generated": int, "xsec_pb": float, "scale_factor": float, "lumi_pb": float,
    }  # fmt: skip
    return [{name: kinds.get(name, str)(text) for name, text in row.items()} for row in csv.DictReader(lines)]


def same_samples(
    folder: Path, job: str, *, release: str | None, seed: int, settings: Sequence[str] = ()
) -> bool:
    """Whether :func:`data_make` filled a folder with exactly these samples."""
    if not (folder / "truth.json").is_file() or not (folder / "fileset.json").is_file():
        return False
    wanted: dict[str, Any] = {"job": job, "release": _release(job, _JOBS[job], release), "seed": seed}
    for name, value in read_parameters(_JOBS[job].settings, {}, list(settings)).model_dump().items():
        wanted[{"mass": "mass_gev"}.get(name, name)] = value
    truth = read_json(folder / "truth.json")
    present = all(Path(ref.url).is_file() for d in read_fileset(folder / "fileset.json") for ref in d.files)
    return present and all(truth.get(key) == value for key, value in wanted.items())

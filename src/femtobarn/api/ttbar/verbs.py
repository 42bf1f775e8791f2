"""The verbs of the top-pair job: its fileset, and comparing its histograms with a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from femtobarn.api.exporting import templates_of
from femtobarn.catalog import agc, fileset_content, write_fileset
from femtobarn.config import read_parameters
from femtobarn.errors import UsageError, nearest
from femtobarn.records import Dataset
from femtobarn.run.files import SCHEMA_VERSION, read_json, write_json

__all__ = ["TtbarFileset", "Validated", "ttbar_fileset", "ttbar_models", "ttbar_validate"]


@dataclass(frozen=True)
class TtbarFileset:
    """The datasets of the Grand Challenge, as asked for."""

    datasets: tuple[Dataset, ...]

    @property
    def files(self) -> int:
        return sum(len(dataset.files) for dataset in self.datasets)

    @property
    def events(self) -> int:
        return sum(ref.entries or 0 for dataset in self.datasets for ref in dataset.files)

    def to_json(self) -> dict[str, Any]:
        """A coffea fileset."""
        return fileset_content(self.datasets)


def ttbar_fileset(
    n_files: int = -1,
    *,
    source: str = "upstream",
    settings: Sequence[str] = (),
    out: str | Path | None = None,
) -> TtbarFileset:
    """The input files of the Analysis Grand Challenge.

    Parameters
    ----------
    n_files : int
        First so many files of every dataset; -1 for all 787.
    source : str
        ``upstream``, ``xcache``, ``eos`` or ``ssl-dev``.
    settings : sequence of ``NAME=VALUE``
        Parameters of the job: ``xcache_prefix``, ``xsec.PROCESS``.
    out : path, optional
        Writes a fileset JSON that ``run ttbar --fileset`` (and coffea) reads.
    """
    from femtobarn.analyses.ttbar import TtbarParameters
    from femtobarn.analyses.ttbar.inputs import prepare

    parameters = read_parameters(TtbarParameters, {"source": source}, list(settings))
    datasets, _ = prepare(agc.fileset(n_files), parameters)
    made = TtbarFileset(datasets)
    if out is not None:
        target = Path(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_fileset(target, datasets)
    return made


def ttbar_models(source: str | Path, *, to: str, out: str | Path) -> Path:
    """Write a pair of models for another backend.

    Parameters
    ----------
    source : path
        Directory of a pair in XGBoost's JSON, as ``ttbar train`` or the Grand Challenge makes it.
    to : str
        ``onnx``, or ``triton`` for a model repository with its configuration.
    out : path
        Directory of the new pair; ``--set models=OUT`` uses it.
    """
    from femtobarn.analyses.ttbar.conversion import TARGETS, convert
    from femtobarn.analyses.ttbar.models import check_library

    if to not in TARGETS:
        raise UsageError(f"models cannot be written for {to!r}", near=nearest(to, TARGETS),
                         action=f"choose one of {', '.join(TARGETS)}")  # fmt: skip
    if to == "onnx":
        check_library("onnx", "onnx", "--to onnx")
    return convert(Path(source), Path(out), to)


@dataclass(frozen=True)
class Validated:
    """What a comparison found; ``passed`` if all differences are accepted."""

    source: str
    reference: str
    mode: str
    compared: int
    differences: tuple[Any, ...] = field(default=())

    @property
    def passed(self) -> bool:
        return all(one.accepted for one in self.differences)

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return {
            "schema_version": SCHEMA_VERSION,
            "source": self.source,
            "reference": self.reference,
            "mode": self.mode,
            "compared": self.compared,
            "passed": self.passed,
            "rows": [asdict(one) for one in self.differences],
        }


def ttbar_validate(
    source: str | Path,
    reference: str | Path | None = None,
    *,
    mode: str = "rule",
    out: str | Path | None = None,
    dump_to: str | Path | None = None,
) -> Validated:
    """Compare the histograms of a run or ROOT file with a reference file.

    Parameters
    ----------
    source : path
        A run directory, or a ROOT file of histograms named ``{region}_{process}[_{variation}]``.
    reference : path
        JSON ``{name: {edges, contents with flow}}``.
    mode : str
        ``rule`` (the Grand Challenge's own tolerance) or ``strict`` (1e-9, no other names).
    out : path, optional
        Report as JSON.
    dump_to : path, optional
        Writes the histograms as a reference file.
    """
    from femtobarn.analyses.ttbar.validation import compare, dump, parse_reference

    named = templates_of(source)
    if dump_to is not None:
        write_json(Path(dump_to), dump(named))
    if reference is None:
        if dump_to is None:
            raise UsageError(
                "nothing to compare with", action="name a --reference REF.json, or --dump-json FILE"
            )
        return Validated(str(source), "", mode, len(named))
    if mode not in ("rule", "strict"):
        raise UsageError(f"there is no mode {mode!r}", action="use rule or strict")
    wanted = parse_reference(read_json(Path(reference)), where=str(reference))
    found = compare(named, wanted, mode="strict" if mode == "strict" else "rule")
    result = Validated(str(source), str(reference), mode, len(wanted), tuple(found))
    if out is not None:
        write_json(Path(out), result.to_json())
    return result

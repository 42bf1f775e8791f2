"""A model as a pyhf workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from femtobarn.stats.histfactory.model import Model
from femtobarn.stats.histfactory.transform import uncorrelated
from femtobarn.stats.histfactory.workspace import Workspace, write_workspace

__all__ = ["PyhfExport", "export_pyhf"]


@dataclass(frozen=True, slots=True)
class PyhfExport:
    """The file written, the workspace in it, and what the format could not hold exactly."""

    path: Path
    workspace: Workspace
    notes: tuple[str, ...]


def export_pyhf(model: Model | Workspace, path: str | Path) -> PyhfExport:
    """Write pyhf 1.0.0 JSON (keys sorted, lists in their order).

    Correlated constraints are rotated to independent parameters; other interpolation codes than pyhf's
    defaults are not part of the format and are named in the notes.
    """
    workspace = model.workspace if isinstance(model, Model) else model
    plain, notes = uncorrelated(workspace)
    if isinstance(model, Model):
        defaults = {"normsys": "code4", "histosys": "code4p"}
        notes += tuple(
            f"the interpolation {kind}={code} is an option of the reader, not of the file"
            for kind, code in model.interpolation.items()
            if defaults[kind] != code
        )
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_workspace(plain, target)
    return PyhfExport(target, plain, notes)

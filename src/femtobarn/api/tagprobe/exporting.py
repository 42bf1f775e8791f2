"""``export`` of scale factors: correctionlib, e/gamma text, ROOT maps, HEPData, JSON and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from femtobarn.api.exporting import Exported, Source
from femtobarn.errors import UsageError
from femtobarn.run.files import SCHEMA_VERSION, read_json, write_csv, write_json, write_parquet

__all__ = ["to_correctionlib", "to_csv", "to_egamma", "to_hepdata", "to_json", "to_parquet", "to_root"]

#: Name of the correction, and its year where none is given.
_NAME: Final = "TagAndProbe-SF"
_YEAR: Final = "any"


def _rows(source: Source) -> list[dict[str, Any]]:
    path = source.path / "tables" / "scale_factors.json"
    if not path.exists():
        raise UsageError(
            "holds no scale factors", where=str(source.path),
            action=f"make them: femtobarn fit {source.path} (it needs data and simulation with the axis mll)",
        )  # fmt: skip
    return list(read_json(path)["rows"])


def _grids(source: Source) -> tuple[Any, tuple[str, ...]]:
    from femtobarn.export.probe_tables import grids

    found = grids(_rows(source), allow_suspect=source.allow_suspect, where=str(source.path))
    notes = [
        f"{grid.name}: no scale factor in {', '.join(grid.empty)}: written as 1 ± 1"
        for grid in found
        if grid.empty
    ]
    return found, tuple(notes)


def to_correctionlib(source: Source, out: Path) -> Exported:
    """One correction with inputs year, ValType, WorkingPoint, eta, pt (and phi)."""
    from femtobarn.export.correctionlib import export_correctionlib

    found, notes = _grids(source)
    description = f"{source.manifest.get('headline', '')} Made with femtobarn."
    export_correctionlib(found, out, name=_NAME, year=source.year or _YEAR, description=description.strip())
    said = f"{_NAME}: evaluate(year={source.year or _YEAR!r}, ValType, WorkingPoint, ...); flow is clamped"
    return Exported((out,), (said, *notes))


def to_egamma(source: Source, out: Path) -> Exported:
    """The twelve columns of the e/gamma text format."""
    from femtobarn.export.egamma import write_egamma

    found, notes = _grids(source)
    return Exported(tuple(write_egamma(found, out)), notes)


def to_root(source: Source, out: Path) -> Exported:
    """TH2F of eta and pt: EGamma_SF2D, EGamma_EffData2D, EGamma_EffMC2D and one a source."""
    from femtobarn.export.egamma import export_maps

    found, notes = _grids(source)
    export_maps(found, out)
    return Exported((out,), notes)


def to_hepdata(source: Source, out: Path) -> Exported:
    """Tables of efficiencies and scale factors."""
    from femtobarn.export.probe_hepdata import export_probe_hepdata

    _grids(source)  # refuses what is not good
    title = str(source.manifest.get("title") or "Tag and probe")
    toy = " femtobarn toy simulation." if source.manifest.get("origin") == "toy" else ""
    comment = f"{title}.{toy} Made with femtobarn; not a result of any collaboration."
    return Exported(export_probe_hepdata(_rows(source), out, comment=comment).files)


def to_json(source: Source, out: Path) -> Exported:
    """The rows of ``tables/scale_factors``; statuses are in them, so nothing is refused."""
    write_json(out, {"schema_version": SCHEMA_VERSION, "rows": _rows(source)})
    return Exported((out,))


def to_csv(source: Source, out: Path) -> Exported:
    """The same as a flat table."""
    from femtobarn.stats.passfail.scale_factors import table_columns

    write_csv(out, table_columns(_rows(source)))
    return Exported((out,))


def to_parquet(source: Source, out: Path) -> Exported:
    """The same table as Parquet."""
    from femtobarn.stats.passfail.scale_factors import table_columns

    write_parquet(out, table_columns(_rows(source)))
    return Exported((out,))

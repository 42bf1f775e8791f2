"""What the survey can be told: objects, cuts, combinations, what follows."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from femtobarn.analysis import Parameters
from femtobarn.physics.finalstates import LETTERS, TYPES, Combination, combinations
from femtobarn.physics.objects import MassModel

__all__ = [
    "KNOWN_TYPES",
    "CombinationRules",
    "Counts",
    "Cuts",
    "Selection",
    "SurveyParameters",
    "Tagging",
    "Trigger",
]

#: Types a configuration may name.
KNOWN_TYPES: Final = TYPES[:6]
_GEV: Final[dict[str, Any]] = {"unit": "GeV"}


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Counts(_Table):
    """Allowed numbers of objects of a type; nothing = no limit."""

    min: int | None = Field(default=None, ge=0, description="least number")
    max: int | None = Field(default=None, ge=0, description="largest number")

    @model_validator(mode="after")
    def _ordered(self) -> Counts:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is larger than max {self.max}: no event can pass")
        return self


class Cuts(_Table):
    """Kinematic cuts on the objects of a type, inclusive; eta is taken without its sign."""

    pt_min: float | None = Field(default=None, ge=0, json_schema_extra=_GEV)
    pt_max: float | None = Field(default=None, ge=0, json_schema_extra=_GEV)
    eta_min: float | None = Field(default=None, ge=0)
    eta_max: float | None = Field(default=None, ge=0)
    phi_min: float | None = None
    phi_max: float | None = None


class CombinedCounts(_Table):
    """Allowed number of objects of several types together."""

    types: tuple[str, ...]
    min: int | None = Field(default=None, ge=0)
    max: int | None = Field(default=None, ge=0)


class CombinationRules(_Table):
    """Which combinations are made."""

    min_types: int = Field(default=2, ge=1, description="least number of types in a combination")
    max_types: int = Field(default=4, ge=1, description="largest number of types")
    min_each: int = Field(default=2, ge=1, description="least number of objects of a type")
    max_each: int = Field(default=4, ge=1, description="largest number of objects of a type")
    max_total: int | None = Field(default=None, ge=2, description="largest number of objects")
    include_subleading: bool = Field(default=False, description="also begin at objects below the leading one")
    max_subleading_index: int = Field(
        default=1, ge=0, description="last position at which one object may begin"
    )
    limit: int | None = Field(default=None, ge=1, description="only the first so many combinations")


class Tagging(_Table):
    """b-jets: moved out of the jets."""

    enabled: bool = False
    field: str | None = Field(default=None, description="discriminant of jets; default: the release's")
    threshold: float | None = Field(
        default=None, description="least value; default: 0.5 (NanoAOD), 2.51 (PHYSLITE)"
    )


class RunRange(_Table):
    """Triggers of some runs, ends included."""

    first: int = Field(default=0, ge=0, description="first run")
    last: int = Field(default=2**31, ge=0, description="last run")
    branches: tuple[str, ...] = Field(min_length=1)


class Trigger(_Table):
    """Events must have fired one of these branches, or one of those of their run."""

    branches: tuple[str, ...] = ()
    by_run: tuple[RunRange, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """All branches of run ranges; a file need not have those of other runs."""
        return tuple(dict.fromkeys(name for item in self.by_run for name in item.branches))


class Selection(_Table):
    """Identification and isolation; nothing by default."""

    ids: dict[str, str] = Field(default_factory=dict, description="type -> branch of the identification flag")
    isolation: dict[str, float] = Field(
        default_factory=dict, description="type -> largest relative isolation"
    )


class Override(_Table):
    """Another selection for one dataset."""

    particle_counts: dict[str, Counts] = Field(default_factory=dict)
    kinematic_cuts: dict[str, Cuts] = Field(default_factory=dict)


class Weighting(_Table):
    """Simulated events weighted to a luminosity."""

    enabled: bool = False
    target_luminosity_fb: float | None = Field(default=None, gt=0)
    luminosity_by_campaign: dict[str, float] = Field(default_factory=dict)
    require_metadata: bool = True


def _types(value: Any) -> Any:
    """Accept ``Electrons`` and ``electrons``."""
    return tuple(str(item).lower() for item in value) if isinstance(value, list | tuple) else value


Types = Annotated[
    tuple[Literal["electrons", "muons", "jets", "bjets", "photons", "taus"], ...], BeforeValidator(_types)
]


class SurveyParameters(Parameters):
    """What ``--set`` reaches."""

    objects: Types = Field(
        ("electrons", "muons", "jets", "photons"), min_length=1, description="types to combine"
    )
    particle_counts: dict[str, Counts] = Field(
        default_factory=dict, description="allowed numbers of each type"
    )
    kinematic_cuts: dict[str, Cuts] = Field(default_factory=dict, description="cuts of each type, GeV")
    combined_counts: tuple[CombinedCounts, ...] = Field((), description="allowed numbers of types together")
    by_dataset: dict[str, Override] = Field(
        default_factory=dict, description="other cuts for single datasets"
    )
    combinations: CombinationRules = Field(CombinationRules(), description="which combinations are made")
    sort_by: Literal["pt", "eta", "phi", "mass"] = Field("pt", description="what 'leading' means")
    mass_model: MassModel = Field("true", description="masses of the objects")
    extra: tuple[Literal["all", "met"], ...] = Field((), description="further combinations")
    schemas: tuple[str, ...] = Field((), description="schemas the files may have; empty = any")
    trees: tuple[str, ...] = Field((), description="trees the events may be in; empty = any")
    on_missing: Literal["error", "zero"] = Field("error", description="a type that a file does not have")
    selection: Selection = Field(Selection(), description="identification and isolation")
    overlap_removal: bool = Field(
        default=False, description="drop objects that are one particle with another"
    )
    overlap_radii: dict[str, float] = Field(default_factory=dict, description="jets_electrons: 0.2 and so on")
    tagging: Tagging = Field(Tagging(), description="b-jets")
    trigger: Trigger = Field(Trigger(), description="required trigger branches")
    golden_json: str | None = Field(default=None, description="certified luminosity sections of data")
    deduplicate: bool = Field(
        default=False, description="drop events that an earlier file has already (run, lumi, event)"
    )
    duplicates: str | None = Field(default=None, description="list of repeated events; found if not given")
    z_objects: bool = Field(default=False, description="a lepton pair near the Z mass becomes one object")
    charge_tags: bool = Field(default=False, description="split final states with two leptons by charge")
    count_cap: int | None = Field(
        None, ge=1, description="final states with more objects are merged into this"
    )
    weighting: Weighting = Field(Weighting(), description="weights of simulated events")
    grid_width: float = Field(1.0, gt=0, description="width of the base grid", json_schema_extra=_GEV)
    grid_max: float = Field(10_000.0, gt=0, description="end of the base grid", json_schema_extra=_GEV)
    min_events: int = Field(100, ge=0, description="events a final state needs to be exported")
    keep_arrays: bool = Field(default=False, description="keep every mass (im_arrays/)")
    arrays_format: Literal["npy", "parquet"] = Field("npy", description="format of kept masses")
    post_processing: Literal["grid", "legacy", "none"] = Field("grid", description="how spectra are cut")
    peak_width: float = Field(
        10.0, gt=0, description="bin width of the peak search", json_schema_extra=_GEV, validate_default=True
    )
    max_mass: float | None = Field(
        None, gt=0, description="masses from here on are outliers", json_schema_extra=_GEV
    )
    resonances: Literal["veto_below", "mask", "report", "none"] = Field(
        "veto_below", description="known resonances in lepton pairs"
    )
    z_peak: float = Field(110.0, ge=0, description="lepton pairs are kept from here", json_schema_extra=_GEV)
    histograms: bool = Field(default=True, description="write histograms/")
    widths: tuple[float, ...] = Field(
        (10.0,), min_length=1, description="bin widths", json_schema_extra=_GEV, validate_default=True
    )
    single_file: bool = Field(default=True, description="one ROOT file, or one a signature")
    filename: str = Field("histograms.root", description="name of the ROOT file")
    exclude_outliers: bool = Field(default=True, description="histograms hold the main part only")
    naming: Literal["classic", "bumpnet", "plain"] = Field("classic", description="names of histograms")
    binning: Literal["fixed", "resolution"] = Field("fixed", description="bins of histograms")
    before_cuts: bool = Field(default=False, description="also write the spectra before post-processing")
    before_filename: str = Field("pre_postproc.root", description="their file")
    skipped_bins: float = Field(0.0, ge=0, lt=1, description="share of bins that the BumpNet loader skips")
    search: bool = Field(default=False, description="search for bumps at the end of the run")

    @field_validator("widths", "peak_width")
    @classmethod
    def _multiples(cls, value: Any, info: ValidationInfo) -> Any:
        grid = info.data.get("grid_width")
        for width in value if isinstance(value, tuple) else (value,):
            if grid and (abs(width / grid - round(width / grid)) > 1e-9 or width < grid):
                raise ValueError(f"a bin width of {width:g} GeV is no multiple of the grid's {grid:g} GeV")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> SurveyParameters:
        tables: dict[str, dict[str, Any]] = {
            "particle_counts": dict(self.particle_counts),
            "kinematic_cuts": dict(self.kinematic_cuts),
        }
        for table, entries in tables.items():
            for name in entries:
                if name not in KNOWN_TYPES:
                    raise ValueError(f"{table}: unknown type {name!r}; types: {', '.join(KNOWN_TYPES)}")
        if "bjets" in self.objects and not self.tagging.enabled:
            raise ValueError("bjets are asked for but jets are not tagged (enable_jet_tagging: true)")
        return self

    @property
    def grid_bins(self) -> int:
        return max(round(self.grid_max / self.grid_width), 1)

    @property
    def types(self) -> tuple[int, ...]:
        """Numbers of the combined types, in the order of names."""
        chosen = tuple(i for i, name in enumerate(TYPES) if name in self.objects)
        return (*chosen, TYPES.index("zbosons")) if self.z_objects else chosen

    def combination_list(self) -> tuple[Combination, ...]:
        """All combinations, in a fixed order."""
        rules = self.combinations
        found = combinations(
            self.types,
            kinds=(rules.min_types, rules.max_types),
            each=(rules.min_each, rules.max_each),
            total=rules.max_total,
            subleading=rules.max_subleading_index if rules.include_subleading else None,
        )[: rules.limit]
        if "all" in self.extra:
            found += (Combination(()),)
        if "met" in self.extra:
            plain = [Combination(((kind, 0, 1),)) for kind in self.types] + list(found)
            found += tuple(Combination(item.picks, transverse=True) for item in plain)
        return found

    def letters(self) -> str:
        """Letters of the combined types."""
        return "".join(LETTERS[kind] for kind in self.types)

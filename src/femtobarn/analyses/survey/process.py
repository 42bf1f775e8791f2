"""One pass over the events: objects, final states, masses of all combinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.survey.arrays import spectra_of_array
from femtobarn.analyses.survey.parameters import Cuts, SurveyParameters
from femtobarn.analysis import Columns, Context, Selection
from femtobarn.errors import DataError
from femtobarn.hists.spectra import Grid, Spectra
from femtobarn.outcome import Outcome
from femtobarn.physics.finalstates import TYPES, pack, state_name
from femtobarn.physics.objects import (
    COLLECTIONS,
    Objects,
    collection_columns,
    flags,
    four_momenta,
    is_sound,
    needs,
    read_objects,
)
from femtobarn.physics.overlap import STEPS, remove_overlaps
from femtobarn.physics.spectra import accumulate
from femtobarn.physics.tagging import is_tagged, tagging_columns
from femtobarn.physics.zpairs import charge_tags, make_z
from femtobarn.read import find_schema
from femtobarn.read.columns import Events
from femtobarn.read.schema import Schema
from femtobarn.records import Dataset

__all__ = ["Selected", "columns", "process", "select"]

_IDS: Final = ("run", "lumi", "event")


def wanted_types(parameters: SurveyParameters) -> tuple[str, ...]:
    """Types to read: those combined, counted, or needed to remove overlaps; b-jets come out of jets."""
    named = {*parameters.objects, *parameters.particle_counts}
    for rule in parameters.combined_counts:
        named |= set(rule.types)
    if "bjets" in named:
        named.add("jets")
    return tuple(kind for kind in COLLECTIONS if kind in named)


def columns(parameters: SurveyParameters, schema: str, dataset: Dataset) -> Columns:
    """What the selection reads from a file of this schema."""
    table = find_schema(schema)
    if table.format == "arrays":
        return Columns(())
    needed: list[str] = []
    optional: list[str] = []
    charged = parameters.z_objects or parameters.charge_tags
    for kind in wanted_types(parameters):
        own, mass = collection_columns(table, kind)
        if charged and kind in ("electrons", "muons"):
            own += needs(table, kind, ("charge",))
        if parameters.on_missing == "zero":
            optional += own
        else:
            needed += own
        optional += mass
        needed += needs(table, kind, _extra_names(parameters, kind))
    if parameters.tagging.enabled:
        needed += tagging_columns(table, parameters.tagging.field)
    if parameters.golden_json and dataset.kind == "data":
        needed += ["run", "lumi"]
    needed += [trigger_column(table, name) for name in parameters.trigger.branches]
    if parameters.trigger.by_run:
        needed.append("run")
        optional += [trigger_column(table, name) for name in parameters.trigger.named]
    if parameters.overlap_removal and _knows(table, "jet.tracks"):
        optional.append("jet.tracks")
    if parameters.weighting.enabled and dataset.kind == "mc":
        optional.append("weight.generator")
    if "met" in parameters.extra:
        soft = "met.soft_mpx" in table.columns
        needed += ["met.soft_mpx", "met.soft_mpy", "met.term"] if soft else ["met.pt", "met.phi"]
    return Columns(tuple(dict.fromkeys(needed)), tuple(dict.fromkeys(optional)))


def _knows(schema: Schema, name: str) -> bool:
    return name in schema.columns


def trigger_column(schema: Schema, branch: str) -> str:
    """The column behind a trigger's name: PHYSLITE keeps what each trigger matched instead of decisions."""
    matched = "AnalysisTrigMatch_" in schema.resolve("trigger.x").name
    return f"trigger.{branch}" if matched and branch.startswith("HLT_") else branch


def _extra_names(parameters: SurveyParameters, kind: str) -> tuple[str, ...]:
    """Identification and isolation columns of a type."""
    names = []
    if kind in parameters.selection.ids:
        names.append(parameters.selection.ids[kind])
    if kind in parameters.selection.isolation:
        names.append("ptvarcone")
    return tuple(names)


@dataclass(frozen=True, slots=True)
class Selected:
    """Events after the cuts on events and numbers of objects; all kept objects; weights, if there are any."""

    selection: Selection
    objects: dict[str, Objects]
    weight: NDArray[np.float64] | None


def select(events: Events, ctx: Context, out: Outcome) -> Selected:
    """Choose objects and events; what had to be left out is noted in the outcome."""
    weight = _weights(events, ctx, out)
    selection = Selection(len(events), 1.0 if weight is None else weight)
    _event_cuts(events, ctx, selection)
    objects = _objects(events, ctx, out)
    counts = np.zeros((len(events), len(TYPES)), dtype=np.int64)
    for kind, item in objects.items():
        counts[:, TYPES.index(kind)] = item.counts
    selection.require("particle_counts", _counts_pass(counts, ctx))
    return Selected(selection, objects, weight)


def process(events: Events, ctx: Context) -> Outcome:
    """Classify the events of a part and accumulate all masses."""
    parameters: SurveyParameters = ctx.parameters
    out = ctx.outcome()
    if find_schema(ctx.schema).format == "arrays":
        out.spectra[ctx.dataset.name] = spectra_of_array(
            events, ctx, empty_spectra(parameters, weighted=False)
        )
        return out
    chosen_ones = select(events, ctx, out)
    selection, objects, weight = chosen_ones.selection, chosen_ones.objects, chosen_ones.weight
    tags = charge_tags(objects, len(events)) if parameters.charge_tags else None
    used = {kind: item for kind, item in objects.items() if kind in (*parameters.objects, "zbosons")}
    momenta = _momenta(used, ctx)
    if parameters.z_objects:
        used, momenta = make_z(used, momenta)
    combined = np.zeros((len(events), len(TYPES)), dtype=np.int64)
    for kind, item in used.items():
        combined[:, TYPES.index(kind)] = item.counts
    selection.require("has_objects", combined.sum(axis=1) > 0)
    out.add_cutflow(selection)
    chosen = np.flatnonzero(selection.mask)
    labelled = np.minimum(combined, parameters.count_cap or 255)
    out.spectra[ctx.dataset.name] = accumulate(
        chosen,
        pack(labelled, tags)[chosen],
        used,
        momenta,
        parameters.combination_list(),
        empty=empty_spectra(parameters, weighted=weight is not None),
        name_of=lambda code: state_name(code, parameters.types),
        met=_met(events, ctx, momenta, used),
        weight=weight,
        keep=ctx.part.number if ctx.part is not None and parameters.keep_arrays else None,
    )
    return out


def empty_spectra(parameters: SurveyParameters, *, weighted: bool) -> Spectra:
    """A survey with nothing in it yet."""
    names = tuple(item.name for item in parameters.combination_list())
    return Spectra(Grid(parameters.grid_width, parameters.grid_bins), parameters.letters(), names, weighted)


@dataclass(frozen=True, slots=True)
class _Unit:
    """The unit of a file's momenta: what one is in GeV."""

    scale: float

    def cut(self, value: float) -> float:
        """A cut in GeV as it must be compared with momenta that were read in the file's unit.

        Reading multiplies a stored 25000 by 0.001; so does this, so that an object on the edge passes.
        """
        return value if self.scale == 1.0 else round(value / self.scale, 6) * self.scale


def _unit(schema: Schema, kind: str) -> _Unit:
    return _Unit(schema.resolve(collection_columns(schema, kind)[0][0]).scale)


def _objects(events: Events, ctx: Context, out: Outcome) -> dict[str, Objects]:
    """Kept objects of each type, leading one first."""
    parameters: SurveyParameters = ctx.parameters
    schema = find_schema(ctx.schema)
    charged = parameters.z_objects or parameters.charge_tags
    found = {}
    for kind in wanted_types(parameters):
        item = read_objects(events, schema, kind, charge=charged)
        sound = is_sound(item)
        if not sound.all():
            out.warn(
                f"{ctx.dataset.name}: {kind} with impossible numbers are left out "
                "(not finite, pt < 0 or |eta| > 20)",
                int((~sound).sum()),
            )
        keep = sound & _passes(item, _cuts(ctx, kind), _unit(schema, kind))
        for name in _extra_names(parameters, kind):
            values = flags(events, schema, kind, name, item)
            if name == "ptvarcone":
                keep &= values <= parameters.selection.isolation[kind] * item.pt
            else:
                keep &= values.astype(np.bool_)
        if kind == "jets" and parameters.tagging.enabled:
            tagged = is_tagged(events, schema, item, parameters.tagging.field, parameters.tagging.threshold)
            loose = sound & _passes(item, _cuts(ctx, "bjets"), _unit(schema, kind))
            found["bjets"] = item.where(tagged & (loose if "bjets" in _all_cuts(ctx) else keep))
            keep &= ~tagged
        found[kind] = item.where(keep)
    if parameters.overlap_removal:
        found = _without_overlaps(found, parameters, events)
    return {kind: item.ordered(_key(item, parameters)) for kind, item in found.items()}


def _key(item: Objects, parameters: SurveyParameters) -> NDArray[np.float64]:
    return np.asarray(getattr(item, parameters.sort_by), dtype=np.float64)


def _without_overlaps(
    found: Mapping[str, Objects], parameters: SurveyParameters, events: Events
) -> dict[str, Objects]:
    named = {f"{a}_{b}": (a, b) for a, b, _ in STEPS}
    tracks = None
    if "jet.tracks" in events and "jets" in found:
        tracks = events.jagged("jet.tracks").values[found["jets"].index]
    radii = {named[name]: radius for name, radius in parameters.overlap_radii.items()}
    return remove_overlaps(found, radii, tracks)


def _all_cuts(ctx: Context) -> Mapping[str, Cuts]:
    override = ctx.parameters.by_dataset.get(ctx.dataset.name)
    cuts: Mapping[str, Cuts] = ctx.parameters.kinematic_cuts
    return cuts if override is None else {**cuts, **override.kinematic_cuts}


def _cuts(ctx: Context, kind: str) -> Cuts:
    return _all_cuts(ctx).get(kind, Cuts())


def _passes(item: Objects, cuts: Cuts, unit: _Unit) -> NDArray[np.bool_]:
    """(m,) whether objects pass the kinematic cuts, edges included."""
    keep = np.ones(len(item.pt), dtype=np.bool_)
    eta = np.abs(item.eta)
    with np.errstate(invalid="ignore"):
        for low, values in ((cuts.pt_min, item.pt), (cuts.eta_min, eta), (cuts.phi_min, item.phi)):
            if low is not None:
                keep &= values >= (unit.cut(low) if values is item.pt else low)
        for high, values in ((cuts.pt_max, item.pt), (cuts.eta_max, eta), (cuts.phi_max, item.phi)):
            if high is not None:
                keep &= values <= (unit.cut(high) if values is item.pt else high)
    return keep


def _counts_pass(counts: NDArray[np.int64], ctx: Context) -> NDArray[np.bool_]:
    """(n,) whether the numbers of objects of each type are allowed."""
    limits = dict(ctx.parameters.particle_counts)
    override = ctx.parameters.by_dataset.get(ctx.dataset.name)
    if override is not None:
        limits |= override.particle_counts
    passed = np.ones(len(counts), dtype=np.bool_)
    rules = [((kind,), limit) for kind, limit in limits.items()]
    rules += [(rule.types, rule) for rule in ctx.parameters.combined_counts]
    for kinds, limit in rules:
        number = sum((counts[:, TYPES.index(kind)] for kind in kinds), np.zeros(len(counts), dtype=np.int64))
        if limit.min is not None:
            passed &= number >= limit.min
        if limit.max is not None:
            passed &= number <= limit.max
    return passed


def _momenta(objects: Mapping[str, Objects], ctx: Context) -> dict[str, NDArray[np.float64]]:
    schema = find_schema(ctx.schema)
    model = ctx.parameters.mass_model
    out = {}
    for kind, item in objects.items():
        base = "jets" if kind == "bjets" else kind
        out[kind] = four_momenta(item, base, model=model, unit=_unit(schema, base).scale)
    return out


def _event_cuts(events: Events, ctx: Context, selection: Selection) -> None:
    """Certified luminosity sections and triggers, where asked for."""
    parameters: SurveyParameters = ctx.parameters
    if parameters.golden_json and ctx.is_data:
        mask = ctx.resources["golden"](events.flat("run"), events.flat("lumi"))
        selection.require("certified", mask)
    if parameters.trigger.branches or parameters.trigger.by_run:
        selection.require("trigger", _fired(events, ctx))
    if parameters.deduplicate:
        selection.require("duplicates", _first_seen(events, ctx))


def _first_seen(events: Events, ctx: Context) -> NDArray[np.bool_]:
    """(n,) whether no earlier file holds the event."""
    if ctx.part is None or "duplicates" not in ctx.resources:
        raise DataError("repeated events were not looked for", action="run it with: femtobarn survey")
    entries = ctx.resources["duplicates"].get(ctx.part.file)
    keep = np.ones(len(events), dtype=np.bool_)
    if entries is not None:
        inside = entries[(entries >= ctx.part.start) & (entries < ctx.part.stop)]
        keep[inside - ctx.part.start] = False
    return keep


def _fired(events: Events, ctx: Context) -> NDArray[np.bool_]:
    """(n,) whether a trigger fired: one of all runs, or one of the event's own run."""
    schema, trigger = find_schema(ctx.schema), ctx.parameters.trigger

    def any_of(branches: Sequence[str]) -> NDArray[np.bool_]:
        fired = np.zeros(len(events), dtype=np.bool_)
        for name in (trigger_column(schema, branch) for branch in branches):
            fired |= events.flat(name).astype(np.bool_)
        return fired

    fired = any_of(trigger.branches)
    if not trigger.by_run:
        return fired
    run = events.flat("run")
    for item in trigger.by_run:
        mine = (run >= item.first) & (run <= item.last)
        present = [name for name in item.branches if trigger_column(schema, name) in events]
        if mine.any() and not present:
            raise DataError(
                f"events of runs {item.first}-{item.last} are here but none of their triggers: "
                + ", ".join(item.branches),
                where=ctx.dataset.name, action="correct trigger_config.by_run",
            )  # fmt: skip
        fired |= mine & any_of(present)
    return fired


def _weights(events: Events, ctx: Context, out: Outcome) -> NDArray[np.float64] | None:
    """Event weights, where simulated events are to be weighted."""
    if not ctx.parameters.weighting.enabled:
        return None
    weight = np.ones(len(events))
    if not ctx.is_data and "weight.generator" in events:
        column: Any = events["weight.generator"]
        if hasattr(column, "offsets"):
            # The first of a list is the nominal one.
            filled = column.counts > 0
            weight[filled] = column.values[column.offsets[:-1][filled]]
        else:
            weight = np.asarray(column, dtype=np.float64)
    bad = ~np.isfinite(weight) | (np.abs(weight) > 1e10)
    if bad.any():
        out.warn(f"{ctx.dataset.name}: event weights that are not finite are taken as 0", int(bad.sum()))
        weight = np.where(bad, 0.0, weight)
    out.add_sum("sumw", weight)
    return weight


def _met(
    events: Events, ctx: Context, momenta: Mapping[str, NDArray[np.float64]], objects: Mapping[str, Objects]
) -> NDArray[np.float64]:
    """(n, 2) missing transverse momentum; PHYSLITE keeps only its soft term, the rest is the kept objects."""
    if "met" not in ctx.parameters.extra:
        return np.zeros((0, 2))
    out = np.zeros((len(events), 2))
    if "met.soft_mpx" not in events:
        met, phi = events.flat("met.pt"), events.flat("met.phi")
        out[:, 0], out[:, 1] = met * np.cos(phi), met * np.sin(phi)
        return np.nan_to_num(out, nan=0.0, posinf=0.0, neginf=0.0)
    terms = events.jagged("met.term")
    soft = terms.values == "PVSoftTrkCore"
    for axis, name in enumerate(("met.soft_mpx", "met.soft_mpy")):
        np.add.at(out[:, axis], terms.parents[soft], events.jagged(name).values[soft])
        for kind, item in objects.items():
            parents = np.repeat(np.arange(len(events)), item.counts)
            np.add.at(out[:, axis], parents, -momenta[kind][:, axis])
    return out

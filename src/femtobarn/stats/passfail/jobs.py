"""All fits of a tag-and-probe measurement: which bins, samples and variations, and what comes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from femtobarn.config.fitter import FitterConfig
from femtobarn.errors import DataError, UsageError, nearest
from femtobarn.stats.passfail.building import PassFailOptions
from femtobarn.stats.passfail.fit import fit_pass_fail
from femtobarn.stats.passfail.input import ProbeBin, ProbeSet
from femtobarn.stats.passfail.likelihood import Spectra
from femtobarn.stats.passfail.models import RESONANCES, Template, parse_model
from femtobarn.stats.passfail.scale_factors import Efficiency, combine, count_efficiency, fitted_efficiency

__all__ = [
    "FitJob",
    "Samples",
    "fit_job",
    "planned",
    "scale_factor_rows",
    "templates_for",
    "variation_options",
]

#: What replaces a nominal shape in the variations altSig and altBkg.
_ALT_SIGNAL: Final[Mapping[str, str]] = {"dcb": "genzcb"}
_ALT_BACKGROUND: Final[Mapping[str, str]] = {"cms": "exp"}
#: Share of the fit range by which massRangeUp and massRangeDown move both ends inwards and outwards.
_RANGE_SHIFT: Final = 0.05
#: Variations in which only simulation changes.
_MC_ONLY: Final = ("altMC", "puUp", "puDown")


@dataclass(frozen=True)
class Samples:
    """Sets of probes by sample: ``data`` and ``mc`` by label, and the pairs that make scale factors."""

    data: Mapping[str, tuple[ProbeSet, ...]]
    mc: Mapping[str, tuple[ProbeSet, ...]]
    pairs: Mapping[str, tuple[str, str]]

    def find(self, label: str, like: ProbeSet) -> ProbeSet | None:
        """A sample's set of the same filter and region."""
        sets = self.data.get(label) or self.mc.get(label) or ()
        return next((one for one in sets if (one.filter, one.region) == (like.filter, like.region)), None)


@dataclass(frozen=True)
class FitJob:
    """One fit: what ``fit.json`` says about it, and what it needs."""

    dataset: str
    sample: str
    label: str
    filter: str
    region: str
    bin: ProbeBin
    variation: str
    options: PassFailOptions
    spectra: Spectra = field(repr=False)
    templates: tuple[Template, Template] | None = field(default=None, repr=False)

    @property
    def key(self) -> tuple[str, ...]:
        """What tells a fit from all others of a run."""
        return self.sample, self.label, self.filter, self.region, self.bin.name, self.variation


def fit_job(job: FitJob) -> dict[str, Any]:
    """Do one fit; the entry of ``fits``."""
    one, two = parse_model(job.options.model)
    found = fit_pass_fail(job.spectra, job.options, templates=job.templates)
    return {
        "dataset": job.dataset,
        "sample": job.sample,
        "label": job.label,
        "filter": job.filter,
        "region": job.region,
        "bin": job.bin.to_json(),
        "variation": job.variation,
        "model": {"signal": one, "background": two},
        "window": list(job.options.range),
        "rebin": job.options.rebin,
        "shared_shape": job.options.shared_shape,
        "counts": {
            side: float(total) for side, total in zip(("passing", "failing"), job.spectra.totals, strict=True)
        },
        **found.to_json(),
    }


def variation_options(config: FitterConfig, variation: str, *, pure: bool = False) -> PassFailOptions:
    """How a variation fits: other shapes, range or bins."""
    signal, background = parse_model(config.model)
    other_signal, other_background = config.alternatives
    if variation in ("altSig", "altSigBkg"):
        z = config.resonance.startswith("Z")
        signal = other_signal or (
            _ALT_SIGNAL.get(signal, "dcb") if z else "dcb" if signal != "dcb" else "cbg"
        )
    if variation in ("altBkg", "altSigBkg"):
        background = other_background or _ALT_BACKGROUND.get(background, "cms")
    model = f"{signal}_{background}"
    parse_model(model)
    low, high = config.window or RESONANCES[config.resonance].window
    shift = config.mass_range_shift or _RANGE_SHIFT * (high - low)
    if variation == "massRangeUp":
        low, high = low - shift, high + shift
    elif variation == "massRangeDown":
        low, high = low + shift, high - shift
    return PassFailOptions(
        model=model,
        resonance=config.resonance,
        window=(low, high),
        shared_shape=config.shared_shape,
        rebin=2 if variation == "binning" else 1,
        pure=pure,
    )


def templates_for(spectra: Spectra, rebin: int = 1) -> tuple[Template, Template]:
    """Simulated spectra as templates of passing and failing probes' signal."""
    used = spectra.rebinned(rebin)
    first, second = (Template(used.edges, used.observed[k]) for k in (0, 1))
    return first, second


def planned(config: FitterConfig, samples: Samples) -> list[FitJob]:
    """All fits of a configuration: every variation of data, the nominal fit of simulation."""
    jobs: dict[tuple[str, ...], FitJob] = {}
    for variation in config.variations:
        inputs = config.variation_inputs.get(variation, {})
        if variation in (*_MC_ONLY, "tagSel") and not inputs:
            raise UsageError(
                f"the variation {variation} needs samples of its own",
                action=f'give them: "variation_inputs": {{"{variation}": {{"mc": LABEL}}}}',
            )
        for sample, labels in (("data", samples.data), ("mc", samples.mc)):
            for label in labels:
                if _wanted(sample, label, variation, inputs, config, samples):
                    for job in _of_sample(config, samples, sample, label, variation):
                        jobs[job.key] = job
    if not jobs:
        raise DataError("there is nothing to fit", action="no sample has bins with an axis mll")
    return list(jobs.values())


def _wanted(
    sample: str, label: str, variation: str, inputs: Mapping[str, str], config: FitterConfig, samples: Samples
) -> bool:
    """Whether a variation fits this sample."""
    others = {name for one in config.variation_inputs.values() for name in one.values()}
    paired = {name for pair in samples.pairs.values() for name in pair}
    if label in others and label not in paired:
        return label == inputs.get(sample)
    if inputs:
        return False
    return variation == "nominal" or (sample == "data" and variation not in _MC_ONLY)


def _of_sample(
    config: FitterConfig, samples: Samples, sample: str, label: str, variation: str
) -> Iterator[FitJob]:
    options = variation_options(config, variation, pure=sample == "mc")
    if sample == "mc" and options.model.startswith("tmpl_"):
        # A template does not fit itself.
        options = dataclasses.replace(options, model=options.model.replace("tmpl_", "dcb_"))
    sets = samples.data[label] if sample == "data" else samples.mc[label]
    for one in sets:
        partner = _partner(samples, label, one) if options.model.startswith("tmpl_") else None
        for place, spectra in one.bins:
            templates = None
            if options.model.startswith("tmpl_"):
                templates = _template(partner, place, label)
            yield FitJob(
                one.dataset,
                sample,
                label,
                one.filter,
                one.region,
                place,
                variation,
                options,
                spectra,
                templates,
            )


def _partner(samples: Samples, label: str, like: ProbeSet) -> ProbeSet | None:
    mc = next((pair[1] for pair in samples.pairs.values() if pair[0] == label), None)
    return samples.find(mc, like) if mc is not None else None


def _template(partner: ProbeSet | None, place: ProbeBin, label: str) -> tuple[Template, Template]:
    found = None if partner is None else {one.name: s for one, s in partner.bins}.get(place.name)
    if found is None:
        raise DataError(
            f"the signal tmpl of {place.name} needs simulation",
            where=label,
            action="pair the data with a simulated sample (data_mc_pair)",
        )
    return templates_for(found)


def scale_factor_rows(
    config: FitterConfig, samples: Samples, fits: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of ``tables/scale_factors``, one a pair of samples, filter, region and bin."""
    by_key = {
        (f["sample"], f["label"], f["filter"], f["region"], f["bin"]["name"], f["variation"]): f for f in fits
    }
    window = config.window or RESONANCES[config.resonance].window

    def data(label: str, one: ProbeSet, place: ProbeBin, variation: str) -> Efficiency:
        return fitted_efficiency(by_key.get(("data", label, one.filter, one.region, place.name, variation)))

    def mc(label: str, one: ProbeSet, place: ProbeBin, variation: str) -> Efficiency:
        if config.mc_efficiency == "fit":
            return fitted_efficiency(by_key.get(("mc", label, one.filter, one.region, place.name, variation)))
        partner = samples.find(label, one)
        spectra = None if partner is None else {p.name: s for p, s in partner.bins}.get(place.name)
        if spectra is None:
            return Efficiency(None, status="failed", reasons=(f"{label} has no bin {place.name}",))
        return count_efficiency(spectra.within(*window))

    rows = []
    for name, (data_label, mc_label) in samples.pairs.items():
        for one in samples.data.get(data_label, ()):
            for place, _ in one.bins:
                pairs = {}
                for variation in config.variations:
                    inputs = config.variation_inputs.get(variation, {})
                    own = "nominal" if variation in _MC_ONLY else variation
                    seen = data(
                        inputs.get("data", data_label), one, place, own if "data" not in inputs else variation
                    )
                    simulated = mc(
                        inputs.get("mc", mc_label), one, place, variation if "mc" in inputs else "nominal"
                    )
                    pairs[variation] = (seen, simulated)
                made = combine(pairs, combination=config.combination)
                rows.append(
                    {
                        "filter": one.filter, "label": name, "region": one.region, "bin": place.name,
                        "edges": {k: list(ends) for k, ends in place.edges.items()},
                        "combination": config.combination, **made.to_json(),
                    }
                )  # fmt: skip
    return rows


def find_jobs(jobs: Sequence[FitJob], wanted: str, variation: str) -> list[FitJob]:
    """The fits of one bin, ``N``, ``bin3``, its name, or any of these behind ``FILTER/`` or ``REGION/``."""
    *where, name = wanted.rsplit("/", 1)
    number = name.removeprefix("bin")
    match: Callable[[FitJob], bool] = lambda job: (  # noqa: E731 - one condition, used twice
        job.bin.name == name or (number.isdecimal() and job.bin.index == int(number))
    )
    found = [job for job in jobs if match(job)]
    if where:
        found = [job for job in found if where[0] in (job.filter, job.region, f"{job.filter}/{job.region}")]
    if not found:
        names = list(dict.fromkeys(job.bin.name for job in jobs))
        raise UsageError(f"there is no bin {wanted!r}", near=nearest(wanted, names),
                         action=f"bins: {', '.join([*names[:8], '...'][: len(names)])}")  # fmt: skip
    places = list(dict.fromkeys((job.filter, job.region) for job in found))
    if len(places) > 1:
        shown = ", ".join("/".join(filter(None, place)) for place in places[:8])
        raise UsageError(
            f"bin {wanted!r} exists {len(places)} times", action=f"write WHERE/{name} with: {shown}"
        )
    chosen = [job for job in found if job.variation == variation]
    if not chosen:
        known = list(dict.fromkeys(job.variation for job in found))
        raise UsageError(f"that bin has no variation {variation!r}", near=nearest(variation, known),
                         action=f"it has: {', '.join(known)}")  # fmt: skip
    return chosen

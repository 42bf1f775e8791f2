"""The sample set of the top-pair job: nine simulated datasets, pseudo-data, fileset and truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from femtobarn.errors import UsageError
from femtobarn.records import TOY_TITLE
from femtobarn.samples.events import Floats
from femtobarn.samples.formats.branches import Branches, Jagged
from femtobarn.samples.formats.nanoaod import nano_counter
from femtobarn.samples.formats.writing import write_tree
from femtobarn.samples.streams import stream
from femtobarn.samples.topology import HardEvents, Shape, single_top, top_pairs, w_jets
from femtobarn.samples.toptoy import nanoaod, poet
from femtobarn.samples.truth import DatasetTruth, SampleTruth, write_fileset, write_truth
from femtobarn.units import PB_PER_FB

__all__ = ["FORMATS", "Form", "make_ttbar", "toy_events"]

Form = Literal["ttree", "rntuple", "parquet", "poet"]
FORMATS: Final = ("ttree", "rntuple", "parquet", "poet")
Generator = Callable[[np.random.Generator, int, Shape], HardEvents]

#: fb-1 of the pseudo-data.
_LUMI: Final = 0.03


@dataclass(frozen=True, slots=True)
class _Process:
    """A dataset: toy cross-section [pb], simulated events, shape, and the share of negative weights."""

    process: str
    variation: str
    xsec: float
    events: int
    generate: Generator
    shape: Shape = field(default_factory=Shape)
    negative: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.process}__{self.variation}"


#: The cross-sections are those of the real samples but for W+jets, of which only events with at least
#: three more partons are made.
_PROCESSES: Final = (
    _Process("ttbar", "nominal", 729.84, 60_000, top_pairs),
    _Process("ttbar", "scaledown", 729.84, 30_000, top_pairs, Shape(extra_jets=1.2, extra_pt=26.0)),
    _Process("ttbar", "scaleup", 729.84, 30_000, top_pairs, Shape(extra_jets=1.6, extra_pt=30.0)),
    _Process("ttbar", "ME_var", 729.84, 30_000, top_pairs, Shape(pt_scale=55.0, top_pt=0.97), 0.1),
    _Process("ttbar", "PS_var", 729.84, 30_000, top_pairs, Shape(extra_jets=1.45, extra_pt=26.5)),
    _Process("single_top_s_chan", "nominal", 3.2944, 5_000, partial(single_top, channel="s"), negative=0.1),
    _Process("single_top_t_chan", "nominal", 234.8, 15_000, partial(single_top, channel="t")),
    _Process("single_top_tW", "nominal", 75.842, 15_000, partial(single_top, channel="tW")),
    _Process("wjets", "nominal", 1_500.0, 60_000, w_jets, negative=0.1),
)  # fmt: skip


def toy_events(seed: int, dataset: str, events: int, *, data: bool = False) -> Branches:
    """Branches of ``events`` events of one dataset, as NanoAOD; the same arguments give the same events."""
    number, process = next((i, p) for i, p in enumerate(_PROCESSES) if p.name == dataset)
    rng = stream(seed, "ttbar", "data" if data else "mc", dataset)
    hard = process.generate(rng, events, process.shape)
    sign: Floats | None = None
    if not data:
        sign = np.where(rng.uniform(size=events) < process.negative, -1.0, 1.0)
    return nanoaod(rng, hard, sign, run=260_000 if data else 1 + number, first=0)


def make_ttbar(
    out: Path,
    *,
    seed: int = 1,
    mu: float = 1.0,
    scale: float = 1.0,
    form: Form = "ttree",
    simulate: bool = True,
) -> Path:
    """Write the sample set.

    Parameters
    ----------
    out : pathlib.Path
        Folder; made if missing.
    seed : int
    mu : float
        Factor on the top-pair cross-section in the pseudo-data.
    scale : float
        Multiplies luminosity and simulated statistics.
    form : str
        ``ttree``, ``rntuple`` or ``parquet`` NanoAOD, or ``poet`` ntuples.
    simulate : bool
        False writes the pseudo-data alone.

    Returns
    -------
    pathlib.Path
        ``out/fileset.json``; ``out/truth.json`` is beside it.
    """
    if seed < 0 or not scale > 0 or not mu >= 0 or form not in FORMATS:
        raise UsageError(f"seed={seed}, mu={mu}, scale={scale}, format={form} cannot be generated",
                         action="seed, mu >= 0; scale > 0; format one of " + ", ".join(FORMATS))  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    lumi = _LUMI * scale
    suffix = "parquet" if form == "parquet" else "root"
    tree = "events" if form == "poet" else "Events"
    data, drawn = _pseudo_data(seed, lumi, mu)
    datasets = []
    for process in _PROCESSES if simulate else ():
        count = max(round(process.events * scale), 1)
        branches = toy_events(seed, process.name, count)
        weight = branches["genWeight"]
        if isinstance(weight, Jagged):
            raise TypeError("weights are flat")
        file = f"{process.name}.{suffix}"
        _write(out / file, branches, form, tree)
        datasets.append(
            DatasetTruth(
                process.name, process.process, process.process, file, tree, "mc", count, process.xsec,
                float(weight.astype(np.float64).sum()), process.xsec * lumi * PB_PER_FB,
                drawn.get(process.name),
            )
        )  # fmt: skip
    _write(out / f"data.{suffix}", data, form, tree)
    datasets.append(DatasetTruth("data", "data", "data", f"data.{suffix}", tree, "data", len(data["run"])))  # type: ignore[arg-type]
    record = SampleTruth(
        "ttbar",
        "agc-poet" if form == "poet" else "cms-nanoaod",
        seed,
        mu,
        scale,
        172.57,
        lumi,
        tuple(datasets),
    )
    write_truth(out / "truth.json", record, format=form)
    return write_fileset(out / "fileset.json", record)


def _pseudo_data(seed: int, lumi: float, mu: float) -> tuple[Branches, dict[str, int]]:
    """Poisson numbers of events of all nominal processes, in random order."""
    parts, drawn = [], {}
    for process in _PROCESSES:
        if process.variation != "nominal":
            continue
        mean = process.xsec * lumi * PB_PER_FB * (mu if process.process == "ttbar" else 1.0)
        count = int(stream(seed, "ttbar", "data", process.name, "count").poisson(mean))
        parts.append(toy_events(seed, process.name, count, data=True))
        drawn[process.name] = count
    joined = {name: _join([part[name] for part in parts]) for name in parts[0]}
    order = stream(seed, "ttbar", "data", "order").permutation(sum(drawn.values()))
    mixed = {name: _take(item, order) for name, item in joined.items()}
    numbers = np.arange(len(order))
    mixed["luminosityBlock"] = (1 + numbers // 1000).astype(np.uint32)
    mixed["event"] = (1 + numbers).astype(np.uint64)
    return mixed, drawn


def _join(parts: list[Any]) -> Any:
    if isinstance(parts[0], Jagged):
        return Jagged(np.concatenate([p.counts for p in parts]), np.concatenate([p.content for p in parts]))
    return np.concatenate(parts)


def _take(item: Any, order: Any) -> Any:
    if not isinstance(item, Jagged):
        return item[order]
    starts = np.cumsum(item.counts) - item.counts
    counts = item.counts[order]
    inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return Jagged(counts, item.content[np.repeat(starts[order], counts) + inside])


def _write(path: Path, branches: Branches, form: Form, tree: str) -> None:
    """One file in a format."""
    if form in ("ttree", "poet"):
        counter = (lambda name: "number" + name.split("_", 1)[0]) if form == "poet" else nano_counter
        write_tree(path, poet(branches) if form == "poet" else branches, tree=tree, counter=counter)
        return
    import awkward as ak

    arrays = {
        name: ak.unflatten(item.content, item.counts) if isinstance(item, Jagged) else ak.Array(item)
        for name, item in branches.items()
    }
    if form == "parquet":
        ak.to_parquet(ak.zip(arrays, depth_limit=1), str(path))
        return
    import uproot

    with uproot.recreate(path) as file:
        file.mkrntuple(tree, arrays, TOY_TITLE)

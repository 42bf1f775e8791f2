"""Spectra of passing and failing probes from files: ROOT histograms by name, and ``hists.zip`` of a run."""

from __future__ import annotations

import itertools
import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from femtobarn.errors import DataError, StoreError, missing_file, nearest
from femtobarn.stats.minimise import FloatArray
from femtobarn.stats.passfail.likelihood import Spectra

__all__ = ["ProbeBin", "ProbeSet", "number_text", "read_probe_sets", "read_root_bins", "write_probe_sets"]

#: ``bin0_pt_20p00To35p00_Pass``, with any number of variables.
_NAME: Final = re.compile(r"^(?P<bin>bin\d+)_(?P<rest>.+)_(?P<verdict>Pass|Fail)$")
_RANGE: Final = re.compile(r"(?P<var>[A-Za-z]\w*?)_(?P<low>m?\d+(?:p\d+)?)To(?P<high>m?\d+(?:p\d+)?)(?:_|$)")
#: ``NUM_gold_DEN_blp_abseta_1_pt_3_Pass``.
_MUON: Final = re.compile(
    r"^NUM_(?P<num>.+)_DEN_(?P<den>.+)_abseta_(?P<abseta>\d+)_pt_(?P<pt>\d+)_(?P<verdict>Pass|Fail)$"
)
_MASS: Final = "mll"


@dataclass(frozen=True)
class ProbeBin:
    """A bin of probes: its number, name and ranges of variables."""

    index: int
    name: str
    edges: Mapping[str, tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "name": self.name,
            "edges": {name: list(ends) for name, ends in self.edges.items()},
        }


@dataclass(frozen=True)
class ProbeSet:
    """All bins of one sample under one filter.

    Attributes
    ----------
    dataset : str
        Folder of the dataset, or label of a file.
    path : str
        What lies between dataset and verdict in ``hists.zip``: method, filter, region.
    filter : str
    bins : {bin: spectra}, in order
    """

    dataset: str
    path: str
    filter: str
    bins: tuple[tuple[ProbeBin, Spectra], ...] = field(repr=False)

    @property
    def region(self) -> str:
        """``pt/barrel`` of a one-dimensional set; empty otherwise."""
        return self.path.split("/", 2)[2] if self.path.count("/") > 1 else ""


def number_text(value: float) -> str:
    """A bin edge in a histogram's name: ``20p00``, ``m2p50``."""
    return f"{'m' if value < 0 else ''}{abs(value):.2f}".replace(".", "p")


def _number(text: str) -> float:
    value = float(text.removeprefix("m").replace("p", "."))
    return -value if text.startswith("m") else value


def bin_name(index: int, edges: Mapping[str, tuple[float, float]]) -> str:
    """``bin0_pt_20p00To35p00``."""
    parts = [f"{name}_{number_text(low)}To{number_text(high)}" for name, (low, high) in edges.items()]
    return "_".join([f"bin{index}", *parts])


def read_root_bins(
    path: Path,
    label: str,
    *,
    names: tuple[str, str] | None = None,
    ranges: Sequence[tuple[float, float]] = (),
    numerator: str | None = None,
    denominator: str | None = None,
    abseta: int | None = None,
) -> ProbeSet:
    """Pass and fail histograms of a ROOT file, by their names.

    Parameters
    ----------
    names : (pass, fail), optional
        One pair of histograms under any names.
    ranges : pairs of numbers, optional
        Ranges of pt for bins whose names do not say them, by bin number.
    numerator, denominator, abseta : optional
        Choose among the muon histograms ``NUM_x_DEN_y_abseta_a_pt_i``.

    Raises
    ------
    DataError
        No such file, no such histograms, or a bin with only one of the two.
    """
    import uproot

    from femtobarn.read.source import reading

    if not path.is_file():
        raise missing_file(path)
    found: dict[ProbeBin, dict[str, str]] = {}
    with reading(str(path)), uproot.open(path) as file:
        classes = {n: c for n, c in file.classnames(cycle=False).items() if c.startswith("TH1")}
        if names is not None:
            for name in names:
                if name not in classes:
                    raise DataError(
                        f"there is no histogram {name!r}", where=str(path), near=nearest(name, classes)
                    )
            edges = _Edges({"pt": ranges[0]} if ranges else {})
            found[ProbeBin(0, "bin0", edges)] = dict(zip(("Pass", "Fail"), names, strict=True))
            what = names[0]
        else:
            what = _collect(list(classes), found, ranges, (numerator, denominator, abseta))
        if not found:
            shown = ", ".join(itertools.islice(classes, 3)) or "none"
            raise DataError(
                "holds no histograms of passing and failing probes", where=str(path),
                action=f"name them bin<N>_<var>_<lo>To<hi>_Pass and _Fail, or set hist_pass_name and "
                f"hist_fail_name; the file has: {shown}",
            )  # fmt: skip
        bins = []
        for one in sorted(found, key=lambda item: item.index):
            missing = {"Pass", "Fail"} - found[one].keys()
            if missing:
                raise DataError(f"{one.name} has no histogram _{missing.pop()}", where=str(path))
            bins.append((one, _spectra(file, found[one], str(path))))
    return ProbeSet(label, f"fits_1/{what}", what, tuple(bins))


def _collect(
    names: Sequence[str],
    found: dict[ProbeBin, dict[str, str]],
    ranges: Sequence[tuple[float, float]],
    muon: tuple[str | None, str | None, int | None],
) -> str:
    """Sort histogram names into bins; returns what the filter is called."""
    by_index: dict[int, ProbeBin] = {}
    filters: set[str] = set()
    for name in names:
        if match := _NAME.match(name):
            index, edges = int(match["bin"][3:]), {}
            for part in _RANGE.finditer(match["rest"]):
                edges[part["var"]] = (_number(part["low"]), _number(part["high"]))
            label = f"{match['bin']}_{match['rest']}"
        elif (match := _MUON.match(name)) and all(
            wanted is None or str(wanted) == match[key]
            for key, wanted in zip(("num", "den", "abseta"), muon, strict=True)
        ):
            index = int(match["pt"])
            edges = {"pt": ranges[index]} if index < len(ranges) else {}
            label = f"bin{index}_abseta_{match['abseta']}_pt_{match['pt']}"
            filters.add(match["num"])
        else:
            continue
        if not edges and index < len(ranges):
            edges = {"pt": ranges[index]}
        # Zero padding may differ: bin00 is bin0.
        one = by_index.setdefault(index, ProbeBin(index, label, _Edges(edges)))
        found.setdefault(one, {})[match["verdict"]] = name
    return filters.pop() if len(filters) == 1 else "passing"


class _Edges(dict[str, tuple[float, float]]):
    """Ranges by variable that can be part of a key."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self.items()))


def _spectra(file: Any, names: Mapping[str, str], where: str) -> Spectra:
    two = [file[names[verdict]] for verdict in ("Pass", "Fail")]
    edges = [np.asarray(h.axis().edges(), dtype=np.float64) for h in two]
    if not np.array_equal(edges[0], edges[1]):
        raise DataError(f"{names['Pass']} and {names['Fail']} have different bins", where=where)
    counts = np.stack([np.asarray(h.values(), dtype=np.float64) for h in two])
    variances = np.stack([np.asarray(h.variances(), dtype=np.float64) for h in two])
    return Spectra(edges[0], counts, variances)


# -- hists.zip ----------------------------------------------------------------------------------------


def read_probe_sets(path: Path) -> list[ProbeSet]:
    """All sets of passing and failing probes in a ``hists.zip`` whose histograms end in the axis ``mll``."""
    import uhi.io
    import uhi.io.zip

    try:
        with zipfile.ZipFile(path) as archive:
            entries = sorted(
                name.removesuffix("/passing.json")
                for name in archive.namelist()
                if name.endswith("/passing.json")
            )
            loaded = {}
            for entry in entries:
                pair = [uhi.io.zip.read(archive, f"{entry}/{side}") for side in ("passing", "failing")]
                if _axis_name(pair[0]["axes"][-1]) == _MASS:
                    loaded[entry] = [
                        uhi.io.from_sparse(one) if "index" in one["storage"] else one for one in pair
                    ]
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise StoreError(
            f"cannot be read as histograms: {error}", where=str(path), action="repeat the run"
        ) from error
    sets = []
    for entry, pair in loaded.items():
        dataset, method, what, *region = entry.split("/")
        if method == "fits_1" and region:
            continue
        bins = tuple(_bins(pair, str(path)))
        sets.append(ProbeSet(dataset, "/".join([method, what, *region]), what, bins))
    return sets + _own_sets(loaded, str(path))


def _own_sets(loaded: Mapping[str, Any], where: str) -> list[ProbeSet]:
    """Sets that :func:`write_probe_sets` stored, a bin an entry."""
    grouped: dict[tuple[str, str], list[tuple[ProbeBin, Spectra]]] = {}
    for entry, pair in loaded.items():
        dataset, method, what, *name = entry.split("/")
        if method == "fits_1" and name:
            about = pair[0].get("metadata", {}).get("bin", {})
            edges = {key: (float(a), float(b)) for key, (a, b) in about.get("edges", {}).items()}
            one = ProbeBin(int(about.get("index", 0)), name[0], _Edges(edges))
            (spectra,) = (s for _, s in _bins(pair, where))
            grouped.setdefault((dataset, what), []).append((one, spectra))
    return [
        ProbeSet(dataset, f"fits_1/{what}", what, tuple(sorted(bins, key=lambda item: item[0].index)))
        for (dataset, what), bins in grouped.items()
    ]


def _axis_name(axis: Mapping[str, Any]) -> str:
    return str((axis.get("metadata") or {}).get("name", ""))


def _edges_of(axis: Mapping[str, Any]) -> FloatArray:
    if axis["type"] == "regular":
        return np.linspace(float(axis["lower"]), float(axis["upper"]), int(axis["bins"]) + 1)
    return np.asarray(axis["edges"], dtype=np.float64)


def _bins(pair: Sequence[Mapping[str, Any]], where: str) -> Iterator[tuple[ProbeBin, Spectra]]:
    """The bins of two histograms, all combinations of the axes before the mass."""
    axes = pair[0]["axes"]
    others = pair[1]["axes"]
    if len(axes) != len(others) or not all(map(np.array_equal, map(_edges_of, axes), map(_edges_of, others))):
        raise StoreError("passing and failing probes have different axes", where=where)
    inner = tuple(slice(int(bool(a.get("underflow"))), -1 if a.get("overflow") else None) for a in axes)
    arrays = [np.asarray(one["storage"][key])[inner] for key in ("values", "variances") for one in pair]
    edges = [_edges_of(axis) for axis in axes]
    names = [_axis_name(axis) for axis in axes[:-1]]
    for index, place in enumerate(np.ndindex(*(e.size - 1 for e in edges[:-1]))):
        at = {
            name: (float(e[i]), float(e[i + 1])) for name, e, i in zip(names, edges[:-1], place, strict=True)
        }
        spectra = Spectra(
            edges[-1], np.stack([arrays[0][place], arrays[1][place]]),
            np.stack([arrays[2][place], arrays[3][place]]),
        )  # fmt: skip
        yield ProbeBin(index, bin_name(index, at), _Edges(at)), spectra


def write_probe_sets(path: Path, sets: Sequence[ProbeSet]) -> None:
    """Store sets as ``hists.zip``, an entry ``<dataset>/fits_1/<filter>/<bin>/passing``."""
    import io

    import uhi.io.zip

    scratch = io.BytesIO()
    with zipfile.ZipFile(scratch, "w") as archive:
        for one in sets:
            for place, spectra in one.bins:
                for k, verdict in enumerate(("passing", "failing")):
                    name = f"{one.dataset}/{one.path}/{place.name}/{verdict}"
                    uhi.io.zip.write(archive, name, _histogram(place, spectra, k))
    with zipfile.ZipFile(scratch) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, source.read(name))


def _histogram(place: ProbeBin, spectra: Spectra, k: int) -> Any:
    axis = {
        "type": "variable", "edges": spectra.edges, "underflow": False, "overflow": False,
        "circular": False, "metadata": {"name": _MASS, "label": "Pair mass [GeV]"},
    }  # fmt: skip
    storage = {"type": "weighted", "values": spectra.counts[k], "variances": spectra.variances[k]}
    return {"uhi_schema": 1, "axes": [axis], "storage": storage, "metadata": {"bin": place.to_json()}}


def chosen_bins(one: ProbeSet, names: Sequence[str]) -> ProbeSet:
    """The set with only some bins, named by number or by ``bin3`` or their whole name."""
    if not names:
        return one
    kept = []
    for wanted in names:
        text = str(wanted)
        number = int(text.removeprefix("bin")) if text.removeprefix("bin").isdecimal() else math.nan
        match = [item for item in one.bins if item[0].index == number or item[0].name == text]
        if not match:
            have = [item[0].name for item in one.bins]
            raise DataError(
                f"there is no bin {text!r}", where=f"{one.dataset}/{one.path}",
                near=nearest(text, [f"bin{item[0].index}" for item in one.bins] + have),
                action=f"bins: {', '.join(have[:8])}{', ...' if len(have) > 8 else ''}",
            )  # fmt: skip
        kept += match
    return ProbeSet(one.dataset, one.path, one.filter, tuple(kept))

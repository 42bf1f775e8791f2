"""Which members of an EDM file a column of NanoAOD is made of, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import DataError
from femtobarn.kernels.jagged import Jagged
from femtobarn.read.columns import Column
from femtobarn.read.edm_decode import (
    NULL,
    branch_id,
    count_hits,
    follow,
    impact_errors,
    impact_parameters,
    referred_products,
)
from femtobarn.records import FileRef

__all__ = ["RECIPES", "Member", "Range", "Recipe"]

_MUONS: Final = "recoMuons_muons__RECO."
_ELECTRONS: Final = "recoGsfElectrons_gsfElectrons__RECO."
_CORES: Final = "recoGsfElectronCores_gsfElectronCores__RECO."
_GLOBAL: Final = "recoTracks_globalMuons__RECO."
_GSF: Final = "recoGsfTracks_electronGsfTracks__RECO."
_VERTICES: Final = "recoVertexs_offlinePrimaryVertices__RECO."
#: Where an electron's supercluster may be: barrel, endcap, and those found from the track alone.
_CLUSTERS: Final = (
    "recoSuperClusters_correctedHybridSuperClusters__RECO.",
    "recoSuperClusters_correctedMulti5x5SuperClustersWithPreshower__RECO.",
    "recoSuperClusters_pfElectronTranslator_pf_RECO.",
)
_XYZ: Final = ("fCoordinates.fX", "fCoordinates.fY", "fCoordinates.fZ")

# reco::Muon::type_, DataFormats/MuonReco/interface/Muon.h
_GLOBAL_MUON: Final = 1 << 1
_PF_MUON: Final = 1 << 5

#: A member of each product that references lead to, for the number of its objects.
_ANCHORS: Final = {
    _CORES: "gsfTrack_.product_",
    _GLOBAL: f"momentum_.{_XYZ[0]}",
    _GSF: f"momentum_.{_XYZ[0]}",
    **dict.fromkeys(_CLUSTERS, f"position_.{_XYZ[0]}"),
}

Member = tuple[str, str]
Numbers = NDArray[Any]


class Products(Protocol):
    """What is asked of a file: :class:`femtobarn.read.edm.EdmEvents` is one."""

    ref: FileRef

    def has(self, product: str) -> bool: ...

    def member(self, product: str, member: str, start: int, stop: int) -> Jagged: ...

    def indexes(self, start: int, stop: int) -> Jagged: ...

    def lists(self) -> list[NDArray[np.uint32]]: ...


class Range:
    """Members of the products in a range of entries, each read at most once."""

    def __init__(self, events: Products, start: int, stop: int) -> None:
        self._events = events
        self.start = start
        self.stop = stop
        self._members: dict[Member, Jagged] = {}

    def __call__(self, product: str, member: str) -> Jagged:
        key = (product, member)
        if key not in self._members:
            self._members[key] = self._events.member(product, member, self.start, self.stop)
        return self._members[key]

    def values(self, product: str, member: str) -> Numbers:
        return self(product, member).values

    def vectors(self, product: str, member: str) -> NDArray[np.float64]:
        """(m, 3) float64 points or momenta."""
        return np.stack([self.values(product, f"{member}.{axis}") for axis in _XYZ], axis=1)

    def refer(self, product: str, member: str, targets: Sequence[str]) -> list[NDArray[np.int64]]:
        """For each target, the positions in its flat columns that ``member`` points at; -1 elsewhere."""
        references, products = self._resolved(product, member)
        where = f"{self._events.ref.url}: {product}obj.{member}"
        return [
            follow(references, products, target, self(target, _ANCHORS[target]), where=where)
            if self._events.has(target)
            else np.full(len(products), -1, dtype=np.int64)
            for target in targets
        ]

    def refer_only(self, product: str, member: str, target: str) -> NDArray[np.int64]:
        """Like :meth:`refer` for a member that may point nowhere else; -1 for null references.

        Raises
        ------
        DataError
            A reference is neither null nor into ``target``: to take it for null would lose objects.
        """
        references, products = self._resolved(product, member)
        strays = (references.values["element"] != NULL) & (products != branch_id(target))
        if strays.any():
            raise DataError(
                f"{int(strays.sum())} references of {product}obj.{member} do not point into {target!r}",
                where=self._events.ref.url,
            )
        return self.refer(product, member, [target])[0]

    def _resolved(self, product: str, member: str) -> tuple[Jagged, NDArray[np.uint32]]:
        references = self(product, member)
        indexes = self._events.indexes(self.start, self.stop)
        return references, referred_products(references, indexes, self._events.lists())


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a NanoAOD column is made: the members it needs, the function, and members it reads if present."""

    needs: tuple[Member, ...]
    make: Callable[[Range], Column]
    also: tuple[Member, ...] = ()


def _plain(product: str, member: str) -> Recipe:
    return Recipe(((product, member),), lambda read: read(product, member))


def _derived(
    product: str, members: Sequence[str], formula: Callable[..., Numbers], more: Sequence[Member] = ()
) -> Recipe:
    """A column of the objects of one product from some of their members."""

    def make(read: Range) -> Column:
        columns = [read(product, member) for member in members]
        return columns[0].like(formula(*(column.values for column in columns)))

    return Recipe((*((product, member) for member in members), *more), make)


def _counted(product: str, member: str) -> Recipe:
    return Recipe(((product, member),), lambda read: read(product, member).counts)


def _flag(bit: int, kind: Numbers) -> Numbers:
    return np.asarray((kind & bit) != 0)


def _charge(qx3: Numbers) -> Numbers:
    # Charge is stored in thirds of e so that quarks have one too.
    return np.asarray(qx3 // 3)


def _relative(pt: Numbers, *sums: Numbers) -> Numbers:
    total = np.sum(sums, axis=0)
    return np.asarray(np.divide(total, pt, out=np.full(len(pt), np.inf), where=pt > 0))


def _muon_tracks(read: Range) -> NDArray[np.int64]:
    return read.refer_only(_MUONS, "globalTrack_.product_", _GLOBAL)


def _electron_cores(read: Range) -> NDArray[np.int64]:
    return read.refer_only(_ELECTRONS, "core_.product_", _CORES)


def _electron_tracks(read: Range) -> NDArray[np.int64]:
    """Electron -> core -> track; the cores are not in the electrons' order."""
    tracks = read.refer_only(_CORES, "gsfTrack_.product_", _GSF)
    return _taken(tracks, _electron_cores(read), missing=-1)


def _taken(values: Numbers, index: NDArray[np.int64], *, missing: float) -> Numbers:
    """``values[index]``, and ``missing`` where the index is -1."""
    out = np.full((len(index), *values.shape[1:]), missing, dtype=values.dtype)
    found = index >= 0
    out[found] = values[index[found]]
    return out


Tracks = Callable[[Range], NDArray[np.int64]]


def _of_track(
    objects: str, anchor: str, tracks: Tracks, product: str, quantity: Callable[[Range, str], Numbers]
) -> Callable[[Range], Column]:
    """A quantity of the track of each object; NaN for an object without one."""

    def make(read: Range) -> Column:
        return read(objects, anchor).like(_taken(quantity(read, product), tracks(read), missing=np.nan))

    return make


def _impact(which: int, read: Range, product: str) -> Numbers:
    points, momenta = read.vectors(product, "vertex_"), read.vectors(product, "momentum_")
    vertices = read(_VERTICES, f"position_.{_XYZ[0]}")
    first = np.where(vertices.counts > 0, vertices.offsets[:-1], -1)
    events = read(product, f"vertex_.{_XYZ[0]}").parents
    vertex = _taken(read.vectors(_VERTICES, "position_"), first[events], missing=np.nan)
    return impact_parameters(points, momenta, vertex)[which]


def _impact_error(which: int, read: Range, product: str) -> Numbers:
    covariance = read.values(product, "covariance_[15]")
    return impact_errors(covariance, read.vectors(product, "momentum_"))[which]


def _missing_hits(read: Range) -> Column:
    hits = count_hits(read.values(_GSF, "trackerExpectedHitsInner_.hitPattern_[25]"))
    return read(_ELECTRONS, "pt_").like(_taken(hits, _electron_tracks(read), missing=-1))


def _supercluster_eta(read: Range) -> Column:
    """Pseudorapidity of the supercluster seen from the origin; the electron's own where there is none."""
    eta = read(_ELECTRONS, "eta_")
    out = eta.values.copy()
    cores = _electron_cores(read)
    targets = read.refer(_CORES, "superCluster_.product_", _CLUSTERS)
    for product, clusters in zip(_CLUSTERS, targets, strict=True):
        index = _taken(clusters, cores, missing=-1)
        found = index >= 0
        if not found.any():
            continue
        x, y, z = read.vectors(product, "position_")[index[found]].T
        out[found] = np.arcsinh(z / np.hypot(x, y))
    return eta.like(out)


def _xyz(product: str, *members: str) -> tuple[Member, ...]:
    return tuple((product, f"{member}.{axis}") for member in members for axis in _XYZ)


def _track_recipes(
    collection: str, anchor: Member, tracks: Tracks, product: str, links: tuple[Member, ...]
) -> dict[str, Recipe]:
    """Impact parameters and their errors [cm], from the tracks of a collection."""
    moment = _xyz(product, "momentum_")
    place = (anchor, *links, *moment, *_xyz(product, "vertex_"), *_xyz(_VERTICES, "position_"))
    spread = (anchor, *links, *moment, (product, "covariance_[15]"))
    recipes = {}
    for which, name in enumerate(("dxy", "dz")):
        value, error = partial(_impact, which), partial(_impact_error, which)
        recipes[f"{collection}_{name}"] = Recipe(place, _of_track(*anchor, tracks, product, value))
        recipes[f"{collection}_{name}Err"] = Recipe(spread, _of_track(*anchor, tracks, product, error))
    return recipes


_MUON_ISO: Final = [
    f"pfIsolationR04_.{part}" for part in ("sumChargedHadronPt", "sumNeutralHadronEt", "sumPhotonEt")
]
_ELECTRON_ISO: Final = [f"pfIso_.{part}" for part in ("chargedHadronIso", "neutralHadronIso", "photonIso")]
_TO_GLOBAL: Final = ((_MUONS, "globalTrack_.product_"),)
_TO_CORE: Final = ((_ELECTRONS, "core_.product_"), (_CORES, "gsfTrack_.product_"))

RECIPES: Final[Mapping[str, Recipe]] = {
    "nMuon": _counted(_MUONS, "pt_"),
    "Muon_pt": _plain(_MUONS, "pt_"),
    "Muon_eta": _plain(_MUONS, "eta_"),
    "Muon_phi": _plain(_MUONS, "phi_"),
    "Muon_charge": _derived(_MUONS, ["qx3_"], _charge),
    "Muon_isGlobal": _derived(_MUONS, ["type_"], partial(_flag, _GLOBAL_MUON)),
    "Muon_isPF": _derived(_MUONS, ["type_"], partial(_flag, _PF_MUON)),
    "Muon_isPFIsolationValid": _plain(_MUONS, "pfIsolationValid_"),
    "Muon_pfRelIso04_all": _derived(_MUONS, ["pt_", *_MUON_ISO], _relative),
    "Muon_hasGlobalTrack": Recipe(
        ((_MUONS, "pt_"), *_TO_GLOBAL), lambda read: read(_MUONS, "pt_").like(_muon_tracks(read) >= 0)
    ),
    **_track_recipes("Muon", (_MUONS, "pt_"), _muon_tracks, _GLOBAL, _TO_GLOBAL),
    "nElectron": _counted(_ELECTRONS, "pt_"),
    "Electron_pt": _plain(_ELECTRONS, "pt_"),
    "Electron_eta": _plain(_ELECTRONS, "eta_"),
    "Electron_phi": _plain(_ELECTRONS, "phi_"),
    "Electron_charge": _derived(_ELECTRONS, ["qx3_"], _charge),
    "Electron_isEB": _plain(_ELECTRONS, "fiducialFlags_.isEB"),
    "Electron_isEE": _plain(_ELECTRONS, "fiducialFlags_.isEE"),
    "Electron_passPflowPreselection": _plain(_ELECTRONS, "passPflowPreselection_"),
    "Electron_pfRelIso03_all": _derived(_ELECTRONS, ["pt_", *_ELECTRON_ISO], _relative),
    **_track_recipes("Electron", (_ELECTRONS, "pt_"), _electron_tracks, _GSF, _TO_CORE),
    "Electron_expectedMissingInnerHits": Recipe(
        ((_ELECTRONS, "pt_"), *_TO_CORE, (_GSF, "trackerExpectedHitsInner_.hitPattern_[25]")), _missing_hits
    ),
    "Electron_superclusterEta": Recipe(
        ((_ELECTRONS, "eta_"), (_ELECTRONS, "core_.product_"), (_CORES, "superCluster_.product_")),
        _supercluster_eta,
        also=tuple(member for product in _CLUSTERS for member in _xyz(product, "position_")),
    ),
}

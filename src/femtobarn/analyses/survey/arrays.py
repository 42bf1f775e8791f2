"""Masses that were kept earlier, by us or by the survey's predecessor, as spectra again."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.analyses.survey.parameters import SurveyParameters
from femtobarn.analysis import Context
from femtobarn.errors import DataError
from femtobarn.hists.spectra import Spectra
from femtobarn.kernels.exact import exact_sum
from femtobarn.physics.finalstates import LETTERS, TAGS, TYPES, pack, state_name
from femtobarn.read.columns import Events
from femtobarn.units import MEV

__all__ = ["spectra_of_array"]

#: ``..._FS_2e_0m_4j_0g_IM_e0j0[_main|_outliers].npy`` in GeV, and ``..._1e2j_inv_mass.npy`` in MeV.
_NAME: Final = re.compile(r"_FS_(?P<state>.+)_IM_(?P<item>.+?)(?:_(?:main|outliers))?$")
_OLD: Final = re.compile(r"_(?P<state>(?:\d+[emjbgt])+)_inv_mass$")
_COUNT: Final = re.compile(r"(\d+)([emjbgtZ])")


def spectra_of_array(events: Events, ctx: Context, empty: Spectra) -> Spectra:
    """The spectrum of one file of masses; its final state and combination are in its name.

    How many events the final state has is not known from masses: it is left at 0.

    Raises
    ------
    DataError
        The name says nothing, or a combination that the configuration does not make.
    """
    parameters: SurveyParameters = ctx.parameters
    name = str(events.objects["name"])
    start, stop = (ctx.part.start, ctx.part.stop) if ctx.part is not None else (0, len(events))
    values = np.asarray(events.objects["values"][start:stop], dtype=np.float64)
    found, old = _NAME.search(name), _OLD.search(name)
    if found is not None:
        state, item = found["state"], found["item"]
    elif old is not None:
        state, item, values = old["state"], "all", values * MEV
    else:
        raise DataError("a file of masses is named ..._FS_<final state>_IM_<combination>.npy", where=name)
    if item not in empty.items:
        raise DataError(f"the configuration makes no combination {item!r}", where=name,
                        action="use the configuration that the masses were made with")  # fmt: skip
    return _spectrum(values, _code(state), empty.items.index(item), empty, parameters)


def _code(state: str) -> int:
    """The packed final state behind its name."""
    counts = np.zeros((1, len(TYPES)), dtype=np.int64)
    for number, letter in _COUNT.findall(state):
        counts[0, LETTERS.index(letter)] = int(number)
    tag = state.rsplit("_", 1)[-1]
    return int(pack(counts, np.array([TAGS.index(tag) if tag in TAGS else 0]))[0])


def _spectrum(
    values: NDArray[np.float64], code: int, item: int, empty: Spectra, parameters: SurveyParameters
) -> Spectra:
    values = values[np.isfinite(values) & (values >= 0)]
    if not len(values):
        return empty
    grid = empty.grid
    k = (values / grid.width).astype(np.int64)
    # Division rounds; the edges k * width decide, as where masses are filled.
    k += (values >= (k + 1) * grid.width).astype(np.int64) - (values < k * grid.width).astype(np.int64)
    bins, counts = np.unique(k[k < grid.bins], return_counts=True)
    return replace(
        empty, names={code: state_name(code, parameters.types)}, state=np.array([code]),
        state_events=np.zeros(1, dtype=np.int64), of=np.array([code]), item=np.array([item]),
        n=np.array([len(values)]), total=exact_sum(values)[None], low=np.array([values.min()]),
        high=np.array([values.max()]), overflow=np.array([int((k >= grid.bins).sum())]),
        offsets=np.array([0, len(bins)]), bins=bins.astype(grid.bin_type), counts=counts.astype(np.uint32),
    )  # fmt: skip

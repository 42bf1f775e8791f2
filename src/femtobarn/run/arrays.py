"""``im_arrays/``: the values of every spectrum, one NumPy file a part and spectrum, where they were kept."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.hists import Spectra
from femtobarn.run.files import write_text

__all__ = ["ARRAYS_FOLDER", "array_files", "write_arrays"]

ARRAYS_FOLDER: Final = "im_arrays"


def write_arrays(run: Path, surveys: Mapping[str, Spectra]) -> None:
    """Write the kept values as ``<dataset>_p<part>_FS_<state>_IM_<item>.npy`` (float64, GeV)."""
    for dataset, spectra in surveys.items():
        for kept in spectra.kept:
            for i in range(len(kept.of)):
                state, item = spectra.names[int(kept.of[i])], spectra.items[kept.item[i]]
                values = kept.values[kept.offsets[i] : kept.offsets[i + 1]]
                out = io.BytesIO()
                np.save(out, values)
                name = f"{dataset}_p{kept.part:06d}_FS_{state}_IM_{item}.npy"
                write_text(run / ARRAYS_FOLDER / name, out.getvalue())


def array_files(folder: Path, dataset: str) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    """(state, item, values) of every array of a dataset, in order of parts."""
    for path in sorted(folder.glob(f"{dataset}_p*_FS_*_IM_*.npy")):
        state, _, item = path.stem.rpartition("_FS_")[2].partition("_IM_")
        yield state, item, np.load(path, allow_pickle=False)

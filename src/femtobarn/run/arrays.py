"""``im_arrays/``: the values of every spectrum, where they were kept.

One NumPy file a part and spectrum, or one Parquet table a part with final state, combination and mass.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.hists import Spectra
from femtobarn.hists.spectra import Kept
from femtobarn.run.files import write_text

__all__ = ["ARRAYS_FOLDER", "array_files", "write_arrays"]

ARRAYS_FOLDER: Final = "im_arrays"


def write_arrays(run: Path, surveys: Mapping[str, Spectra], form: str = "npy") -> None:
    """Write the kept values (float64, GeV) as ``<dataset>_p<part>_FS_<state>_IM_<item>.npy``.

    With ``form="parquet"`` as ``<dataset>_p<part>.parquet``, a row a value.
    """
    for dataset, spectra in surveys.items():
        for kept in spectra.kept:
            if form == "parquet":
                _write_table(run / ARRAYS_FOLDER / f"{dataset}_p{kept.part:06d}.parquet", spectra, kept)
                continue
            for i in range(len(kept.of)):
                state, item = spectra.names[int(kept.of[i])], spectra.items[kept.item[i]]
                values = kept.values[kept.offsets[i] : kept.offsets[i + 1]]
                out = io.BytesIO()
                np.save(out, values)
                name = f"{dataset}_p{kept.part:06d}_FS_{state}_IM_{item}.npy"
                write_text(run / ARRAYS_FOLDER / name, out.getvalue())


def array_files(folder: Path, dataset: str) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    """(state, item, values) of every array of a dataset, in order of parts."""
    for path in sorted(folder.glob(f"{dataset}_p*.parquet")):
        yield from _read_table(path)
    for path in sorted(folder.glob(f"{dataset}_p*_FS_*_IM_*.npy")):
        state, _, item = path.stem.rpartition("_FS_")[2].partition("_IM_")
        yield state, item, np.load(path, allow_pickle=False)


def _write_table(path: Path, spectra: Spectra, kept: Kept) -> None:
    """One part as a Parquet table; names as dictionaries."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    length = np.diff(kept.offsets)

    def names(codes: NDArray[np.int64], text: Mapping[int, str]) -> pa.DictionaryArray:
        known, number = np.unique(codes, return_inverse=True)
        rows = np.repeat(number.astype(np.int32), length)
        return pa.DictionaryArray.from_arrays(pa.array(rows), pa.array([text[int(code)] for code in known]))

    table = pa.table({
        "final_state": names(kept.of, spectra.names),
        "combination": names(kept.item, dict(enumerate(spectra.items))),
        "mass": pa.array(kept.values),
    })  # fmt: skip
    out = io.BytesIO()
    pq.write_table(table, out)
    write_text(path, out.getvalue())


def _read_table(path: Path) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    state, item = (table[name].combine_chunks() for name in ("final_state", "combination"))
    values = table["mass"].to_numpy()
    key = np.asarray(state.indices) * len(item.dictionary) + np.asarray(item.indices)
    order = np.argsort(key, kind="stable")
    edges = np.flatnonzero(np.diff(key[order])) + 1
    for rows in np.split(order, edges):
        if len(rows):
            one = int(key[rows[0]])
            yield (
                str(state.dictionary[one // len(item.dictionary)]),
                str(item.dictionary[one % len(item.dictionary)]),
                values[rows],
            )

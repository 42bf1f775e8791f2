"""Run as a program, ``-m femtobarn.export.unpickle IN OUT``: histograms of a pickle as a zip of UHI.

Reading a pickle can run any code.  So it happens here alone, in a process of its own, for files that the
user has declared to be theirs.
"""

from __future__ import annotations

import gzip
import pickle
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["main"]

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def _histograms(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, histogram) of everything in nested tables and lists that can be serialised as UHI."""
    if hasattr(value, "_to_uhi_"):
        yield path or "histogram", value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            name = str(key).strip("/").replace("/", "_")
            yield from _histograms(item, f"{path}/{name}" if path else name)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _histograms(item, f"{path}/{number}" if path else str(number))


def main(source: str, target: str) -> int:
    """Convert; returns the number of histograms."""
    import uhi.io.zip

    data = Path(source).read_bytes()
    content = pickle.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)  # noqa: S301
    count = 0
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, histogram in _histograms(content):
            uhi.io.zip.write(archive, name, histogram)
            count += 1
    if not count:
        sys.exit("it holds no histograms")
    return count


if __name__ == "__main__":
    sys.stdout.write(f"{main(*sys.argv[1:3])}\n")

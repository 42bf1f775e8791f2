"""A user's event filter: Python code that the configuration names, seen as a mask over events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import DataError, UsageError, nearest
from femtobarn.kernels.jagged import Jagged
from femtobarn.read.columns import Events
from femtobarn.userfiles import load_file

__all__ = ["apply_plugin", "load_plugin"]

#: Column by which events are recognised in what the filter returns.
_ROW: Final = "femtobarn_row"


def load_plugin(path: Path) -> ModuleType:
    """Import a Python file as a module."""
    return load_file(path, "femtobarn_plugin")


def apply_plugin(
    module: ModuleType, function: str, events: Events, arguments: Mapping[str, Any]
) -> NDArray[np.bool_]:
    """(n,) events that a filter keeps.

    The filter gets an awkward array of events, with collections as fields (``events.Electron.pt``) and
    other columns under their own names, and the arguments by name.  It returns the events to keep, or
    a boolean an event.
    """
    call = getattr(module, function, None)
    if not callable(call):
        names = [name for name in vars(module) if callable(getattr(module, name))]
        raise UsageError(
            f"has no function {function!r}", where=str(module.__file__), near=nearest(function, names)
        )
    import awkward as ak

    try:
        kept = call(_view(events), **arguments)
        if isinstance(kept, ak.Array) and _ROW in kept.fields:
            rows = np.asarray(kept[_ROW])
            out = np.zeros(len(events), dtype=np.bool_)
            out[rows] = True
            return out
        mask = np.asarray(kept)
    except Exception as error:
        text = str(error).strip().split("\n", 1)[0]
        raise DataError(
            f"the filter {function} failed: {type(error).__name__}: {text}", where=str(module.__file__),
            action="name every column it reads in full: events.Electron.pt or events['MET_pt']",
        ) from error  # fmt: skip
    if mask.dtype != np.bool_ or mask.shape != (len(events),):
        raise DataError(f"the filter {function} returned neither events nor one boolean an event",
                        where=str(module.__file__))  # fmt: skip
    return mask


def _view(events: Events) -> Any:
    """Events as an awkward record array."""
    import awkward as ak

    def array(column: Any) -> Any:
        if isinstance(column, Jagged):
            return ak.Array(
                ak.contents.ListOffsetArray(
                    ak.index.Index64(column.offsets), ak.contents.NumpyArray(column.values)
                )
            )
        return column

    fields: dict[str, Any] = {_ROW: np.arange(len(events))}
    groups: dict[str, dict[str, Any]] = {}
    for name in events.names:
        fields[name] = array(events[name])
        head, _, rest = name.partition("_")
        if rest:
            groups.setdefault(head, {})[rest] = fields[name]
    for head, members in groups.items():
        if head in fields:
            continue
        lists = {key: value for key, value in members.items() if isinstance(value, ak.Array)}
        fields[head] = ak.zip(lists or members)
    return ak.zip(fields, depth_limit=1)

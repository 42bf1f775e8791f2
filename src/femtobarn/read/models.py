"""Keep one damaged file from spoiling the files that are read after it.

uproot keeps the classes it decodes with in process-wide tables and makes missing ones from what a file
says about itself.  One wrong byte in the version of a class makes it replace a class of its own by a
generated, less able one (``DispatchByVersion.new_class`` of uproot 5 falls back to the newest version it
finds): from then on intact files fail, too, and would be called damaged.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["restore_models"]

_GENERATED: Final = "uproot.dynamic"

log = logging.getLogger("femtobarn.read")


@functools.cache
def _own_models() -> tuple[tuple[Any, Mapping[int, Any]], ...]:
    """For each of the classes that choose by version, the versions that uproot itself ships."""
    import uproot

    found = []
    for dispatcher in list(uproot.classes.values()):
        versions = getattr(dispatcher, "known_versions", None)
        if versions is None or dispatcher.__module__ == _GENERATED:
            continue
        # Looked up in the module by name: the table may hold a replacement of the same name already.
        module = importlib.import_module(dispatcher.__module__)
        own = {version: getattr(module, model.__name__, None) for version, model in versions.items()}
        found.append((dispatcher, {version: model for version, model in own.items() if model is not None}))
    return tuple(found)


def restore_models() -> None:
    """Bring uproot's tables of its own classes back to what they were before any file was read.

    What a file needs beyond them is made anew from that file.
    """
    for dispatcher, own in _own_models():
        if dispatcher.known_versions != own:
            log.debug("restored the decoders of %s", dispatcher.__name__)
            dispatcher.known_versions.clear()
            dispatcher.known_versions.update(own)

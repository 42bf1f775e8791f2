"""File formats: how reconstructed events are named, typed and scaled in each public release.

A format is data: the tree's name, the names of the counter branches and one pure function from
events to branches.  Adding a release is adding one entry here.
"""

from __future__ import annotations

from typing import Final

from femtobarn.samples.formats.atlas import ATLAS_2016, ATLAS_2020, ATLAS_2025
from femtobarn.samples.formats.branches import Format, Jagged, Stamp
from femtobarn.samples.formats.nanoaod import NANOAOD
from femtobarn.samples.formats.writing import write_tree

__all__ = ["FORMATS", "Format", "Jagged", "Stamp", "write_tree"]

#: Release -> format.
FORMATS: Final = {
    "atlas-2016": ATLAS_2016,
    "atlas-2020": ATLAS_2020,
    "atlas-2025": ATLAS_2025,
    "cms-nanoaod": NANOAOD,
}

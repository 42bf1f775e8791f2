"""What ``--set`` reaches."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from femtobarn.analyses.h4l.quartet import M4L_SCALE
from femtobarn.analysis import Parameters
from femtobarn.physics.parameters import ReleaseName, Window
from femtobarn.records import Variation

__all__ = ["H4lParameters"]


class H4lParameters(Parameters):
    """What ``--set`` reaches."""

    release: ReleaseName = Field("atlas-2020", description="public release, or its alias")
    selection: Literal["full", "loose", "kinematic"] = Field(
        "full",
        description="full; loose (ATLAS: charge and flavour only); kinematic (CMS: charge and pT only)",
    )
    m_z: float = Field(91.18, gt=0, description="mass the first pair is nearest to (ATLAS)",
                       json_schema_extra={"unit": "GeV"})  # fmt: skip
    z_windows: bool = Field(False, description="cut on the masses of both pairs (ATLAS 2020)")
    z1_window: Window = Field((50, 106), description="window of m12", json_schema_extra={"unit": "GeV"})
    z2_window: Window = Field((12, 115), description="window of m34", json_schema_extra={"unit": "GeV"})
    pt_order: Literal["sorted", "unsorted"] = Field(
        "sorted", description="unsorted: pT thresholds on electrons, then muons, in file order"
    )
    sfos: bool = Field(True, description="ask for two same-flavour neutral pairs (ATLAS 2025)")
    m4l_scale: float = Field(
        0.0, ge=0, lt=0.1, description="relative uncertainty of the four-lepton mass scale (0: none)"
    )
    lumi_mask: str | None = Field(None, description="golden JSON applied to collision data")
    lumi: float | None = Field(
        None,
        gt=0,
        description="integrated luminosity (default: the release's)",
        json_schema_extra={"unit": "fb-1"},
    )
    xsec: dict[str, float] = Field(
        default_factory=dict, description="override of a sample's cross-section, xsec.NAME=VALUE",
        json_schema_extra={"unit": "pb"},
    )  # fmt: skip
    blind: Window | None = Field(
        None, description="hide the data in this window", json_schema_extra={"unit": "GeV"}
    )
    zz_norm: float = Field(0.10, ge=0, lt=1, description="relative uncertainty of the ZZ prediction")
    lumi_error: float = Field(0.017, gt=0, lt=1, description="relative uncertainty of the luminosity")
    lepton_efficiency: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="relative uncertainty of the four-lepton efficiency (demonstration value)",
    )

    def mass_factor(self, variation: Variation) -> float:
        """What a variation multiplies the four-lepton mass with."""
        return 1.0 + variation.sign * self.m4l_scale if variation.name == M4L_SCALE else 1.0

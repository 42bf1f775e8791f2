"""What ``--set`` reaches."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from femtobarn.analyses.ttbar.variations import parse_systematics
from femtobarn.analysis import Parameters
from femtobarn.catalog.agc import SourceName, check_source

__all__ = ["TtbarParameters"]


def _joined(value: Any) -> Any:
    """A YAML list of names is as good as a text."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


Systematics = Annotated[str, BeforeValidator(_joined), AfterValidator(parse_systematics)]


class TtbarParameters(Parameters):
    """What ``--set`` reaches."""

    task: Literal["v2", "v1.4", "v0"] = Field("v2", description="version of the selection")
    mode: Literal["corrected", "compat"] = Field(
        "corrected", description="corrected, or number for number what the published code does"
    )
    btag: str = Field("btagCSVV2", description="b-tag column, without Jet_")
    btag_cut: float = Field(0.5, description="threshold on the b-tag column")
    jetid: Literal["column", "none"] = Field(
        "column", description="none: do not ask for the jet identification (NanoAODv15 has no Jet_jetId)"
    )
    ml: Literal["off", "local", "onnx", "triton"] = Field(
        "off", description="assign jets to partons in the signal region: here, by ONNX Runtime, by a server"
    )
    models: str | None = Field(None, description="directory of the two trained models")
    triton: str = Field("localhost:8001", description="HOST:PORT of the Triton server (ml=triton)")
    n_files_max: int = Field(-1, ge=-1, description="first N files of every dataset; -1 for all")
    source: SourceName = Field("upstream", description="where the files of the catalogue are read from")
    xcache_prefix: str | None = Field(None, description="prefix for every path")
    cache_dir: str | None = Field(
        None, description="folder for copies of remote files; missing ones are fetched"
    )
    seed: int = Field(0, ge=0, description="names the stream of the jet energy resolution")
    sanity: Literal["error", "warn"] = Field("error", description="what a mislabelled sample is")
    systematics: Systematics = Field("all", description="all, none, or names of variations")
    save_events: bool = Field(False, description="write tables/events.parquet")
    delivery: Literal["none", "local", "servicex"] = Field(
        "none", description="skim the files first: here, or by a ServiceX server"
    )
    lumi_mask: str | None = Field(None, description="certified luminosity sections for collision data (JSON)")
    xsec: dict[str, float] = Field(
        default_factory=dict, description="override of a process' cross-section, xsec.NAME=VALUE",
        json_schema_extra={"unit": "pb"},
    )  # fmt: skip

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_source(self.source, self.xcache_prefix, self.cache_dir)
        return self

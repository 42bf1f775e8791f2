"""``deliver``: columns of a specification, as verified files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from femtobarn.deliver.delivered import Delivered, Options
from femtobarn.deliver.delivery import deliver_spec, explain
from femtobarn.deliver.spec import Spec, read_spec
from femtobarn.errors import UsageError, nearest

if TYPE_CHECKING:
    from femtobarn.run.engine import Progress
    from femtobarn.run.plan import Plan

__all__ = ["Delivered", "DeliveryOptions", "brings_code", "deliver", "explain_delivery"]

DeliveryOptions = Options


def deliver(
    spec: str | Path | Spec,
    options: Options,
    *,
    backend: str = "local",
    endpoint: str | None = None,
    config: str | None = None,
    progress: Callable[[Plan], Progress] | None = None,
) -> Delivered:
    """Deliver here, or by a ServiceX server (``endpoint`` of the configuration file ``config``)."""
    asked = read_spec(spec)
    if backend == "servicex":
        from femtobarn.deliver.remote import deliver_remote

        return deliver_remote(asked, options, endpoint=endpoint, config_path=config)
    if backend != "local":
        raise UsageError(f"unknown backend {backend!r}", near=nearest(backend, ("local", "servicex")))
    return deliver_spec(asked, options, progress=progress)


def brings_code(spec: str | Path | Spec) -> str:
    """The Python code that a specification's queries bring; empty if none does."""
    return "\n".join(sample.query.text for sample in read_spec(spec).samples if sample.query.is_code)


def explain_delivery(spec: str | Path | Spec, options: Options) -> dict[str, Any]:
    """Columns, bytes, files and parts of a delivery; reads nothing else."""
    return explain(read_spec(spec), options)

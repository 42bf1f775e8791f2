"""The same fit by pyhf and Minuit, where they are installed: a cross-check, never a need."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from femtobarn.errors import UsageError
from femtobarn.stats.histfactory.fitting import FitResult, problem
from femtobarn.stats.histfactory.likelihood import Data
from femtobarn.stats.histfactory.model import Model
from femtobarn.stats.histfactory.transform import uncorrelated
from femtobarn.stats.minimise import Minimum

__all__ = ["fit_with_pyhf"]


def _modules() -> tuple[Any, Any]:
    # pyhf 0.7 warns while it is imported, which is fatal where warnings are errors.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("pyhf"), importlib.import_module("iminuit")
        except ImportError as error:
            raise UsageError(
                f"the engine 'pyhf' is not installed ({error.name} is missing)",
                action="pip install 'femtobarn[pyhf]', or use the own engine",
            ) from None


def fit_with_pyhf(
    model: Model,
    *,
    data: npt.ArrayLike | Data | None = None,
    fixed: Mapping[str, float] | None = None,
) -> FitResult:
    """Fit with pyhf's likelihood and Minuit (errors by HESSE).

    Everything derived from the result later uses this package's own likelihood, which is the same function.

    Raises
    ------
    UsageError
        If pyhf or iminuit is missing, or the model has what pyhf cannot hold.
    """
    pyhf, _ = _modules()
    if uncorrelated(model.workspace)[1]:
        raise UsageError("pyhf has no correlated constraints; use the own engine")
    setup = problem(model, data=data, fixed=fixed)
    chosen = model.data(data)
    if np.all(setup.fixed):
        raise UsageError("nothing floats, which Minuit does not accept; use the own engine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(verbose=0))
        settings = {
            "normsys": {"interpcode": model.normsys_code},
            "histosys": {"interpcode": model.histosys_code},
        }
        workspace = pyhf.Workspace(model.workspace.to_json())
        theirs = workspace.model(measurement_name=model.measurement.name, modifier_settings=settings)
        try:
            best, covariance, value = _minuit(pyhf, theirs, chosen, setup.start, setup.fixed)
        except pyhf.exceptions.FailedMinimization as error:
            reason = str(error).splitlines()[0]
            return _result(model, setup, setup.start, None, value=float("nan"), message=reason)
    return _result(model, setup, best, covariance, value=value, message="")


def _minuit(pyhf: Any, theirs: Any, data: Data, start: Any, fixed: Any) -> tuple[Any, Any, float]:
    fitted, value, detail = pyhf.infer.mle.fit(
        np.concatenate([data.main, data.aux]).tolist(),
        theirs,
        init_pars=start.tolist(),
        fixed_params=fixed.tolist(),
        return_uncertainties=True,
        return_fitted_val=True,
        return_result_obj=True,
    )
    values = np.asarray(fitted, dtype=np.float64)
    errors = np.where(fixed, 0.0, values[:, 1])
    correlation = np.asarray(detail.corr, dtype=np.float64)
    return values[:, 0], correlation * np.outer(errors, errors), float(value)


def _result(model: Model, setup: Any, x: Any, covariance: Any, *, value: float, message: str) -> FitResult:
    evaluated = setup.likelihood(x)
    size = len(model.names)
    matrix = np.zeros((size, size)) if covariance is None else covariance
    walls = ~setup.fixed & ((x <= setup.lower) | (x >= setup.upper))
    errors = np.sqrt(np.clip(np.diagonal(matrix), 0.0, None))
    errors = np.where(walls | (~setup.fixed & bool(message)), np.nan, errors)
    held = walls | setup.fixed
    minimum = Minimum(
        x=x,
        value=evaluated[0],
        gradient=evaluated[1],
        hessian=evaluated[2],
        active=held,
        status="failed" if message else "ok",
        message=message,
        iterations=0,
        evaluations=0,
        edm=float("nan"),
    )
    return FitResult(
        names=model.names,
        values=x,
        errors=errors,
        covariance=matrix,
        twice_nll=evaluated[0] if message else value,
        status=minimum.status,
        message=message,
        at_bound=tuple(model.names[i] for i in np.flatnonzero(walls)),
        inert=setup.inert,
        fixed=setup.fixed,
        iterations=0,
        evaluations=0,
        edm=float("nan"),
        minimum=minimum,
    )

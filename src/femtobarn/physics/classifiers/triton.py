"""Classifiers on a Triton inference server, over gRPC (extra ``triton``).

What a model was trained on travels in its server configuration, so a client can refuse the wrong one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femtobarn.errors import ConfigError, DataError

__all__ = ["TritonModel", "config_text"]

_INPUT, _OUTPUT = "input__0", "output__0"
#: Rows of one request: some megabytes, well below gRPC's limits.
_ROWS: Final = 65_536
#: Seconds for an answer.
_PATIENCE: Final = 120.0


def config_text(name: str, features: int, about: Mapping[str, str]) -> str:
    """``config.pbtxt`` of an XGBoost model for Triton's backend FIL (file ``1/xgboost.json``).

    ``about`` is added to the parameters, which the backend does not look at.
    """
    own = {"model_type": "xgboost_json", "output_class": "false", "predict_proba": "false",
           "storage_type": "AUTO"}  # fmt: skip
    parameters = ",\n".join(
        f"  {{ key: {json.dumps(key)} value: {{ string_value: {json.dumps(value)} }} }}"
        for key, value in {**own, **about}.items()
    )
    return (
        f"name: {json.dumps(name)}\n"
        'backend: "fil"\n'
        f"max_batch_size: {_ROWS}\n"
        f'input [ {{ name: "{_INPUT}" data_type: TYPE_FP32 dims: [ {features} ] }} ]\n'
        f'output [ {{ name: "{_OUTPUT}" data_type: TYPE_FP32 dims: [ 1 ] }} ]\n'
        "instance_group [ { kind: KIND_AUTO } ]\n"
        f"parameters [\n{parameters}\n]\n"
        "dynamic_batching { }\n"
    )


class TritonModel:
    """A model on a server.

    Parameters
    ----------
    address : str
        ``HOST:PORT`` of the server's gRPC interface.
    name : str
    expected : mapping
        Parameters that the model's configuration on the server must have.

    Raises
    ------
    ConfigError
        The server has another model under this name, or does not say which.
    DataError
        The server does not answer.
    """

    def __init__(self, address: str, name: str, expected: Mapping[str, str]) -> None:
        import tritonclient.grpc

        self._grpc: Any = tritonclient.grpc
        self._where = f"Triton server {address}, model {name}"
        self._name = name
        self._client = self._grpc.InferenceServerClient(address)
        found = self._asked(self._client.get_model_config, name).config.parameters
        for key, value in expected.items():
            stated = found[key].string_value if key in found else ""
            if stated != value:
                said = f"says {key}={stated}" if stated else f"does not say its {key}"
                raise ConfigError(f"{said}, not {value}", where=self._where,
                                  action="serve what 'femtobarn ttbar models --to triton' wrote")  # fmt: skip

    def _asked(self, call: Any, *arguments: Any, **named: Any) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return call(*arguments, **named, client_timeout=_PATIENCE)
        except InferenceServerException as error:
            raise DataError(f"no answer: {error.message()}", where=self._where,
                            action="check that the server runs and has the model")  from error  # fmt: skip

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) probabilities of rows (n, f); of two columns (one a class) the last one counts."""
        table = np.ascontiguousarray(features, dtype=np.float32)
        found = [self._answer(table[at : at + _ROWS]) for at in range(0, len(table), _ROWS)]
        return np.concatenate(found) if found else np.empty(0, dtype=np.float32)

    def _answer(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        given = self._grpc.InferInput(_INPUT, list(rows.shape), "FP32")
        given.set_data_from_numpy(rows)
        wanted = [self._grpc.InferRequestedOutput(_OUTPUT)]
        answer = self._asked(self._client.infer, self._name, [given], outputs=wanted).as_numpy(_OUTPUT)
        if answer is None or len(answer) != len(rows):
            raise DataError(f"gave no answer to {len(rows)} rows", where=self._where)
        return np.asarray(answer, dtype=np.float32).reshape(len(rows), -1)[:, -1]

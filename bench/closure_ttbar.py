"""Pulls of the top-pair fit over 200 toys of the built-in sample: mean and width of ttbar_norm."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from femtobarn import api
from femtobarn.samples.ttbar import make_ttbar
from femtobarn.stats.histfactory.full_fit import load_model
from femtobarn.stats.histfactory.toy_study import toys


def main(n: int = 200, seed: int = 11) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fileset = make_ttbar(Path(folder) / "toy", seed=seed)
        request = api.Request(what="ttbar", fileset=str(fileset), out=f"{folder}/run", executor="serial")
        path = api.run(request).path
        found = json.loads((path / "fit.json").read_text())["mle"]["parameters"]["ttbar_norm"]
        study = toys(load_model(path / "workspace.json").model, n, seed=seed)
    at = study.names.index("ttbar_norm")
    pull = (study.values[:, at] - study.truth[at]) / study.errors[:, at]
    result = {
        "toys": n, "seed": seed, "failed": study.failed,
        "fit_value": found["value"], "fit_error": found["hesse"],
        "truth": 1.0, "pull_mean": float(np.mean(pull)), "pull_width": float(np.std(pull, ddof=1)),
    }  # fmt: skip
    text = json.dumps(result, indent=1, sort_keys=True)
    Path(__file__).with_name("closure_ttbar.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*(int(item) for item in sys.argv[1:]))

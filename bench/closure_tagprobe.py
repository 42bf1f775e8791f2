"""Pulls of the tag-and-probe fit over 100 toys a model: mean, width, coverage and failures.

python bench/closure_tagprobe.py [TOYS] [SEED]
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from femtobarn import api

#: One with each kind of signal and background: tails, a generated lineshape, two widths.
MODELS = ("dcb_cms", "dcb_exp", "genzcb_cms", "dv_lin")


def main(toys: int = 100, seed: int = 1) -> None:
    rows = []
    for model in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            _, row = api.tnp_closure(
                toys=toys, seed=seed, efficiency=0.85, model=model, out=folder, workers=1
            )
        rows.append(dict(row))
        print(json.dumps(rows[-1], sort_keys=True))
    text = json.dumps({"schema_version": 1, "rows": rows}, indent=1, sort_keys=True)
    path = Path(__file__).parent / "results" / "closure_tagprobe.json"
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*(int(item) for item in sys.argv[1:]))

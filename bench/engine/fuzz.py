"""Mutated ROOT files and run files against the command line: never a traceback, a hang or a wrong success.

    python bench/engine/fuzz.py [--minutes 5] [--seed 1]

Verbs are called in this process (a start of Python for every case would be most of the work), a few in
processes of their own.  A case is wrong when it raises anything but what the command line turns into a
sentence, when it takes longer than its limit, or when a damaged file gives exit 0 with other numbers than
the good one.  Writes ``bench/results/engine_fuzz.json``; what failed is kept in ``fuzz-found/``.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from overhead import ANALYSIS

RESULTS = Path(__file__).parents[1] / "results" / "engine_fuzz.json"
LIMIT = 60

CONFIG = """analysis: {analysis}
files: {{data: {file}}}
parameters: {{}}
execution: {{executor: serial, part_events: 3}}
out: {out}
"""
SITE = (
    "kind: slurm\nresources: {memory: 2GiB, walltime: '01:00:00'}\nsetup: [source x]\nqueues: {a: '01:00'}\n"
)
WORDS = [
    *("null", "{}", "[]", "-1", "1e999", ".nan", "0x", "'", '"', "&a", "*a", "!!python/object:os.system"),
    *("\x00", "\t", "é" * 50, "{{", "<<: *b", "9" * 400, "true", "?", "|", "- - -", "analysis", "h4l"),
    "../../etc",
]


class TooLongError(Exception):
    """A case took longer than its limit."""


def alarm(*_):
    raise TooLongError


def flip(data: bytes, choose: random.Random) -> bytes:
    """One to eight small injuries."""
    out = bytearray(data)
    for _ in range(choose.randint(1, 8)):
        at = choose.randrange(len(out))
        how = choose.randrange(6)
        if how == 0:
            out[at] ^= 1 << choose.randrange(8)
        elif how == 1:
            out[at] = choose.choice([0, 0x7F, 0x80, 0xFF])
        elif how == 2:
            del out[at : at + choose.randint(1, 64)]
        elif how == 3:
            out[at:at] = choose.randbytes(choose.randint(1, 64))
        elif how == 4:
            stop = min(at + 8, len(out))
            out[at:stop] = choose.choice([b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\0" * 8])[: stop - at]
        else:
            out = out[: max(at, 1)]
    return bytes(out)


def words(text: str, choose: random.Random) -> str:
    out = text
    for _ in range(choose.randint(1, 4)):
        at = choose.randrange(len(out) + 1)
        stop = min(at + choose.choice([0, 0, 1, 5, 20]), len(out))
        out = out[:at] + choose.choice(WORDS) + out[stop:]
    return out


def attempt(call) -> tuple[str, object]:
    """What became of a call: ok, a sentence, a hang or a traceback."""
    from femtobarn.errors import FemtobarnError

    signal.alarm(LIMIT)
    try:
        return "ok", call()
    except FemtobarnError as error:
        return "sentence", str(error)
    except TooLongError:
        return "hang", ""
    except Exception:  # noqa: BLE001 - this is what is looked for
        return "traceback", traceback.format_exc()
    finally:
        signal.alarm(0)


def write_good(path: Path) -> Path:
    """A file whose baskets all compress, so that a checksum guards every value in them."""
    import numpy as np
    import uproot

    rng = np.random.default_rng(1)
    events = 400
    columns = {
        "x": rng.integers(-12, 12, events) / 4,
        "w": rng.integers(1, 5, events) / 4,
        "event": np.arange(events),
    }
    with uproot.recreate(path) as file:
        tree = file.mktree("t", {name: column.dtype for name, column in columns.items()})
        for start in range(0, events, 100):
            tree.extend({name: column[start : start + 100] for name, column in columns.items()})
    return path


def numbers(run: Path) -> bytes:
    return (run / "hists.zip").read_bytes() + (run / "cutflow.json").read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    os.environ["FEMTOBARN_CACHE"] = str(folder / "cache")
    signal.signal(signal.SIGALRM, alarm)
    try:
        found = campaign(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    RESULTS.write_text(json.dumps({"schema_version": 1, "rows": [found]}, indent=1, sort_keys=True) + "\n")
    print(json.dumps(found, indent=1))
    raise SystemExit(bool(found["tracebacks"] + found["hangs"] + found["wrong"]))


def campaign(options: argparse.Namespace, folder: Path) -> dict:
    from femtobarn import api
    from femtobarn.run.planfile import read_plan
    from femtobarn.run.resources import find_site

    choose = random.Random(options.seed)
    good, analysis = write_good(folder / "good.root"), folder / "bench_analysis.py"
    analysis.write_text(ANALYSIS)
    data = good.read_bytes()
    keep = Path("fuzz-found")
    count, kinds = Counter(), Counter()

    def run(file: Path):
        request = api.Request(what=str(analysis), files=[f"data={file}"], out=str(folder / "run"),
                              part_events=100,
                              executor="serial", fresh=True)  # fmt: skip
        api.run(request, process_only=True)
        return numbers(folder / "run")

    reference = run(good)
    config = CONFIG.format(analysis=analysis, file=good, out=folder / "run")
    fileset = json.dumps(
        {"data": {"files": {str(good): {"object_path": "t", "num_entries": 10}}, "metadata": {}}}
    )
    _, planned = api.plan(api.Request(what=str(analysis), files=[f"data={good}"], part_events=100))
    from femtobarn.run.planfile import to_text

    plan_text = to_text(planned)
    end = time.monotonic() + 60 * options.minutes
    texts = {"config": config, "site": SITE, "fileset": fileset, "plan": plan_text}
    names = {"config": "run.yaml", "site": "site.yaml", "fileset": "fileset.json", "plan": "plan.json"}
    calls = {
        "root": run,
        "config": lambda bad: api.check(str(bad)),
        "site": lambda bad: find_site(str(bad)),
        "plan": read_plan,
        "fileset": lambda bad: api.plan(api.Request(what=str(analysis), fileset=str(bad))),
    }
    while time.monotonic() < end:
        kind = choose.choice(["root"] * 6 + list(texts))
        bad = folder / names.get(kind, "bad.root")
        if kind == "root":
            bad.write_bytes(flip(data, choose))
        else:
            bad.write_bytes(words(texts[kind], choose).encode(errors="replace"))
        what, answer = attempt(functools.partial(calls[kind], bad))
        if kind == "root" and what == "ok" and answer != reference:
            what = "wrong"
        count[kind] += 1
        kinds[what] += 1
        if what in ("traceback", "hang", "wrong"):
            keep.mkdir(exist_ok=True)
            name = f"{kind}-{what}-{kinds[what]}"
            shutil.copy(bad, keep / f"{name}{bad.suffix}")
            (keep / f"{name}.txt").write_text(str(answer)[:5000])
    return {
        "cases": sum(count.values()), "by_kind": dict(count), "ok": kinds["ok"], "refused": kinds["sentence"],
        "tracebacks": kinds["traceback"], "hangs": kinds["hang"], "wrong": kinds["wrong"],
        "minutes": options.minutes, "seed": options.seed,
    }  # fmt: skip


if __name__ == "__main__":
    main()

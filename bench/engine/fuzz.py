"""Mutated files of every kind against the command line: never a traceback, a hang or a wrong success.

    python bench/engine/fuzz.py [--minutes 5] [--seed 1]

Each case is a process that runs ``femtobarn`` with arguments of its own; it is forked from one that has
the libraries loaded, since a start of Python for every case would be most of the work (one case in fifty
starts Python all the same).  A case is wrong when it says "Traceback", ends with another exit code than
0, 1 or 2, takes longer than its limit, or gives exit 0 with other numbers than the undamaged files.
Writes ``bench/results/engine_fuzz.json``; what failed is kept in ``fuzz-found/``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from overhead import ANALYSIS

RESULTS = Path(__file__).parents[1] / "results" / "engine_fuzz.json"
LIMIT = 60
PLAIN_START_EVERY = 50

CONFIG = """analysis: {analysis}
files: {{data: {file}}}
parameters: {{}}
execution: {{executor: serial, part_events: 100}}
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


def flip(data: bytes, choose: random.Random) -> bytes:
    """One to eight small injuries."""
    out = bytearray(data)
    for _ in range(choose.randint(1, 8)):
        at = choose.randrange(max(len(out), 1))
        how = choose.randrange(6)
        if not out:
            break
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


@dataclass(frozen=True)
class Place:
    """Where a campaign works: good inputs, a finished run of them, and its numbers."""

    folder: Path
    file: Path
    analysis: Path

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def arguments(self, *inputs: str) -> list[str]:
        return ["run", str(self.analysis), *inputs, "--out", str(self.run), "--process-only",
                "--executor", "serial"]  # fmt: skip

    def numbers(self) -> bytes:
        return b"".join((self.run / name).read_bytes() for name in ("hists.zip", "cutflow.json"))


@dataclass(frozen=True)
class Case:
    """A kind of damage: the file to damage, the command, and whether exit 0 means unchanged numbers."""

    damages: Callable[[Place], Path]
    command: Callable[[Place, Path], list[str]]
    text: bool
    same: bool = False


def beside(name: str) -> Callable[[Place], Path]:
    return lambda place: place.folder / name


def stored(place: Place) -> Path:
    return min((place.folder / "cache" / "parts").rglob("*.part"))


CASES = {
    "root": Case(beside("bad.root"), lambda p, bad: [
        *p.arguments("--files", f"data={bad}"), "--part-events", "100", "--fresh"], text=False, same=True),
    "root probe": Case(beside("bad.root"), lambda _, bad: ["data", "probe", str(bad)], text=False),
    "config": Case(beside("run.yaml"), lambda _, bad: ["check", str(bad)], text=True),
    "config run": Case(beside("run.yaml"), lambda _, bad: ["run", str(bad), "--process-only"], text=True),
    "site": Case(beside("site.yaml"), lambda p, bad: [
        "submit", str(p.analysis), "--files", f"data={p.file}", "--site", str(bad), "--dry-run",
        "--out", str(p.folder / "submitted")], text=True),
    "fileset": Case(beside("fileset.json"), lambda p, bad: [
        "plan", str(p.analysis), "--fileset", str(bad), "--json"], text=True),
    "plan": Case(beside("plan.json"), lambda p, bad: [
        *p.arguments("--plan", str(bad)), "--fresh"], text=True),
    "ledger": Case(lambda p: p.run / "ledger.jsonl", lambda p, _: ["resume", str(p.run)],
                   text=True, same=True),
    "ledger status": Case(lambda p: p.run / "ledger.jsonl", lambda p, _: ["status", str(p.run)], text=True),
    "manifest": Case(lambda p: p.run / "manifest.json", lambda p, _: ["resume", str(p.run)], text=True),
    "manifest status": Case(lambda p: p.run / "manifest.json", lambda p, _: ["status", str(p.run)],
                            text=True),
    "stored part": Case(stored, lambda p, _: ["resume", str(p.run)], text=False, same=True),
}  # fmt: skip
#: How often each kind is chosen.
WEIGHTS = {"root": 10, "root probe": 2}


def forked(arguments: list[str], said: Path) -> int:
    """``femtobarn ARGUMENTS`` in a child of this process."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            with said.open("wb") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            sys.argv = ["femtobarn", *arguments]
            from femtobarn.cli import main

            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001 - this is what is looked for
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError


def started(arguments: list[str], said: Path) -> int:
    """The same with a Python of its own."""
    with said.open("wb") as out:
        try:
            return subprocess.run(
                [sys.executable, "-m", "femtobarn", *arguments],
                stdout=out,
                stderr=out,
                timeout=LIMIT,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise TimeoutError from None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    os.environ["FEMTOBARN_CACHE"] = str(folder / "cache")
    try:
        found = campaign(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    RESULTS.write_text(json.dumps({"schema_version": 1, "rows": [found]}, indent=1, sort_keys=True) + "\n")
    print(json.dumps(found, indent=1))
    raise SystemExit(bool(found["tracebacks"] + found["hangs"] + found["wrong"]))


def prepared(folder: Path) -> tuple[Place, dict[str, bytes]]:
    """Good files of every kind, and a finished run."""
    import importlib

    from femtobarn import api

    for name in ("app", "run", "resume", "status", "plan", "check", "submit", "data"):
        importlib.import_module(f"femtobarn.cli.{name}")
    place = Place(folder, write_good(folder / "good.root"), folder / "bench_analysis.py")
    place.analysis.write_text(ANALYSIS)
    files = [f"data={place.file}"]
    request = api.Request(what=str(place.analysis), files=files, part_events=100)
    api.plan(request, out=folder / "plan.json")
    # Children inherit what this loads.
    warm = dataclasses.replace(request, out=str(folder / "warm"), executor="serial")
    api.run(warm, process_only=True)
    api.data_probe([str(place.file)])
    fileset = {"data": {"files": {str(place.file): {"object_path": "t", "num_entries": 400}}, "metadata": {}}}
    texts = {
        "run.yaml": CONFIG.format(analysis=place.analysis, file=place.file, out=folder / "configured"),
        "site.yaml": SITE,
        "fileset.json": json.dumps(fileset),
    }
    goods = {name: text.encode() for name, text in texts.items()}
    return place, goods | {
        "plan.json": (folder / "plan.json").read_bytes(),
        "bad.root": place.file.read_bytes(),
    }


def begin_anew(place: Place) -> None:
    """The finished run of the good file."""
    shutil.rmtree(place.run, ignore_errors=True)
    said = place.folder / "said"
    code = forked([*place.arguments("--files", f"data={place.file}"), "--part-events", "100"], said)
    assert code == 0, said.read_text()


def campaign(options: argparse.Namespace, folder: Path) -> dict:
    choose = random.Random(options.seed)
    place, goods = prepared(folder)
    begin_anew(place)
    reference = place.numbers()
    kinds = [kind for kind in CASES for _ in range(WEIGHTS.get(kind, 1))]
    count, verdicts = Counter(), Counter()
    end = time.monotonic() + 60 * options.minutes
    while time.monotonic() < end:
        kind = choose.choice(kinds)
        case = CASES[kind]
        if kind.startswith(("ledger", "manifest", "stored")):
            begin_anew(place)
        shutil.rmtree(folder / "submitted", ignore_errors=True)
        shutil.rmtree(folder / "configured", ignore_errors=True)
        bad = case.damages(place)
        good = goods.get(bad.name) or bad.read_bytes()
        if case.text:
            bad.write_bytes(words(good.decode(), choose).encode(errors="replace"))
        else:
            bad.write_bytes(flip(good, choose))
        kept = bad.read_bytes()
        run = started if sum(count.values()) % PLAIN_START_EVERY == 0 else forked
        verdict = judged(run, case, place, bad, reference)
        count[kind] += 1
        verdicts[verdict] += 1
        if verdict in ("traceback", "hang", "wrong"):
            keep(f"{kind.replace(' ', '-')}-{verdict}-{verdicts[verdict]}", bad.suffix, kept, folder / "said")
    return {
        "cases": sum(count.values()), "by_kind": dict(count), "ok": verdicts["ok"],
        "refused": verdicts["refused"], "tracebacks": verdicts["traceback"], "hangs": verdicts["hang"],
        "wrong": verdicts["wrong"], "minutes": options.minutes, "seed": options.seed,
    }  # fmt: skip


def judged(run, case: Case, place: Place, bad: Path, reference: bytes) -> str:
    said = place.folder / "said"
    try:
        code = run(case.command(place, bad), said)
    except TimeoutError:
        return "hang"
    if b"Traceback" in said.read_bytes() or code not in (0, 1, 2):
        return "traceback"
    if code == 0 and case.same and place.numbers() != reference:
        return "wrong"
    return "ok" if code == 0 else "refused"


def keep(name: str, suffix: str, damaged: bytes, said: Path) -> None:
    folder = Path("fuzz-found")
    folder.mkdir(exist_ok=True)
    (folder / f"{name}{suffix}").write_bytes(damaged)
    (folder / f"{name}.txt").write_bytes(said.read_bytes()[:5000])


if __name__ == "__main__":
    main()

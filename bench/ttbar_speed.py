"""Top pairs: the selection with all variations, against coffea and RDataFrame.

    python bench/ttbar_speed.py --root PEERS-ROOT/bin/python --coffea PEERS-COFFEA/bin/python [--repeat 5]

Makes its input with ROOT (a million events, ZSTD and LZMA, baskets that do not line up), lets everybody take
turns on it, compares all histograms bin by bin and puts the rows into ``bench/results.json``.  Every program
first processes a small file: its start (imports, interpreters, caches of compiled code) is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from rows import keep, ratios

HERE = Path(__file__).resolve().parent / "ttbar"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
ZSTD, LZMA = 505, 207
#: coffea reads this many events at a time at its best (100 000 take it 1.6 times as long).
CHUNK = 500_000
WIDE_FILES, WIDE_EVENTS = 40, 500


def compiled(source: Path, target: Path, root: Path) -> Path:
    """A program against the ROOT of a wheel."""
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        libraries = "Core RIO Net Hist ROOTVecOps Tree TreePlayer MathCore Thread MultiProc ROOTDataFrame Imt"
        subprocess.run(
            ["g++", "-O3", "-march=native", "-std=c++17", "-pthread", f"-I{root}/include", "-o", str(target),
             str(source), f"-L{root}/lib", *(f"-l{name}" for name in libraries.split()),
             f"-Wl,-rpath,{root}/lib", f"-Wl,-rpath,{root}/../root.libs", "-lm", "-ldl"], check=True,
        )  # fmt: skip
    return target


def measure(command: list[str]) -> dict:
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT)
    return json.loads(done.stdout.strip().splitlines()[-1])


def difference(ours: dict, theirs: dict, leave: tuple[str, ...] = ()) -> bool | float:
    """Largest relative difference of any bin, True if there is none."""
    worst = 0.0
    if set(ours) != set(theirs):
        raise SystemExit(f"other histograms: {set(ours) ^ set(theirs)}")
    for name, values in ours.items():
        if name.split(":")[1] in leave:
            continue
        for mine, other in zip(values, theirs[name], strict=True):
            worst = max(worst, abs(mine - other) / max(abs(mine), abs(other), 1.0))
    return True if worst == 0 else worst


def side_by_side(work: str, peer: str, ours: list[str], theirs: list[str], asked, **how) -> dict:
    """Both in turn; the ratio is of CPU time unless ``clock`` says otherwise."""
    mine, other = [], []
    for _ in range(asked.repeat):
        mine.append(measure(ours))
        other.append(measure(theirs))
    clock = how.get("clock", "cpu_s")
    theirs_found = other[0]["histograms"]
    same = "the peer only reads" if theirs_found is None else difference(
        mine[0]["histograms"], theirs_found, how.get("leave", ())
    )  # fmt: skip
    if isinstance(same, float) and same > 1e-6:
        raise SystemExit(f"{work}: {peer} gives another answer ({same:.3g})")
    row = {
        "work": work, "peer": peer, "events": how.get("events", asked.events), "repetitions": asked.repeat,
        "identical": same,
        "versions": {"femtobarn": mine[0]["version"], peer.split(",", 1)[0]: other[0]["version"]},
        "ratio": ratios([one[clock] for one in mine], [one[clock] for one in other]),
        **{
            key: {"femtobarn": statistics.median(one[key] for one in mine),
                  "peer": statistics.median(one[key] for one in other)}
            for key in ("cpu_s", "wall_s", "peak_rss_mb")
        },
    }  # fmt: skip
    if how.get("note"):
        row["note"] = how["note"]
    print(work, peer, json.dumps(row["ratio"]), row["cpu_s"], row["identical"], flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="python of the environment with the wheel of ROOT")
    parser.add_argument("--coffea", help="python of the environment with coffea")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--work", default="bench-ttbar", help="folder for the input files")
    parser.add_argument("--only", default="", help="rows whose work contains this")
    asked = parser.parse_args()
    root = next((Path(asked.root).parent.parent / "lib").glob("python*/site-packages/ROOT"))
    folder = Path(asked.work)
    folder.mkdir(parents=True, exist_ok=True)
    maker = compiled(HERE / "make_input.cpp", folder / "make_input", root)
    frame = str(compiled(HERE / "rdataframe.cpp", folder / "rdataframe", root))

    def made(name: str, events: int, setting: int, first: int = 0, extra: int = 0) -> str:
        path = folder / f"{name}.root"
        if not path.exists():
            scratch = path.with_suffix(".tmp")
            subprocess.run([maker, scratch, *map(str, (events, setting, first, extra))], check=True)
            scratch.rename(path)
        return str(path)

    small = made("small", 2000, ZSTD)
    files = {"ZSTD": made("zstd", asked.events, ZSTD), "LZMA": made("lzma", asked.events, LZMA)}
    ours = [sys.executable, str(HERE / "ours.py")]
    what = "ttbar: selection and 11 variations, 1M events"
    todo = []
    for name, path in files.items():
        mine = {k: [*ours, "1", k, small, path] for k in ("outcomes", "columns")}
        vary, fused = ([frame, "1", style, small, path] for style in ("vary", "fused"))
        todo.append((f"{what}, {name}", "RDataFrame, g++ -O3", mine["outcomes"], vary, {}))
        todo.append(
            (
                f"{what}, {name}, second pass (--cache columns)",
                "RDataFrame, g++ -O3",
                mine["columns"],
                vary,
                {},
            )
        )
        if name == "ZSTD":
            todo.append(
                (f"{what}, {name}", "RDataFrame, g++ -O3, one hand-fused lambda", mine["outcomes"], fused, {})
            )
            todo.append((f"{what}, {name}, 2 workers, wall", "RDataFrame, g++ -O3, 2 threads",
                         [*ours, "2", "outcomes", small, path], [frame, "2", "vary", small, path],
                         {"clock": "wall_s"}))  # fmt: skip
            if asked.coffea:
                todo.append((f"{what}, {name}", "coffea, virtual arrays", mine["outcomes"],
                             [asked.coffea, str(HERE / "coffea_peer.py"), str(CHUNK), small, path],
                             {"leave": ("pt_res_up",),
                              "note": "pt_res_up left out: drawn at random there"}))  # fmt: skip
    wide = [made(f"wide_{i}", WIDE_EVENTS, ZSTD, i * WIDE_EVENTS, 1450 + 30 * i) for i in range(WIDE_FILES)]
    many = f"ttbar: {WIDE_FILES} files of {WIDE_EVENTS} events and 1 500-2 700 branches"
    how = {"events": WIDE_FILES * WIDE_EVENTS}
    mine = [*ours, "1", "outcomes", small, *wide]
    todo += [
        (many, "uproot by hand", mine, [sys.executable, str(HERE / "uproot_peer.py"), small, *wide], how),
        (many, "RDataFrame, g++ -O3", mine, [frame, "1", "vary", small, *wide], how),
    ]
    for work, peer, mine, theirs, how in todo:
        if asked.only in work + peer:
            keep([side_by_side(work, peer, mine, theirs, asked, **how)])


if __name__ == "__main__":
    main()

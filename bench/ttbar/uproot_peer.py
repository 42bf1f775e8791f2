"""The needed columns of many files, read with uproot by hand; nothing is selected.

python uproot_peer.py SMALL.root FILE...      prints JSON
"""

from __future__ import annotations

import json
import resource
import sys
import time

import uproot

COLUMNS = [
    "run", "luminosityBlock", "event", "Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_btagCSVV2",
    "Jet_jetId", "Electron_pt", "Electron_eta", "Electron_cutBased", "Electron_sip3d", "Muon_pt", "Muon_eta",
    "Muon_tightId", "Muon_sip3d", "Muon_pfRelIso04_all",
]  # fmt: skip


def loop(files):
    events = 0
    for path in files:
        with uproot.open(path) as file:
            tree = file["Events"]
            for name in COLUMNS:
                column = tree[name].array()
            events += len(column)
    return events


def main():
    small, files = sys.argv[1], sys.argv[2:]
    loop([small])
    wall, cpu = time.perf_counter(), time.process_time()
    events = loop(files)
    print(json.dumps({
        "cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "events": events,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "version": uproot.__version__, "histograms": None,
    }))  # fmt: skip


main()

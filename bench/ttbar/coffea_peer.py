"""The Grand Challenge's selection (task v2) with coffea on virtual arrays, as its notebook has it.

python coffea_peer.py CHUNK SMALL.root FILE...      prints JSON

The smearing draws from numpy's generator, as the notebook does: ``pt_res_up`` differs by chance.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings

warnings.filterwarnings("ignore")

import awkward as ak  # noqa: E402
import coffea  # noqa: E402
import hist  # noqa: E402
import numpy as np  # noqa: E402
from coffea import processor  # noqa: E402
from coffea.nanoevents import NanoAODSchema  # noqa: E402

NanoAODSchema.warn_missing_crossrefs = False


class Selection(processor.ProcessorABC):
    def __init__(self):
        self.random = np.random.default_rng(0)

    def process(self, events):
        make = hist.Hist.new.Reg(25, 50, 550, name="observable").StrCat([], name="variation", growth=True)
        out = {"4j1b": make.Weight(), "4j2b": make.Weight()}
        e, m, jets = events.Electron, events.Muon, events.Jet
        electrons = e[(e.pt > 30) & (abs(e.eta) < 2.1) & (e.cutBased == 4) & (e.sip3d < 4)]
        muons = m[(m.pt > 30) & (abs(m.eta) < 2.1) & m.tightId & (m.sip3d < 4) & (m.pfRelIso04_all < 0.15)]
        lepton = (ak.num(electrons) + ak.num(muons)) == 1
        scale = {
            "nominal": 1.0,
            "pt_scale_up": 1.03,
            "pt_res_up": ak.unflatten(
                np.maximum(0, self.random.normal(1, 0.05, ak.sum(ak.num(jets)))), ak.num(jets)
            ),
        }
        for name, factor in scale.items():
            pt = ak.values_astype(jets.pt, np.float64) * factor
            keep = (pt > 30) & (abs(jets.eta) < 2.4) & ((jets.jetId & 4) != 0)
            chosen = lepton & (ak.sum(keep, axis=1) >= 4)
            good = ak.zip(
                {"pt": pt[keep], "eta": jets.eta[keep], "phi": jets.phi[keep], "mass": jets.mass[keep],
                 "btag": jets.btagCSVV2[keep]}, with_name="PtEtaPhiMLorentzVector",
            )[chosen]  # fmt: skip
            tags = ak.sum(good.btag > 0.5, axis=1)
            for region in ("4j1b", "4j2b"):
                if region == "4j1b":
                    here = good[tags == 1]
                    observable = ak.sum(here.pt, axis=1)
                else:
                    here = good[tags > 1]
                    a, b, c = ak.unzip(ak.combinations(here, 3))
                    x = a.pt * np.cos(a.phi) + b.pt * np.cos(b.phi) + c.pt * np.cos(c.phi)
                    y = a.pt * np.sin(a.phi) + b.pt * np.sin(b.phi) + c.pt * np.sin(c.phi)
                    z = a.pt * np.sinh(a.eta) + b.pt * np.sinh(b.eta) + c.pt * np.sinh(c.eta)
                    energy = sum(np.sqrt((j.pt * np.cosh(j.eta)) ** 2 + j.mass**2) for j in (a, b, c))
                    square = ak.where(np.maximum(np.maximum(a.btag, b.btag), c.btag) > 0.5, x * x + y * y, -1)
                    best = ak.argmax(square, axis=1, keepdims=True)
                    mass = np.sqrt(np.maximum(energy**2 - x * x - y * y - z * z, 0))
                    observable = ak.flatten(mass[best])
                observable = ak.to_numpy(observable)
                out[region].fill(observable=observable, variation=name)
                if name == "nominal":
                    for i in range(4):
                        shift = 0.075 * ak.to_numpy(here.pt[:, i]) / 50
                        for side, sign in (("up", 1), ("down", -1)):
                            out[region].fill(observable=observable, variation=f"btag_var_{i}_{side}",
                                             weight=1 + sign * shift)  # fmt: skip
        return out

    def postprocess(self, accumulator):
        return accumulator


def loop(files, chunk):
    run = processor.Runner(
        executor=processor.IterativeExecutor(status=False), schema=NanoAODSchema, chunksize=chunk
    )
    return run({"ttbar": {"files": dict.fromkeys(files, "Events")}}, processor_instance=Selection())


def main():
    chunk, small, files = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    loop([small], chunk)
    wall, cpu = time.perf_counter(), time.process_time()
    found = loop(files, chunk)
    out = {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "version": coffea.__version__,
        "histograms": {
            f"{region}:{name}": found[region][:, name].values(flow=True).tolist()
            for region in found
            for name in found[region].axes["variation"]
        },
    }
    print(json.dumps(out))


main()

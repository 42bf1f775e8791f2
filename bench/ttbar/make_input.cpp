// Writes a deterministic top-pair-like NanoAOD file with ROOT: real clusters, baskets that do not line up.
//   make_input OUT.root EVENTS COMPRESSION FIRST_EVENT EXTRA_BRANCHES
// COMPRESSION is ROOT's setting, 505 for ZSTD level 5, 207 for LZMA level 7.
#include <TFile.h>
#include <TTree.h>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

static std::mt19937_64 engine;
static double uniform() { return (engine() >> 11) * 0x1.0p-53; }
static double gauss() { return std::sqrt(-2 * std::log(1 - uniform())) * std::cos(2 * M_PI * uniform()); }
static double falling(double low, double mean) { return low - mean * std::log(1 - uniform()); }
// NanoAOD keeps so many bits of the mantissa.
static float rounded(double value, int bits) {
  float narrow = value;
  uint32_t word;
  std::memcpy(&word, &narrow, 4);
  word = (word + (1u << (22 - bits))) & ~((1u << (23 - bits)) - 1);
  std::memcpy(&narrow, &word, 4);
  return narrow;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  const long events = std::atol(argv[2]), first = std::atol(argv[4]);
  const int extra = std::atoi(argv[5]);
  engine.seed(20150000 + first);
  TFile file(argv[1], "RECREATE", "", std::atoi(argv[3]));
  TTree tree("Events", "Events");
  UInt_t run = 1, lumi, n_jet, n_electron, n_muon, n_gen;
  ULong64_t event;
  Float_t weight, met_pt, met_phi;
  const int most = 64;
  Float_t j_pt[most], j_eta[most], j_phi[most], j_mass[most], j_tag[most], j_qgl[most];
  Int_t j_id[most], e_cut[most], e_charge[most], m_charge[most], g_id[most];
  Float_t e_pt[most], e_eta[most], e_phi[most], e_mass[most], e_sip[most];
  Float_t m_pt[most], m_eta[most], m_phi[most], m_mass[most], m_sip[most], m_iso[most];
  Bool_t m_tight[most];
  std::vector<Float_t> filler(extra);
  tree.Branch("run", &run, "run/i", 16000);
  tree.Branch("luminosityBlock", &lumi, "luminosityBlock/i", 16000);
  tree.Branch("event", &event, "event/l", 32000);
  tree.Branch("genWeight", &weight, "genWeight/F", 24000);
  for (int i = 0; i < extra / 2; ++i) {
    const std::string name = "Filler_" + std::to_string(i);
    tree.Branch(name.c_str(), &filler[i], (name + "/F").c_str(), 4000);
  }
  tree.Branch("nElectron", &n_electron, "nElectron/i", 12000);
  tree.Branch("Electron_pt", e_pt, "Electron_pt[nElectron]/F", 24000);
  tree.Branch("Electron_eta", e_eta, "Electron_eta[nElectron]/F", 31000);
  tree.Branch("Electron_phi", e_phi, "Electron_phi[nElectron]/F", 19000);
  tree.Branch("Electron_mass", e_mass, "Electron_mass[nElectron]/F", 22000);
  tree.Branch("Electron_sip3d", e_sip, "Electron_sip3d[nElectron]/F", 27000);
  tree.Branch("Electron_cutBased", e_cut, "Electron_cutBased[nElectron]/I", 15000);
  tree.Branch("Electron_charge", e_charge, "Electron_charge[nElectron]/I", 15000);
  tree.Branch("nJet", &n_jet, "nJet/i", 20000);
  tree.Branch("Jet_pt", j_pt, "Jet_pt[nJet]/F", 64000);
  tree.Branch("Jet_eta", j_eta, "Jet_eta[nJet]/F", 48000);
  tree.Branch("Jet_phi", j_phi, "Jet_phi[nJet]/F", 51000);
  tree.Branch("Jet_mass", j_mass, "Jet_mass[nJet]/F", 72000);
  tree.Branch("Jet_btagCSVV2", j_tag, "Jet_btagCSVV2[nJet]/F", 40000);
  tree.Branch("Jet_qgl", j_qgl, "Jet_qgl[nJet]/F", 44000);
  tree.Branch("Jet_jetId", j_id, "Jet_jetId[nJet]/I", 33000);
  tree.Branch("nMuon", &n_muon, "nMuon/i", 9000);
  tree.Branch("Muon_pt", m_pt, "Muon_pt[nMuon]/F", 25000);
  tree.Branch("Muon_eta", m_eta, "Muon_eta[nMuon]/F", 18000);
  tree.Branch("Muon_phi", m_phi, "Muon_phi[nMuon]/F", 21000);
  tree.Branch("Muon_mass", m_mass, "Muon_mass[nMuon]/F", 14000);
  tree.Branch("Muon_sip3d", m_sip, "Muon_sip3d[nMuon]/F", 23000);
  tree.Branch("Muon_pfRelIso04_all", m_iso, "Muon_pfRelIso04_all[nMuon]/F", 26000);
  tree.Branch("Muon_tightId", m_tight, "Muon_tightId[nMuon]/O", 8000);
  tree.Branch("Muon_charge", m_charge, "Muon_charge[nMuon]/I", 15000);
  tree.Branch("MET_pt", &met_pt, "MET_pt/F", 17000);
  tree.Branch("MET_phi", &met_phi, "MET_phi/F", 13000);
  tree.Branch("nGenPart", &n_gen, "nGenPart/i", 11000);
  tree.Branch("GenPart_pdgId", g_id, "GenPart_pdgId[nGenPart]/I", 37000);
  for (int i = extra / 2; i < extra; ++i) {
    const std::string name = "Filler_" + std::to_string(i);
    tree.Branch(name.c_str(), &filler[i], (name + "/F").c_str(), 4000);
  }
  tree.SetAutoFlush(25000);
  const int decay[8] = {6, -6, 24, -24, 5, -5, 13, -14};
  for (long i = 0; i < events; ++i) {
    lumi = 1 + (first + i) / 1000;
    event = 1000000 + first + i;
    weight = uniform() < 0.002 ? -1.f : 1.f;
    n_jet = 2;
    while (n_jet < 20 && uniform() < 0.74) ++n_jet;
    double pt = falling(30, 70);
    for (unsigned j = 0; j < n_jet; ++j) {
      j_pt[j] = rounded(pt, 10);
      pt = 15 + (pt - 15) * (0.55 + 0.45 * uniform());
      j_eta[j] = rounded(1.5 * gauss(), 10);
      j_phi[j] = rounded(2 * M_PI * uniform() - M_PI, 10);
      j_mass[j] = rounded(j_pt[j] * (0.08 + 0.12 * uniform()), 10);
      const bool b = uniform() < 0.28;
      const double u = uniform();
      j_tag[j] = rounded(b ? 1 - 0.5 * u * u : 0.65 * u, 10);
      j_qgl[j] = rounded(uniform(), 10);
      j_id[j] = uniform() < 0.93 ? 6 : uniform() < 0.5 ? 2 : 0;
    }
    n_electron = n_muon = 0;
    while (n_electron < 8 && uniform() < 0.42) ++n_electron;
    while (n_muon < 8 && uniform() < 0.42) ++n_muon;
    for (unsigned j = 0; j < n_electron; ++j) {
      e_pt[j] = rounded(falling(5, j ? 8 : 30), 10);
      e_eta[j] = rounded(1.2 * gauss(), 12);
      e_phi[j] = rounded(2 * M_PI * uniform() - M_PI, 12);
      e_mass[j] = rounded(0.01 * gauss(), 10);
      e_sip[j] = rounded(falling(0, 1.6), 10);
      e_charge[j] = uniform() < 0.5 ? 1 : -1;
      e_cut[j] = uniform() < 0.55 ? 4 : int(4 * uniform());
    }
    for (unsigned j = 0; j < n_muon; ++j) {
      m_pt[j] = rounded(falling(3, j ? 7 : 30), 10);
      m_eta[j] = rounded(1.1 * gauss(), 12);
      m_phi[j] = rounded(2 * M_PI * uniform() - M_PI, 12);
      m_mass[j] = 0.10566f;
      m_sip[j] = rounded(falling(0, 1.5), 10);
      m_iso[j] = rounded(falling(0, 0.12), 10);
      m_charge[j] = uniform() < 0.5 ? 1 : -1;
      m_tight[j] = uniform() < 0.8;
    }
    met_pt = rounded(falling(0, 50), 10);
    met_phi = rounded(2 * M_PI * uniform() - M_PI, 10);
    n_gen = 8;
    for (int j = 0; j < 8; ++j) g_id[j] = decay[j];
    for (auto &value : filler) value = rounded(gauss(), 8);
    tree.Fill();
  }
  tree.Write();
  file.Close();
  std::printf("%ld\n", events);
  return 0;
}

// The same selection (task v2, mode compat) and all its variations with a compiled RDataFrame.
//   rdataframe THREADS vary|fused SMALL.root FILE...
// The small file warms up: the time of the second loop is free of the interpreter's start.
// "vary" is how an RDataFrame analysis is written: Filter, Define, Vary, VariationsFor, all of them typed
// lambdas.  "fused" puts the whole selection into one lambda that fills its own bins: what is left is the
// reading.  Prints JSON: seconds of the event loop, and the contents of all histograms.
#include <ROOT/RDFHelpers.hxx>
#include <ROOT/RDataFrame.hxx>
#include <ROOT/RVec.hxx>
#include <TH1D.h>
#include <TROOT.h>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <cstdio>
#include <map>
#include <string>
#include <sys/resource.h>
#include <vector>

using ROOT::RVecB;
using ROOT::RVecD;
using ROOT::RVecF;
using ROOT::RVecI;

static uint64_t mix(uint64_t z) {
  z += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}
static double draw(uint64_t key, uint64_t index) {
  const uint64_t k = mix(mix(key ^ index) ^ 1);
  const double u1 = ((mix(k ^ 1) >> 11) + 0.5) * 0x1.0p-53, u2 = ((mix(k ^ 2) >> 11) + 0.5) * 0x1.0p-53;
  return std::sqrt(-2 * std::log(u1)) * std::cos(2 * M_PI * u2);
}
static uint64_t key_of(unsigned run, unsigned lumi, ULong64_t event) {
  return mix(mix(mix(mix(0) ^ run) ^ lumi) ^ event);
}

static bool one_lepton(const RVecF &ep, const RVecF &ee, const RVecI &ec, const RVecF &es, const RVecF &mp,
                       const RVecF &me, const RVecB &mt, const RVecF &ms, const RVecF &mi) {
  int n = 0;
  for (size_t i = 0; i < ep.size(); ++i)
    n += ep[i] > 30. && std::abs(double(ee[i])) < 2.1 && ec[i] == 4 && es[i] < 4.;
  for (size_t i = 0; i < mp.size(); ++i)
    n += mp[i] > 30. && std::abs(double(me[i])) < 2.1 && mt[i] && ms[i] < 4. && mi[i] < 0.15;
  return n == 1;
}

// Mass of the three jets, at least one tagged, with the largest vector sum of pT.
static double best_mass(const double *x, const double *y, const double *z, const double *e, const bool *tag, int n) {
  double best = -1;
  int a = -1, b = -1, c = -1;
  for (int i = 0; i < n; ++i)
    for (int j = i + 1; j < n; ++j)
      for (int k = j + 1; k < n; ++k) {
        if (!(tag[i] || tag[j] || tag[k])) continue;
        const double sx = x[i] + x[j] + x[k], sy = y[i] + y[j] + y[k], square = sx * sx + sy * sy;
        if (square > best) best = square, a = i, b = j, c = k;
      }
  const double sx = x[a] + x[b] + x[c], sy = y[a] + y[b] + y[c], sz = z[a] + z[b] + z[c], se = e[a] + e[b] + e[c];
  return std::sqrt(std::max(se * se - sx * sx - sy * sy - sz * sz, 0.));
}

static double mass_of(const RVecD &pt, const RVecF &eta, const RVecF &phi, const RVecF &mass, const RVecF &tags,
                      const RVecD &scale) {
  double x[256], y[256], z[256], e[256];
  bool tag[256];
  const int n = pt.size();
  for (int i = 0; i < n; ++i) {
    x[i] = pt[i] * std::cos(double(phi[i]));
    y[i] = pt[i] * std::sin(double(phi[i]));
    z[i] = pt[i] * std::sinh(double(eta[i]));
    const double m = mass[i] * scale[i];
    e[i] = std::sqrt(x[i] * x[i] + y[i] * y[i] + z[i] * z[i] + m * m);
    tag[i] = tags[i] > 0.5;
  }
  return best_mass(x, y, z, e, tag, n);
}

static const std::vector<std::string> kLepton = {
    "Electron_pt", "Electron_eta", "Electron_cutBased", "Electron_sip3d",     "Muon_pt",
    "Muon_eta",    "Muon_tightId", "Muon_sip3d",        "Muon_pfRelIso04_all"};

using Contents = std::map<std::string, std::vector<double>>;

static std::vector<double> bins_of(TH1D &histogram) {
  std::vector<double> out;
  for (int i = 0; i <= histogram.GetNbinsX() + 1; ++i) out.push_back(histogram.GetBinContent(i));
  return out;
}

static Contents vary(ROOT::RDataFrame &frame) {
  auto leptons = frame.Filter(one_lepton, kLepton)
    .Define("all_pt", [](const RVecF &pt) { return RVecD(pt.begin(), pt.end()); }, {"Jet_pt"})
    .Vary("all_pt",
          [](const RVecD &pt, unsigned run, unsigned lumi, ULong64_t event) {
            RVecD scaled = pt * 1.03, smeared = pt;
            const uint64_t key = key_of(run, lumi, event);
            for (size_t i = 0; i < pt.size(); ++i) smeared[i] *= std::max(0., 1 + 0.05 * draw(key, i));
            return ROOT::RVec<RVecD>{scaled, smeared};
          },
          {"all_pt", "run", "luminosityBlock", "event"}, {"pt_scale_up", "pt_res_up"}, "jet")
    .Define("good",
            [](const RVecD &pt, const RVecF &eta, const RVecI &id) {
              RVecI out;
              for (size_t i = 0; i < pt.size(); ++i)
                if (pt[i] > 30. && std::abs(double(eta[i])) < 2.4 && (id[i] & 4)) out.push_back(i);
              return out;
            },
            {"all_pt", "Jet_eta", "Jet_jetId"})
    .Filter([](const RVecI &good) { return good.size() >= 4; }, {"good"})
    .Define("pt", [](const RVecD &pt, const RVecI &good) { return ROOT::VecOps::Take(pt, good); }, {"all_pt", "good"})
    .Define("tags", [](const RVecF &b, const RVecI &good) { return ROOT::VecOps::Take(b, good); },
            {"Jet_btagCSVV2", "good"})
    .Define("ntag", [](const RVecF &tags) { return int(ROOT::VecOps::Sum(tags > 0.5)); }, {"tags"})
    .Define("weight", []() { return 1.0; })
    .Vary("weight",
          [](const RVecD &pt) {
            RVecD out;
            for (int i = 0; i < 4; ++i)
              for (int sign = 1; sign >= -1; sign -= 2) out.push_back(1 + sign * 0.075 * pt[i] / 50);
            return out;
          },
          {"pt"},
          {"btag_var_0_up", "btag_var_0_down", "btag_var_1_up", "btag_var_1_down", "btag_var_2_up",
           "btag_var_2_down", "btag_var_3_up", "btag_var_3_down"}, "btag");
  auto control = leptons.Filter([](int n) { return n == 1; }, {"ntag"})
                     .Define("ht", [](const RVecD &pt) { return ROOT::VecOps::Sum(pt); }, {"pt"})
                     .Histo1D<double, double>({"4j1b", "", 25, 50, 550}, "ht", "weight");
  auto signal = leptons.Filter([](int n) { return n >= 2; }, {"ntag"})
                    .Define("mass",
                            [](const RVecD &pt, const RVecF &eta, const RVecF &phi, const RVecF &mass,
                               const RVecF &tags, const RVecD &all, const RVecF &stored, const RVecI &good) {
                              RVecF e, p, m;
                              RVecD scale;
                              // Mode compat does not scale the mass.
                              for (int i : good) e.push_back(eta[i]), p.push_back(phi[i]), m.push_back(mass[i]), scale.push_back(1);
                              return mass_of(pt, e, p, m, tags, scale);
                            },
                            {"pt", "Jet_eta", "Jet_phi", "Jet_mass", "tags", "all_pt", "Jet_pt", "good"})
                    .Histo1D<double, double>({"4j2b", "", 25, 50, 550}, "mass", "weight");
  auto first = ROOT::RDF::Experimental::VariationsFor(control);
  auto second = ROOT::RDF::Experimental::VariationsFor(signal);
  Contents out;
  for (auto *set : {&first, &second})
    for (const auto &key : set->GetKeys()) {
      const auto colon = key.find(':');
      const std::string label = colon == std::string::npos ? key : key.substr(colon + 1);
      out[std::string(set == &first ? "4j1b:" : "4j2b:") + label] = bins_of((*set)[key]);
    }
  return out;
}

struct Sums {
  double bin[2][11][27] = {};
  void fill(int region, int variation, double value, double weight) {
    const double at = (value - 50) / 20;
    bin[region][variation][at < 0 ? 0 : at >= 25 ? 26 : 1 + int(at)] += weight;
  }
};

static Contents fused(ROOT::RDataFrame &frame, unsigned slots) {
  std::vector<Sums> sums(slots);
  frame.Filter(one_lepton, kLepton).ForeachSlot(
      [&sums](unsigned slot, const RVecF &jp, const RVecF &je, const RVecF &ja, const RVecF &jm, const RVecF &jb,
              const RVecI &jid, unsigned run, unsigned lumi, ULong64_t event) {
        if (jp.size() < 4) return;
        const uint64_t key = key_of(run, lumi, event);
        for (int v = 0; v < 3; ++v) {
          double pt[256], x[256], y[256], z[256], e[256], total = 0;
          bool tag[256];
          int at[256], n = 0, tags = 0;
          for (size_t i = 0; i < jp.size(); ++i) {
            if (!(std::abs(double(je[i])) < 2.4) || !(jid[i] & 4)) continue;
            const double p = v == 0 ? jp[i] : jp[i] * (v == 1 ? 1.03 : std::max(0., 1 + 0.05 * draw(key, i)));
            if (p > 30.) pt[n] = p, at[n++] = i;
          }
          if (n < 4) continue;
          for (int i = 0; i < n; ++i) tags += tag[i] = jb[at[i]] > 0.5, total += pt[i];
          if (tags == 0) continue;
          double value = total;
          if (tags > 1) {
            for (int i = 0; i < n; ++i) {
              const double a = ja[at[i]], m = jm[at[i]];
              x[i] = pt[i] * std::cos(a), y[i] = pt[i] * std::sin(a), z[i] = pt[i] * std::sinh(double(je[at[i]]));
              e[i] = std::sqrt(x[i] * x[i] + y[i] * y[i] + z[i] * z[i] + m * m);
            }
            value = best_mass(x, y, z, e, tag, n);
          }
          sums[slot].fill(tags > 1, v, value, 1);
          if (v == 0)
            for (int i = 0; i < 4; ++i)
              sums[slot].fill(tags > 1, 3 + 2 * i, value, 1 + 0.075 * pt[i] / 50),
                  sums[slot].fill(tags > 1, 4 + 2 * i, value, 1 - 0.075 * pt[i] / 50);
        }
      },
      {"Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_btagCSVV2", "Jet_jetId", "run", "luminosityBlock", "event"});
  static const char *names[11] = {"nominal", "pt_scale_up", "pt_res_up", "btag_var_0_up", "btag_var_0_down",
                                  "btag_var_1_up", "btag_var_1_down", "btag_var_2_up", "btag_var_2_down",
                                  "btag_var_3_up", "btag_var_3_down"};
  Contents out;
  for (int r = 0; r < 2; ++r)
    for (int v = 0; v < 11; ++v) {
      std::vector<double> total(27);
      for (const auto &one : sums)
        for (int b = 0; b < 27; ++b) total[b] += one.bin[r][v][b];
      out[std::string(r ? "4j2b:" : "4j1b:") + names[v]] = total;
    }
  return out;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  const int threads = std::atoi(argv[1]);
  if (threads > 1) ROOT::EnableImplicitMT(threads);
  TH1::AddDirectory(false);
  const bool idiomatic = std::string(argv[2]) == "vary";
  auto loop = [&](std::vector<std::string> files) {
    ROOT::RDataFrame frame("Events", files);
    return idiomatic ? vary(frame) : fused(frame, std::max(threads, 1));
  };
  loop({argv[3]});
  const auto wall = std::chrono::steady_clock::now();
  const auto cpu = std::clock();
  const Contents found = loop(std::vector<std::string>(argv + 4, argv + argc));
  const double wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count();
  const double cpu_s = double(std::clock() - cpu) / CLOCKS_PER_SEC;
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  std::printf("{\"version\": \"%s\", \"cpu_s\": %.6f, \"wall_s\": %.6f, \"peak_rss_mb\": %.1f, \"histograms\": {",
              gROOT->GetVersion(), cpu_s, wall_s, usage.ru_maxrss / 1024.0);
  bool comma = false;
  for (const auto &[name, bins] : found) {
    std::printf("%s\"%s\": [", comma ? ", " : "", name.c_str());
    comma = true;
    for (size_t i = 0; i < bins.size(); ++i) std::printf("%s%.17g", i ? ", " : "", bins[i]);
    std::printf("]");
  }
  std::printf("}}\n");
  return 0;
}

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "adapters/host_facts.h"
#include "app/acme_service.h"
#include "app/doctor_fix.h"
#include "app/host_certificates.h"
#include "app/host_config.h"
#include "app/invocation.h"
#include "app/lost_things.h"
#include "app/scrub.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

Colour ColourOf(adapters::FactState state) {
  switch (state) {
    case adapters::FactState::kOk:
      return Colour::kGreen;
    case adapters::FactState::kMissing:
      return Colour::kRed;
    default:
      return Colour::kYellow;
  }
}

adapters::HostFact StoreFact(const Layout& layout) {
  const auto lost = LookAtLost(layout);
  if (!lost)
    return {"store", adapters::FactState::kUnknown, lost.error().Render(), "what is damaged is not known",
            "run: ingot verify"};
  if (lost->things.empty()) return {"store", adapters::FactState::kOk, "nothing is known to be lost", "", ""};
  return {"store", adapters::FactState::kMissing,
          std::to_string(lost->things.size()) + " things are lost, of " + LostImages(*lost),
          RenderLost(*lost), "run: ingot verify --repair"};
}

adapters::HostFact ScrubFact(const Layout& layout) {
  const auto state = ScrubState::Read(layout);
  if (!state && state.error().code() == Code::kNotFound)
    return {"scrub", adapters::FactState::kDegraded, "it has not run here",
            "damage is found when something is read or verified",
            "run the daemon or the registry (host.yaml: scrub)"};
  if (!state)
    return {"scrub", adapters::FactState::kUnknown, state.error().Render(),
            "when all was read last is not known", "remove scrub.json: the next round begins anew"};
  std::string seen = state->completed == WallTime{}
                         ? "the first round runs"
                         : "last whole round ended " + RenderTime(state->completed);
  if (state->unknown > 0)
    return {"scrub", adapters::FactState::kUnknown,
            std::to_string(state->unknown) + " things could not be read in this round",
            "nothing is known of them", "look at the disk (dmesg), then run: ingot verify"};
  return {"scrub", adapters::FactState::kOk, seen, "", ""};
}

constexpr auto kRenewBefore = std::chrono::hours(24 * 14);

adapters::HostFact CertificateFact(const Invocation& invocation) {
  const auto host = LoadHost(invocation);
  if (!host)
    return {"certificates", adapters::FactState::kUnknown, "host.yaml cannot be read",
            "the daemon will not start again", "run: ingot validate --host"};
  std::string bad;
  std::string soon;
  const WallTime now = SystemClock().Now();
  const std::vector<SeenCertificate> all = LookAtCertificates(*host);
  for (const SeenCertificate& one : all) {
    if (const auto problem = one.Problem(now))
      bad += (bad.empty() ? "" : "; ") + *problem;
    else if (one.loaded->ends - now < kRenewBefore)
      soon += (soon.empty() ? "" : "; ") + one.place + ": " + one.file + " ends at " +
              RenderTime(one.loaded->ends);
  }
  if (!bad.empty())
    return {"certificates", adapters::FactState::kMissing, bad, "clients refuse what is served with it",
            "renew the files; a running daemon takes them within a second or two"};
  if (!soon.empty())
    return {"certificates", adapters::FactState::kDegraded, soon,
            "clients will refuse what is served with it",
            "renew the files; a running daemon takes them within a second or two"};
  return {"certificates", adapters::FactState::kOk,
          std::to_string(all.size()) + " of host.yaml, none ends within two weeks", "", ""};
}

adapters::HostFact IssuedFact(const Invocation& invocation) {
  const auto names = AcmeService::Read(invocation.layout().acme());
  if (!names)
    return {"acme", adapters::FactState::kUnknown, names.error().Render(),
            "whether certificates are renewed in time is not known",
            "look at " + invocation.layout().acme().string()};
  const WallTime now = SystemClock().Now();
  std::string bad;
  std::string failing;
  for (const IssuedName& name : *names) {
    const std::string waiting = name.Waiting(now);
    // One that never got anywhere and of which nothing is pending is nobody's any more.
    if (!waiting.empty() && (name.failures > 0 || name.certificate))
      bad += (bad.empty() ? "" : "; ") + name.name + ": " + waiting;
    else if (name.failures > 0)
      failing += (failing.empty() ? "" : "; ") + name.name + ": " + name.reason +
                 "; its certificate ends at " + RenderTime(name.certificate->ends);
  }
  const std::string remedy = "see what the authority says; the daemon tries again by itself";
  if (!bad.empty())
    return {"acme", adapters::FactState::kMissing, bad, "clients refuse the routes that need it", remedy};
  if (!failing.empty())
    return {"acme", adapters::FactState::kDegraded, failing, "clients will refuse the routes that need it",
            remedy};
  return {"acme", adapters::FactState::kOk,
          std::to_string(names->size()) + " names with certificates of an authority, none fails", "", ""};
}

struct DoctorOptions {
  bool fix = false;
  bool dry_run = false;
  bool yes = false;
};

std::vector<adapters::HostFact> LookAtAll(const Invocation& invocation) {
  std::vector<adapters::HostFact> facts = adapters::LookAtHost(invocation.layout().root);
  facts.push_back(FoldersFact(invocation.layout()));
  facts.push_back(VolumesFact(invocation.layout()));
  facts.push_back(StoreFact(invocation.layout()));
  facts.push_back(ScrubFact(invocation.layout()));
  facts.push_back(CertificateFact(invocation));
  // Only where an authority is, or was, asked.
  if (std::error_code none; fs::exists(invocation.layout().acme(), none))
    facts.push_back(IssuedFact(invocation));
  return facts;
}

// Puts right what can be, and says so; what was done, for JSON.
JsonArray MakeFixes(const Invocation& invocation, const DoctorOptions& options,
                    const std::vector<adapters::HostFact>& facts) {
  JsonArray out;
  for (const Fix& fix : FixesFor(facts, invocation.layout(), options.yes)) {
    std::string outcome = "done";
    std::string error;
    if (!fix.apply) {
      outcome = "left";
    } else if (options.dry_run) {
      outcome = "would be done";
    } else if (auto done = fix.apply(); !done) {
      outcome = "failed";
      error = done.error().Render();
    }
    if (!invocation.json)
      std::printf("%s %s: %s%s\n",
                  Paint(outcome == "done" ? Colour::kGreen : Colour::kYellow, outcome + ":").c_str(),
                  fix.fact.c_str(), fix.what.c_str(),
                  fix.apply ? (error.empty() ? "" : (": " + error).c_str()) : " (with --yes it is run)");
    out.push_back(JsonObject{{"fact", fix.fact}, {"what", fix.what}, {"outcome", outcome}, {"error", error}});
  }
  if (!invocation.json && out.empty()) std::puts("nothing that could be put right by itself");
  return out;
}

int Doctor(Invocation& invocation, const DoctorOptions& options) {
  std::vector<adapters::HostFact> facts = LookAtAll(invocation);
  JsonArray fixes;
  if (options.fix) {
    fixes = MakeFixes(invocation, options, facts);
    if (!fixes.empty() && !options.dry_run) facts = LookAtAll(invocation);
  }
  int missing = 0;
  int unknown = 0;
  JsonArray rows;
  for (const adapters::HostFact& fact : facts) {
    missing += fact.state == adapters::FactState::kMissing ? 1 : 0;
    unknown += fact.state == adapters::FactState::kUnknown ? 1 : 0;
    rows.push_back(JsonObject{{"name", fact.name},
                              {"state", adapters::FactStateName(fact.state)},
                              {"seen", fact.seen},
                              {"lost", fact.lost},
                              {"remedy", fact.remedy}});
  }
  if (invocation.json) {
    JsonObject report{{"facts", std::move(rows)}, {"missing", missing}, {"unknown", unknown}};
    if (options.fix) report["fixes"] = std::move(fixes);
    PrintJson(report);
    return missing == 0 && unknown == 0 ? kDone : kFailed;
  }
  std::vector<std::vector<std::string>> table = {{"CHECK", "STATE", "SEEN"}};
  for (const adapters::HostFact& fact : facts)
    table.push_back({fact.name, Paint(ColourOf(fact.state), adapters::FactStateName(fact.state)), fact.seen});
  std::fputs(RenderTable(table).c_str(), stdout);
  for (const adapters::HostFact& fact : facts) {
    if (fact.state == adapters::FactState::kOk) continue;
    std::printf("\n%s (%s)\n", Paint(Colour::kBold, fact.name).c_str(),
                std::string(adapters::FactStateName(fact.state)).c_str());
    if (!fact.lost.empty()) std::printf("  costs:  %s\n", fact.lost.c_str());
    if (!fact.remedy.empty()) std::printf("  remedy: %s\n", fact.remedy.c_str());
  }
  if (missing == 0 && unknown == 0) {
    std::puts("\nthis host can run Ingot");
    return kDone;
  }
  std::printf("\n%d missing, %d unknown\n", missing, unknown);
  return kFailed;
}

}  // namespace

void AddDoctor(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* verb = AddVerb(app, invocation, "doctor",
                           "what this host gives, what is missing, and which guarantee that costs",
                           [&invocation, options] { return Doctor(invocation, *options); });
  AddHostOption(*verb, invocation);
  CLI::Option* fix = verb->add_flag("--fix", options->fix, "put right what can be, and say what was done");
  verb->add_flag("--dry-run", options->dry_run, "with --fix: only say what would be done")->needs(fix);
  verb->add_flag("-y,--yes", options->yes, "with --fix: install missing Debian packages, too")->needs(fix);
  verb->footer(
      "--fix sets owner and mode of Ingot's folders, loads kernel modules and raises the limit of user\n"
      "namespaces. What a killed daemon has left behind the next one sweeps by itself.");
}

}  // namespace ingot::app

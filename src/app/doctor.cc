#include <CLI/CLI.hpp>
#include <cstdio>

#include "adapters/host_facts.h"
#include "app/invocation.h"
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

int Doctor(Invocation& invocation) {
  const std::vector<adapters::HostFact> facts = adapters::LookAtHost(invocation.layout().root);
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
    PrintJson(JsonObject{{"facts", std::move(rows)}, {"missing", missing}, {"unknown", unknown}});
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
  AddVerb(app, invocation, "doctor", "what this host gives, what is missing, and which guarantee that costs",
          [&invocation] { return Doctor(invocation); });
}

}  // namespace ingot::app

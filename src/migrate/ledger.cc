#include "migrate/ledger.h"

#include <algorithm>
#include <map>

namespace ingot::migrate {

namespace {

std::string By(const LedgerEntry& entry) {
  return entry.revision.empty() ? "by hand" : "by " + entry.revision;
}

std::string Changed(const Script& script, const LedgerEntry& entry) {
  const std::string what = entry.stage != script.stage
                               ? "was " + std::string(StageName(entry.stage)) + " and is " +
                                     std::string(StageName(script.stage)) + " now"
                               : "is not what was applied (checksum " + entry.checksum.substr(0, 12) +
                                     ", now " + script.checksum.substr(0, 12) + ")";
  return script.file + " " + what + "; it was begun " + By(entry) + " at " + RenderTime(entry.started) +
         ". Put back what it was, and write the change as a new script";
}

}  // namespace

std::string_view StateName(Step::State state) {
  switch (state) {
    case Step::State::kApplied:
      return "applied";
    case Step::State::kPartial:
      return "partial";
    case Step::State::kPending:
      return "pending";
    case Step::State::kWaits:
      return "waits";
  }
  return "";
}

Comparison Compare(const std::vector<Script>& scripts, const std::vector<LedgerEntry>& ledger,
                   const std::set<uint64_t>& contracts) {
  Comparison out;
  std::map<uint64_t, const LedgerEntry*> entries;
  uint64_t newest_expand = 0;
  for (const LedgerEntry& entry : ledger) {
    entries[entry.version] = &entry;
    if (entry.stage == Stage::kExpand) newest_expand = std::max(newest_expand, entry.version);
  }
  for (const Script& script : scripts) {
    Step step{script};
    const auto found = entries.find(script.version);
    if (found != entries.end()) {
      const LedgerEntry& entry = *found->second;
      step.state = entry.ended ? Step::State::kApplied : Step::State::kPartial;
      if (entry.checksum != script.checksum || entry.stage != script.stage)
        out.problems.push_back(Changed(script, entry));
      entries.erase(found);
    } else {
      step.late = script.stage == Stage::kExpand && script.version < newest_expand;
      if (script.stage == Stage::kContract && !contracts.contains(script.version))
        step.state = Step::State::kWaits;
    }
    out.steps.push_back(std::move(step));
  }
  for (const auto& [version, entry] : entries) {
    const Script script{version, entry->name, entry->stage, entry->checksum, ""};
    out.problems.push_back(
        "the database has " + Render(script) + " (" + By(*entry) + " at " + RenderTime(entry->started) +
        "), which this release does not have; deploy a commit that has the script, it does no harm");
  }
  return out;
}

}  // namespace ingot::migrate

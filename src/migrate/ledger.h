// The ledger that a database keeps of the scripts that it was given: the table ingot_migrations.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "migrate/script.h"

namespace ingot::migrate {

// One row. `set` is "project/name of the migration": several may share a database.
struct LedgerEntry {
  std::string set;
  uint64_t version = 0;
  std::string name;
  Stage stage = Stage::kExpand;
  std::string checksum;
  uint32_t statements = 0;  // of the script
  uint32_t done = 0;        // so many of them, from the first, are done
  bool running = false;     // the next one, which runs alone, was begun: nobody knows how it ended
  WallTime started{};
  std::optional<WallTime> ended;  // set when all are done
  std::string revision;           // that brought it: "r12"; empty: by hand
  std::string who;
  bool operator==(const LedgerEntry&) const = default;
};

// What is to be done with a script.
struct Step {
  enum class State {
    kApplied,
    kPartial,  // begun, and to be gone on with
    kPending,
    kWaits,  // a contract script that has to wait
  };
  Script script;
  State state = State::kPending;
  bool late = false;  // a newer expand script was applied before
  bool operator==(const Step&) const = default;
};
std::string_view StateName(Step::State state);  // "applied", "partial", "pending", "waits"

struct Comparison {
  std::vector<Step> steps;            // in the order of versions
  std::vector<std::string> problems;  // an applied script that was changed, or is missing
};

// `scripts` in the order of versions; `ledger` of their set. Of contract scripts those of these versions may
// run: every revision that is left knows them.
Comparison Compare(const std::vector<Script>& scripts, const std::vector<LedgerEntry>& ledger,
                   const std::set<uint64_t>& contracts);

}  // namespace ingot::migrate

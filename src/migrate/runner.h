// Runs the scripts that are due, under the database's lock, each with its row of the ledger.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "migrate/database.h"

namespace ingot::migrate {

struct RunOptions {
  std::string set;       // "project/name"
  std::string revision;  // "r12"; empty: by hand
  std::string who;
  Engine engine = Engine::kPostgres;
  bool expand = true;            // run expand scripts
  std::set<uint64_t> contracts;  // and contract scripts of these versions
};

struct RunProgress {
  Script script;
  size_t statement = 0;   // from 1
  size_t statements = 0;  // of the script
};

struct RunHooks {
  std::function<Result<std::string>(const Script&)> text;  // of a script, with its checksum
  std::function<bool()> cancelled;
  std::function<void(const RunProgress&)> progress;  // before each statement
  std::function<void(const Script&)> ended;          // after each script
};

// The scripts that were ended by this run, in order. What a killed run has begun is gone on with. kRefused
// when an applied script was changed or is missing: then nothing was run. A statement that fails: kFailed
// with "FILE:LINE: …"; scripts before it stay applied, of its own what its transaction holds is taken back.
Result<std::vector<Script>> Run(Database& database, const std::vector<Script>& scripts,
                                const RunOptions& options, const RunHooks& hooks, Clock& clock);

// What makes Compare's problems an error; none: success.
Result<void> CheckProblems(const Comparison& comparison);

}  // namespace ingot::migrate

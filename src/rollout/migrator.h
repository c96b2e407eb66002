// Migrator: what runs the scripts of a revision on its databases. It works on its own; the machine begins a
// run, looks at it, and ends it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "migrate/script.h"
#include "plan/revision.h"

namespace ingot::rollout {

// One run: the expand scripts of a rollout, or the contract scripts of a revision. A run of the same key is
// the same one; a new attempt is another.
struct MigrationKey {
  migrate::Stage stage = migrate::Stage::kExpand;
  uint64_t number = 0;   // of the rollout, or of the step in which contract scripts became due
  uint64_t attempt = 0;  // of contract scripts, from 1 on
  bool operator==(const MigrationKey&) const = default;
};

// By name of the migration: contract scripts that may run, by their versions.
using ContractScripts = std::map<std::string, std::set<uint64_t>>;

struct MigrationRun {
  enum class State { kRunning, kDone, kFailed };
  MigrationKey key;
  ContractScripts contracts;  // that it was begun with
  State state = State::kRunning;
  std::string message;               // running: where it is; failed: why
  std::vector<std::string> applied;  // ended by this run: "shop: 012_add_email"
  bool operator==(const MigrationRun&) const = default;
};

// All functions return at once. One run per environment at a time; what a killed process had begun is not
// known here, the database's ledger knows.
class Migrator {
 public:
  virtual ~Migrator() = default;
  // Runs expand scripts if the key says so, and these contract scripts. Does nothing when the key is the last
  // one begun; kConflict while another one runs.
  virtual Result<void> Begin(const platform::EnvironmentId& environment, const MigrationKey& key,
                             const plan::Revision& revision, const ContractScripts& contracts) = 0;
  // The last one begun by this process.
  virtual std::optional<MigrationRun> Look(const platform::EnvironmentId& environment) = 0;
  // Asks it to end; it fails soon.
  virtual void Cancel(const platform::EnvironmentId& environment) = 0;
};

}  // namespace ingot::rollout

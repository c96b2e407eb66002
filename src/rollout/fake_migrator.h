// A migrator in memory for tests of rollouts, with the databases that outlive it, and a watch over what must
// never happen to them.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "migrate/ledger.h"
#include "rollout/environment_state.h"

namespace ingot::rollout::testing {

// What is in the databases: the ledger, by name of the migration.
using Databases = std::map<std::string, std::vector<migrate::LedgerEntry>>;

class FakeMigrator final : public Migrator {
 public:
  // `last` is the journal's last state.
  FakeMigrator(const FakeClock& clock, Databases& databases, const EnvironmentState& last,
               std::vector<std::string>& violations)
      : clock_(clock), databases_(databases), last_(last), violations_(violations) {}

  std::function<void()> step = [] {};  // before and after each script
  std::function<bool(const migrate::Script&)> fails;
  Milliseconds takes{20};  // each script

  Result<void> Begin(const platform::EnvironmentId&, const MigrationKey& key, const plan::Revision& revision,
                     const ContractScripts& contracts) override {
    if (run_ && run_->key == key) return {};
    if (run_ && run_->state == MigrationRun::State::kRunning) return Error(Code::kConflict, "another run");
    const bool expands =
        last_.rollout && last_.rollout->phase == Phase::kMigrating && key.number == last_.rollout->id;
    const bool contracting = last_.contracting && key.number == last_.contracting->number &&
                             key.attempt == last_.contracting->attempt;
    if (key.stage == migrate::Stage::kExpand ? !expands : !contracting)
      violations_.push_back("migrations begun before it was journalled");
    run_ = MigrationRun{key, contracts};
    due_.clear();
    for (const definition::ResolvedMigration& migration : revision.resolved.migrations) {
      const auto may = contracts.find(migration.name);
      const auto compared = migrate::Compare(migration.scripts, databases_[migration.name],
                                             may == contracts.end() ? std::set<uint64_t>() : may->second);
      if (!compared.problems.empty()) return Fail(compared.problems.front());
      for (const migrate::Step& one : compared.steps) {
        if (one.state == migrate::Step::State::kApplied || one.state == migrate::Step::State::kWaits)
          continue;
        if (one.script.stage == migrate::Stage::kExpand && key.stage == migrate::Stage::kContract) continue;
        due_.emplace_back(migration.name, one.script);
      }
    }
    next_ = clock_.Steady() + takes;
    return {};
  }

  std::optional<MigrationRun> Look(const platform::EnvironmentId&) override {
    while (run_ && run_->state == MigrationRun::State::kRunning && clock_.Steady() >= next_) {
      if (due_.empty()) {
        run_->state = MigrationRun::State::kDone;
      } else if (cancelled_ || (fails && fails(due_.front().second))) {
        static_cast<void>(Fail(cancelled_ ? "cancelled" : "it fails").has_value());
      } else {
        Apply(due_.front().first, due_.front().second);
        due_.erase(due_.begin());
        next_ += takes;
      }
      if (run_->state != MigrationRun::State::kRunning) cancelled_ = false;
    }
    return run_;
  }

  void Cancel(const platform::EnvironmentId&) override { cancelled_ = true; }

 private:
  Result<void> Fail(const std::string& why) {
    run_->state = MigrationRun::State::kFailed;
    run_->message = why;
    return {};
  }

  void Apply(const std::string& migration, const migrate::Script& script) {
    step();
    // What is taken away nobody may need who still runs, or could come back at once.
    if (script.stage == migrate::Stage::kContract)
      for (const auto& [number, live] : last_.live)
        if (!Has(last_.RevisionOf(number), migration, script.version))
          violations_.push_back("contract script run while r" + std::to_string(number) + " does not know it");
    migrate::LedgerEntry entry;
    entry.version = script.version;
    entry.name = script.name;
    entry.stage = script.stage;
    entry.checksum = script.checksum;
    entry.ended = clock_.Now();
    databases_[migration].push_back(entry);
    run_->applied.push_back(migration + ": " + migrate::Render(script));
    step();
  }

  static bool Has(const plan::Revision& revision, const std::string& migration, uint64_t version) {
    for (const auto& known : revision.resolved.migrations)
      if (known.name == migration)
        return std::any_of(known.scripts.begin(), known.scripts.end(),
                           [&](const migrate::Script& script) { return script.version == version; });
    return false;
  }

  const FakeClock& clock_;
  Databases& databases_;
  const EnvironmentState& last_;
  std::vector<std::string>& violations_;
  std::optional<MigrationRun> run_;
  std::vector<std::pair<std::string, migrate::Script>> due_;
  SteadyTime next_{};
  bool cancelled_ = false;
};

}  // namespace ingot::rollout::testing

// Runs the migrations of revisions on their databases, each run on a thread of its own, and compares ledgers
// for plans. What it knows of a run dies with the process: the ledgers know the rest.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "adapters/migration_database.h"
#include "app/script_files.h"
#include "base/sync.h"
#include "jobs/run.h"
#include "migrate/runner.h"
#include "rollout/migrator.h"
#include "secrets/secret_store.h"

namespace ingot::app {

// What runs the commands of migrations. Any thread but the one that answers; both wait for its answer.
struct MigrationCommands {
  // The run of this rollout: begun now, or before. kConflict: another run of the job goes on.
  std::function<Result<jobs::Run>(const platform::EnvironmentId&, const plan::Revision&,
                                  const std::string& job, uint64_t rollout)>
      begin;
  std::function<Result<jobs::Run>(const platform::EnvironmentId&, uint64_t run)> find;
};

class DatabaseMigrator final : public rollout::Migrator {
 public:
  // All of them outlive it. `on_change` is called, from any thread, when a run has come further.
  DatabaseMigrator(const secrets::SecretStore& secrets, const ScriptFiles& scripts, Clock& clock,
                   MigrationCommands commands, std::function<void()> on_change);
  // Ends every run: the next process goes on with them.
  ~DatabaseMigrator() override;

  Result<void> Begin(const platform::EnvironmentId& environment, const rollout::MigrationKey& key,
                     const plan::Revision& revision, const rollout::ContractScripts& contracts) override;
  std::optional<rollout::MigrationRun> Look(const platform::EnvironmentId& environment) override;
  void Cancel(const platform::EnvironmentId& environment) override;

  // Ends what is done by hand and what is compared, before a daemon stops answering.
  void EndHandWork() { hand_ends_ = true; }

  // No command is asked about any more when this returns; to be called while there still is who answers.
  void EndCommands() { *asks_.lock() = false; }

  // What is to be done on the migration's database; the problems are those of the ledger, and of the lint and
  // the parser in scripts that are still to be run. An error: could not look.
  Result<migrate::Comparison> Compare(const platform::EnvironmentId& environment,
                                      const definition::ResolvedMigration& migration,
                                      const std::set<uint64_t>& contracts);
  // Runs expand scripts by hand; `ended` hears of each as it ends, also when a later one fails. The codes of
  // migrate::Run.
  Result<void> RunByHand(const platform::EnvironmentId& environment,
                         const definition::ResolvedMigration& migration, const std::string& who,
                         std::function<void(const migrate::Script&)> ended);

 private:
  struct Work;
  Result<std::unique_ptr<migrate::Database>> Open(const platform::EnvironmentId& environment,
                                                  const definition::ResolvedMigration& migration,
                                                  const std::string& revision,
                                                  std::function<bool()> cancelled);
  Result<std::vector<migrate::Script>> RunOne(const platform::EnvironmentId& environment,
                                              const definition::ResolvedMigration& migration,
                                              migrate::RunOptions options, migrate::RunHooks hooks);
  void RunAll(Work& work);
  Result<void> RunScripts(Work& work, const definition::ResolvedMigration& migration);
  Result<void> RunCommand(Work& work, const std::string& job);
  void Note(Work& work, const std::function<void(rollout::MigrationRun&)>& change);

  const secrets::SecretStore& secrets_;
  const ScriptFiles& scripts_;
  Clock& clock_;
  MigrationCommands commands_;
  std::function<void()> on_change_;
  Milliseconds lock_wait_;
  std::atomic<bool> hand_ends_ = false;
  std::atomic<bool> closing_ = false;
  Sync<bool> asks_{true};  // held while a command is asked about
  Sync<std::map<platform::EnvironmentId, std::unique_ptr<Work>>> works_;
};

}  // namespace ingot::app

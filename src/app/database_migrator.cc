#include "app/database_migrator.h"

#include <sys/prctl.h>

#include <cstdlib>

#include "app/signals.h"
#include "base/units.h"
#include "migrate/lint.h"

namespace ingot::app {

namespace {

// A connection that was lost is made anew: the ledger says where to go on.
constexpr int kTries = 4;
constexpr Milliseconds kPause{1'000};
// Between two looks at a command's run.
constexpr Milliseconds kPoll{50};
// Between two tries to begin one that somebody runs by hand: each reads the journal of runs.
constexpr Milliseconds kBusy{500};
constexpr Milliseconds kDefaultLockWait{60'000};

// INGOT_MIGRATION_LOCK_WAIT: how long another migration of the same database is waited for.
Milliseconds LockWait() {
  const char* text = std::getenv("INGOT_MIGRATION_LOCK_WAIT");
  if (text == nullptr || *text == '\0') return kDefaultLockWait;
  if (auto wait = ParseDuration(text)) return *wait;
  LogToStderr("INGOT_MIGRATION_LOCK_WAIT=" + std::string(text) + " is no time; waiting 60s");
  return kDefaultLockWait;
}

}  // namespace

struct DatabaseMigrator::Work {
  platform::EnvironmentId environment;
  plan::Revision revision;
  Sync<rollout::MigrationRun> run;
  std::atomic<bool> cancelled = false;
  std::thread thread;
};

DatabaseMigrator::DatabaseMigrator(const secrets::SecretStore& secrets, const ScriptFiles& scripts,
                                   Clock& clock, MigrationCommands commands, std::function<void()> on_change)
    : secrets_(secrets),
      scripts_(scripts),
      clock_(clock),
      commands_(std::move(commands)),
      on_change_(std::move(on_change)),
      lock_wait_(LockWait()) {}

DatabaseMigrator::~DatabaseMigrator() {
  closing_ = true;
  for (auto& [environment, work] : *works_.lock())
    if (work->thread.joinable()) work->thread.join();
}

Result<void> DatabaseMigrator::Begin(const platform::EnvironmentId& environment,
                                     const rollout::MigrationKey& key, const plan::Revision& revision,
                                     const rollout::ContractScripts& contracts) {
  auto works = works_.lock();
  std::unique_ptr<Work>& slot = (*works)[environment];
  if (slot) {
    const rollout::MigrationRun last = *slot->run.lock();
    if (last.key == key) return {};
    if (last.state == rollout::MigrationRun::State::kRunning)
      return Error(Code::kConflict, "another run of migrations has not ended yet");
    slot->thread.join();
  }
  slot = std::make_unique<Work>();
  slot->environment = environment;
  slot->revision = revision;
  {
    auto run = slot->run.lock();
    run->key = key;
    run->contracts = contracts;
  }
  slot->thread = std::thread([this, &work = *slot] { RunAll(work); });
  return {};
}

std::optional<rollout::MigrationRun> DatabaseMigrator::Look(const platform::EnvironmentId& environment) {
  auto works = works_.lock();
  const auto found = works->find(environment);
  if (found == works->end()) return std::nullopt;
  return *found->second->run.lock();
}

void DatabaseMigrator::Cancel(const platform::EnvironmentId& environment) {
  auto works = works_.lock();
  if (const auto found = works->find(environment); found != works->end()) found->second->cancelled = true;
}

Result<std::unique_ptr<migrate::Database>> DatabaseMigrator::Open(
    const platform::EnvironmentId& environment, const definition::ResolvedMigration& migration,
    const std::string& revision, std::function<bool()> cancelled) {
  adapters::MigrationTarget target;
  target.engine = migration.engine();
  target.url = migration.url;
  if (!migration.secret.empty())
    target.secret = TRY(secrets_.Get(environment, {migration.secret, migration.secret_version}));
  target.application = "ingot " + environment.Render() + (revision.empty() ? "" : " " + revision);
  target.cancelled = std::move(cancelled);
  target.lock_wait = lock_wait_;
  return adapters::OpenMigrationDatabase(target);
}

Result<std::vector<migrate::Script>> DatabaseMigrator::RunOne(const platform::EnvironmentId& environment,
                                                              const definition::ResolvedMigration& migration,
                                                              migrate::RunOptions options,
                                                              migrate::RunHooks hooks) {
  options.set = environment.project() + "/" + migration.name;
  options.engine = migration.engine();
  hooks.text = [this](const migrate::Script& script) { return scripts_.Get(script.checksum); };
  bool reached = false;
  for (int tries = 1;; ++tries) {
    auto database = Open(environment, migration, options.revision, hooks.cancelled);
    reached = reached || database;
    auto done = database ? migrate::Run(**database, migration.scripts, options, hooks, clock_)
                         : Result<std::vector<migrate::Script>>(std::move(database).error());
    const bool again = !done && done.error().code() == Code::kUnavailable && reached && tries < kTries;
    if (!again || hooks.cancelled()) return done;
    clock_.Sleep(kPause * tries);
  }
}

void DatabaseMigrator::Note(Work& work, const std::function<void(rollout::MigrationRun&)>& change) {
  change(*work.run.lock());
  on_change_();
}

Result<void> DatabaseMigrator::RunScripts(Work& work, const definition::ResolvedMigration& migration) {
  const rollout::MigrationRun begun = *work.run.lock();
  migrate::RunOptions options;
  options.revision = work.revision.Name();
  options.who = work.revision.actor;
  options.expand = begun.key.stage == migrate::Stage::kExpand;
  if (const auto may = begun.contracts.find(migration.name); may != begun.contracts.end())
    options.contracts = may->second;
  migrate::RunHooks hooks;
  hooks.cancelled = [&] { return work.cancelled || closing_; };
  hooks.progress = [&](const migrate::RunProgress& progress) {
    Note(work, [&](rollout::MigrationRun& run) {
      run.message = migration.name + ": " + migrate::Render(progress.script) + ", statement " +
                    std::to_string(progress.statement) + " of " + std::to_string(progress.statements);
    });
  };
  hooks.ended = [&](const migrate::Script& script) {
    Note(work, [&](rollout::MigrationRun& run) {
      run.applied.push_back(migration.name + ": " + migrate::Render(script));
    });
  };
  TRY(RunOne(work.environment, migration, options, hooks));
  return {};
}

// It goes on without this process, and is found again by the next one.
Result<void> DatabaseMigrator::RunCommand(Work& work, const std::string& job) {
  const uint64_t rollout = work.run.lock()->key.number;
  std::optional<uint64_t> number;
  const auto ask = [&]() -> std::optional<Result<jobs::Run>> {
    auto asks = asks_.lock();
    if (!*asks) return std::nullopt;
    return number ? commands_.find(work.environment, *number)
                  : commands_.begin(work.environment, work.revision, job, rollout);
  };
  while (true) {
    auto asked = ask();
    if (!asked) {
      // Nothing is said before the rollout's controller has gone: it would take the end of the daemon for a
      // failure of the command.
      while (!closing_) clock_.Sleep(kPoll);
      return Error(Code::kCancelled, "the daemon ends");
    }
    Result<jobs::Run>& run = *asked;
    // Somebody runs it by hand: it is waited for.
    if (!run && (number || run.error().code() != Code::kConflict)) return std::move(run).error();
    if (run) {
      const std::string name = "run " + std::to_string(run->id);
      if (!run->open()) {
        if (run->outcome == jobs::Outcome::kSucceeded) return {};
        return Error(Code::kRefused, name + " " + std::string(jobs::NameOf(run->outcome)) +
                                         (run->reason.empty() ? "" : ": " + run->reason) +
                                         "; `ingot job logs " + std::to_string(run->id) +
                                         "` shows what it said");
      }
      if (!number) Note(work, [&](rollout::MigrationRun& noted) { noted.message = job + ": " + name; });
      number = run->id;
    }
    // A run that is under way is ended by the controller of jobs, once its rollout wants it no more.
    if (work.cancelled && !number) return Error(Code::kCancelled, "it was cancelled before it began");
    clock_.Sleep(number ? kPoll : kBusy);
  }
}

void DatabaseMigrator::RunAll(Work& work) {
  ::prctl(PR_SET_NAME, "migration");
  using State = rollout::MigrationRun::State;
  const auto failed = [&](const std::string& name, const Error& error) {
    Note(work, [&](rollout::MigrationRun& run) {
      run.state = State::kFailed;
      run.message = name + ": " + error.Render();
    });
  };
  for (const definition::ResolvedMigration& migration : work.revision.resolved.migrations)
    if (auto done = RunScripts(work, migration); !done) return failed(migration.name, done.error());
  if (work.run.lock()->key.stage == migrate::Stage::kExpand)
    for (const plan::Job& job : work.revision.jobs) {
      if (!job.migrates) continue;
      const std::string& name = job.spec.id.service();
      if (auto done = RunCommand(work, name); !done) return failed(name, done.error());
    }
  Note(work, [](rollout::MigrationRun& run) {
    run.state = State::kDone;
    run.message.clear();
  });
}

Result<migrate::Comparison> DatabaseMigrator::Compare(const platform::EnvironmentId& environment,
                                                      const definition::ResolvedMigration& migration,
                                                      const std::set<uint64_t>& contracts) {
  auto database = TRY(Open(environment, migration, "", [this] { return hand_ends_.load(); }));
  const auto ledger = TRY(database->ReadLedger(environment.project() + "/" + migration.name));
  migrate::Comparison out = migrate::Compare(migration.scripts, ledger, contracts);
  for (const migrate::Step& step : out.steps) {
    if (step.state == migrate::Step::State::kApplied) continue;
    const auto parsed = migrate::ParseScript(TRY(scripts_.Get(step.script.checksum)), migration.engine());
    if (!parsed) {
      out.problems.push_back(step.script.file + ": " + parsed.error().message());
      continue;
    }
    for (const migrate::Finding& finding : migrate::Lint(*parsed, step.script.stage, migration.engine()))
      out.problems.push_back(migrate::Render(step.script.file, finding));
  }
  return out;
}

Result<void> DatabaseMigrator::RunByHand(const platform::EnvironmentId& environment,
                                         const definition::ResolvedMigration& migration,
                                         const std::string& who,
                                         std::function<void(const migrate::Script&)> ended) {
  TRY(migrate::CheckProblems(TRY(Compare(environment, migration, {}))));
  migrate::RunOptions options;
  options.who = who;
  migrate::RunHooks hooks;
  hooks.cancelled = [this] { return hand_ends_.load(); };
  hooks.ended = std::move(ended);
  TRY(RunOne(environment, migration, options, hooks));
  return {};
}

}  // namespace ingot::app

// Migrations in the life of an environment: expand scripts before the first new instance starts, contract
// scripts when no revision is left that does not know them.
#include <algorithm>

#include "rollout/phases.h"

namespace ingot::rollout {

namespace {

// A contract script that fails is tried again after 1 min, 2 min, … up to an hour.
constexpr Milliseconds kFirstAgain{60'000};
constexpr Milliseconds kLongestAgain{3'600'000};

bool Knows(const plan::Revision& revision, const std::string& migration, uint64_t version) {
  for (const definition::ResolvedMigration& known : revision.resolved.migrations)
    if (known.name == migration)
      return std::any_of(known.scripts.begin(), known.scripts.end(), [&](const migrate::Script& one) {
        return one.version == version && one.stage == migrate::Stage::kContract;
      });
  return false;
}

bool Has(const plan::Revision& revision, const std::string& migration) {
  const auto& all = revision.resolved.migrations;
  return std::any_of(all.begin(), all.end(), [&](const auto& one) { return one.name == migration; });
}

// Contract scripts of the revision that each live revision knows, without those that have ended.
ContractScripts Due(const EnvironmentState& state, const plan::Revision& of) {
  ContractScripts due;
  for (const definition::ResolvedMigration& migration : of.resolved.migrations) {
    for (const migrate::Script& script : migration.scripts) {
      if (script.stage != migrate::Stage::kContract) continue;
      const auto ended = state.contracts_ended.find(migration.name);
      if (ended != state.contracts_ended.end() && ended->second.contains(script.version)) continue;
      const bool all = std::all_of(state.live.begin(), state.live.end(), [&](const auto& live) {
        return Knows(state.RevisionOf(live.first), migration.name, script.version);
      });
      if (all) due[migration.name].insert(script.version);
    }
  }
  return due;
}

// Of these scripts those that each live revision knows.
ContractScripts Known(const EnvironmentState& state, const ContractScripts& scripts) {
  ContractScripts known;
  for (const auto& [migration, versions] : scripts)
    for (const uint64_t version : versions)
      if (std::all_of(state.live.begin(), state.live.end(), [&, name = migration](const auto& live) {
            return Knows(state.RevisionOf(live.first), name, version);
          }))
        known[migration].insert(version);
  return known;
}

void Add(ContractScripts& to, const ContractScripts& more) {
  for (const auto& [name, versions] : more) to[name].insert(versions.begin(), versions.end());
}

void RecordApplied(Transition& t, const MigrationRun& run, uint64_t revision) {
  for (const std::string& script : run.applied)
    t.Record("migration.applied", {{"revision", "r" + std::to_string(revision)},
                                   {"stage", migrate::StageName(run.key.stage)},
                                   {"script", script}});
}

void RecordFailed(Transition& t, const MigrationRun& run, uint64_t revision) {
  t.Record("migration.failed", {{"revision", "r" + std::to_string(revision)},
                                {"stage", migrate::StageName(run.key.stage)},
                                {"reason", run.message}});
}

MigrationKey KeyOf(const Contracting& contracting) {
  return {migrate::Stage::kContract, contracting.number, contracting.attempt};
}

// A run of this key that has ended.
const MigrationRun* Ended(const Transition& t, const MigrationKey& key) {
  const auto& run = t.view.migration;
  return run && run->key == key && run->state != MigrationRun::State::kRunning ? &*run : nullptr;
}

bool HasMigrationJob(const plan::Revision& revision) {
  return std::any_of(revision.jobs.begin(), revision.jobs.end(),
                     [](const auto& job) { return job.migrates; });
}

}  // namespace

ContractScripts MayContract(const EnvironmentState* state,
                            const std::vector<definition::ResolvedMigration>& migrations) {
  ContractScripts all;
  for (const definition::ResolvedMigration& migration : migrations)
    for (const migrate::Script& script : migration.scripts)
      if (script.stage == migrate::Stage::kContract) all[migration.name].insert(script.version);
  return state == nullptr ? all : Known(*state, all);
}

bool NeedsMigration(const EnvironmentState& state) {
  const Rollout& rollout = *state.rollout;
  if (Target(state).resolved.migrations.empty() && !HasMigrationJob(Target(state))) return false;
  // A revision to which one goes back was brought up to date as it came, if it came.
  return rollout.kind == RolloutKind::kApply || state.unmigrated.contains(rollout.to);
}

bool BeginMigrating(Transition& t) {
  Add(t.next.contracted, Due(t.next, Target(t.next)));
  return Go(t, Phase::kMigrating, Milliseconds(0));
}

bool Migrating(Transition& t) {
  if (!t.view.can_migrate) return Fail(t, "this daemon runs no migrations");
  const MigrationRun* run = Ended(t, {migrate::Stage::kExpand, t.next.rollout->id});
  if (run == nullptr) return false;
  RecordApplied(t, *run, t.next.rollout->to);
  if (run->state == MigrationRun::State::kDone) {
    Add(t.next.contracts_ended, run->contracts);
    t.next.unmigrated.erase(t.next.rollout->to);
    return BeginStarting(t);
  }
  RecordFailed(t, *run, t.next.rollout->to);
  return Fail(t, "its migration failed: " + run->message);
}

void Contract(Transition& t) {
  EnvironmentState& state = t.next;
  auto& contracting = state.contracting;
  if (state.destroying || !state.active) {
    if (contracting) t.Changed();
    contracting.reset();
    return;
  }
  if (contracting && contracting->again) {
    if (t.now < *contracting->again) return t.Wake(*contracting->again);
    if (state.Busy()) return;
    // A revision may have come since then that is without a script that failed.
    contracting->scripts = Known(state, contracting->scripts);
    contracting->again.reset();
    ++contracting->attempt;
    if (contracting->scripts.empty()) contracting.reset();
    t.Changed();
  }
  if (contracting) {
    const MigrationRun* run = Ended(t, KeyOf(*contracting));
    if (run == nullptr) return;
    RecordApplied(t, *run, contracting->revision);
    t.Changed();
    if (run->state == MigrationRun::State::kFailed) {
      RecordFailed(t, *run, contracting->revision);
      contracting->reason = run->message;
      const auto doublings = static_cast<int>(std::min<uint64_t>(contracting->attempt - 1, 6));
      contracting->again = t.now + std::min(kLongestAgain, kFirstAgain * (1 << doublings));
      return t.Wake(*contracting->again);
    }
    Add(state.contracts_ended, run->contracts);
    contracting.reset();
  }
  if (state.Busy()) return;
  const ContractScripts due = Due(state, state.RevisionOf(*state.active));
  if (due.empty()) return;
  Add(state.contracted, due);
  contracting = Contracting{state.step + 1, *state.active, due, 1, {}, ""};
  t.Record("migration.contracting", {{"revision", "r" + std::to_string(*state.active)}});
  t.Changed();
}

void AddMigrations(Transition& t, std::vector<Action>& actions) {
  const EnvironmentState& state = t.next;
  std::optional<RunMigrations> wanted;
  // A command asks its endpoint as an instance does.
  const auto reaches = [&] { return t.TopologyInEffect() && t.RoutesInEffect(); };
  if (state.rollout && state.rollout->phase == Phase::kMigrating) {
    if (!HasMigrationJob(Target(state)) || reaches())
      wanted = RunMigrations{
          {migrate::Stage::kExpand, state.rollout->id}, state.rollout->to, Known(state, state.contracted)};
  } else if (state.contracting && !state.contracting->again && state.active &&
             state.revisions.contains(*state.active))
    wanted = RunMigrations{KeyOf(*state.contracting), *state.active, state.contracting->scripts};
  const auto& run = t.view.migration;
  const bool running = run && run->state == MigrationRun::State::kRunning;
  // Contract scripts that are under way are waited for: their revision serves.
  const bool contracts = state.contracting && running && run->key == KeyOf(*state.contracting);
  if (running && !contracts && (!wanted || wanted->key != run->key)) actions.push_back(CancelMigrations{});
  if (wanted && !running && (!run || run->key != wanted->key)) actions.push_back(std::move(*wanted));
}

bool ExpandIsRunning(const Transition& t) {
  const auto& run = t.view.migration;
  return run && run->state == MigrationRun::State::kRunning && run->key.stage == migrate::Stage::kExpand;
}

Result<void> CheckContracted(const EnvironmentState& state, const plan::Revision& target) {
  if (!state.active) return {};
  const plan::Revision& active = state.RevisionOf(*state.active);
  for (const auto& [migration, versions] : state.contracted)
    for (const uint64_t version : versions) {
      // One that serves without a script shows that it was never applied: the ledger was compared as it came.
      const bool never = Has(active, migration) && !Knows(active, migration, version);
      if (never || Knows(target, migration, version)) continue;
      return Error(Code::kRefused,
                   "the contract script " + std::to_string(version) + " of migration " + migration +
                       " has been run since " + target.Name() +
                       ", which may need what it took away; apply a commit that has the script");
    }
  return {};
}

Result<void> CheckContracting(const EnvironmentState& state, const plan::Revision& target) {
  if (!state.contracting || state.contracting->again) return {};
  for (const auto& [migration, versions] : state.contracting->scripts)
    for (const uint64_t version : versions)
      if (!Knows(target, migration, version))
        return Error(Code::kConflict,
                     "the contract script " + std::to_string(version) + " of migration " + migration +
                         " is being run, and this release does not have it; apply a commit that has "
                         "the script");
  return {};
}

}  // namespace ingot::rollout

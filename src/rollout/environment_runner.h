// EnvironmentRunner: one environment's state with what this process knows of its effects; journals decisions
// and carries them out. The Controller's part per environment.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "audit/sink.h"
#include "platform/platform.h"
#include "rollout/checker.h"
#include "rollout/command.h"
#include "rollout/journal.h"
#include "rollout/machine.h"

namespace ingot::rollout {

// Waits longer after each failure in a row.
struct Retry {
  int attempts = 0;
  WallTime not_before{};
  void Failed(WallTime now);
};

class EnvironmentRunner {
 public:
  // `state` has its revisions; all references outlive the runner.
  EnvironmentRunner(EnvironmentState state, platform::Platform& platform, Journal& journal, audit::Sink& sink,
                    Migrator* migrator, Checker* checker);

  const EnvironmentState& state() const { return state_; }
  const Desired& desired() const { return desired_; }
  const View& view() const { return view_; }

  // Journals what Accept made. The codes of Journal::Commit; then nothing has changed.
  Result<void> Take(Acceptance acceptance);

  // What Observe said of this environment's instances, or that it failed.
  void Look(std::map<platform::InstanceId, platform::InstanceStatus> observed);
  void CouldNotLook(const Error& error);
  // Decides, journals and acts until nothing is left to do now.
  void Run(WallTime now);
  // When time alone changes something, or an action is to be tried again.
  std::optional<WallTime> wake() const { return wake_; }
  // Something is under way that the platform will report, or has to be asked for.
  bool waiting_for_router() const { return waiting_for_router_; }
  bool under_way() const;

 private:
  bool Commit(Decision& decision, WallTime now);
  Result<void> Write(EnvironmentState next, RevisionPtr new_revision, std::vector<Rollout> finished);
  void Send(WallTime now);
  // True when it was tried.
  bool Do(const SetTopology& action, WallTime now);
  bool Do(const ApplyRoutes& action, WallTime now);
  bool Do(const StartInstance& action, WallTime now);
  bool Do(const ServeInstance& action, WallTime now);
  bool Do(const StopInstance& action, WallTime now);
  bool Do(const RunMigrations& action, WallTime now);
  bool Do(const CancelMigrations& action, WallTime now);
  bool Do(const RunChecks& action, WallTime now);
  bool Do(const EndChecks& action, WallTime now);
  bool MayTry(const Retry& retry, WallTime now);
  void WakeAt(WallTime at);
  void Forget();

  EnvironmentState state_;
  Desired desired_;
  View view_;
  platform::Platform& platform_;
  Journal& journal_;
  audit::Sink& sink_;
  Migrator* migrator_;   // null: nobody runs migrations
  Checker* checker_;     // null: nobody makes checks
  bool unsent_ = false;  // state_.outbox is not known to be in the audit record
  Retry topology_;
  Retry routes_;
  Retry migrations_;
  Retry journal_retry_;
  Retry sink_retry_;
  std::map<platform::InstanceId, Retry> starts_;
  std::map<platform::InstanceId, Retry> serves_;
  std::map<platform::InstanceId, Retry> stops_;
  std::optional<WallTime> wake_;
  WallTime counters_asked_{};
  std::map<platform::FleetId, platform::FleetCounters> counted_;  // as last read
  bool waiting_for_router_ = false;
};

}  // namespace ingot::rollout

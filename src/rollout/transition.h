// Transition: one pass of the machine over a state. What its parts (heal.cc, phases.cc, retire.cc) share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "plan/shift.h"
#include "rollout/machine.h"

namespace ingot::rollout {

// How long a retiring revision's instances are stopped in order (who asks before who is asked).
inline constexpr Milliseconds kOrderPatience{120'000};
// Failures in a row (generations of instances) after which a service is said to be degraded.
inline constexpr uint32_t kDegraded = 2;

// --- on a state alone; `events` receives what is to be recorded ---

audit::Draft MakeEvent(const EnvironmentState& state, std::string kind, std::string actor, JsonObject detail);
// {"rollout": 3, "from": "r1", "to": "r2"}
JsonObject Describe(const Rollout& rollout);
void Enter(EnvironmentState& state, Phase phase, WallTime now, Milliseconds limit,
           std::vector<audit::Draft>& events);
// Ends the rollout in `phase` (kCompleted or kReverted) and moves it to `finished`.
void Finish(EnvironmentState& state, Phase phase, WallTime now, std::vector<Rollout>& finished,
            std::vector<audit::Draft>& events);
void BeginRevert(EnvironmentState& state, const std::string& reason, WallTime now,
                 std::vector<audit::Draft>& events);
void BeginRetiring(EnvironmentState& state, uint64_t revision, WallTime now,
                   std::vector<audit::Draft>& events);
// A service whose old instances have to be gone before its new ones start.
struct Replacement {
  std::string service;
  platform::FleetId before;
  platform::FleetId after;
};
// Of the rollout in progress: `before` is the fleet of `from`.
std::vector<Replacement> ReplacementsOf(const EnvironmentState& state);
// A service whose old instances make room for its new ones in batches.
struct RollingService {
  std::string service;
  platform::FleetId before;
  platform::FleetId after;
  uint32_t batch = 1;
  uint32_t surge = 0;
  bool stateful = false;  // both: a new instance takes over the volumes of an old one
};
// Of the rollout in progress; `before` is the fleet of `from`, which is live.
std::vector<RollingService> RollingOf(const EnvironmentState& state);
// Counts set by `scale` stay until the definition's own count for the service changes.
void DropOverrides(EnvironmentState& state, const plan::Revision& next);
// The rollout that reverts has nothing more to do with its target: it retires, or is warm again.
void LetGo(EnvironmentState& state, WallTime now, std::vector<audit::Draft>& events);
// Forgets desired instances of fleets that no active, candidate or warm revision has, and revisions that are
// no longer live.
void Prune(EnvironmentState& state);
// Makes the state ready to be journalled: next step, time, events with their keys.
void Seal(EnvironmentState& state, std::vector<audit::Draft> events, WallTime now);

// --- on a pass ---

struct Transition {
  EnvironmentState next;
  const View& view;
  WallTime now;
  std::vector<audit::Draft> events{};
  std::vector<Rollout> finished{};
  std::optional<WallTime> wake{};
  bool changed = false;
  bool ask_settled = false;
  bool ask_counters = false;
  Desired desired{};  // of `next`, when it is not stale
  bool stale = false;

  // To be called after every change of `next`.
  void Changed() { changed = stale = true; }
  void Wake(WallTime at) {
    if (!wake || at < *wake) wake = at;
  }
  void Record(std::string kind, JsonObject detail) {
    events.push_back(MakeEvent(next, std::move(kind), "ingot", std::move(detail)));
  }
  const Desired& Wanted();
  // Everything that shall be routed can be: the topology in effect has it.
  bool TopologyInEffect();
  bool RoutesInEffect();
  // The message of an attempt at what is wanted now that gives no hope; empty: none.
  std::string TopologyHopeless();
  std::string RoutesHopeless();
  const platform::InstanceStatus* Observed(const platform::InstanceId& id) const;
};

// Whether the topology `has` suffices for `needs`.
bool Covers(const platform::Topology& has, const platform::Topology& needs);

// Why an instance that shall exist cannot be counted on any more; empty while it can. `status` is null when
// it is not seen.
std::string DeathOf(const DesiredInstance& instance, const platform::InstanceId& name,
                    const platform::InstanceStatus* status, const View& view);

// The steps of the rollout in progress; a rollback has none.
std::vector<plan::ShiftStep> StepsOf(const EnvironmentState& state);

// Looks after instances: notes what is seen, replaces what died, keeps counts.
void Heal(Transition& t);
// spares.cc: gives free places of the count to spares, ready ones first.
void TakeSpares(Transition& t, const platform::FleetId& id, FleetState& fleet, uint32_t count);
// Starts and ends spares, until there are as many as there shall be.
void KeepSpares(Transition& t, const platform::FleetId& id, FleetState& fleet);
void NoteSpareDeath(Transition& t, FleetState& fleet, const DesiredInstance& instance,
                    const std::string& reason);
// Ends one of the instances that are spares, or of those that are not: one that is not ready, else the
// newest.
void DropOne(Transition& t, const platform::FleetId& id, FleetState& fleet, bool spare);
// Ready, and with the router: it gets its part of the requests.
bool Serves(const platform::InstanceStatus* status);
// The delay before an instance that takes the place of a dead one.
Milliseconds DelayAfter(uint32_t failures);
// aging.cc: begins and ends replacements by age; the new instances are Heal's.
void Age(Transition& t);
// The instances that the fleet shall have: its count, and one more while an old one waits for its successor.
uint32_t WantedOf(const EnvironmentState& state, const platform::FleetId& fleet);
// When the instance is due to be replaced; spread over the last tenth of the age, so that a fleet that was
// started together is not replaced together.
WallTime DueOf(const DesiredInstance& instance, Milliseconds max_age);
// One step of the rollout; false when it has to wait.
bool Proceed(Transition& t);
// Whether the rollout's target can take traffic.
struct Verdict {
  bool ready = false;
  std::string failure;  // it never will, and why
  std::string waiting;  // what for
};
Verdict Judge(const EnvironmentState& state, const View& view);
// Ends warm windows, and forgets revisions of which nothing is left.
void Expire(Transition& t);
void Retire(Transition& t);
// migrating.cc: begins contract scripts that are due, and notes how they ended.
void Contract(Transition& t);
void AddMigrations(Transition& t, std::vector<Action>& actions);
// checking.cc: what is to be measured just now.
void AddChecks(Transition& t, std::vector<Action>& actions);
// kRefused when contract scripts were run that the revision does not know.
Result<void> CheckContracted(const EnvironmentState& state, const plan::Revision& target);
// kConflict when contract scripts are being run that the revision does not know.
Result<void> CheckContracting(const EnvironmentState& state, const plan::Revision& target);
// What to do now to bring what is nearer to what shall be.
std::vector<Action> ActionsOf(Transition& t);

}  // namespace ingot::rollout

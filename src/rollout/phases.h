// What the phases of a rollout (phases.cc, stepping.cc) share: how a phase is left.
#pragma once

#include "rollout/approval.h"
#include "rollout/transition.h"

namespace ingot::rollout {

inline constexpr Milliseconds kShiftLimit{10'000};
// Between two notes of why a step is held.
inline constexpr Milliseconds kHeldEach{10'000};
// How long a shift that was interrupted waits for its candidates to show that they are still ready.
inline constexpr Milliseconds kShiftPatience{1'000};

// Beside the fleets' own readiness deadline: for the queue of starts and the router's former process.
inline constexpr Milliseconds kStartSlack{30'000};
inline constexpr Milliseconds kStartSlackEach{1'000};

inline bool Fail(Transition& t, const std::string& reason) {
  BeginRevert(t.next, reason, t.now, t.events);
  t.Changed();
  return true;
}

inline bool Go(Transition& t, Phase phase, Milliseconds limit) {
  Enter(t.next, phase, t.now, limit, t.events);
  t.Changed();
  return true;
}

// members.cc. A snapshot takes as long as there are data: the deadline waits for it, and for what starts
// then.
void AwaitCopies(Transition& t);

inline bool Late(Transition& t) {
  AwaitCopies(t);
  t.Wake(t.next.rollout->deadline);
  return t.now >= t.next.rollout->deadline;
}

inline const plan::Revision& Target(const EnvironmentState& state) {
  return state.RevisionOf(state.rollout->to);
}

// Instances of the fleet that shall exist and are ready.
size_t CountReady(const Transition& t, const platform::FleetId& id);

// Why an instance of the fleet will never be started; empty: nothing known says so.
std::string Unstartable(const Transition& t, const platform::FleetId& id);

// Begins the first step; false when there is none.
bool BeginSteps(Transition& t);
bool Stepping(Transition& t);
// What the router's counters and the checks say of the present step.
struct StepFinding {
  bool failed = false;       // the rollout reverts
  bool passed = false;       // every canary that is analysed keeps to what it has to
  std::string inconclusive;  // why neither; empty as well: they were not read just now, or not yet
};
StepFinding AnalyseStep(Transition& t, const plan::ShiftStep& step);
// shadowing.cc: the same of what is copied to new fleets in the step.
StepFinding JudgeShadows(Transition& t, const plan::ShiftStep& step);
// Says in an event how each shadow of a step that is left has ended.
void RecordShadows(Transition& t, const plan::ShiftStep& step);
// checking.cc: what a canary's checks say of the present step. `text`: why it is no success; empty as well:
// one was not measured yet.
struct CheckFinding {
  Outcome outcome = Outcome::kSuccess;
  std::string text;
  JsonArray checks;
};
CheckFinding JudgeChecks(const Transition& t, const std::string& service,
                         const definition::ResolvedAnalysis& analysis);
// Adds instances to the fleet until it has as many as it shall have, and returns that number.
uint32_t AddInstances(Transition& t, const platform::FleetId& id);
// For new instances of the fleet to be ready: since the start of `count` of them.
Milliseconds StartLimit(const plan::Fleet& fleet, uint32_t count);

// migrating.cc. Whether the rollout's target has scripts that may not have been run.
bool NeedsMigration(const EnvironmentState& state);
bool BeginMigrating(Transition& t);
bool Migrating(Transition& t);
// Expand scripts are being run that nobody wants any more.
bool ExpandIsRunning(const Transition& t);
// What follows preparing and migrating: the first new instances.
bool BeginStarting(Transition& t);

// False while it waits; true when nobody has approved in time, and it reverts.
bool AwaitApproval(Transition& t, const Gate& gate);

// replacing.cc. Everything else is proven: from here on the services that stop first are not there until
// their new instances are.
bool StopOld(Transition& t);
bool Stopping(Transition& t);
bool Replacing(Transition& t);
// Brings back the old instances of services that stopped first, once their new ones have gone: true when all
// are there again, or are left to healing.
bool Restored(Transition& t);

bool Rolling(Transition& t);
// A revert: old instances come back, their share with them, then the new ones may go. False while they are
// not.
bool Unroll(Transition& t);
// What follows the last batch.
bool AfterRolling(Transition& t);
// What follows the last step: batches, the old instances of services that stop first, or the switch.
bool AfterSteps(Transition& t);

}  // namespace ingot::rollout

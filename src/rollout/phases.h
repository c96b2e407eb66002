// What the phases of a rollout (phases.cc, stepping.cc) share: how a phase is left.
#pragma once

#include "rollout/transition.h"

namespace ingot::rollout {

inline constexpr Milliseconds kShiftLimit{10'000};
// How long a shift that was interrupted waits for its candidates to show that they are still ready.
inline constexpr Milliseconds kShiftPatience{1'000};

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

inline bool Late(Transition& t) {
  t.Wake(t.next.rollout->deadline);
  return t.now >= t.next.rollout->deadline;
}

inline const plan::Revision& Target(const EnvironmentState& state) {
  return state.RevisionOf(state.rollout->to);
}

// Instances of the fleet that shall exist and are ready.
size_t CountReady(const Transition& t, const platform::FleetId& id);

// Begins the first step; false when there is none.
bool BeginSteps(Transition& t);
bool Stepping(Transition& t);
// What follows the last step: the old instances of services that stop first, or the switch.
bool AfterSteps(Transition& t);

}  // namespace ingot::rollout

#include "rollout/machine.h"

#include "rollout/transition.h"

namespace ingot::rollout {

Decision Decide(const EnvironmentState& state, const Desired& desired, const View& view, WallTime now) {
  Transition t{.next = state, .view = view, .now = now};
  t.desired = desired;
  Expire(t);
  Heal(t);
  Age(t);
  while (Proceed(t)) {
  }
  Retire(t);
  Contract(t);
  Decision decision;
  decision.actions = ActionsOf(t);
  decision.finished = std::move(t.finished);
  decision.ask_settled = t.ask_settled;
  decision.ask_counters = t.ask_counters;
  decision.wake = t.wake;
  if (t.changed) {
    Seal(t.next, std::move(t.events), now);
    decision.desired = t.Wanted();
    decision.state = std::move(t.next);
  }
  return decision;
}

}  // namespace ingot::rollout

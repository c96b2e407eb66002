// What is left of former revisions.
#include "rollout/transition.h"

namespace ingot::rollout {

namespace {

// An instance of a fleet that only this revision (or another retiring one) has.
bool AnyLeft(const Transition& t, const plan::Revision& revision) {
  for (const auto& [id, status] : t.view.observed)
    if (!t.next.fleets.contains(id.fleet()) && revision.Find(id.fleet()) != nullptr) return true;
  return false;
}

}  // namespace

void Expire(Transition& t) {
  std::vector<uint64_t> over;
  for (const auto& [number, live] : t.next.live) {
    if (live.role != Role::kWarm) continue;
    if (live.until <= t.now)
      over.push_back(number);
    else
      t.Wake(live.until);
  }
  for (const uint64_t number : over) {
    BeginRetiring(t.next, number, t.now, t.events);
    t.Changed();
  }
}

void Retire(Transition& t) {
  // Unknown is not "gone": without a look, or while routes may still lead there, nothing is forgotten.
  if (!t.view.looked) return;
  std::vector<uint64_t> gone;
  for (const auto& [number, live] : t.next.live)
    if (live.role == Role::kRetiring && !AnyLeft(t, t.next.RevisionOf(number))) gone.push_back(number);
  if (!gone.empty() && t.RoutesInEffect()) {
    for (const uint64_t number : gone) {
      t.next.live.erase(number);
      t.Record("revision.retired", {{"revision", "r" + std::to_string(number)}});
    }
    Prune(t.next);
    t.Changed();
  }
  if (t.next.destroying && t.next.live.empty() && t.view.observed.empty()) {
    t.next.destroying = false;
    t.Record("environment.destroyed", {});
    t.Changed();
  }
}

}  // namespace ingot::rollout

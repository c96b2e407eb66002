// Services that stop first: their old instances end before their new ones start, and on the way back the
// other way round. Never are two fleets of one there.
#include <algorithm>

#include "rollout/phases.h"

namespace ingot::rollout {

namespace {

// Beside drain and grace, for the old instances of a service that stops first to end.
constexpr Milliseconds kStopSlack{30'000};
// From the old instances' return until a revert no longer waits for them to be ready: healing goes on.
constexpr Milliseconds kReturnSlack{30'000};

// An instance of the service in another fleet than this one is still there, or may be.
bool OthersLeft(const Transition& t, const platform::FleetId& fleet) {
  if (!t.view.looked || t.view.stale) return true;
  // One that this very pass has asked for is not to be seen yet.
  const bool asked_for = std::any_of(t.next.fleets.begin(), t.next.fleets.end(), [&](const auto& entry) {
    return entry.first.service() == fleet.service() && entry.first != fleet &&
           !entry.second.instances.empty();
  });
  return asked_for || std::any_of(t.view.observed.begin(), t.view.observed.end(), [&](const auto& entry) {
           return entry.first.fleet().service() == fleet.service() && entry.first.fleet() != fleet;
         });
}

// What was asked for and not begun is not begun any more; the rest ends as its count does.
void ForgetUnstarted(Transition& t, const platform::FleetId& id) {
  const auto fleet = t.next.fleets.find(id);
  if (fleet == t.next.fleets.end()) return;
  std::erase_if(fleet->second.instances, [&](const DesiredInstance& instance) {
    const platform::InstanceId name(id, instance.ordinal);
    if (instance.seen || t.view.started.contains(name)) return false;
    t.Record("instance.stopping", {{"instance", name.Render()}});
    return true;
  });
}

}  // namespace

bool StopOld(Transition& t) {
  Milliseconds longest{0};
  for (const Replacement& replacement : ReplacementsOf(t.next)) {
    for (auto& [number, live] : t.next.live) {
      const plan::Fleet* fleet = t.next.RevisionOf(number).FleetOf(replacement.service);
      if (fleet == nullptr || number == t.next.rollout->to) continue;
      // A warm one ends as well; a rollback to it starts it again.
      live.limits[replacement.service] = 0;
      longest = std::max(longest, fleet->spec.drain + fleet->spec.grace);
      ForgetUnstarted(t, fleet->spec.id);
    }
  }
  return Go(t, Phase::kStopping, longest + kStopSlack);
}

bool Stopping(Transition& t) {
  const Verdict verdict = Judge(t.next, t.view);
  if (!verdict.failure.empty()) return Fail(t, verdict.failure);
  std::string left;
  for (const Replacement& replacement : ReplacementsOf(t.next))
    if (OthersLeft(t, replacement.after)) left = replacement.service;
  if (!left.empty()) return Late(t) && Fail(t, "the old instances of " + left + " did not end in time");
  Milliseconds limit = kStartSlack;
  Milliseconds longest{0};
  Go(t, Phase::kReplacing, limit);
  for (const Replacement& replacement : ReplacementsOf(t.next)) {
    t.next.live.at(t.next.rollout->to).limits.erase(replacement.service);
    limit += kStartSlackEach * AddInstances(t, replacement.after);
    longest = std::max(longest, Target(t.next).Find(replacement.after)->spec.ready.deadline);
  }
  t.next.rollout->deadline = t.now + limit + longest;
  return true;
}

bool Replacing(Transition& t) {
  for (const Replacement& replacement : ReplacementsOf(t.next))
    if (const std::string why = Unstartable(t, replacement.after); !why.empty()) return Fail(t, why);
  const Verdict verdict = Judge(t.next, t.view);
  if (!verdict.failure.empty()) return Fail(t, verdict.failure);
  if (const std::string why = t.RoutesHopeless(); !why.empty())
    return Fail(t, "routes inside the new revision cannot be written: " + why);
  if (verdict.ready && t.TopologyInEffect() && t.RoutesInEffect())
    return Go(t, Phase::kShifting, kShiftLimit);
  return Late(t) && Fail(t, "it was not ready in time: " + verdict.waiting);
}

bool Restored(Transition& t) {
  Rollout& rollout = *t.next.rollout;
  const auto former = rollout.from ? t.next.live.find(*rollout.from) : t.next.live.end();
  if (former == t.next.live.end()) return true;
  bool all = true;
  for (const Replacement& replacement : ReplacementsOf(t.next)) {
    // However long it takes: two of them at once are worse than none.
    if (former->second.limits.contains(replacement.service)) {
      if (OthersLeft(t, replacement.before)) {
        all = false;
        continue;
      }
      former->second.limits.erase(replacement.service);
      const auto deadline = t.next.RevisionOf(former->first).Find(replacement.before)->spec.ready.deadline;
      rollout.deadline = std::max(rollout.deadline, t.now + deadline + kReturnSlack);
      t.Changed();
    }
    const bool back = CountReady(t, replacement.before) >= CountOf(t.next, replacement.before);
    all = all && (back || Late(t));
  }
  return all;
}

}  // namespace ingot::rollout

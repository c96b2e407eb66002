// The care for instances: a dead one is replaced by a new one, never restarted; ever more slowly while
// replacements die too.
#include <algorithm>

#include "rollout/members.h"

namespace ingot::rollout {

namespace {

constexpr Milliseconds kFirstDelay{100};
constexpr Milliseconds kLongestDelay{30'000};
constexpr Milliseconds kStable{60'000};

// Deaths of one generation count once: twenty instances that lose their host together are one failure.
void NoteDeath(Transition& t, const platform::FleetId& id, FleetState& fleet, const DesiredInstance& instance,
               const std::string& reason) {
  fleet.reason = reason;
  // A spare that has taken a place since is a replacement, however long ago it was started.
  const bool replacement = std::max(instance.asked, instance.since) >= fleet.last_failure;
  const bool together = fleet.last_failure == t.now;
  if (fleet.failures > 0 && (together || !replacement)) return;
  const bool was_stable = instance.ready && t.now - instance.since >= kStable;
  fleet.failures = was_stable ? 1 : fleet.failures + 1;
  fleet.last_failure = t.now;
  fleet.not_before = t.now + DelayAfter(fleet.failures);
  if (fleet.failures == kDegraded)
    t.Record("service.degraded", {{"service", id.service()}, {"fleet", id.Render()}, {"reason", reason}});
}

void Watch(Transition& t, const platform::FleetId& id, FleetState& fleet) {
  std::vector<DesiredInstance> alive;
  bool changed = false;
  for (DesiredInstance& instance : fleet.instances) {
    const platform::InstanceId name(id, instance.ordinal);
    const platform::InstanceStatus* status = t.Observed(name);
    if (status == nullptr && !instance.seen && t.view.first_look) {
      // A former process may have started it before it died, and the host may have been restarted since. An
      // ordinal is never used twice, so this one is given up.
      instance.ordinal = t.next.next_ordinal++;
      instance.asked = instance.since = t.now;
      changed = true;
    } else if (fleet.proven) {
      const std::string death = DeathOf(instance, name, status, t.view);
      if (!death.empty()) {
        JsonObject detail{{"instance", name.Render()}, {"reason", death}};
        if (instance.spare) detail["spare"] = true;
        t.Record("instance.lost", std::move(detail));
        if (instance.spare)
          NoteSpareDeath(t, fleet, instance, death);
        else
          NoteDeath(t, id, fleet, instance, death);
        changed = true;
        continue;
      }
    }
    if (status != nullptr && !instance.seen) {
      instance.seen = true;
      instance.since = t.now;
      changed = true;
    }
    if (status != nullptr && status->state == platform::InstanceState::kReady && !instance.ready) {
      instance.ready = true;
      instance.since = t.now;
      changed = true;
      JsonObject detail{{"instance", name.Render()}};
      if (status->ready_after) detail["ready_after_ms"] = status->ready_after->count();
      t.Record("instance.ready", std::move(detail));
    }
    alive.push_back(instance);
  }
  if (!changed) return;
  fleet.instances = std::move(alive);
  t.changed = true;  // instances are no part of topology and routes: `desired` is not stale
}

void Grow(Transition& t, const platform::FleetId& id, FleetState& fleet, uint32_t count) {
  if (fleet.failures > 0 && t.now < fleet.not_before) return t.Wake(fleet.not_before);
  while (fleet.Serving() < count && AddInstance(t, id)) t.changed = true;
}

// A warm fleet that a rollout brings back, of a service that stops first: until the others have gone none of
// it is started, whatever it has lost.
bool Awaits(const Transition& t, const platform::FleetId& id) {
  if (!t.next.rollout || t.next.rollout->phase >= Phase::kReplacing) return false;
  const std::vector<Replacement> replacements = ReplacementsOf(t.next);
  return std::any_of(replacements.begin(), replacements.end(),
                     [&](const Replacement& replacement) { return replacement.after == id; });
}

void Calm(Transition& t, const platform::FleetId& id, FleetState& fleet) {
  WallTime newest = fleet.last_failure;
  for (const DesiredInstance& instance : fleet.instances) {
    if (instance.spare) continue;
    if (!instance.ready) return;
    newest = std::max(newest, instance.since);
  }
  if (t.now - newest < kStable) return t.Wake(newest + kStable);
  if (fleet.failures >= kDegraded)
    t.Record("service.recovered", {{"service", id.service()}, {"fleet", id.Render()}});
  fleet.failures = 0;
  fleet.reason.clear();
  t.changed = true;
}

}  // namespace

Milliseconds DelayAfter(uint32_t failures) {
  if (failures > 9) return kLongestDelay;
  return std::min(kLongestDelay, kFirstDelay * (1 << (failures - 1)));
}

std::string DeathOf(const DesiredInstance& instance, const platform::InstanceId& name,
                    const platform::InstanceStatus* status, const View& view) {
  using platform::InstanceState;
  if (status == nullptr)
    return instance.seen || view.expected.contains(name)
               ? "it is gone without a trace: the host was restarted, or somebody removed it"
               : "";
  const std::string why = status->reason.empty() ? "" : ": " + status->reason;
  switch (status->state) {
    case InstanceState::kExited:
      return (status->exit_code ? "exited with code " + std::to_string(*status->exit_code)
                                : "exited with a code that nobody saw") +
             why;
    case InstanceState::kFailed:
      return "failed" + why;
    case InstanceState::kUnhealthy:
      return "became unhealthy" + why;
    case InstanceState::kStopping:
      return "is being stopped by somebody else";
    case InstanceState::kStarting:
    case InstanceState::kRunning:
    case InstanceState::kReady:
    case InstanceState::kUnknown:
      return "";
  }
  return "";
}

void Heal(Transition& t) {
  for (auto& [id, fleet] : t.next.fleets) {
    if (t.view.looked) Watch(t, id, fleet);
    if (!fleet.proven) continue;
    const uint32_t count = WantedOf(t.next, id);
    TakeSpares(t, id, fleet, count);
    if (fleet.Serving() < count && !fleet.leaving && !Awaits(t, id)) Grow(t, id, fleet, count);
    if (IsStateful(t.next, id))
      DropMembers(t, id, fleet, count);
    else
      while (fleet.Serving() > count) DropOne(t, id, fleet, /*spare=*/false);
    KeepSpares(t, id, fleet);
    if (fleet.failures > 0 && fleet.Serving() == count) Calm(t, id, fleet);
  }
}

}  // namespace ingot::rollout

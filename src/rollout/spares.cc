// Spares: instances beyond the count that are started and proven, but held out of the router, so that a free
// place of the count is taken at once: after a death, when the count rises, and when one goes by age.
#include <algorithm>

#include "rollout/members.h"
#include "rollout/phases.h"

namespace ingot::rollout {

namespace {

constexpr Milliseconds kSpareStable{60'000};

bool IsReadySpare(const Transition& t, const platform::FleetId& id, const DesiredInstance& instance) {
  const platform::InstanceStatus* status = t.Observed({id, instance.ordinal});
  return instance.spare && status != nullptr && status->state == platform::InstanceState::kReady;
}

// Of those that may take a place the first that is ready, else the one that was started first.
DesiredInstance* BestSpare(const Transition& t, const platform::FleetId& id, FleetState& fleet) {
  DesiredInstance* best = nullptr;
  for (DesiredInstance& instance : fleet.instances) {
    if (!instance.spare) continue;
    const bool is_better = best == nullptr || (IsReadySpare(t, id, instance) && !IsReadySpare(t, id, *best));
    if (is_better) best = &instance;
  }
  return best;
}

}  // namespace

uint32_t SparesOf(const EnvironmentState& state, const platform::FleetId& fleet) {
  if (!state.active || state.destroying) return 0;
  const plan::Fleet* found = state.RevisionOf(*state.active).Find(fleet);
  const LiveRevision& live = state.live.at(*state.active);
  const auto spares = live.spares.find(fleet.service());
  if (found == nullptr || spares == live.spares.end()) return 0;
  // Where a second one beside it may do harm there are none, whoever has asked for them.
  if (found->kind != definition::Kind::kService || found->Alone()) return 0;
  if (live.limits.contains(fleet.service()) || CountOf(state, fleet) == 0) return 0;
  if (!state.Moving()) return spares->second;
  // What rolls has so many instances beyond the count as its surge says.
  const std::vector<RollingService> rolling = RollingOf(state);
  const bool rolls = std::any_of(rolling.begin(), rolling.end(), [&](const RollingService& service) {
    return service.service == fleet.service();
  });
  return rolls ? 0 : spares->second;
}

bool Serves(const platform::InstanceStatus* status) {
  return status != nullptr && status->state == platform::InstanceState::kReady && !status->held;
}

void NoteSpareDeath(Transition& t, FleetState& fleet, const DesiredInstance& instance,
                    const std::string& reason) {
  const bool was_stable = instance.ready && t.now - instance.since >= kSpareStable;
  fleet.spare_failures = was_stable ? 1 : fleet.spare_failures + 1;
  fleet.spare_not_before = t.now + DelayAfter(fleet.spare_failures);
  fleet.spare_reason = reason;
}

void DropOne(Transition& t, const platform::FleetId& id, FleetState& fleet, bool spare) {
  auto worst = fleet.instances.end();
  for (auto it = fleet.instances.begin(); it != fleet.instances.end(); ++it) {
    if (it->spare != spare) continue;
    const bool is_worse = worst == fleet.instances.end() ||
                          (it->ready != worst->ready ? !it->ready : it->ordinal > worst->ordinal);
    if (is_worse) worst = it;
  }
  if (worst == fleet.instances.end()) return;
  t.Record("instance.stopping", {{"instance", platform::InstanceId(id, worst->ordinal).Render()}});
  fleet.instances.erase(worst);
  t.changed = true;  // instances are no part of topology and routes
}

void TakeSpares(Transition& t, const platform::FleetId& id, FleetState& fleet, uint32_t count) {
  while (fleet.Serving() < count) {
    DesiredInstance* spare = BestSpare(t, id, fleet);
    if (spare == nullptr) return;
    spare->spare = false;
    spare->since = t.now;  // it serves from now on: that it was well before does not make it stable
    t.changed = true;
    t.Record("instance.promoted", {{"instance", platform::InstanceId(id, spare->ordinal).Render()}});
  }
}

void KeepSpares(Transition& t, const platform::FleetId& id, FleetState& fleet) {
  const uint32_t wanted = SparesOf(t.next, id);
  while (fleet.Spares() > wanted) DropOne(t, id, fleet, /*spare=*/true);
  if (wanted == 0 && fleet.spare_failures > 0) {
    fleet.spare_failures = 0;
    fleet.spare_reason.clear();
    t.changed = true;
  }
  if (fleet.Spares() == wanted) return;
  // The count comes first.
  const uint32_t count = WantedOf(t.next, id);
  if (fleet.Serving() != count || CountReady(t, id) < count) return;
  // They are what takes the places of those that die: without their delay there would be none.
  if (fleet.failures > 0 && t.now < fleet.not_before) return t.Wake(fleet.not_before);
  if (fleet.spare_failures > 0 && t.now < fleet.spare_not_before) return t.Wake(fleet.spare_not_before);
  while (fleet.Spares() < wanted && AddInstance(t, id)) {
    fleet.instances.back().spare = true;
    t.changed = true;
  }
}

}  // namespace ingot::rollout

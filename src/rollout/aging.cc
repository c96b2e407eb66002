// Replacement by age: an instance that has reached its service's max_age gives its place to a new one of the
// same fleet. One at a time, and only while everything is well: whoever is old can wait.
#include <algorithm>

#include "rollout/transition.h"

namespace ingot::rollout {

namespace {

// The last tenth of an age, in so many parts; neighbouring ordinals are far apart in it, since the stride is
// near the golden section of the parts, and coprime to them, so that a thousand ordinals differ.
constexpr int64_t kSpreadParts = 1'000;
constexpr uint64_t kSpreadStride = 619;

bool IsReadyNow(Transition& t, const platform::FleetId& id, const DesiredInstance& instance) {
  const platform::InstanceStatus* status = t.Observed({id, instance.ordinal});
  return instance.ready && status != nullptr && status->state == platform::InstanceState::kReady &&
         status->held == instance.spare;
}

bool IsWanted(const FleetState& fleet, uint64_t ordinal) {
  return std::any_of(fleet.instances.begin(), fleet.instances.end(),
                     [&](const DesiredInstance& instance) { return instance.ordinal == ordinal; });
}

// One that is wanted no more is still there.
bool AnyLeaving(const Transition& t, const platform::FleetId& id, const FleetState& fleet) {
  for (auto it = t.view.observed.lower_bound(platform::InstanceId(id, 0));
       it != t.view.observed.end() && it->first.fleet() == id; ++it)
    if (!IsWanted(fleet, it->first.ordinal())) return true;
  return false;
}

// By the definition in effect; 0: never, as of every fleet that does not serve.
Milliseconds MaxAgeOf(const EnvironmentState& state, const platform::FleetId& id) {
  if (!state.active || state.destroying) return Milliseconds(0);
  // Two things at a time would be one too many: whatever moves has precedence. While a rollout bakes nothing
  // moves, and what serves is proven.
  if (state.Moving()) return Milliseconds(0);
  if (state.RevisionOf(*state.active).Find(id) == nullptr) return Milliseconds(0);
  const LiveRevision& live = state.live.at(*state.active);
  const auto found = live.max_ages.find(id.service());
  return found == live.max_ages.end() ? Milliseconds(0) : found->second;
}

void Release(Transition& t, const platform::FleetId& id, FleetState& fleet, uint64_t ordinal) {
  std::erase_if(fleet.instances,
                [&](const DesiredInstance& instance) { return instance.ordinal == ordinal; });
  t.Record("instance.stopping", {{"instance", platform::InstanceId(id, ordinal).Render()}});
  t.changed = true;  // instances are no part of topology and routes
}

// Of those that serve, or of the spares, the one that is due first; null: there is none.
const DesiredInstance* OldestOf(const FleetState& fleet, Milliseconds max_age, bool spare) {
  const DesiredInstance* oldest = nullptr;
  for (const DesiredInstance& instance : fleet.instances)
    if (instance.spare == spare && (oldest == nullptr || DueOf(instance, max_age) < DueOf(*oldest, max_age)))
      oldest = &instance;
  return oldest;
}

// A spare carries nothing: it goes, and another one is started. One at a time here, too.
void AgeSpares(Transition& t, const platform::FleetId& id, FleetState& fleet, Milliseconds max_age) {
  const DesiredInstance* oldest = OldestOf(fleet, max_age, /*spare=*/true);
  if (oldest == nullptr) return;
  if (t.now < DueOf(*oldest, max_age)) return t.Wake(DueOf(*oldest, max_age));
  if (fleet.Spares() != SparesOf(t.next, id) ||
      !std::all_of(fleet.instances.begin(), fleet.instances.end(),
                   [&](const DesiredInstance& instance) { return IsReadyNow(t, id, instance); }))
    return;
  const uint64_t ordinal = oldest->ordinal;
  t.Record("instance.aged", {{"instance", platform::InstanceId(id, ordinal).Render()},
                             {"age_ms", (t.now - oldest->asked).count()},
                             {"max_age_ms", max_age.count()}});
  Release(t, id, fleet, ordinal);
}

void BeginAging(Transition& t, const platform::FleetId& id, FleetState& fleet, Milliseconds max_age) {
  const DesiredInstance* oldest = OldestOf(fleet, max_age, /*spare=*/false);
  if (oldest == nullptr) return;
  if (t.now < DueOf(*oldest, max_age)) return t.Wake(DueOf(*oldest, max_age));
  // What is not whole heals first; its next change brings us here again.
  if (fleet.failures > 0 || fleet.leaving || fleet.Serving() != CountOf(t.next, id) ||
      AnyLeaving(t, id, fleet) ||
      !std::all_of(fleet.instances.begin(), fleet.instances.end(), [&](const DesiredInstance& instance) {
        return instance.spare || IsReadyNow(t, id, instance);
      }))
    return;
  const uint64_t ordinal = oldest->ordinal;
  t.Record("instance.aged", {{"instance", platform::InstanceId(id, ordinal).Render()},
                             {"age_ms", (t.now - oldest->asked).count()},
                             {"max_age_ms", max_age.count()}});
  t.changed = true;
  if (t.next.RevisionOf(*t.next.active).Find(id)->Alone()) {
    fleet.leaving = ordinal;
    Release(t, id, fleet, ordinal);
  } else {
    fleet.aging = ordinal;
  }
}

// The old one goes when the others carry the whole count without it.
void EndAging(Transition& t, const platform::FleetId& id, FleetState& fleet) {
  const auto ready = static_cast<size_t>(
      std::count_if(fleet.instances.begin(), fleet.instances.end(), [&](const DesiredInstance& instance) {
        return !instance.spare && instance.ordinal != *fleet.aging && IsReadyNow(t, id, instance);
      }));
  if (ready < CountOf(t.next, id)) return;
  Release(t, id, fleet, *fleet.aging);
  fleet.aging.reset();
}

}  // namespace

WallTime DueOf(const DesiredInstance& instance, Milliseconds max_age) {
  const auto part = static_cast<int64_t>(instance.ordinal % kSpreadParts * kSpreadStride % kSpreadParts);
  return instance.asked + max_age - Milliseconds(max_age.count() * part / (10 * kSpreadParts));
}

uint32_t WantedOf(const EnvironmentState& state, const platform::FleetId& fleet) {
  const uint32_t count = CountOf(state, fleet);
  const auto found = state.fleets.find(fleet);
  return count > 0 && found != state.fleets.end() && found->second.aging ? count + 1 : count;
}

void Age(Transition& t) {
  for (auto& [id, fleet] : t.next.fleets) {
    if (fleet.leaving && t.view.looked && t.Observed({id, *fleet.leaving}) == nullptr) {
      fleet.leaving.reset();
      t.changed = true;
    }
    const Milliseconds max_age = MaxAgeOf(t.next, id);
    // A successor that dies, as whatever else goes wrong, calls it off: the old one serves on, and the newest
    // is one too many.
    if (fleet.aging && (max_age == Milliseconds(0) || fleet.failures > 0 || !IsWanted(fleet, *fleet.aging))) {
      fleet.aging.reset();
      t.changed = true;
    }
    if (max_age == Milliseconds(0) || !t.view.looked || !fleet.proven) continue;
    if (fleet.aging)
      EndAging(t, id, fleet);
    else
      BeginAging(t, id, fleet, max_age);
    AgeSpares(t, id, fleet, max_age);
  }
}

}  // namespace ingot::rollout

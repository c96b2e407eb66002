// The laws and invariants that a WatchedPlatform looks for in what the engine asks of it.
#include <algorithm>
#include <set>

#include "rollout/approval.h"
#include "rollout/testing.h"
#include "rollout/transition.h"

namespace ingot::rollout::testing {

using platform::FleetId;
using platform::InstanceId;
using platform::InstanceState;

size_t WatchedPlatform::Ready(const FleetId& fleet) {
  // What cannot be looked at just now is as it was: it has passed its gate, and nobody knows that it is gone.
  const auto was_ready = [&](const InstanceId& id) {
    const auto found = journal_.last.fleets.find(fleet);
    return found != journal_.last.fleets.end() &&
           std::any_of(found->second.instances.begin(), found->second.instances.end(),
                       [&](const DesiredInstance& one) { return one.ordinal == id.ordinal() && one.ready; });
  };
  size_t ready = 0;
  for (const auto& [id, status] : fake_.instances())
    if (id.fleet() == fleet &&
        (Serves(&status) || (status.state == InstanceState::kUnknown && !status.held && was_ready(id))))
      ++ready;
  return ready;
}

Result<void> WatchedPlatform::Start(const platform::FleetSpec& fleet, const InstanceId& id) {
  // The journal comes before the effect.
  const auto found = journal_.last.fleets.find(id.fleet());
  const bool journalled =
      found != journal_.last.fleets.end() &&
      std::any_of(found->second.instances.begin(), found->second.instances.end(),
                  [&](const DesiredInstance& instance) { return instance.ordinal == id.ordinal(); });
  if (!journalled) violations.push_back("started before it was journalled: " + id.Render());
  if (journalled)
    for (const DesiredInstance& instance : found->second.instances)
      if (instance.ordinal == id.ordinal() && instance.spare != fleet.held)
        violations.push_back((instance.spare ? "spare is started to serve: " : "is held and no spare: ") +
                             id.Render());
  CheckAlone(id);
  CheckVolumes(fleet, id);
  for (const InstanceId& old : alone_)
    if (old.fleet() == id.fleet() && fake_.instances().contains(old))
      violations.push_back("aging: " + id.Render() + " was started beside " + old.Render());
  CheckMigrated(id);
  return fake_.Start(fleet, id);
}

// A volume is never with two instances.
void WatchedPlatform::CheckVolumes(const platform::FleetSpec& fleet, const InstanceId& id) {
  if (fleet.volumes.empty()) return;
  if (!fleet.member) violations.push_back("volumes: " + id.Render() + " is started as no member");
  for (const std::string& volume : platform::VolumesOf(fleet))
    for (const auto& [other, status] : fake_.instances())
      if (other != id && std::count(status.volumes.begin(), status.volumes.end(), volume) > 0)
        violations.push_back("volumes: " + id.Render() + " is given " + volume + ", which " + other.Render() +
                             " has");
  const auto found = journal_.last.fleets.find(id.fleet());
  if (found == journal_.last.fleets.end()) return;
  for (const DesiredInstance& instance : found->second.instances)
    if (instance.ordinal == id.ordinal() && instance.member != fleet.member)
      violations.push_back("volumes: " + id.Render() + " is started as another member");
}

// No new instance of an apply starts before its expand scripts have been run.
void WatchedPlatform::CheckMigrated(const InstanceId& id) {
  const EnvironmentState& last = journal_.last;
  if (!last.rollout || last.rollout->kind != RolloutKind::kApply || last.rollout->phase == Phase::kReverting)
    return;
  const plan::Revision& to = last.RevisionOf(last.rollout->to);
  const auto fleet = last.fleets.find(id.fleet());
  if (to.Find(id.fleet()) == nullptr || fleet == last.fleets.end() || fleet->second.proven) return;
  for (const auto& migration : to.resolved.migrations)
    for (const migrate::Script& script : migration.scripts) {
      const auto database = databases_.find(migration.name);
      const bool applied = database != databases_.end() &&
                           std::any_of(database->second.begin(), database->second.end(),
                                       [&](const auto& entry) { return entry.version == script.version; });
      if (script.stage == migrate::Stage::kExpand && !applied)
        violations.push_back(id.Render() + " was started before script " + std::to_string(script.version));
    }
}

// Of a service that stops first in the rollout that goes on, no instance is started beside one of another
// fleet: neither on the way there nor on the way back.
void WatchedPlatform::CheckAlone(const InstanceId& id) {
  const EnvironmentState& last = journal_.last;
  if (!last.rollout || !last.rollout->from || last.rollout->phase == Phase::kBaking) return;
  const std::string& service = id.fleet().service();
  const plan::Fleet* before = last.RevisionOf(*last.rollout->from).FleetOf(service);
  const plan::Fleet* after = last.RevisionOf(last.rollout->to).FleetOf(service);
  if (before == nullptr || after == nullptr || before->spec.id == after->spec.id) return;
  if (before->rollout.strategy != definition::Strategy::kRecreate &&
      after->rollout.strategy != definition::Strategy::kRecreate)
    return;
  // Until the old ones are told to stop, healing what serves or is warm is neither; nor is it on the way back
  // from there.
  const bool begun = last.rollout->entered.contains("stopping");
  const bool forward = last.rollout->phase != Phase::kReverting && id.fleet() == after->spec.id;
  if (!begun && !forward) return;
  for (const auto& [other, status] : fake_.instances())
    if (other.fleet() != id.fleet() && other.fleet().environment() == id.fleet().environment() &&
        other.fleet().service() == service)
      violations.push_back("recreate: " + id.Render() + " was started beside " + other.Render() + " while " +
                           std::string(PhaseName(last.rollout->phase)));
}

Result<void> WatchedPlatform::Serve(const InstanceId& id) {
  const auto found = journal_.last.fleets.find(id.fleet());
  const bool journalled = found != journal_.last.fleets.end() &&
                          std::any_of(found->second.instances.begin(), found->second.instances.end(),
                                      [&](const DesiredInstance& instance) {
                                        return instance.ordinal == id.ordinal() && !instance.spare;
                                      });
  if (!journalled) violations.push_back("served before it was journalled: " + id.Render());
  return fake_.Serve(id);
}

Result<void> WatchedPlatform::Stop(const InstanceId& id) {
  const EnvironmentState& state = journal_.last;
  const auto fleet = state.fleets.find(id.fleet());
  if (fleet != state.fleets.end())
    for (const DesiredInstance& instance : fleet->second.instances)
      if (instance.ordinal == id.ordinal())
        violations.push_back("stopped though it shall run: " + id.Render());
  const auto routes = fake_.Routes(id.fleet().environment());
  const bool routed = std::any_of(routes.outside.begin(), routes.outside.end(),
                                  [&](const auto& route) { return route.fleet == id.fleet(); });
  if (routed && !state.fleets.contains(id.fleet()))
    violations.push_back("stopped while traffic is routed to its fleet: " + id.Render());
  return fake_.Stop(id);
}

// I2: what serves, or may have to serve again, gives up no ready instance that it needs.
void WatchedPlatform::Compare(const EnvironmentState& before, const EnvironmentState& next) {
  if (before.id != next.id) return;
  if (before.rollout && next.rollout && before.rollout->id == next.rollout->id && GateOf(before) &&
      next.rollout->phase != Phase::kReverting &&
      (next.rollout->phase != before.rollout->phase || next.rollout->step != before.rollout->step))
    violations.push_back("nobody has approved rollout " + std::to_string(next.rollout->id));
  CheckAged(before, next);
  const auto& seen = fake_.instances();  // valid until it is asked again
  for (const auto& [id, fleet] : next.fleets) {
    const auto former = before.fleets.find(id);
    if (former == before.fleets.end() || fleet.Serving() >= CountOf(next, id)) continue;
    // Decided in an earlier step, and taken back in this one.
    if (former->second.Serving() > CountOf(before, id)) continue;
    for (const DesiredInstance& instance : former->second.instances) {
      if (instance.spare) continue;
      const InstanceId name(id, instance.ordinal);
      const bool kept =
          std::any_of(fleet.instances.begin(), fleet.instances.end(),
                      [&](const DesiredInstance& other) { return other.ordinal == instance.ordinal; });
      const auto status = seen.find(name);
      // Of a service that stops first one at a time gives its place to a younger one.
      const bool aged = fleet.leaving == instance.ordinal && next.RevisionOf(*next.active).Find(id)->Alone();
      // A member that the service has no longer goes, also while a lower one heals.
      const bool beyond = instance.member && *instance.member >= UnlimitedCountOf(next, id);
      if (!kept && !aged && !beyond && !hurt.contains(name) && status != seen.end() &&
          status->second.state == InstanceState::kReady)
        violations.push_back("I2: gave up " + name.Render());
    }
  }
  // Only a service that stops first is ever taken away from what serves.
  for (const auto& [number, live] : next.live) {
    if (live.role != Role::kActive) continue;
    for (const auto& [service, limit] : live.limits) {
      const auto recreates = [&](uint64_t revision) {
        const plan::Fleet* fleet = next.RevisionOf(revision).FleetOf(service);
        return fleet != nullptr && fleet->rollout.strategy == definition::Strategy::kRecreate;
      };
      const std::vector<RollingService> rolling = RollingOf(next);
      const auto rolls = std::find_if(rolling.begin(), rolling.end(),
                                      [&](const RollingService& one) { return one.service == service; });
      const bool declared =
          rolls != rolling.end() || (next.rollout && (recreates(number) || recreates(next.rollout->to)));
      if (rolls != rolling.end()) CheckBatch(before, next, *rolls, limit);
      if (!declared) violations.push_back("I2: limited though it does not stop first: " + service);
      const bool moving =
          next.rollout &&
          (next.rollout->phase == Phase::kRolling || next.rollout->phase == Phase::kStopping ||
           next.rollout->phase == Phase::kReplacing || next.rollout->phase == Phase::kShifting ||
           next.rollout->phase == Phase::kReverting);
      if (!moving) violations.push_back("I2: limited outside its rollout: " + service);
    }
  }
  // And of the revision that serves or is warm, no fleet is given up while it has that role.
  for (const auto& [number, live] : next.live)
    if (live.role == Role::kActive || live.role == Role::kWarm)
      for (const plan::Fleet& fleet : next.RevisionOf(number).fleets)
        if (!next.fleets.contains(fleet.spec.id))
          violations.push_back("I2: gave up fleet " + fleet.spec.id.Render());
}

namespace {

// Every fleet that a request from outside may come to.
std::set<FleetId> Reached(const platform::RouteTable& routes) {
  std::set<FleetId> reached;
  std::vector<FleetId> queue;
  const auto add = [&](const auto& route) {
    queue.push_back(route.fleet);
    if (route.split) queue.push_back(route.split->fleet);
  };
  for (const auto& route : routes.outside) add(route);
  while (!queue.empty()) {
    const FleetId fleet = queue.back();
    queue.pop_back();
    if (!reached.insert(fleet).second) continue;
    for (const auto& route : routes.inside)
      if (route.asker == fleet) add(route);
  }
  return reached;
}

}  // namespace

// An instance gives up its place by age only when the others carry the count, or when it has to go first; and
// never while a rollout is under way.
void WatchedPlatform::CheckAged(const EnvironmentState& before, const EnvironmentState& next) {
  for (const auto& [id, fleet] : next.fleets) {
    const auto former = before.fleets.find(id);
    if (former == before.fleets.end()) continue;
    const bool begins = (fleet.aging && fleet.aging != former->second.aging) ||
                        (fleet.leaving && fleet.leaving != former->second.leaving);
    if (begins && before.Moving()) violations.push_back("aging: begun during a rollout: " + id.Render());
    if (begins && fleet.failures > 0) violations.push_back("aging: begun while it heals: " + id.Render());
    if (fleet.leaving && fleet.leaving != former->second.leaving) alone_.emplace(id, *fleet.leaving);
    if (!former->second.aging) continue;
    const InstanceId old(id, *former->second.aging);
    const auto is_old = [&](const DesiredInstance& instance) { return instance.ordinal == old.ordinal(); };
    if (std::any_of(fleet.instances.begin(), fleet.instances.end(), is_old) || hurt.contains(old)) continue;
    size_t ready = 0;
    const auto& seen = fake_.instances();
    const auto status = seen.find(old);
    if (status == seen.end() || status->second.state != InstanceState::kReady) continue;
    for (const DesiredInstance& instance : fleet.instances) {
      const auto other = seen.find(InstanceId(id, instance.ordinal));
      ready += other != seen.end() && Serves(&other->second) ? 1 : 0;
    }
    if (ready < CountOf(next, id))
      violations.push_back("aging: gave up " + old.Render() + " for " + std::to_string(ready));
  }
}

// I1, and of canaries: exactly the share that the journalled step states.
void WatchedPlatform::CheckRoutes(const platform::EnvironmentId& id, const platform::RouteTable& routes) {
  const EnvironmentState& last = journal_.last;
  if (routes != DesiredOf(last).routes) violations.push_back("routes that were not journalled");
  // A fleet that begins to get traffic has passed its gate whole, at this very moment.
  const std::set<FleetId> had = Reached(fake_.Routes(id));
  const std::set<FleetId> reached = Reached(routes);
  // A step and the switch move requests: they find every new fleet whole. Other writes (a batch of another
  // service, a revert) ask it only of what begins to get traffic.
  const bool moves =
      last.rollout && (last.rollout->phase == Phase::kStepping || last.rollout->phase == Phase::kShifting);
  for (const FleetId& fleet : reached) {
    const auto desired = last.fleets.find(fleet);
    if (desired == last.fleets.end()) {
      violations.push_back("I1: traffic to a fleet that shall not exist: " + fleet.Render());
      continue;
    }
    // Going back to what served before needs no gate.
    if (desired->second.proven || (!moves && had.contains(fleet))) continue;
    // Until it is there a service that stops first answers nothing.
    const auto replacements = ReplacementsOf(last);
    if (std::any_of(replacements.begin(), replacements.end(),
                    [&](const Replacement& replacement) { return replacement.service == fleet.service(); }) &&
        last.rollout->phase != Phase::kShifting)
      continue;
    // Of a service that rolls the next batch may be starting; the router has those that are ready.
    const auto rolling = RollingOf(last);
    const bool rolls = last.rollout &&
                       (last.rollout->phase == Phase::kRolling || last.rollout->phase == Phase::kReverting) &&
                       std::any_of(rolling.begin(), rolling.end(),
                                   [&](const RollingService& one) { return one.after == fleet; });
    if (Ready(fleet) < (rolls ? std::min(1u, CountOf(last, fleet)) : CountOf(last, fleet)))
      violations.push_back("I1: traffic to a fleet that is not ready: " + fleet.Render() + ", " +
                           std::to_string(Ready(fleet)) + " of " + std::to_string(CountOf(last, fleet)) +
                           (last.rollout ? ", " + std::string(PhaseName(last.rollout->phase)) : ""));
  }
  if (routes.step == 0) return;
  for (const auto& route : routes.outside) {
    if (!route.split || last.rollout->phase != Phase::kStepping) continue;
    const auto steps = StepsOf(last);
    if (last.rollout->step < 1 || last.rollout->step > steps.size() ||
        steps[last.rollout->step - 1].percent.at(route.fleet.service()) * 10 != route.split->per_mille)
      violations.push_back("canary: another share than its step's");
  }
}

// Rolling, within its stated surge: old instances are given up only as far as others can carry the traffic.
void WatchedPlatform::CheckBatch(const EnvironmentState& before, const EnvironmentState& next,
                                 const RollingService& rolls, uint32_t limit) {
  if (before.rollout != next.rollout && !before.rollout) return;
  const auto count = [&](const EnvironmentState& state, uint64_t revision) {
    const auto& live = state.live.at(revision);
    return live.replicas.at(rolls.service);
  };
  const auto& former = before.live.find(*next.rollout->from);
  if (former == before.live.end()) return;
  const auto had = former->second.limits.find(rolls.service);
  if (had != former->second.limits.end() && had->second <= limit) return;  // not in this step
  const uint32_t least = std::min(count(next, *next.rollout->from), count(next, next.rollout->to));
  const uint32_t missing = rolls.batch > rolls.surge ? rolls.batch - rolls.surge : 0;
  if (Ready(rolls.after) + limit + missing < least)
    violations.push_back("rolling: only " + std::to_string(Ready(rolls.after)) + " new and " +
                         std::to_string(limit) + " old ones of " + rolls.service);
}

Result<void> WatchedPlatform::ApplyRoutes(const platform::EnvironmentId& id,
                                          const platform::RouteTable& routes) {
  CheckRoutes(id, routes);
  return fake_.ApplyRoutes(id, routes);
}

}  // namespace ingot::rollout::testing

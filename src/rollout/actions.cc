// The difference between what shall be and what is, as actions in a safe order: first what makes room
// (topology), then routes, then starts, and stops last, when nothing leads there any more.
#include "rollout/members.h"

namespace ingot::rollout {

namespace {

using platform::FleetId;
using platform::InstanceId;

// Traffic is only ever switched to what is ready at that moment.
bool MaySwitch(Transition& t) {
  if (!t.next.rollout) return true;
  if (t.next.rollout->phase != Phase::kShifting && t.next.rollout->phase != Phase::kStepping) return true;
  return Judge(t.next, t.view).ready;
}

void AddStarts(Transition& t, std::vector<Action>& actions) {
  if (!t.view.ever_looked) return;
  for (const auto& [id, fleet] : t.next.fleets) {
    for (const DesiredInstance& instance : fleet.instances) {
      const InstanceId name(id, instance.ordinal);
      if (instance.seen || t.view.started.contains(name) || t.view.expected.contains(name)) continue;
      // A candidate starts when its neighbours answer. A replacement does not wait for a router that has been
      // asked and does not take its topology: it may be the very one that serves.
      const bool may = fleet.proven ? t.TopologyInEffect() || t.view.topology_trouble
                                    : t.TopologyInEffect() && t.RoutesInEffect();
      const auto owner = OwnerOf(t.next, id);
      if (!may || !owner) continue;
      platform::FleetSpec spec = SpecOf(t, *t.next.RevisionOf(*owner).Find(id), instance);
      if (!VolumesTaken(t, spec, name)) actions.push_back(StartInstance{std::move(spec), name});
    }
  }
}

void AddServes(const Transition& t, std::vector<Action>& actions) {
  for (const auto& [id, fleet] : t.next.fleets)
    for (const DesiredInstance& instance : fleet.instances) {
      const InstanceId name(id, instance.ordinal);
      const platform::InstanceStatus* status = t.Observed(name);
      if (!instance.spare && status != nullptr && status->held) actions.push_back(ServeInstance{name});
    }
}

// Whether somebody who may still ask this fleet is being drained himself.
bool HasAskers(Transition& t, const FleetId& fleet) {
  for (const auto& route : t.Wanted().routes.inside) {
    if (route.fleet != fleet || t.next.fleets.contains(route.asker)) continue;
    const auto asker = t.view.observed.lower_bound(InstanceId(route.asker, 0));
    if (asker != t.view.observed.end() && asker->first.fleet() == route.asker) return true;
  }
  return false;
}

bool PatienceIsOver(Transition& t, const FleetId& fleet) {
  for (const auto& [number, live] : t.next.live) {
    if (live.role != Role::kRetiring || t.next.RevisionOf(number).Find(fleet) == nullptr) continue;
    if (t.now < live.until) {
      t.Wake(live.until);
      return false;
    }
  }
  return true;
}

void AddStops(Transition& t, std::vector<Action>& actions) {
  if (!t.view.looked) return;
  for (const auto& [name, status] : t.view.observed) {
    const auto fleet = t.next.fleets.find(name.fleet());
    if (fleet != t.next.fleets.end()) {
      bool wanted = false;
      for (const DesiredInstance& instance : fleet->second.instances)
        wanted = wanted || instance.ordinal == name.ordinal();
      if (!wanted) actions.push_back(StopInstance{name});
    } else if (t.RoutesInEffect() && (!HasAskers(t, name.fleet()) || PatienceIsOver(t, name.fleet()))) {
      actions.push_back(StopInstance{name});
    }
  }
}

}  // namespace

std::vector<Action> ActionsOf(Transition& t) {
  std::vector<Action> actions;
  const Desired& desired = t.Wanted();
  const bool routes_wait = !t.RoutesInEffect();
  // First, since the router has room for it already: whoever takes a place waits for nothing.
  AddServes(t, actions);
  if (!t.TopologyInEffect())
    actions.push_back(SetTopology{desired.topology});
  else if (*t.view.topology != desired.topology && !routes_wait && !t.next.Busy())
    actions.push_back(SetTopology{desired.topology});  // shrinks, now that no route needs the rest
  if (routes_wait && t.TopologyInEffect() && MaySwitch(t)) actions.push_back(ApplyRoutes{desired.routes});
  AddMigrations(t, actions);
  AddChecks(t, actions);
  AddStarts(t, actions);
  AddStops(t, actions);
  return actions;
}

}  // namespace ingot::rollout

#include "rollout/transition.h"

#include <algorithm>
#include <set>
#include <utility>

namespace ingot::rollout {

namespace {

std::string NameOf(uint64_t revision) {
  return "r" + std::to_string(revision);
}

template <typename T, typename Same>
bool AllIn(const std::vector<T>& needed, const std::vector<T>& had, Same same) {
  return std::all_of(needed.begin(), needed.end(), [&](const T& need) {
    return std::any_of(had.begin(), had.end(), [&](const T& has) { return same(has, need); });
  });
}

}  // namespace

audit::Draft MakeEvent(const EnvironmentState& state, std::string kind, std::string actor,
                       JsonObject detail) {
  return {.key = "",
          .environment = state.id.Render(),
          .kind = std::move(kind),
          .actor = std::move(actor),
          .detail = std::move(detail)};
}

JsonObject Describe(const Rollout& rollout) {
  JsonObject out{{"rollout", rollout.id},
                 {"kind", rollout.kind == RolloutKind::kApply ? "apply" : "rollback"},
                 {"from", rollout.from ? Json(NameOf(*rollout.from)) : Json(nullptr)},
                 {"to", NameOf(rollout.to)}};
  if (!rollout.reason.empty()) out["reason"] = rollout.reason;
  return out;
}

void Enter(EnvironmentState& state, Phase phase, WallTime now, Milliseconds limit,
           std::vector<audit::Draft>& events) {
  Rollout& rollout = *state.rollout;
  rollout.phase = phase;
  rollout.since = now;
  rollout.deadline = now + limit;
  rollout.entered[std::string(PhaseName(phase))] = now;
  events.push_back(MakeEvent(state, "rollout." + std::string(PhaseName(phase)),
                             phase == Phase::kPlanned ? rollout.actor : "ingot", Describe(rollout)));
}

void Finish(EnvironmentState& state, Phase phase, WallTime now, std::vector<Rollout>& finished,
            std::vector<audit::Draft>& events) {
  Enter(state, phase, now, Milliseconds(0), events);
  finished.push_back(std::move(*state.rollout));
  state.rollout.reset();
  Prune(state);
}

void BeginRetiring(EnvironmentState& state, uint64_t revision, WallTime now,
                   std::vector<audit::Draft>& events) {
  LiveRevision& live = state.live.at(revision);
  live.role = Role::kRetiring;
  live.until = now + kOrderPatience;
  events.push_back(MakeEvent(state, "revision.retiring", "ingot", {{"revision", NameOf(revision)}}));
  Prune(state);
}

void BeginRevert(EnvironmentState& state, const std::string& reason, WallTime now,
                 std::vector<audit::Draft>& events) {
  Rollout& rollout = *state.rollout;
  rollout.reason = reason;
  rollout.paused.clear();
  rollout.held.clear();
  // Of a service that rolls the old instances have to be back before the new ones go: until then those keep
  // their share.
  std::set<std::string> rolling;
  std::set<std::string> put_back;
  for (const RollingService& service : RollingOf(state)) {
    rolling.insert(service.service);
    const auto after = state.fleets.find(service.after);
    // Members come back one by one, as their volumes do.
    if (service.stateful && after != state.fleets.end() && !after->second.instances.empty()) {
      rollout.weights.try_emplace(service.service, 0);
      put_back.insert(service.service);
      continue;
    }
    state.live.at(*rollout.from).limits.erase(service.service);
  }
  std::erase_if(rollout.weights, [&](const auto& entry) {
    return !rolling.contains(entry.first) || (entry.second == 0 && !put_back.contains(entry.first));
  });
  Enter(state, Phase::kReverting, now, Milliseconds(60'000), events);
  if (rollout.weights.empty()) LetGo(state, now, events);
}

void DropOverrides(EnvironmentState& state, const plan::Revision& next) {
  const LiveRevision& live = state.live.at(*state.active);
  std::erase_if(state.overrides, [&](const auto& entry) {
    const plan::Fleet* fleet = next.FleetOf(entry.first);
    const auto declared = live.declared.find(entry.first);
    if (fleet == nullptr || declared == live.declared.end()) return true;
    if (!fleet->scale && live.scales.contains(entry.first)) return true;
    return declared->second != fleet->replicas && !fleet->scale;
  });
}

void LetGo(EnvironmentState& state, WallTime now, std::vector<audit::Draft>& events) {
  const Rollout& rollout = *state.rollout;
  const auto live = state.live.find(rollout.to);
  if (live == state.live.end() || live->second.role != Role::kCandidate) return;
  if (!rollout.warm_until) return BeginRetiring(state, rollout.to, now, events);
  live->second.role = Role::kWarm;
  live->second.until = *rollout.warm_until;
  for (const Replacement& replacement : ReplacementsOf(state)) live->second.limits[replacement.service] = 0;
  for (const RollingService& service : RollingOf(state)) live->second.limits[service.service] = 0;
}

std::vector<RollingService> RollingOf(const EnvironmentState& state) {
  std::vector<RollingService> out;
  if (!state.rollout || !state.rollout->from || !state.live.contains(*state.rollout->from)) return out;
  const plan::Revision& from = state.RevisionOf(*state.rollout->from);
  const plan::Revision& to = state.RevisionOf(state.rollout->to);
  for (const plan::Fleet& after : to.fleets) {
    const plan::Fleet* before = from.FleetOf(after.spec.id.service());
    if (before == nullptr) continue;
    const plan::Fleet& newer = state.rollout->kind == RolloutKind::kApply ? after : *before;
    if (plan::Rolls(*before, after, newer))
      out.push_back({after.spec.id.service(), before->spec.id, after.spec.id,
                     std::max(newer.rollout.batch, 1u), newer.rollout.surge,
                     before->Stateful() && after.Stateful()});
  }
  return out;
}

std::vector<Replacement> ReplacementsOf(const EnvironmentState& state) {
  std::vector<Replacement> out;
  if (!state.rollout || !state.rollout->from || !state.live.contains(*state.rollout->from)) return out;
  const plan::Revision& from = state.RevisionOf(*state.rollout->from);
  const plan::Revision& to = state.RevisionOf(state.rollout->to);
  for (const plan::Fleet& after : to.fleets) {
    const plan::Fleet* before = from.FleetOf(after.spec.id.service());
    if (before != nullptr && before->spec.id != after.spec.id && plan::StopsFirst(*before, after))
      out.push_back({after.spec.id.service(), before->spec.id, after.spec.id});
  }
  return out;
}

void Prune(EnvironmentState& state) {
  std::erase_if(state.fleets, [&](const auto& entry) {
    for (const auto& [number, live] : state.live)
      if (live.role != Role::kRetiring && state.RevisionOf(number).Find(entry.first) != nullptr) return false;
    return true;
  });
  std::erase_if(state.revisions, [&](const auto& entry) {
    return !state.live.contains(entry.first) && !(state.rollout && state.rollout->to == entry.first);
  });
}

void Seal(EnvironmentState& state, std::vector<audit::Draft> events, WallTime now) {
  ++state.step;
  state.journalled = now;
  for (size_t i = 0; i < events.size(); ++i)
    events[i].key = std::to_string(state.step) + "." + std::to_string(i);
  state.outbox = std::move(events);
}

bool Covers(const platform::Topology& has, const platform::Topology& needs) {
  using platform::Topology;
  const auto service = [](const Topology::Service& h, const Topology::Service& n) {
    return h.name == n.name && h.replicas >= n.replicas && h.sticky == n.sticky && h.preview == n.preview &&
           h.shadow == n.shadow &&
           AllIn(n.ports, h.ports, [](const platform::Port& a, const platform::Port& b) { return a == b; });
  };
  return AllIn(needs.services, has.services, service) &&
         AllIn(needs.endpoints, has.endpoints,
               [](const Topology::Endpoint& h, const Topology::Endpoint& n) { return h == n; }) &&
         AllIn(needs.listeners, has.listeners,
               [](const Topology::Listener& h, const Topology::Listener& n) { return h == n; }) &&
         AllIn(needs.hosts, has.hosts,
               [](const Topology::Host& h, const Topology::Host& n) { return h == n; }) &&
         AllIn(needs.servers, has.servers,
               [](const Topology::Server& h, const Topology::Server& n) { return h == n; });
}

const Desired& Transition::Wanted() {
  if (stale) desired = DesiredOf(next);
  stale = false;
  return desired;
}

bool Transition::TopologyInEffect() {
  return view.topology && Covers(*view.topology, Wanted().topology);
}

bool Transition::RoutesInEffect() {
  return view.routes && *view.routes == Wanted().routes;
}

std::string Transition::TopologyHopeless() {
  const auto& trouble = view.topology_trouble;
  return trouble && Hopeless(*trouble) && view.topology_tried == Wanted().topology ? trouble->message : "";
}

std::string Transition::RoutesHopeless() {
  const auto& trouble = view.routes_trouble;
  return trouble && Hopeless(*trouble) && view.routes_tried == Wanted().routes ? trouble->message : "";
}

const platform::InstanceStatus* Transition::Observed(const platform::InstanceId& id) const {
  const auto found = view.observed.find(id);
  return found == view.observed.end() ? nullptr : &found->second;
}

}  // namespace ingot::rollout

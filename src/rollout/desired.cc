#include "rollout/desired.h"

#include <algorithm>
#include <list>
#include <set>

#include "rollout/transition.h"

namespace ingot::rollout {

namespace {

// A candidate's counts hold from `starting` on: before that nothing of the environment may grow.
bool CountsHold(const EnvironmentState& state, Role role) {
  if (role == Role::kActive) return true;
  return role == Role::kCandidate && state.rollout && state.rollout->phase > Phase::kMigrating;
}

// Live revisions in the order in which they decide about what they share: the leading one, the one it takes
// over from, candidates, warm ones, retiring ones; of equals the newest.
std::vector<uint64_t> ByPrecedence(const EnvironmentState& state) {
  std::vector<uint64_t> out;
  for (const auto& [number, live] : state.live) out.push_back(number);
  const std::optional<uint64_t> leading = Leading(state);
  const auto rank = [&](uint64_t number) {
    return leading == number ? -1 : static_cast<int>(state.live.at(number).role);
  };
  std::sort(out.begin(), out.end(), [&](uint64_t a, uint64_t b) {
    const int left = rank(a);
    const int right = rank(b);
    return left != right ? left < right : a > b;
  });
  return out;
}

// How many of a thousand requests to a service are copied to its new fleet in the present step.
uint32_t ShadowOf(const EnvironmentState& state, const std::string& service) {
  if (state.rollout->phase != Phase::kStepping) return 0;
  const std::vector<plan::ShiftStep> steps = StepsOf(state);
  if (state.rollout->step < 1 || state.rollout->step > steps.size()) return 0;
  const auto& shadows = steps[state.rollout->step - 1].shadow;
  const auto found = shadows.find(service);
  return found == shadows.end() ? 0 : found->second.share * 10;
}

bool IsRolling(const EnvironmentState& state, const std::string& service) {
  const std::vector<RollingService> rolling = RollingOf(state);
  return std::any_of(rolling.begin(), rolling.end(),
                     [&](const RollingService& one) { return one.service == service; });
}

// The part of what goes to a service that its new fleet takes from what serves, as weights say.
std::optional<platform::Share> ShareOf(const EnvironmentState& state, const std::string& service) {
  if (!state.rollout || Leading(state) == state.rollout->to) return std::nullopt;
  const auto weight = state.rollout->weights.find(service);
  if (weight == state.rollout->weights.end()) return std::nullopt;
  const plan::Fleet* fleet = state.RevisionOf(state.rollout->to).FleetOf(service);
  // One that is scaled to nothing takes nothing.
  if (fleet == nullptr || CountOf(state, fleet->spec.id) == 0) return std::nullopt;
  const uint32_t shadow = weight->second == 0 ? ShadowOf(state, service) : 0;
  // A share of nothing is one all the same where there is a preview, or a shadow; of a service that rolls (a
  // rollback by the other revision's strategy), the first batch may be starting.
  const bool previewed = fleet->rollout.preview != definition::Preview{} && !IsRolling(state, service);
  if (weight->second == 0 && shadow == 0 && !previewed) return std::nullopt;
  return platform::Share{fleet->spec.id, weight->second, shadow};
}

// The port at which the new fleet alone is reached, until everybody reaches it.
void AddPreviews(const EnvironmentState& state, platform::RouteTable& table) {
  if (!state.rollout || Leading(state) == state.rollout->to) return;
  for (const plan::Fleet& fleet : state.RevisionOf(state.rollout->to).fleets) {
    const definition::Preview& preview = fleet.rollout.preview;
    if (preview.port == 0 || !state.rollout->weights.contains(fleet.spec.id.service()) ||
        CountOf(state, fleet.spec.id) == 0 || IsRolling(state, fleet.spec.id.service()))
      continue;
    const std::string listen = plan::PreviewListen(preview);
    // What serves may have a route there; it stays until the switch.
    if (std::none_of(table.outside.begin(), table.outside.end(),
                     [&](const auto& route) { return route.listen == listen; }))
      table.outside.push_back(
          {listen, fleet.spec.id, plan::PreviewTarget(fleet.spec.ports), platform::Protocol::kHttp});
  }
}

void AddOutside(const EnvironmentState& state, const plan::Revision& revision, platform::RouteTable& table) {
  for (const auto& route : revision.resolved.routes) {
    const plan::Fleet* fleet = revision.FleetOf(route.service);
    if (fleet == nullptr) continue;
    table.outside.push_back(plan::OutsideOf(route, fleet->spec.id));
    table.outside.back().split = ShareOf(state, route.service);
  }
}

// Who asks stays within his revision where he can (I5): an old instance of a service that itself has a share
// gives its neighbours' new fleets nothing, since the requests that are theirs come through its own new
// fleet.
std::optional<platform::Share> ShareFor(const EnvironmentState& state, const plan::Revision& revision,
                                        const platform::FleetId& asker, const std::string& service) {
  if (Leading(state) != revision.number) return std::nullopt;
  const auto share = ShareOf(state, service);
  const bool follows = ShareOf(state, asker.service()).has_value();
  // With the whole share there is soon no old one to ask.
  return share && follows && share->per_mille < 1000 ? std::nullopt : share;
}

// A neighbour that is yet to take the place of the one that serves: until then it is that one.
const plan::Fleet* Neighbour(const EnvironmentState& state, const plan::Revision& revision,
                             const std::string& service) {
  const plan::Fleet* own = revision.FleetOf(service);
  const LiveRevision& live = state.live.at(revision.number);
  if (own == nullptr || live.role != Role::kCandidate || !state.active || !state.rollout) return own;
  // Once it leads, all of it has; one that is scaled to nothing still has its limit.
  if (Leading(state) == revision.number) return own;
  const auto limit = live.limits.find(service);
  // Of one that rolls the first batch may be starting while canaries have requests already.
  const auto& weights = state.rollout->weights;
  const auto weight = weights.find(service);
  // On the way back one without a share has never had one, or has given it back to the old ones.
  const bool none = weight == weights.end() ? state.rollout->phase == Phase::kReverting : weight->second == 0;
  const bool begins = none && IsRolling(state, service);
  if (!begins && (limit == live.limits.end() || limit->second > 0)) return own;
  const plan::Fleet* serving = state.RevisionOf(*state.active).FleetOf(service);
  return serving == nullptr ? own : serving;
}

void AddInside(const EnvironmentState& state, const plan::Revision& revision,
               const platform::FleetSpec& asker, platform::RouteTable& table) {
  for (const platform::Use& use : asker.uses) {
    const plan::Fleet* neighbour = use.endpoint ? nullptr : Neighbour(state, revision, use.name);
    if (use.endpoint)
      table.endpoints.push_back({asker.id, use.name});
    else if (neighbour != nullptr)
      table.inside.push_back(
          {asker.id, use.name, neighbour->spec.id, ShareFor(state, revision, asker.id, use.name)});
  }
}

}  // namespace

std::optional<uint64_t> Leading(const EnvironmentState& state) {
  if (state.rollout && state.rollout->phase == Phase::kShifting) return state.rollout->to;
  return state.active;
}

std::optional<uint64_t> OwnerOf(const EnvironmentState& state, const platform::FleetId& fleet) {
  for (const uint64_t number : ByPrecedence(state))
    if (state.RevisionOf(number).Find(fleet) != nullptr) return number;
  return std::nullopt;
}

namespace {

uint32_t Counted(const EnvironmentState& state, const platform::FleetId& fleet, bool limited) {
  uint32_t serving = 0;
  uint32_t warm = 0;
  bool has_serving = false;
  for (const auto& [number, live] : state.live) {
    if (live.role == Role::kRetiring) continue;
    const plan::Fleet* found = state.RevisionOf(number).Find(fleet);
    if (found == nullptr) continue;
    const auto count = live.replicas.find(fleet.service());
    uint32_t wanted = count == live.replicas.end() ? found->replicas : count->second;
    if (const auto limit = live.limits.find(fleet.service()); limited && limit != live.limits.end())
      wanted = std::min(wanted, limit->second);
    if (CountsHold(state, live.role)) {
      has_serving = true;
      serving = std::max(serving, wanted);
    } else if (live.role == Role::kCandidate && state.fleets.contains(fleet)) {
      // It was warm a moment ago, and stays as it is until then.
      warm = std::max(warm, static_cast<uint32_t>(state.fleets.at(fleet).Serving()));
    } else if (found->kind == definition::Kind::kService) {
      // A worker takes work for as long as it runs, and a member holds its volumes: of a revision that no
      // longer serves none may.
      warm = std::max(warm, wanted);
    }
  }
  return has_serving ? serving : warm;
}

}  // namespace

uint32_t CountOf(const EnvironmentState& state, const platform::FleetId& fleet) {
  return Counted(state, fleet, /*limited=*/true);
}

uint32_t UnlimitedCountOf(const EnvironmentState& state, const platform::FleetId& fleet) {
  return Counted(state, fleet, /*limited=*/false);
}

Desired DesiredOf(const EnvironmentState& state) {
  Desired desired;
  const std::vector<uint64_t> order = ByPrecedence(state);
  std::vector<const definition::Resolved*> resolved;
  std::list<definition::Resolved> retiring;  // a list: `resolved` points into it
  std::map<std::string, uint32_t> replicas;
  std::set<platform::FleetId> done;
  if (const auto leading = Leading(state)) AddOutside(state, state.RevisionOf(*leading), desired.routes);
  AddPreviews(state, desired.routes);
  for (const uint64_t number : order) {
    const plan::Revision& revision = state.RevisionOf(number);
    const LiveRevision& live = state.live.at(number);
    if (live.role == Role::kRetiring) {
      // Nothing from outside reaches it any more. Its listeners may be the very reason why it is being taken
      // back: one that is in use elsewhere must not keep it from going.
      retiring.push_back(revision.resolved);
      retiring.back().routes.clear();
      for (auto& service : retiring.back().services) service.rollout.preview = {};
      resolved.push_back(&retiring.back());
    } else {
      resolved.push_back(&revision.resolved);
    }
    for (const auto& [service, count] : live.replicas) {
      // With room for the successor of an old instance, and for spares, always: what is replaced by age, or
      // takes a place, changes no topology.
      const auto spares = live.spares.find(service);
      const uint32_t most = count + (live.max_ages.contains(service) ? 1 : 0) +
                            (spares == live.spares.end() ? 0 : spares->second);
      replicas[service] = std::max(replicas[service], most);
    }
    for (const plan::Fleet& fleet : revision.fleets) {
      // A candidate's fleets are routed from `starting` on, a retiring one's until their last instance is
      // gone: what is being drained may still have to ask its neighbours.
      if (live.role != Role::kRetiring && !state.fleets.contains(fleet.spec.id)) continue;
      if (done.insert(fleet.spec.id).second) AddInside(state, revision, fleet.spec, desired.routes);
    }
    // A run begins with the active revision, at any time, and goes on with the neighbours of its own one as
    // long as these are kept.
    const bool comes = live.role == Role::kCandidate && Leading(state) != number;
    // The commands of a candidate's migrations run before it.
    const bool migrating =
        state.rollout && state.rollout->to == number && state.rollout->phase == Phase::kMigrating;
    for (const plan::Job& job : revision.jobs) {
      if (comes && !(migrating && job.migrates)) continue;
      if (done.insert(job.spec.id).second) AddInside(state, revision, job.spec, desired.routes);
    }
  }
  if (state.rollout && !state.rollout->weights.empty() && Leading(state) != state.rollout->to) {
    desired.routes.rollout = state.rollout->id;
    desired.routes.step = state.rollout->step;
  }
  // How users are kept on one side is the newer definition's to say, from before it is needed.
  if (state.rollout && state.live.contains(state.rollout->to) &&
      state.live.at(state.rollout->to).role == Role::kCandidate)
    std::stable_partition(resolved.begin(), resolved.end(), [&](const auto* one) {
      return one == &state.RevisionOf(state.rollout->to).resolved;
    });
  desired.topology = plan::TopologyOf(resolved, replicas);
  return desired;
}

}  // namespace ingot::rollout

// The phases of a rollout, one function each. A function returns false when it has to wait for something to
// be done or seen; what is to be done follows from the state (actions.cc).
#include "rollout/phases.h"

#include <algorithm>
#include <set>
#include <utility>

#include "rollout/members.h"

namespace ingot::rollout {

namespace {

constexpr Milliseconds kPrepareLimit{60'000};
constexpr size_t kSlotSets = 3;  // per service, of a router

// Fleets of the target that the active revision does not have: what has to be proven.
std::vector<const plan::Fleet*> NewFleets(const EnvironmentState& state) {
  std::vector<const plan::Fleet*> out;
  for (const plan::Fleet& fleet : Target(state).fleets)
    if (!state.active || state.RevisionOf(*state.active).Find(fleet.spec.id) == nullptr)
      out.push_back(&fleet);
  return out;
}

std::map<std::string, uint32_t> DeclaredCounts(const plan::Revision& revision) {
  std::map<std::string, uint32_t> out;
  for (const plan::Fleet& fleet : revision.fleets) out[fleet.spec.id.service()] = fleet.replicas;
  return out;
}

// A revision that was not live gets its declared counts, with those that `scale` has set on top.
void MakeLive(EnvironmentState& state) {
  const plan::Revision& revision = Target(state);
  LiveRevision live;
  live.declared = DeclaredCounts(revision);
  live.replicas = live.declared;
  live.keep_old = revision.KeepOld();
  live.scales = plan::ScalesOf(revision.resolved);
  live.max_ages = plan::MaxAgesOf(revision.resolved);
  live.spares = plan::SparesOf(revision.resolved);
  for (const auto& [service, count] : state.overrides)
    if (const plan::Fleet* fleet = revision.FleetOf(service)) live.replicas[service] = fleet->Within(count);
  state.live[revision.number] = std::move(live);
}

bool Planned(Transition& t) {
  Rollout& rollout = *t.next.rollout;
  if (const auto gate = GateOf(t.next)) return AwaitApproval(t, *gate);
  rollout.approved.clear();
  rollout.awaited.reset();
  // While it waited, counts went on following the load of what it replaces.
  if (rollout.kind == RolloutKind::kApply && t.next.active) DropOverrides(t.next, Target(t.next));
  const auto live = t.next.live.find(rollout.to);
  if (live == t.next.live.end() || live->second.role == Role::kRetiring) {
    MakeLive(t.next);
  } else if (live->second.role == Role::kWarm) {
    rollout.warm_until = live->second.until;
    live->second.role = Role::kCandidate;
    // A service that was scaled to nothing when it became warm has nothing to switch to.
    for (auto& [service, count] : live->second.replicas)
      if (const auto set = t.next.overrides.find(service); count == 0 && set != t.next.overrides.end())
        count = set->second;
  }
  auto& limits = t.next.live.at(rollout.to).limits;
  limits.clear();
  for (const Replacement& replacement : ReplacementsOf(t.next)) limits[replacement.service] = 0;
  // The first batch, as far as there may be more than the count: with it the new revision is proven.
  for (const RollingService& service : RollingOf(t.next))
    limits[service.service] = std::min(service.batch, service.surge);
  if (NeedsMigration(t.next)) t.next.unmigrated.insert(rollout.to);
  return Go(t, Phase::kPreparing, kPrepareLimit);
}

}  // namespace

bool AwaitApproval(Transition& t, const Gate& gate) {
  Rollout& rollout = *t.next.rollout;
  // What held the step is over; but not each time that an analysis changes its mind.
  if (!rollout.held.empty() && t.now >= rollout.held_at + kHeldEach) {
    rollout.held.clear();
    t.changed = true;
  }
  if (!rollout.awaited) {
    rollout.awaited = t.now;
    t.changed = true;
    return true;
  }
  if (!rollout.paused.empty() || !gate.expires) return false;
  t.Wake(*gate.expires);
  return t.now >= *gate.expires && Fail(t, "it waited in vain for " + RenderRoles(gate.missing) +
                                               " to approve it, until " + RenderTime(*gate.expires));
}

namespace {

// A service of which three fleets are still there besides the new one: no set of slots is free. Empty: none.
std::string Crowded(Transition& t) {
  std::map<std::string, std::set<platform::FleetId>> present;
  for (const auto& [number, live] : t.next.live) {
    if (live.role == Role::kCandidate) continue;
    for (const plan::Fleet& fleet : t.next.RevisionOf(number).fleets)
      present[fleet.spec.id.service()].insert(fleet.spec.id);
  }
  for (const auto& [id, status] : t.view.observed) present[id.fleet().service()].insert(id.fleet());
  for (const plan::Fleet& fleet : Target(t.next).fleets) {
    std::set<platform::FleetId>& others = present[fleet.spec.id.service()];
    if (!others.contains(fleet.spec.id) && others.size() >= kSlotSets) return fleet.spec.id.service();
  }
  return "";
}

bool Preparing(Transition& t) {
  if (const std::string why = t.TopologyHopeless(); !why.empty())
    return Fail(t, "the router cannot be prepared: " + why);
  if (const std::string why = t.RoutesHopeless(); !why.empty())
    return Fail(t, "the router cannot be prepared: " + why);
  const std::string crowded = Crowded(t);
  if (t.view.looked && t.TopologyInEffect() && t.RoutesInEffect() && crowded.empty())
    return NeedsMigration(t.next) ? BeginMigrating(t) : BeginStarting(t);
  if (!Late(t)) return false;
  if (!t.view.looked) return Fail(t, "the platform could not be observed: " + t.view.look_error);
  if (!crowded.empty()) return Fail(t, "former fleets of " + crowded + " could not be drained in time");
  return Fail(t, "the router did not take the new topology in time");
}

bool Starting(Transition& t) {
  for (const plan::Fleet* fleet : NewFleets(t.next))
    if (const std::string why = Unstartable(t, fleet->spec.id); !why.empty()) return Fail(t, why);
  if (const std::string why = t.RoutesHopeless(); !why.empty())
    return Fail(t, "routes inside the new revision cannot be written: " + why);
  const Verdict verdict = Judge(t.next, t.view);
  if (!verdict.failure.empty()) return Fail(t, verdict.failure);
  bool all = true;
  for (const plan::Fleet* fleet : NewFleets(t.next)) {
    for (const DesiredInstance& instance : t.next.fleets.at(fleet->spec.id).instances)
      all = all && (instance.seen || t.view.started.contains({fleet->spec.id, instance.ordinal}));
  }
  if (all) {
    const WallTime deadline = t.next.rollout->deadline;
    Go(t, Phase::kVerifying, Milliseconds(0));
    t.next.rollout->deadline = deadline;
    return true;
  }
  return Late(t) && Fail(t, "its instances could not be started in time: " + verdict.waiting);
}

bool Verifying(Transition& t) {
  const Verdict verdict = Judge(t.next, t.view);
  if (!verdict.failure.empty()) return Fail(t, verdict.failure);
  if (const std::string why = t.RoutesHopeless(); !why.empty())
    return Fail(t, "routes inside the new revision cannot be written: " + why);
  const bool written = t.TopologyInEffect() && t.RoutesInEffect();
  if (verdict.ready && written) {
    // Everything is proven: a pause holds it here for as long as it likes.
    if (!t.next.rollout->paused.empty()) return false;
    if (t.view.settled == true) return BeginSteps(t) || AfterSteps(t);
    t.ask_settled = true;
  }
  if (!Late(t)) return false;
  if (!verdict.ready) return Fail(t, "it was not ready in time: " + verdict.waiting);
  if (!written) return Fail(t, "the router could not be prepared in time");
  return Fail(t, "the router's former process did not end in time");
}

// The routes in effect lead to the target: it is the active revision now.
void Switch(Transition& t) {
  EnvironmentState& state = t.next;
  const uint64_t to = state.rollout->to;
  for (const plan::Fleet& fleet : Target(state).fleets) state.fleets.at(fleet.spec.id).proven = true;
  std::vector<uint64_t> over;
  for (auto& [number, live] : state.live) {
    if (number == to) continue;
    if (number == state.active && live.keep_old > Milliseconds(0)) {
      live.role = Role::kWarm;
      live.until = t.now + live.keep_old;
    } else if (live.role != Role::kRetiring) {
      over.push_back(number);
    }
  }
  LiveRevision& target = state.live.at(to);
  target.role = Role::kActive;
  // A first batch may have been all there are.
  target.limits.clear();
  // Traffic first: what a warm revision lacks of the counts that `scale` has set is started now.
  for (const auto& [service, count] : state.overrides)
    if (const plan::Fleet* fleet = Target(state).FleetOf(service))
      target.replicas[service] = fleet->Within(count);
  state.active = to;
  state.unserved.erase(to);
  if (state.rollout->kind == RolloutKind::kApply)
    state.rules_before = std::exchange(state.rules, Target(state).resolved.rules);
  if (state.rollout->kind == RolloutKind::kApply) state.released = Released{state.rollout->id, to};
  Enter(state, Phase::kBaking, t.now, Milliseconds(0), t.events);
  for (const uint64_t number : over) BeginRetiring(state, number, t.now, t.events);
  t.Changed();
}

bool Shifting(Transition& t) {
  if (t.RoutesInEffect()) {
    Switch(t);
    return true;
  }
  const Verdict verdict = Judge(t.next, t.view);
  if (!verdict.failure.empty()) return Fail(t, verdict.failure);
  if (const std::string why = t.RoutesHopeless(); !why.empty())
    return Fail(t, "traffic cannot be switched: " + why);
  if (!verdict.ready) {
    t.Wake(t.next.rollout->since + kShiftPatience);
    if (t.now >= t.next.rollout->since + kShiftPatience)
      return Fail(t, "it was no longer ready when traffic was to be switched: " + verdict.waiting);
  }
  return Late(t) && Fail(t, "traffic could not be switched in time");
}

// A new fleet of which instances keep dying, and none or too few are ready. One death is healed; a second
// generation that dies is the release's own fault.
std::string FallingOver(const Transition& t, const plan::Revision& former) {
  for (const plan::Fleet& fleet : Target(t.next).fleets) {
    const platform::FleetId& id = fleet.spec.id;
    const FleetState& state = t.next.fleets.at(id);
    if (former.Find(id) != nullptr || state.failures < kDegraded || CountReady(t, id) >= CountOf(t.next, id))
      continue;
    return "instances of " + id.service() + " keep dying: the last one " + state.reason;
  }
  return "";
}

// Every service of the revision has an instance that can take traffic now.
bool CanServe(const Transition& t, const plan::Revision& revision) {
  return t.view.looked &&
         std::all_of(revision.fleets.begin(), revision.fleets.end(), [&](const plan::Fleet& fleet) {
           return CountOf(t.next, fleet.spec.id) == 0 || CountReady(t, fleet.spec.id) > 0;
         });
}

// The former revision serves again: one write of routes, as a rollback is.
void SwitchBack(Transition& t, uint64_t former, const std::string& reason) {
  EnvironmentState& state = t.next;
  state.live.at(state.rollout->to).role = Role::kCandidate;
  state.live.at(former).role = Role::kActive;
  state.active = former;
  state.rules = state.rules_before;
  // Of a service that was rolled nothing old is left: its new instances serve until there is.
  state.rollout->weights.clear();
  for (const RollingService& service : RollingOf(state)) state.rollout->weights[service.service] = 1000;
  Fail(t, reason);
}

bool Baking(Transition& t) {
  const Rollout& rollout = *t.next.rollout;
  const auto former = rollout.from ? t.next.live.find(*rollout.from) : t.next.live.end();
  if (former != t.next.live.end() && former->second.role == Role::kWarm) {
    const plan::Revision& before = t.next.RevisionOf(former->first);
    const std::string why =
        t.view.looked && rollout.kind == RolloutKind::kApply ? FallingOver(t, before) : "";
    if (why.empty() || !CanServe(t, before)) return false;
    SwitchBack(t, former->first, why);
    return true;
  }
  Finish(t.next, Phase::kCompleted, t.now, t.finished, t.events);
  t.Changed();
  return true;
}

// Reverted when everything is as it was: routes, instances, and none of the candidate left.
bool Reverting(Transition& t) {
  if (!Unroll(t) || !Restored(t) || !t.RoutesInEffect()) return false;
  const auto live = t.next.live.find(t.next.rollout->to);
  const bool left = live != t.next.live.end() && live->second.role == Role::kRetiring;
  if ((left || ExpandIsRunning(t)) && !Late(t)) return false;
  Finish(t.next, Phase::kReverted, t.now, t.finished, t.events);
  t.Changed();
  return true;
}

}  // namespace

bool BeginStarting(Transition& t) {
  Milliseconds limit = kStartSlack;
  Milliseconds longest{0};
  Go(t, Phase::kStarting, limit);
  for (const plan::Fleet& fleet : Target(t.next).fleets) {
    const platform::FleetId& id = fleet.spec.id;
    if (t.next.fleets.contains(id)) continue;
    limit += kStartSlackEach * AddInstances(t, id);
  }
  for (const plan::Fleet* fleet : NewFleets(t.next)) longest = std::max(longest, fleet->spec.ready.deadline);
  t.next.rollout->deadline = t.now + limit + longest;
  return true;
}

size_t CountReady(const Transition& t, const platform::FleetId& id) {
  size_t ready = 0;
  for (const DesiredInstance& instance : t.next.fleets.at(id).instances) {
    const platform::InstanceStatus* status = t.Observed(platform::InstanceId(id, instance.ordinal));
    ready += !instance.spare && Serves(status) ? 1 : 0;
  }
  return ready;
}

std::string Unstartable(const Transition& t, const platform::FleetId& id) {
  for (const DesiredInstance& instance : t.next.fleets.at(id).instances) {
    const auto trouble = t.view.start_trouble.find({id, instance.ordinal});
    if (trouble != t.view.start_trouble.end() && Hopeless(trouble->second))
      return trouble->first.Short() + " cannot be started: " + trouble->second.message;
  }
  return "";
}

Milliseconds StartLimit(const plan::Fleet& fleet, uint32_t count) {
  return kStartSlack + kStartSlackEach * count + fleet.spec.ready.deadline;
}

uint32_t AddInstances(Transition& t, const platform::FleetId& id) {
  const FleetState& state = t.next.fleets[id];
  const uint32_t count = CountOf(t.next, id);
  while (state.Serving() < count && AddInstance(t, id)) {
  }
  return count;
}

bool AfterSteps(Transition& t) {
  return RollingOf(t.next).empty() ? AfterRolling(t) : Go(t, Phase::kRolling, kShiftLimit);
}

bool AfterRolling(Transition& t) {
  return ReplacementsOf(t.next).empty() ? Go(t, Phase::kShifting, kShiftLimit) : StopOld(t);
}

bool Hopeless(const Trouble& trouble) {
  switch (trouble.code) {
    case Code::kInvalid:
    case Code::kNotFound:
    case Code::kExists:
    case Code::kConflict:
    case Code::kRefused:
    case Code::kUnsupported:
    case Code::kNoSpace:
    case Code::kPermission:
    case Code::kCorrupt:
      return true;
    default:
      return trouble.attempts >= 5;
  }
}

Verdict Judge(const EnvironmentState& state, const View& view) {
  Verdict verdict;
  if (!view.looked) {
    verdict.waiting = "the platform could not be observed: " + view.look_error;
    return verdict;
  }
  for (const plan::Fleet* fleet : NewFleets(state)) {
    const platform::FleetId& id = fleet->spec.id;
    const FleetState& desired = state.fleets.at(id);
    size_t ready = 0;
    for (const DesiredInstance& instance : desired.instances) {
      if (instance.spare) continue;
      const platform::InstanceId name(id, instance.ordinal);
      const auto found = view.observed.find(name);
      const platform::InstanceStatus* status = found == view.observed.end() ? nullptr : &found->second;
      const std::string death = DeathOf(instance, name, status, view);
      // What has carried traffic before is healed; what never has is judged by its first failure.
      if (!death.empty() && !desired.proven) {
        verdict.failure = name.Short() + " " + death;
        return verdict;
      }
      if (Serves(status)) {
        ++ready;
      } else if (verdict.waiting.empty()) {
        verdict.waiting =
            name.Short() + " is " +
            std::string(status == nullptr ? "not there yet" : platform::StateName(status->state));
        if (status != nullptr && !status->reason.empty()) verdict.waiting += ": " + status->reason;
      }
    }
    if (ready < CountOf(state, id) && verdict.waiting.empty())
      verdict.waiting = "an instance of " + id.service() + " is being replaced";
  }
  verdict.ready = verdict.waiting.empty();
  return verdict;
}

bool Proceed(Transition& t) {
  if (!t.next.rollout) return false;
  switch (t.next.rollout->phase) {
    case Phase::kPlanned:
      return Planned(t);
    case Phase::kPreparing:
      return Preparing(t);
    case Phase::kMigrating:
      return Migrating(t);
    case Phase::kStarting:
      return Starting(t);
    case Phase::kVerifying:
      return Verifying(t);
    case Phase::kStepping:
      return Stepping(t);
    case Phase::kRolling:
      return Rolling(t);
    case Phase::kStopping:
      return Stopping(t);
    case Phase::kReplacing:
      return Replacing(t);
    case Phase::kShifting:
      return Shifting(t);
    case Phase::kBaking:
      return Baking(t);
    case Phase::kReverting:
      return Reverting(t);
    case Phase::kCompleted:
    case Phase::kReverted:
      return false;
  }
  return false;
}

}  // namespace ingot::rollout

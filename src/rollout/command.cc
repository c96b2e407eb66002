#include "rollout/command.h"

#include <algorithm>

#include "base/units.h"
#include "plan/plan.h"
#include "plan/volumes.h"
#include "rollout/approval.h"
#include "rollout/transition.h"

namespace ingot::rollout {

namespace {

constexpr Milliseconds kResumeLimit{30'000};

std::string Name(uint64_t revision) {
  return "r" + std::to_string(revision);
}

Error Running(const EnvironmentState& state) {
  const Rollout& rollout = *state.rollout;
  return Error(Code::kConflict, "rollout " + std::to_string(rollout.id) + " of " + state.id.Render() + " (" +
                                    (rollout.from ? Name(*rollout.from) + " to " : "to ") + Name(rollout.to) +
                                    ", " + std::string(PhaseName(rollout.phase)) +
                                    ") is running; wait for it, or `ingot rollout abort`");
}

Error NothingDeployed(const EnvironmentState& state) {
  return Error(Code::kNotFound, "nothing is deployed to " + state.id.Render() + "; run `ingot apply` first");
}

Result<void> CheckFree(const EnvironmentState& state) {
  if (state.destroying)
    return Error(Code::kConflict, state.id.Render() + " is being destroyed; try again when it is gone");
  if (state.Busy()) return Running(state);
  return {};
}

// A rollout that bakes has moved its traffic: it gives way.
void Supersede(Acceptance& out, std::vector<audit::Draft>& events, const std::string& by, WallTime now) {
  if (!out.state->rollout) return;
  out.state->rollout->reason = "superseded by " + by;
  Finish(*out.state, Phase::kCompleted, now, out.finished, events);
}

void PlanRollout(Acceptance& out, RolloutKind kind, RevisionPtr target, const std::string& actor,
                 WallTime now, std::vector<audit::Draft>& events) {
  EnvironmentState& state = *out.state;
  const uint64_t id = state.next_rollout++;
  Supersede(out, events, "rollout " + std::to_string(id), now);
  Rollout rollout;
  rollout.id = id;
  rollout.kind = kind;
  rollout.from = state.active;
  rollout.to = target->number;
  rollout.actor = actor;
  rollout.created = now;
  state.rollout = std::move(rollout);
  state.revisions[target->number] = std::move(target);
  Enter(state, Phase::kPlanned, now, Milliseconds(0), events);
  if (GateOf(state)) {
    state.rollout->awaited = now;
    events.push_back(AwaitedEvent(state, *GateOf(state)));
  }
  out.answer = {Accepted::Kind::kRollout, id, state.rollout->to};
}

// Whoever may change the rules could let himself in by a change of nothing else.
Result<void> CheckRules(const EnvironmentState& state, const definition::ResolvedRules& next) {
  const definition::ResolvedRules& now = state.rules;
  if (now.approval.empty() || (now.roles == next.roles && now.approval == next.approval &&
                               now.approval_within == next.approval_within))
    return {};
  return Error(Code::kRefused, "releases to " + state.id.Render() + " wait for somebody of " + now.approval +
                                   ", and who that is changes only with a release, which waits for it; "
                                   "change `access` and `approval` together with a service");
}

// Nothing new begins in a time in which nothing is released, by the rules in force or by the new ones.
Result<void> CheckFreeze(const EnvironmentState& state, const Apply& apply, const Command& command,
                         WallTime time_of_day, std::vector<audit::Draft>& events) {
  const auto frozen = plan::FrozenNow(RulesInForce(state), apply.resolved.rules, time_of_day);
  if (!frozen) return {};
  if (apply.override_freeze.empty()) return plan::RefusalOf(state.id, *frozen);
  events.push_back(MakeEvent(
      state, "freeze.overridden", command.actor,
      {{"reason", apply.override_freeze}, {"freeze", frozen->reason}, {"until", RenderTime(frozen->until)}}));
  return {};
}

// The same fleets and routes: what may differ is how many, and how long old ones are kept.
Result<void> TakeCounts(Acceptance& out, const Apply& apply, const Command& command, WallTime time_of_day,
                        std::vector<audit::Draft>& events) {
  EnvironmentState& state = *out.state;
  const definition::Resolved& resolved = apply.resolved;
  const std::string& actor = command.actor;
  TRY(CheckRules(state, resolved.rules));
  // A freeze is not taken away while it is on, as if nothing were.
  if (resolved.rules.freezes != state.rules.freezes && definition::FrozenAt(state.rules.freezes, time_of_day))
    TRY(CheckFreeze(state, apply, command, time_of_day, events));
  LiveRevision& live = state.live.at(*state.active);
  out.answer = {Accepted::Kind::kNothing, std::nullopt, state.active};
  Milliseconds keep_old{0};
  bool declared_anew = false;
  for (const auto& service : resolved.services) {
    keep_old = std::max(keep_old, service.rollout.keep_old);
    uint32_t& declared = live.declared[service.name];
    // A count that followed the load is nobody's word.
    const bool let_go = !definition::Follows(service.scale) && live.scales.contains(service.name);
    if (declared == service.replicas && !let_go) continue;
    const uint32_t before = live.replicas[service.name];
    declared = service.replicas;
    declared_anew = true;
    if (definition::Follows(service.scale)) continue;  // it begins there, and is where the load has led it
    live.replicas[service.name] = service.replicas;
    state.overrides.erase(service.name);
    if (before == service.replicas) continue;
    out.answer.kind = Accepted::Kind::kScaled;
    events.push_back(MakeEvent(state, "service.scaled", actor,
                               {{"service", service.name}, {"from", before}, {"to", service.replicas}}));
  }
  auto scales = plan::ScalesOf(resolved);
  auto spares = plan::SparesOf(resolved);
  if (scales != live.scales || spares != live.spares) {
    live.scales = std::move(scales);
    live.spares = std::move(spares);
    out.answer.kind = Accepted::Kind::kScaled;
    events.push_back(MakeEvent(state, "revision.scale", actor, {{"revision", Name(*state.active)}}));
  }
  if (auto max_ages = plan::MaxAgesOf(resolved); max_ages != live.max_ages) {
    live.max_ages = std::move(max_ages);
    out.answer.kind = Accepted::Kind::kScaled;
    events.push_back(MakeEvent(state, "revision.max_age", actor, {{"revision", Name(*state.active)}}));
  }
  if (keep_old != live.keep_old) {
    live.keep_old = keep_old;
    out.answer.kind = Accepted::Kind::kScaled;
    events.push_back(MakeEvent(state, "revision.keep_old", actor,
                               {{"revision", Name(*state.active)}, {"keep_old_ms", keep_old.count()}}));
  }
  if (resolved.rules != state.rules) {
    state.rules = resolved.rules;
    out.answer.kind = Accepted::Kind::kScaled;
    events.push_back(
        MakeEvent(state, "revision.rules", actor,
                  {{"revision", Name(*state.active)}, {"rules", definition::ToJson(resolved.rules)}}));
  }
  if (out.answer.kind == Accepted::Kind::kNothing && !declared_anew) out.state.reset();
  return {};
}

Result<void> Do(const Apply& apply, const Command& command, Acceptance& out, WallTime now,
                WallTime time_of_day, std::vector<audit::Draft>& events) {
  EnvironmentState& state = *out.state;
  TRY(CheckFree(state));
  if (plan::EnvironmentOf(apply.resolved) != state.id)
    return Error(Code::kInvalid, "the definition is for " + plan::EnvironmentOf(apply.resolved).Render() +
                                     ", not for " + state.id.Render());
  for (const auto& service : apply.resolved.services)
    if (service.replicas > kMaxReplicas)
      return Error(Code::kInvalid, "services." + service.name +
                                       ".replicas: " + std::to_string(service.replicas) + " is more than " +
                                       std::to_string(kMaxReplicas));
  if (state.active && definition::RevisionDigest(apply.resolved) == state.RevisionOf(*state.active).digest) {
    return TakeCounts(out, apply, command, time_of_day, events);
  }
  TRY(CheckFreeze(state, apply, command, time_of_day, events));
  auto revision = std::make_shared<const plan::Revision>(
      plan::MakeRevision(state.next_revision++, state.active, apply.resolved, command.actor, now));
  TRY(CheckContracting(state, *revision));
  if (state.active) TRY(plan::CheckVolumes(state.RevisionOf(*state.active).resolved, revision->resolved));
  if (state.active)
    DropOverrides(state, *revision);
  else
    state.overrides.clear();
  events.push_back(MakeEvent(state, "revision.created", command.actor,
                             {{"revision", revision->Name()},
                              {"digest", revision->digest.Render()},
                              {"commit", revision->resolved.commit},
                              {"dirty", revision->resolved.dirty}}));
  out.new_revision = revision;
  state.unserved.insert(revision->number);
  if (apply.verify) state.unverified.insert(revision->number);
  PlanRollout(out, RolloutKind::kApply, std::move(revision), command.actor, now, events);
  return {};
}

Result<void> Do(const Rollback& rollback, const Command& command, Acceptance& out, WallTime now,
                std::vector<audit::Draft>& events, RevisionPtr target) {
  EnvironmentState& state = *out.state;
  const bool waits = state.rollout && state.rollout->phase == Phase::kPlanned && !state.destroying;
  if (!waits) TRY(CheckFree(state));
  if (rollback.from && rollback.from != state.active)
    return Error(Code::kConflict,
                 Name(*rollback.from) + " does not serve any more: there is nothing to take back");
  const uint64_t number = TRY(RollbackTarget(state, rollback));
  if (state.unserved.contains(number))
    return Error(Code::kRefused, Name(number) +
                                     " has never served, so there is nothing to go back to; apply "
                                     "its definition again");
  if (!target || target->number != number)
    return Error(Code::kInternal, "rollback was given another revision than " + Name(number));
  TRY(CheckContracted(state, *target));
  if (state.active) TRY(plan::CheckVolumes(state.RevisionOf(*state.active).resolved, target->resolved));
  // What waits for approval has done nothing: it gives way to who has to go back.
  if (waits) {
    state.rollout->reason = "superseded by a rollback";
    Finish(state, Phase::kReverted, now, out.finished, events);
  }
  PlanRollout(out, RolloutKind::kRollback, std::move(target), command.actor, now, events);
  // Not the reason of the rollout, which would be why that one failed.
  if (!rollback.reason.empty())
    events.push_back(MakeEvent(state, "revision.verify_failed", command.actor,
                               {{"revision", Name(*state.active)}, {"reason", rollback.reason}}));
  return {};
}

Result<void> Do(const Scale& scale, const Command& command, Acceptance& out, WallTime time_of_day,
                std::vector<audit::Draft>& events) {
  EnvironmentState& state = *out.state;
  if (state.Moving() || state.destroying) TRY(CheckFree(state));
  if (!state.active) return NothingDeployed(state);
  LiveRevision& live = state.live.at(*state.active);
  const auto count = live.replicas.find(scale.service);
  if (count == live.replicas.end()) {
    std::vector<std::string> names;
    for (const auto& [name, replicas] : live.replicas) names.push_back(name);
    const std::string nearest = Nearest(scale.service, names);
    return Error(Code::kNotFound, Name(*state.active) + " has no service \"" + scale.service + "\"" +
                                      (nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?"));
  }
  if (scale.replicas > kMaxReplicas)
    return Error(Code::kInvalid,
                 std::to_string(scale.replicas) + " replicas are more than " + std::to_string(kMaxReplicas));
  out.answer = {Accepted::Kind::kNothing, std::nullopt, state.active};
  if (const auto found = live.scales.find(scale.service); found != live.scales.end()) {
    const definition::ScaleBounds bounds = definition::BoundsAt(found->second, time_of_day);
    if (scale.replicas < bounds.min || scale.replicas > bounds.max)
      return Error(Code::kInvalid, "services." + scale.service + ".scale says " + std::to_string(bounds.min) +
                                       " to " + std::to_string(bounds.max) + " instances" +
                                       (bounds.schedule.empty() ? "" : " by \"" + bounds.schedule + "\"") +
                                       ", not " + std::to_string(scale.replicas) +
                                       "; change it in the definition and apply it");
  }
  if (count->second == scale.replicas) {
    out.state.reset();
    return {};
  }
  out.answer.kind = Accepted::Kind::kScaled;
  JsonObject detail{{"service", scale.service}, {"from", count->second}, {"to", scale.replicas}};
  if (!scale.reason.empty()) detail["reason"] = scale.reason;
  events.push_back(MakeEvent(state, "service.scaled", command.actor, std::move(detail)));
  count->second = scale.replicas;
  state.overrides[scale.service] = scale.replicas;
  return {};
}

// What goes on and may still be taken back, or why not.
Result<Rollout*> Movable(EnvironmentState& state) {
  if (!state.rollout) return Error(Code::kNotFound, "no rollout of " + state.id.Render() + " is running");
  switch (state.rollout->phase) {
    case Phase::kBaking:
      return Error(Code::kRefused,
                   Name(state.rollout->to) + " serves already; use `ingot rollback` to go back");
    case Phase::kReverting:
      return Error(Code::kConflict, "rollout " + std::to_string(state.rollout->id) +
                                        " is being reverted: " + state.rollout->reason);
    default:
      return &*state.rollout;
  }
}

std::string Number(const Rollout& rollout) {
  return "rollout " + std::to_string(rollout.id);
}

// Notes a word of somebody's about the rollout that goes on.
void Heed(Acceptance& out, const std::string& kind, const Command& command, JsonObject detail,
          std::vector<audit::Draft>& events) {
  const Rollout& rollout = *out.state->rollout;
  out.answer = {Accepted::Kind::kRollout, rollout.id, rollout.to};
  events.push_back(MakeEvent(*out.state, kind, command.actor, std::move(detail)));
}

Result<void> Do(const Pause&, const Command& command, Acceptance& out, std::vector<audit::Draft>& events) {
  Rollout& rollout = *TRY(Movable(*out.state));
  if (!rollout.paused.empty())
    return Error(Code::kConflict, Number(rollout) + " is paused already, by " + rollout.paused);
  if (rollout.phase > Phase::kRolling)
    return Error(Code::kConflict,
                 Number(rollout) + " is " + std::string(PhaseName(rollout.phase)) +
                     ", where a pause would leave a service out; wait, or `ingot rollout abort`");
  rollout.paused = command.actor;
  Heed(out, "rollout.paused", command, Describe(rollout), events);
  return {};
}

Result<void> Do(const Resume&, const Command& command, Acceptance& out, WallTime now,
                std::vector<audit::Draft>& events) {
  Rollout& rollout = *TRY(Movable(*out.state));
  if (rollout.paused.empty())
    return Error(Code::kConflict,
                 Number(rollout) + " is not paused; `ingot rollout advance` goes on from a step");
  rollout.paused.clear();
  if (rollout.awaited) rollout.awaited = now;
  // The deadline of a phase is not that of the person who held it.
  rollout.deadline = std::max(rollout.deadline, now + kResumeLimit);
  Heed(out, "rollout.resumed", command, Describe(rollout), events);
  return {};
}

Result<void> Do(const Advance&, const Command& command, Acceptance& out, std::vector<audit::Draft>& events) {
  Rollout& rollout = *TRY(Movable(*out.state));
  if (rollout.phase != Phase::kStepping)
    return Error(Code::kConflict,
                 Number(rollout) + " is " + std::string(PhaseName(rollout.phase)) +
                     ": it has no step to go on from" +
                     (rollout.paused.empty() ? "" : "; `ingot rollout resume` ends its pause"));
  if (rollout.advanced)
    return Error(Code::kConflict,
                 Number(rollout) + " goes on from step " + std::to_string(rollout.step) + " already");
  rollout.advanced = true;
  JsonObject detail = Describe(rollout);
  detail["step"] = rollout.step;
  Heed(out, "rollout.advanced", command, std::move(detail), events);
  return {};
}

Result<void> Do(const Approve& approve, Acceptance& out, std::vector<audit::Draft>& events) {
  const Rollout& rollout = *TRY(Movable(*out.state));
  out.answer = {Accepted::Kind::kRollout, rollout.id, rollout.to};
  return TakeApproval(*out.state, approve, events);
}

Result<void> Do(const Abort&, const Command& command, Acceptance& out, WallTime now,
                std::vector<audit::Draft>& events) {
  EnvironmentState& state = *out.state;
  TRY(Movable(state));
  out.answer = {Accepted::Kind::kRollout, state.rollout->id, state.rollout->to};
  BeginRevert(state, "aborted by " + command.actor, now, events);
  return {};
}

Result<void> Do(const Verified& verified, const Command& command, Acceptance& out,
                std::vector<audit::Draft>& events) {
  EnvironmentState& state = *out.state;
  if (!state.active) return NothingDeployed(state);
  if (state.active != verified.revision)
    return Error(Code::kConflict,
                 Name(verified.revision) + " does not serve; " + Name(*state.active) + " does");
  out.answer = {Accepted::Kind::kNothing, std::nullopt, state.active};
  if (state.unverified.erase(verified.revision) == 0) {
    out.state.reset();
    return {};
  }
  events.push_back(
      MakeEvent(state, "revision.verified", command.actor, {{"revision", Name(verified.revision)}}));
  return {};
}

Result<void> Do(const Destroy&, const Command& command, Acceptance& out, WallTime now,
                std::vector<audit::Draft>& events) {
  EnvironmentState& state = *out.state;
  out.answer = {Accepted::Kind::kDestroying, std::nullopt, std::nullopt};
  if (state.destroying || (!state.active && !state.rollout && state.live.empty())) {
    if (!state.destroying) out.answer.kind = Accepted::Kind::kNothing;
    out.state.reset();
    return {};
  }
  events.push_back(MakeEvent(state, "environment.destroying", command.actor, {}));
  const bool moved = state.rollout && state.rollout->phase == Phase::kBaking;
  if (state.rollout) {
    state.rollout->reason = "the environment was destroyed";
    Finish(state, moved ? Phase::kCompleted : Phase::kReverted, now, out.finished, events);
  }
  state.destroying = true;
  state.active.reset();
  state.rules = {};
  state.rules_before = {};
  state.overrides.clear();
  for (auto& [number, live] : state.live)
    if (live.role != Role::kRetiring) BeginRetiring(state, number, now, events);
  return {};
}

}  // namespace

Json ToJson(const Accepted& accepted) {
  static constexpr const char* kKinds[] = {"nothing", "scaled", "rollout", "destroying"};
  const auto number = [](const std::optional<uint64_t>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  return JsonObject{{"accepted", kKinds[static_cast<int>(accepted.kind)]},
                    {"rollout", number(accepted.rollout)},
                    {"revision", number(accepted.revision)}};
}

Result<uint64_t> RollbackTarget(const EnvironmentState& state, const Rollback& rollback) {
  if (!state.active) return NothingDeployed(state);
  if (rollback.to == state.active)
    return Error(Code::kConflict, Name(*state.active) + " is the active revision already");
  if (rollback.to) return *rollback.to;
  const auto parent = state.RevisionOf(*state.active).parent;
  if (!parent)
    return Error(Code::kNotFound, Name(*state.active) + " is the first revision of " + state.id.Render() +
                                      ": there is none to go back to");
  return *parent;
}

Result<Acceptance> Accept(const EnvironmentState& state, const Command& command, RevisionPtr target,
                          WallTime now, std::optional<WallTime> time_of_day) {
  Acceptance out;
  out.state = state;
  std::vector<audit::Draft> events;
  if (const auto* apply = std::get_if<Apply>(&command.what))
    TRY(Do(*apply, command, out, now, time_of_day.value_or(now), events));
  else if (const auto* rollback = std::get_if<Rollback>(&command.what))
    TRY(Do(*rollback, command, out, now, events, std::move(target)));
  else if (const auto* scale = std::get_if<Scale>(&command.what))
    TRY(Do(*scale, command, out, time_of_day.value_or(now), events));
  else if (std::holds_alternative<Abort>(command.what))
    TRY(Do(Abort{}, command, out, now, events));
  else if (std::holds_alternative<Pause>(command.what))
    TRY(Do(Pause{}, command, out, events));
  else if (std::holds_alternative<Resume>(command.what))
    TRY(Do(Resume{}, command, out, now, events));
  else if (std::holds_alternative<Advance>(command.what))
    TRY(Do(Advance{}, command, out, events));
  else if (const auto* approve = std::get_if<Approve>(&command.what))
    TRY(Do(*approve, out, events));
  else if (const auto* verified = std::get_if<Verified>(&command.what))
    TRY(Do(*verified, command, out, events));
  else
    TRY(Do(Destroy{}, command, out, now, events));
  if (out.state) Seal(*out.state, std::move(events), now);
  return out;
}

}  // namespace ingot::rollout

// EnvironmentState and Rollout as JSON.
#include <charconv>
#include <limits>

#include "rollout/environment_state.h"

namespace ingot::rollout {

namespace {

constexpr int64_t kVersion = 1;

Json Optional(const std::optional<uint64_t>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Result<const JsonObject*> Object(const Json& json, std::string_view what) {
  if (!json.is_object()) return Error(Code::kInvalid, std::string(what) + ": expected an object");
  return &json.get_object();
}

template <typename T>
Result<T> Unsigned(const JsonObject& object, std::string_view key) {
  const int64_t value = TRY(GetInt(object, key));
  if (value < 0 || (sizeof(T) < 8 && value > static_cast<int64_t>(std::numeric_limits<T>::max())))
    return Error(Code::kInvalid, std::string(key) + ": out of range");
  return static_cast<T>(value);
}

Result<std::optional<uint64_t>> OptionalUnsigned(const JsonObject& object, std::string_view key) {
  const Json* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return std::optional<uint64_t>();
  return std::optional<uint64_t>(TRY(Unsigned<uint64_t>(object, key)));
}

Result<WallTime> Time(const JsonObject& object, std::string_view key) {
  auto time = ParseTime(TRY(GetString(object, key)));
  if (!time) return Error(Code::kInvalid, std::string(key) + ": " + time.error().message());
  return *time;
}

Result<std::optional<WallTime>> OptionalTime(const JsonObject& object, std::string_view key) {
  const Json* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return std::optional<WallTime>();
  return std::optional<WallTime>(TRY(Time(object, key)));
}

Result<uint64_t> ParseNumber(std::string_view text, std::string_view what) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    return Error(Code::kInvalid, std::string(what) + ": \"" + std::string(text) + "\" is not a number");
  return value;
}

JsonObject Counts(const std::map<std::string, uint32_t>& counts) {
  JsonObject out;
  for (const auto& [service, count] : counts) out[service] = count;
  return out;
}

Result<std::map<std::string, uint32_t>> CountsFrom(const JsonObject& parent, std::string_view key) {
  std::map<std::string, uint32_t> out;
  const JsonObject& object = *TRY(GetObject(parent, key));
  for (const auto& member : object)
    out[std::string(member.key())] = TRY(Unsigned<uint32_t>(object, member.key()));
  return out;
}

Json LiveToJson(const LiveRevision& live) {
  JsonObject scales;
  for (const auto& [service, scale] : live.scales) scales[service] = definition::ToJson(scale);
  JsonObject max_ages;
  for (const auto& [service, age] : live.max_ages) max_ages[service] = age.count();
  return JsonObject{{"scales", std::move(scales)},       {"role", RoleName(live.role)},
                    {"until", RenderTime(live.until)},   {"keep_old_ms", live.keep_old.count()},
                    {"declared", Counts(live.declared)}, {"replicas", Counts(live.replicas)},
                    {"limits", Counts(live.limits)},     {"max_ages_ms", std::move(max_ages)},
                    {"spares", Counts(live.spares)}};
}

Result<LiveRevision> LiveFromJson(const Json& json) {
  const JsonObject& object = *TRY(Object(json, "live"));
  LiveRevision live;
  live.role = TRY(ParseRole(TRY(GetString(object, "role"))));
  live.until = TRY(Time(object, "until"));
  live.keep_old = Milliseconds(TRY(GetInt(object, "keep_old_ms")));
  live.declared = TRY(CountsFrom(object, "declared"));
  live.replicas = TRY(CountsFrom(object, "replicas"));
  // Journals of before there were any.
  if (object.contains("scales"))
    for (const auto& member : *TRY(Object(object.at("scales"), "scales")))
      live.scales[std::string(member.key())] = TRY(definition::ScaleFromJson(member.value()));
  if (object.contains("max_ages_ms")) {
    const JsonObject& ages = *TRY(GetObject(object, "max_ages_ms"));
    for (const auto& member : ages)
      live.max_ages[std::string(member.key())] = Milliseconds(TRY(GetInt(ages, member.key())));
  }
  if (object.contains("spares")) live.spares = TRY(CountsFrom(object, "spares"));
  if (object.contains("limits")) live.limits = TRY(CountsFrom(object, "limits"));
  return live;
}

Json FleetToJson(const FleetState& fleet) {
  JsonArray instances;
  for (const DesiredInstance& instance : fleet.instances) {
    JsonObject item{{"ordinal", instance.ordinal},
                    {"seen", instance.seen},
                    {"ready", instance.ready},
                    {"asked", RenderTime(instance.asked)},
                    {"since", RenderTime(instance.since)}};
    if (instance.member) item["member"] = *instance.member;
    if (instance.spare) item["spare"] = true;
    instances.push_back(std::move(item));
  }
  return JsonObject{{"proven", fleet.proven},
                    {"instances", std::move(instances)},
                    {"failures", fleet.failures},
                    {"last_failure", RenderTime(fleet.last_failure)},
                    {"not_before", RenderTime(fleet.not_before)},
                    {"reason", fleet.reason},
                    {"aging", Optional(fleet.aging)},
                    {"leaving", Optional(fleet.leaving)},
                    {"spare_failures", fleet.spare_failures},
                    {"spare_not_before", RenderTime(fleet.spare_not_before)},
                    {"spare_reason", fleet.spare_reason}};
}

Result<FleetState> FleetFromJson(const Json& json) {
  const JsonObject& object = *TRY(Object(json, "fleets"));
  FleetState fleet;
  fleet.proven = TRY(GetBool(object, "proven"));
  for (const Json& item : *TRY(GetArray(object, "instances"))) {
    const JsonObject& instance = *TRY(Object(item, "instances"));
    fleet.instances.push_back({TRY(Unsigned<uint64_t>(instance, "ordinal")), TRY(GetBool(instance, "seen")),
                               TRY(GetBool(instance, "ready")), TRY(Time(instance, "asked")),
                               TRY(Time(instance, "since")), std::nullopt, BoolOr(instance, "spare", false)});
    if (instance.contains("member"))
      fleet.instances.back().member = TRY(Unsigned<uint32_t>(instance, "member"));
  }
  fleet.failures = TRY(Unsigned<uint32_t>(object, "failures"));
  fleet.last_failure = TRY(Time(object, "last_failure"));
  fleet.not_before = TRY(Time(object, "not_before"));
  fleet.reason = TRY(GetString(object, "reason"));
  fleet.aging = TRY(OptionalUnsigned(object, "aging"));
  fleet.leaving = TRY(OptionalUnsigned(object, "leaving"));
  // Journals of before there were any.
  if (object.contains("spare_failures")) {
    fleet.spare_failures = TRY(Unsigned<uint32_t>(object, "spare_failures"));
    fleet.spare_not_before = TRY(Time(object, "spare_not_before"));
    fleet.spare_reason = TRY(GetString(object, "spare_reason"));
  }
  return fleet;
}

JsonObject Contracts(const ContractScripts& scripts) {
  JsonObject out;
  for (const auto& [name, versions] : scripts) {
    JsonArray list;
    for (const uint64_t version : versions) list.emplace_back(static_cast<int64_t>(version));
    out[name] = std::move(list);
  }
  return out;
}

Result<ContractScripts> ContractsFrom(const JsonObject& parent, std::string_view key) {
  ContractScripts out;
  const JsonObject& object = *TRY(GetObject(parent, key));
  for (const auto& member : object)
    for (const Json& version : *TRY(GetArray(object, member.key()))) {
      if (!version.is_int64() || version.get_int64() < 1)
        return Error(Code::kInvalid, std::string(key) + ": expected versions");
      out[std::string(member.key())].insert(static_cast<uint64_t>(version.get_int64()));
    }
  return out;
}

Json ContractingToJson(const Contracting& contracting) {
  return JsonObject{{"number", contracting.number},
                    {"revision", contracting.revision},
                    {"scripts", Contracts(contracting.scripts)},
                    {"attempt", contracting.attempt},
                    {"again", contracting.again ? Json(RenderTime(*contracting.again)) : Json(nullptr)},
                    {"reason", contracting.reason}};
}

Result<Contracting> ContractingFromJson(const Json& json) {
  const JsonObject& object = *TRY(Object(json, "contracting"));
  Contracting contracting;
  contracting.number = TRY(Unsigned<uint64_t>(object, "number"));
  contracting.revision = TRY(Unsigned<uint64_t>(object, "revision"));
  contracting.scripts = TRY(ContractsFrom(object, "scripts"));
  contracting.attempt = TRY(Unsigned<uint64_t>(object, "attempt"));
  contracting.again = TRY(OptionalTime(object, "again"));
  contracting.reason = TRY(GetString(object, "reason"));
  return contracting;
}

Json MigrationsToJson(const EnvironmentState& state) {
  JsonArray unmigrated;
  for (const uint64_t revision : state.unmigrated) unmigrated.emplace_back(static_cast<int64_t>(revision));
  return JsonObject{
      {"contracted", Contracts(state.contracted)},
      {"contracts_ended", Contracts(state.contracts_ended)},
      {"contracting", state.contracting ? ContractingToJson(*state.contracting) : Json(nullptr)},
      {"unmigrated", std::move(unmigrated)}};
}

Result<void> MigrationsFromJson(const JsonObject& object, EnvironmentState& state) {
  state.contracted = TRY(ContractsFrom(object, "contracted"));
  state.contracts_ended = TRY(ContractsFrom(object, "contracts_ended"));
  const Json* contracting = object.if_contains("contracting");
  if (contracting != nullptr && !contracting->is_null())
    state.contracting = TRY(ContractingFromJson(*contracting));
  for (const Json& revision : *TRY(GetArray(object, "unmigrated"))) {
    if (!revision.is_int64() || revision.get_int64() < 1)
      return Error(Code::kInvalid, "unmigrated: expected numbers of revisions");
    state.unmigrated.insert(static_cast<uint64_t>(revision.get_int64()));
  }
  return {};
}

Json JudgementToJson(const Judgement& judgement) {
  return JsonObject{{"canary_answered", judgement.canary_answered},
                    {"canary_errors", judgement.canary_errors},
                    {"baseline_answered", judgement.baseline_answered},
                    {"baseline_errors", judgement.baseline_errors}};
}

Result<Judgement> JudgementFromJson(const Json& json) {
  const JsonObject& object = *TRY(Object(json, "analysis"));
  Judgement judgement;
  judgement.canary_answered = TRY(Unsigned<uint64_t>(object, "canary_answered"));
  judgement.canary_errors = TRY(Unsigned<uint64_t>(object, "canary_errors"));
  judgement.baseline_answered = TRY(Unsigned<uint64_t>(object, "baseline_answered"));
  judgement.baseline_errors = TRY(Unsigned<uint64_t>(object, "baseline_errors"));
  return judgement;
}

Json DraftToJson(const audit::Draft& draft) {
  return JsonObject{{"key", draft.key},
                    {"environment", draft.environment},
                    {"kind", draft.kind},
                    {"actor", draft.actor},
                    {"detail", draft.detail}};
}

Result<audit::Draft> DraftFromJson(const Json& json) {
  const JsonObject& object = *TRY(Object(json, "outbox"));
  audit::Draft draft;
  draft.key = TRY(GetString(object, "key"));
  draft.environment = TRY(GetString(object, "environment"));
  draft.kind = TRY(GetString(object, "kind"));
  draft.actor = TRY(GetString(object, "actor"));
  draft.detail = *TRY(GetObject(object, "detail"));
  return draft;
}

}  // namespace

Json ToJson(const Rollout& rollout) {
  JsonObject entered;
  for (const auto& [phase, time] : rollout.entered) entered[phase] = RenderTime(time);
  JsonObject judged;
  for (const auto& [service, judgement] : rollout.judged) judged[service] = JudgementToJson(judgement);
  JsonObject approved;
  for (const auto& [role, actor] : rollout.approved) approved[role] = actor;
  const auto time_or_null = [](const std::optional<WallTime>& time) {
    return time ? Json(RenderTime(*time)) : Json(nullptr);
  };
  return JsonObject{{"id", rollout.id},
                    {"kind", rollout.kind == RolloutKind::kApply ? "apply" : "rollback"},
                    {"from", Optional(rollout.from)},
                    {"to", rollout.to},
                    {"phase", PhaseName(rollout.phase)},
                    {"actor", rollout.actor},
                    {"reason", rollout.reason},
                    {"created", RenderTime(rollout.created)},
                    {"since", RenderTime(rollout.since)},
                    {"deadline", RenderTime(rollout.deadline)},
                    {"entered", std::move(entered)},
                    {"warm_until", time_or_null(rollout.warm_until)},
                    {"step", rollout.step},
                    {"step_since", RenderTime(rollout.step_since)},
                    {"step_in_effect", time_or_null(rollout.step_in_effect)},
                    {"advanced", rollout.advanced},
                    {"weights", Counts(rollout.weights)},
                    {"paused", rollout.paused},
                    {"approved", std::move(approved)},
                    {"awaited", time_or_null(rollout.awaited)},
                    {"analysis", std::move(judged)},
                    {"held", rollout.held},
                    {"held_at", RenderTime(rollout.held_at)}};
}

Result<Rollout> RolloutFromJson(const Json& json) {
  const JsonObject& object = *TRY(Object(json, "rollout"));
  Rollout rollout;
  rollout.id = TRY(Unsigned<uint64_t>(object, "id"));
  const std::string kind = TRY(GetString(object, "kind"));
  if (kind != "apply" && kind != "rollback") return Error(Code::kInvalid, "kind: expected apply or rollback");
  rollout.kind = kind == "apply" ? RolloutKind::kApply : RolloutKind::kRollback;
  rollout.from = TRY(OptionalUnsigned(object, "from"));
  rollout.to = TRY(Unsigned<uint64_t>(object, "to"));
  rollout.phase = TRY(ParsePhase(TRY(GetString(object, "phase"))));
  rollout.actor = TRY(GetString(object, "actor"));
  rollout.reason = TRY(GetString(object, "reason"));
  rollout.created = TRY(Time(object, "created"));
  rollout.since = TRY(Time(object, "since"));
  rollout.deadline = TRY(Time(object, "deadline"));
  const JsonObject& entered = *TRY(GetObject(object, "entered"));
  for (const auto& member : entered) {
    TRY(ParsePhase(member.key()));
    rollout.entered[std::string(member.key())] = TRY(Time(entered, member.key()));
  }
  rollout.warm_until = TRY(OptionalTime(object, "warm_until"));
  if (!object.contains("step")) return rollout;  // of before there were steps
  rollout.step = TRY(Unsigned<uint32_t>(object, "step"));
  rollout.step_since = TRY(Time(object, "step_since"));
  rollout.step_in_effect = TRY(OptionalTime(object, "step_in_effect"));
  rollout.advanced = TRY(GetBool(object, "advanced"));
  rollout.weights = TRY(CountsFrom(object, "weights"));
  rollout.paused = TRY(GetString(object, "paused"));
  if (object.contains("approved")) {
    const JsonObject& approved = *TRY(GetObject(object, "approved"));
    for (const auto& member : approved)
      rollout.approved[std::string(member.key())] = TRY(GetString(approved, member.key()));
    rollout.awaited = TRY(OptionalTime(object, "awaited"));
  }
  if (!object.contains("analysis")) return rollout;
  rollout.held = TRY(GetString(object, "held"));
  rollout.held_at = TRY(Time(object, "held_at"));
  for (const auto& member : *TRY(GetObject(object, "analysis")))
    rollout.judged[std::string(member.key())] = TRY(JudgementFromJson(member.value()));
  return rollout;
}

Json ToJson(const EnvironmentState& state) {
  JsonObject live;
  for (const auto& [number, revision] : state.live) live[std::to_string(number)] = LiveToJson(revision);
  JsonObject fleets;
  for (const auto& [id, fleet] : state.fleets) fleets[id.Render()] = FleetToJson(fleet);
  JsonArray outbox;
  for (const audit::Draft& draft : state.outbox) outbox.push_back(DraftToJson(draft));
  JsonArray unserved;
  for (const uint64_t revision : state.unserved) unserved.emplace_back(static_cast<int64_t>(revision));
  JsonArray unverified;
  for (const uint64_t revision : state.unverified) unverified.emplace_back(static_cast<int64_t>(revision));
  return JsonObject{{"version", kVersion},
                    {"environment", state.id.Render()},
                    {"step", state.step},
                    {"journalled", RenderTime(state.journalled)},
                    {"next_revision", state.next_revision},
                    {"next_rollout", state.next_rollout},
                    {"next_ordinal", state.next_ordinal},
                    {"active", Optional(state.active)},
                    {"rollout", state.rollout ? ToJson(*state.rollout) : Json(nullptr)},
                    {"live", std::move(live)},
                    {"fleets", std::move(fleets)},
                    {"overrides", Counts(state.overrides)},
                    {"migrations", MigrationsToJson(state)},
                    {"released", state.released ? Json(JsonObject{{"rollout", state.released->rollout},
                                                                  {"revision", state.released->revision}})
                                                : Json(nullptr)},
                    {"unserved", std::move(unserved)},
                    {"unverified", std::move(unverified)},
                    {"rules", definition::ToJson(state.rules)},
                    {"rules_before", definition::ToJson(state.rules_before)},
                    {"destroying", state.destroying},
                    {"outbox", std::move(outbox)}};
}

Result<EnvironmentState> StateFromJson(const Json& json) {
  const JsonObject& object = *TRY(Object(json, "state"));
  if (TRY(GetInt(object, "version")) != kVersion)
    return Error(Code::kUnsupported, "the journal was written by a newer version of Ingot");
  EnvironmentState state;
  state.id = TRY(platform::EnvironmentId::Parse(TRY(GetString(object, "environment"))));
  state.step = TRY(Unsigned<uint64_t>(object, "step"));
  state.journalled = TRY(Time(object, "journalled"));
  state.next_revision = TRY(Unsigned<uint64_t>(object, "next_revision"));
  state.next_rollout = TRY(Unsigned<uint64_t>(object, "next_rollout"));
  state.next_ordinal = TRY(Unsigned<uint64_t>(object, "next_ordinal"));
  state.active = TRY(OptionalUnsigned(object, "active"));
  const Json* rollout = object.if_contains("rollout");
  if (rollout != nullptr && !rollout->is_null()) state.rollout = TRY(RolloutFromJson(*rollout));
  for (const auto& member : *TRY(GetObject(object, "live")))
    state.live[TRY(ParseNumber(member.key(), "live"))] = TRY(LiveFromJson(member.value()));
  for (const auto& member : *TRY(GetObject(object, "fleets")))
    state.fleets[TRY(platform::FleetId::Parse(member.key()))] = TRY(FleetFromJson(member.value()));
  state.overrides = TRY(CountsFrom(object, "overrides"));
  // Journals of before there were any.
  if (object.contains("migrations")) TRY(MigrationsFromJson(*TRY(GetObject(object, "migrations")), state));
  if (const Json* released = object.if_contains("released"); released != nullptr && !released->is_null()) {
    const JsonObject& last = *TRY(Object(*released, "released"));
    state.released =
        Released{TRY(Unsigned<uint64_t>(last, "rollout")), TRY(Unsigned<uint64_t>(last, "revision"))};
  }
  if (object.contains("unverified"))
    for (const Json& revision : *TRY(GetArray(object, "unverified"))) {
      if (!revision.is_int64() || revision.get_int64() < 1)
        return Error(Code::kInvalid, "unverified: expected numbers of revisions");
      state.unverified.insert(static_cast<uint64_t>(revision.get_int64()));
    }
  if (object.contains("rules")) {
    for (const Json& revision : *TRY(GetArray(object, "unserved"))) {
      if (!revision.is_int64() || revision.get_int64() < 1)
        return Error(Code::kInvalid, "unserved: expected numbers of revisions");
      state.unserved.insert(static_cast<uint64_t>(revision.get_int64()));
    }
    state.rules = TRY(definition::RulesFromJson(*TRY(GetObject(object, "rules"))));
    state.rules_before = TRY(definition::RulesFromJson(*TRY(GetObject(object, "rules_before"))));
  }
  state.destroying = TRY(GetBool(object, "destroying"));
  for (const Json& draft : *TRY(GetArray(object, "outbox")))
    state.outbox.push_back(TRY(DraftFromJson(draft)));
  return state;
}

}  // namespace ingot::rollout

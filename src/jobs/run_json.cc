#include "jobs/run.h"
#include "platform/fleet_json.h"

namespace ingot::jobs {

namespace {

template <typename E>
struct Named {
  E value;
  std::string_view name;
};
constexpr Named<Phase> kPhases[] = {{Phase::kQueued, "queued"},
                                    {Phase::kRunning, "running"},
                                    {Phase::kEnding, "ending"},
                                    {Phase::kEnded, "ended"}};
constexpr Named<Outcome> kOutcomes[] = {{Outcome::kNone, ""},
                                        {Outcome::kSucceeded, "succeeded"},
                                        {Outcome::kFailed, "failed"},
                                        {Outcome::kTimedOut, "timed_out"},
                                        {Outcome::kCancelled, "cancelled"},
                                        {Outcome::kLost, "lost"}};

template <typename E, size_t kCount>
std::string_view Find(const Named<E> (&all)[kCount], E value) {
  for (const auto& one : all)
    if (one.value == value) return one.name;
  return "";
}

template <typename E, size_t kCount>
Result<E> Find(const Named<E> (&all)[kCount], std::string_view name) {
  for (const auto& one : all)
    if (one.name == name) return one.value;
  return Error(Code::kInvalid, "\"" + std::string(name) + "\" is no phase or outcome of a run");
}

Json TimeOr(const std::optional<WallTime>& time) {
  return time ? Json(RenderTime(*time)) : Json(nullptr);
}

Result<WallTime> TimeFrom(const JsonObject& object, std::string_view key) {
  return ParseTime(TRY(GetString(object, key)));
}

Result<std::optional<WallTime>> OptionalTime(const JsonObject& object, std::string_view key) {
  const Json* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return std::optional<WallTime>();
  return std::optional(TRY(TimeFrom(object, key)));
}

Result<uint64_t> Count(const JsonObject& object, std::string_view key) {
  const int64_t value = TRY(GetInt(object, key));
  if (value < 0) return Error(Code::kInvalid, std::string(key) + ": expected no negative number");
  return static_cast<uint64_t>(value);
}

Json ToJson(const audit::Draft& draft) {
  return JsonObject{
      {"key", draft.key}, {"kind", draft.kind}, {"actor", draft.actor}, {"detail", draft.detail}};
}

}  // namespace

std::string_view NameOf(Phase phase) {
  return Find(kPhases, phase);
}
std::string_view NameOf(Outcome outcome) {
  return Find(kOutcomes, outcome);
}
Result<Phase> ParsePhase(std::string_view text) {
  return Find(kPhases, text);
}
Result<Outcome> ParseOutcome(std::string_view text) {
  return Find(kOutcomes, text);
}

Json ToJson(const Run& run) {
  JsonArray instances;
  for (const uint64_t ordinal : run.instances)
    instances.emplace_back(platform::InstanceId(run.spec.id, ordinal).Render());
  return JsonObject{{"version", 1},
                    {"run", run.id},
                    {"job", run.job},
                    {"revision", run.revision},
                    {"actor", run.actor},
                    {"due", TimeOr(run.due)},
                    {"rollout", run.rollout ? Json(*run.rollout) : Json(nullptr)},
                    {"created", RenderTime(run.created)},
                    {"phase", NameOf(run.phase)},
                    {"since", RenderTime(run.since)},
                    {"not_before", RenderTime(run.not_before)},
                    {"started", TimeOr(run.started)},
                    {"ended", TimeOr(run.ended)},
                    {"outcome", run.outcome == Outcome::kNone ? Json(nullptr) : Json(NameOf(run.outcome))},
                    {"exit_code", run.exit_code ? Json(*run.exit_code) : Json(nullptr)},
                    {"reason", run.reason},
                    {"cancelled_by", run.cancelled_by},
                    {"attempts", run.instances.size()},
                    {"failures", run.failures},
                    {"losses", run.losses},
                    {"retries", run.retries},
                    {"timeout_ms", run.timeout.count()},
                    {"beside_others", run.beside_others},
                    {"migrates", run.migrates},
                    {"instances", std::move(instances)},
                    {"spec", platform::ToJson(run.spec)}};
}

Result<Run> RunFromJson(const Json& json) {
  if (!json.is_object()) return Error(Code::kInvalid, "run: expected an object");
  const JsonObject& object = json.get_object();
  if (TRY(GetInt(object, "version")) != 1)
    return Error(Code::kUnsupported, "the run was written by a newer version of Ingot");
  Run run;
  run.id = TRY(Count(object, "run"));
  run.job = TRY(GetString(object, "job"));
  run.revision = TRY(Count(object, "revision"));
  run.actor = TRY(GetString(object, "actor"));
  run.due = TRY(OptionalTime(object, "due"));
  // Runs of before there were releases have none.
  if (const Json* rollout = object.if_contains("rollout"); rollout != nullptr && !rollout->is_null())
    run.rollout = TRY(Count(object, "rollout"));
  run.created = TRY(TimeFrom(object, "created"));
  run.phase = TRY(ParsePhase(TRY(GetString(object, "phase"))));
  run.since = TRY(TimeFrom(object, "since"));
  run.not_before = TRY(TimeFrom(object, "not_before"));
  run.started = TRY(OptionalTime(object, "started"));
  run.ended = TRY(OptionalTime(object, "ended"));
  run.outcome = TRY(ParseOutcome(StringOr(object, "outcome", "")));
  if (const Json* code = object.if_contains("exit_code"); code != nullptr && !code->is_null())
    run.exit_code = static_cast<int>(TRY(GetInt(object, "exit_code")));
  run.reason = TRY(GetString(object, "reason"));
  run.cancelled_by = TRY(GetString(object, "cancelled_by"));
  run.failures = static_cast<uint32_t>(TRY(Count(object, "failures")));
  run.losses = static_cast<uint32_t>(TRY(Count(object, "losses")));
  run.retries = static_cast<uint32_t>(TRY(Count(object, "retries")));
  run.timeout = Milliseconds(TRY(Count(object, "timeout_ms")));
  run.beside_others = TRY(GetBool(object, "beside_others"));
  run.migrates = BoolOr(object, "migrates", false);  // older runs have none
  run.spec = TRY(platform::FleetFromJson(*TRY(GetObject(object, "spec"))));
  for (const Json& item : *TRY(GetArray(object, "instances"))) {
    if (!item.is_string()) return Error(Code::kInvalid, "instances: expected strings");
    const auto id = TRY(platform::InstanceId::Parse(item.get_string()));
    if (id.fleet() != run.spec.id) return Error(Code::kInvalid, "instances: expected those of the job");
    run.instances.push_back(id.ordinal());
  }
  if (run.instances.empty() && (run.phase == Phase::kRunning || run.phase == Phase::kEnding))
    return Error(Code::kInvalid, "instances: expected that of the present attempt");
  return run;
}

Json ToJson(const State& state) {
  JsonObject cursors;
  for (const auto& [job, cursor] : state.cursors)
    cursors[job] = JsonObject{{"schedule", cursor.schedule}, {"until", RenderTime(cursor.until)}};
  JsonArray outbox;
  for (const audit::Draft& draft : state.outbox) outbox.push_back(ToJson(draft));
  return JsonObject{{"version", 1},
                    {"environment", state.id.Render()},
                    {"step", state.step},
                    {"next_run", state.next_run},
                    {"next_ordinal", state.next_ordinal},
                    {"cursors", std::move(cursors)},
                    {"released", state.released},
                    {"outbox", std::move(outbox)}};
}

Result<State> StateFromJson(const Json& json) {
  if (!json.is_object()) return Error(Code::kInvalid, "jobs: expected an object");
  const JsonObject& object = json.get_object();
  if (TRY(GetInt(object, "version")) != 1)
    return Error(Code::kUnsupported, "the jobs were written by a newer version of Ingot");
  State state;
  state.id = TRY(platform::EnvironmentId::Parse(TRY(GetString(object, "environment"))));
  state.step = TRY(Count(object, "step"));
  state.next_run = TRY(Count(object, "next_run"));
  state.next_ordinal = TRY(Count(object, "next_ordinal"));
  if (object.contains("released")) state.released = TRY(Count(object, "released"));
  for (const auto& member : *TRY(GetObject(object, "cursors"))) {
    if (!member.value().is_object()) return Error(Code::kInvalid, "cursors: expected objects");
    const JsonObject& cursor = member.value().get_object();
    state.cursors[std::string(member.key())] = {TRY(GetString(cursor, "schedule")),
                                                TRY(TimeFrom(cursor, "until"))};
  }
  for (const Json& item : *TRY(GetArray(object, "outbox"))) {
    if (!item.is_object()) return Error(Code::kInvalid, "outbox: expected objects");
    const JsonObject& draft = item.get_object();
    state.outbox.push_back({TRY(GetString(draft, "key")), state.id.Render(), TRY(GetString(draft, "kind")),
                            TRY(GetString(draft, "actor")), *TRY(GetObject(draft, "detail"))});
  }
  return state;
}

}  // namespace ingot::jobs

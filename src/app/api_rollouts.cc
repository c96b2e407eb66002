// The part of the API that changes what runs.

#include "app/api.h"
#include "app/capacity.h"
#include "app/channels.h"
#include "app/daemon_client.h"
#include "app/outside_view.h"
#include "app/permit.h"
#include "plan/secrets.h"

namespace ingot::app {

namespace {

constexpr auto kLongestWait = std::chrono::hours(24);
constexpr auto kWaitStep = std::chrono::milliseconds(500);

// A rollout that its client need not wait for any longer: traffic has moved, or will not.
bool Settled(rollout::Phase phase) {
  return phase == rollout::Phase::kBaking || phase == rollout::Phase::kCompleted ||
         phase == rollout::Phase::kReverted;
}

Result<void> CheckPlannedAgainst(const rollout::Controller& controller,
                                 const platform::EnvironmentId& environment, uint64_t planned_against) {
  const rollout::EnvironmentState* state = controller.State(environment);
  const uint64_t active = state == nullptr ? 0 : state->active.value_or(0);
  if (active == planned_against) return {};
  const std::string planned =
      planned_against == 0 ? "nothing was deployed" : "r" + std::to_string(planned_against) + " was active";
  if (active == 0)
    return Error(Code::kConflict, environment.Render() + " was destroyed after this was planned, when " +
                                      planned + "; plan and apply again");
  const plan::Revision& other = state->RevisionOf(active);
  return Error(Code::kConflict, other.Name() + " of " + environment.Render() + ", by " + other.actor +
                                    ", has become active since this was planned, when " + planned +
                                    "; look at it with `ingot history`, then plan and apply again");
}

}  // namespace

Result<definition::Resolved> Api::ReadResolved(const Request& request, const Environment& environment) {
  definition::Resolved resolved = TRY(definition::ResolvedFromJson(TRY(ParseJson(request.body))));
  if (plan::EnvironmentOf(resolved) != environment)
    return Error(Code::kInvalid, "the definition is of " + plan::EnvironmentOf(resolved).Render() +
                                     ", not of " + environment.Render());
  const auto check = [&](const definition::ResolvedService& service) -> Result<void> {
    auto image = daemon_.store().GetImage(service.image);
    if (!image && image.error().code() == Code::kNotFound)
      return Error(Code::kNotFound, "the store has no image " + service.image.Render() + " for " +
                                        service.name + "; build it with `ingot build`");
    if (!image) return std::move(image).error();
    if (!image->golden)
      return Error(Code::kRefused, "the image " + service.image.Render() + " of " + service.name +
                                       " is not golden: its tests have not passed");
    return {};
  };
  for (const definition::ResolvedService& service : resolved.services) TRY(check(service));
  for (const definition::ResolvedJob& job : resolved.jobs) TRY(check(job.instance));
  TRY(CheckChannels(daemon_.store(), resolved));
  if (!request.peer.root)
    TRY(daemon_.Ask([&](rollout::Controller& controller) {
      const auto active = controller.Active(environment);
      return PermitHostWork(resolved, active ? &active->revision.resolved : nullptr);
    }));
  return resolved;
}

Result<plan::Plan> Api::MakePlan(const definition::Resolved& resolved, const Environment& environment) {
  plan::Plan planned =
      TRY(daemon_.AskJobs([&](jobs::Controller& jobs, rollout::Controller& controller) -> Result<plan::Plan> {
        plan::HostCapacity capacity = CapacityBeside(controller, jobs, resolved);
        capacity.edge = daemon_.edge();
        capacity.claims = controller.ClaimsOfOthers(environment);
        capacity.sizes_not_kept = daemon_.volumes().SizesNotKept();
        return plan::MakePlan(controller.Active(environment), resolved, capacity, SystemClock().Now());
      }));
  if (!planned.memory_free_bytes)
    planned.warnings.emplace_back(
        "this host does not tell how much memory it has, so nobody looks whether it is enough");
  // A count, or how long old ones are kept, may change while a database is away.
  if (!planned.new_revision) return planned;
  planned.migrations = PlanMigrations(environment, resolved.migrations);
  for (const definition::ResolvedJob& job : resolved.jobs) {
    if (!job.migrates) continue;
    plan::MigrationPlan& migration = planned.migrations.emplace_back();
    migration.name = job.instance.name.substr(definition::MigrationJob("").size());
    migration.command = job.instance.command;
  }
  return planned;
}

Result<Json> Api::Plan(const Request& request, const Environment& environment) {
  const definition::Resolved resolved = TRY(ReadResolved(request, environment));
  plan::Plan plan = TRY(MakePlan(resolved, environment));
  for (std::string& warning : SilentServers(plan.routes_after)) plan.warnings.push_back(std::move(warning));
  auto checked = plan::Check(plan);
  if (checked && plan.frozen && plan.new_revision && !QueryFlag(request, "override_freeze"))
    checked = plan::RefusalOf(environment, *plan.frozen);
  return Json(JsonObject{{"plan", plan::ToJson(plan)},
                         {"text", plan::RenderPlan(plan)},
                         {"nothing_to_do", plan.NothingToDo()},
                         {"problem", checked ? Json(nullptr) : Json(checked.error().Render())}});
}

Result<Json> Api::Apply(const Request& request, Reply& reply, const Environment& environment,
                        bool& streamed) {
  const definition::Resolved resolved = TRY(ReadResolved(request, environment));
  const plan::Plan plan = TRY(MakePlan(resolved, environment));
  TRY(plan::Check(plan));
  // Before the journal names them: from then on they must not be collected.
  TRY(daemon_.Pin(environment, &resolved));
  // Also when this is to fail: that is what they want to hear of.
  TRY(daemon_.notifier().Subscribe(environment.Render(), resolved.notify));
  return Change(
      {environment, request.peer.name,
       rollout::Apply{resolved, TRY(QueryText(request, "override_freeze")), QueryFlag(request, "verify")}},
      request, reply, streamed);
}

Result<rollout::Accepted> Api::Submit(const rollout::Command& command, bool wait_turn,
                                      std::optional<uint64_t> planned_against,
                                      const std::function<bool()>& gone) {
  const auto deadline = std::chrono::steady_clock::now() + kLongestWait;
  uint64_t seen = 0;
  while (true) {
    // Only a running rollout is waited for; any other conflict would be the same later.
    bool busy = false;
    auto accepted = daemon_.ActOnJobs(
        [&](jobs::Controller& jobs, rollout::Controller& controller) -> Result<rollout::Accepted> {
          busy = controller.Busy(command.environment);
          // On this thread, on which versions are removed, too: what is there now stays from here on.
          if (const auto* apply = std::get_if<rollout::Apply>(&command.what))
            if (auto there = daemon_.secrets().Require(command.environment, plan::SecretsOf(apply->resolved));
                !there)
              return std::move(there).error();
          // What runs is named by Submit itself.
          if (planned_against && !busy)
            TRY(CheckPlannedAgainst(controller, command.environment, *planned_against));
          if (const auto* scale = std::get_if<rollout::Scale>(&command.what); scale != nullptr && !busy)
            TRY(CheckRoom(controller, jobs, command.environment, *scale));
          return controller.Submit(command);
        });
    const bool in_turn = accepted || accepted.error().code() != Code::kConflict || !busy;
    if (in_turn || !wait_turn || std::chrono::steady_clock::now() > deadline) return accepted;
    seen = daemon_.WaitForChange(seen, kWaitStep);
    if (gone && gone()) return Error(Code::kCancelled, "who asked for it has gone before its turn came");
  }
}

Result<Json> Api::Change(const rollout::Command& command, const Request& request, Reply& reply,
                         bool& streamed) {
  const uint64_t after = TRY(daemon_.events().Last());
  std::optional<uint64_t> planned_against;
  if (request.query.contains("planned_against"))
    planned_against = TRY(QueryNumber(request, "planned_against", 0));
  const rollout::Accepted accepted =
      TRY(Submit(command, QueryFlag(request, "wait_turn"), planned_against, [&] { return reply.Gone(); }));
  const bool rollout = accepted.kind == rollout::Accepted::Kind::kRollout && accepted.rollout.has_value();
  if (QueryFlag(request, "stream")) {
    streamed = true;
    TRY(StreamOutcome(command.environment, accepted, after, reply));
    return Json(nullptr);
  }
  JsonObject answer{{"accepted", rollout::ToJson(accepted)}};
  if (rollout && QueryFlag(request, "wait"))
    answer["rollout"] = TRY(WaitForOutcome(command.environment, *accepted.rollout, {}));
  return Json(std::move(answer));
}

Result<Json> Api::WaitForOutcome(const Environment& environment, uint64_t rollout,
                                 const std::function<Result<void>()>& on_change) {
  const auto deadline = std::chrono::steady_clock::now() + kLongestWait;
  uint64_t seen = 0;
  while (std::chrono::steady_clock::now() < deadline) {
    const rollout::Rollout found = TRY(daemon_.Ask(
        [&](rollout::Controller& controller) { return controller.FindRollout(environment, rollout); }));
    if (on_change) TRY(on_change());
    if (Settled(found.phase)) return rollout::ToJson(found);
    seen = daemon_.WaitForChange(seen, kWaitStep);
  }
  return Error(Code::kTimeout, "the rollout is still running; `ingot status` shows it");
}

Result<void> Api::StreamOutcome(const Environment& environment, const rollout::Accepted& accepted,
                                uint64_t after, Reply& reply) {
  TRY(reply.Begin(200, "application/jsonl"));
  TRY(reply.Write(RenderJson(JsonObject{{"accepted", rollout::ToJson(accepted)}}) + "\n"));
  if (accepted.kind == rollout::Accepted::Kind::kRollout && accepted.rollout) {
    audit::EventQuery query;
    query.environment = environment.Render();
    query.after = after;
    auto outcome = WaitForOutcome(environment, *accepted.rollout, [&]() -> Result<void> {
      for (const audit::Event& event : TRY(daemon_.events().Read(query))) {
        TRY(reply.Write(RenderJson(JsonObject{{"event", audit::ToJson(event)}}) + "\n"));
        query.after = event.sequence;
      }
      return {};
    });
    const Json last = outcome ? Json(JsonObject{{"rollout", *outcome}}) : ErrorToJson(outcome.error());
    TRY(reply.Write(RenderJson(last) + "\n"));
  }
  return reply.End();
}

Result<Json> Api::DestroyEnvironment(const Request& request, const Environment& environment) {
  TRY(Submit({environment, request.peer.name, rollout::Destroy{}}, QueryFlag(request, "wait_turn")));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(5);
  uint64_t seen = 0;
  while (std::chrono::steady_clock::now() < deadline) {
    const bool gone = daemon_.AskJobs([&](jobs::Controller& jobs, rollout::Controller& controller) {
      const auto* state = controller.State(environment);
      return (state == nullptr || !state->destroying) && jobs.OpenRuns(environment).empty();
    });
    if (gone) {
      TRY(daemon_.Pin(environment, nullptr));
      return Json(JsonObject{{"destroyed", environment.Render()}});
    }
    seen = daemon_.WaitForChange(seen, kWaitStep);
  }
  return Error(Code::kTimeout,
               environment.Render() + " is still being destroyed; `ingot status` shows what is left");
}

}  // namespace ingot::app

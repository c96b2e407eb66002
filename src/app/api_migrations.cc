// The part of the API about schema migrations.
#include "app/api.h"
#include "app/database_migrator.h"
#include "app/permit.h"

namespace ingot::app {

Result<Json> Api::PutScript(const Request& request, const std::string& name) {
  const std::string checksum = TRY(daemon_.scripts().Put(request.body));
  if (checksum != name)
    return Error(Code::kInvalid, "the body has the checksum " + checksum + ", not that of the path");
  return Json(JsonObject{{"checksum", checksum}});
}

std::vector<plan::MigrationPlan> Api::PlanMigrations(
    const Environment& environment, const std::vector<definition::ResolvedMigration>& migrations) {
  const rollout::ContractScripts contracts = daemon_.Ask([&](rollout::Controller& controller) {
    return rollout::MayContract(controller.State(environment), migrations);
  });
  std::vector<plan::MigrationPlan> out;
  for (const definition::ResolvedMigration& migration : migrations) {
    plan::MigrationPlan planned;
    planned.name = migration.name;
    const auto may = contracts.find(migration.name);
    auto compared = daemon_.migrator().Compare(environment, migration,
                                               may == contracts.end() ? std::set<uint64_t>() : may->second);
    if (compared) {
      planned.steps = std::move(compared->steps);
      planned.problems = std::move(compared->problems);
    } else {
      planned.code = compared.error().code();
      planned.problems = {compared.error().Render()};
    }
    out.push_back(std::move(planned));
  }
  return out;
}

Result<std::vector<definition::ResolvedMigration>> Api::ReadMigrations(const Request& request,
                                                                       const Environment& environment) {
  const Json document = TRY(ParseJson(request.body));
  if (!document.is_object()) return Error(Code::kInvalid, "expected an object with migrations");
  std::vector<definition::ResolvedMigration> out;
  for (const Json& migration : *TRY(GetArray(document.get_object(), "migrations")))
    out.push_back(TRY(definition::MigrationFromJson(migration)));
  if (!request.peer.root)
    TRY(daemon_.Ask([&](rollout::Controller& controller) {
      const auto active = controller.Active(environment);
      return PermitHostWork(out, active ? &active->revision.resolved : nullptr);
    }));
  return out;
}

Result<Json> Api::MigrationStatus(const Request& request, const Environment& environment) {
  JsonArray out;
  for (const plan::MigrationPlan& planned :
       PlanMigrations(environment, TRY(ReadMigrations(request, environment))))
    out.push_back(plan::ToJson(planned));
  const Json contracting = daemon_.Ask([&](rollout::Controller& controller) -> Json {
    const rollout::EnvironmentState* state = controller.State(environment);
    if (state == nullptr || !state->contracting) return nullptr;
    return JsonObject{
        {"revision", state->contracting->revision},
        {"attempt", state->contracting->attempt},
        {"again", state->contracting->again ? Json(RenderTime(*state->contracting->again)) : Json(nullptr)},
        {"reason", state->contracting->reason}};
  });
  return Json(JsonObject{{"version", 1}, {"migrations", std::move(out)}, {"contracting", contracting}});
}

Result<Json> Api::RunMigrations(const Request& request, const Environment& environment) {
  JsonArray out;
  for (const definition::ResolvedMigration& migration : TRY(ReadMigrations(request, environment))) {
    Result<void> recorded;
    auto done = daemon_.migrator().RunByHand(
        environment, migration, request.peer.name, [&](const migrate::Script& script) {
          const std::string name = migration.name + ": " + migrate::Render(script);
          auto noted = daemon_.events().Append(
              {{"", environment.Render(), "migration.applied", request.peer.name,
                JsonObject{{"stage", migrate::StageName(script.stage)}, {"script", name}}}});
          if (!noted) recorded = std::move(noted).error().While("recording that " + name + " was applied");
          out.emplace_back(name);
        });
    if (!done) return std::move(done).error().While("migration " + migration.name);
    TRY(std::move(recorded));
  }
  return Json(JsonObject{{"applied", std::move(out)}});
}

}  // namespace ingot::app

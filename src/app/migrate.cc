// ingot migrate: the schema's migrations by hand.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/deployment.h"
#include "app/migration_scripts.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "definition/resolve.h"

namespace ingot::app {

namespace {

Result<Json> Ask(Invocation& invocation, DaemonClient& client, const std::string& what) {
  const Project project = TRY(LoadProject(invocation));
  const definition::Definition& definition = project.definition;
  if (definition.migrations.empty())
    return Error(Code::kNotFound,
                 definition.file + " has no migrations; docs/formats/migrations.md shows how");
  TRY(RefuseUnsupported(definition, invocation.environment));
  const LocalScripts scripts = TRY(ReadScripts(definition, project.directory));
  definition::ResolveInput input;
  input.environment = invocation.environment;
  input.scripts = scripts.scripts;
  std::set<std::string> secrets;
  for (const auto& [name, migration] : definition.migrations)
    if (!migration.secret.empty()) secrets.insert(migration.secret);
  input.secret_versions = TRY(SendSecrets(client, project, invocation.environment, secrets));
  TRY(SendScripts(client, definition.project, invocation.environment, scripts));
  JsonArray migrations;
  for (const auto& migration : TRY(definition::ResolveMigrations(definition, input)))
    migrations.push_back(definition::ToJson(migration));
  const Json document = JsonObject{{"migrations", std::move(migrations)}};
  Json answer = TRY(client.Call(
      "POST", EnvironmentPath(definition.project, invocation.environment, "/migrations/" + what), &document));
  if (!answer.is_object()) return Error(Code::kInternal, "the daemon's answer is not an object");
  // What other tools do has no ledger here: it is named, so that silence is not taken for "all was applied".
  JsonArray commands;
  for (const auto& [name, migration] : definition.migrations)
    if (!migration.run.empty())
      commands.push_back(JsonObject{{"name", name}, {"job", definition::MigrationJob(name)}});
  answer.get_object()["commands"] = std::move(commands);
  return answer;
}

void ShowCommands(const Json& answer) {
  for (const Json& command : answer.get_object().at("commands").get_array()) {
    const JsonObject& of = command.get_object();
    std::printf("%s\n  a command, which runs with every release; by hand: ingot job run %s\n",
                Paint(Colour::kBold, StringOr(of, "name", "")).c_str(), StringOr(of, "job", "").c_str());
  }
}

// Of all migrations; true when there is a problem.
bool Show(const JsonObject& status) {
  bool problem = false;
  const Json* migrations = status.if_contains("migrations");
  if (migrations == nullptr || !migrations->is_array()) return false;
  for (const Json& item : migrations->get_array()) {
    if (!item.is_object()) continue;
    const JsonObject& migration = item.get_object();
    std::printf("%s\n", Paint(Colour::kBold, StringOr(migration, "name", "")).c_str());
    if (const Json* steps = migration.if_contains("steps"); steps != nullptr && steps->is_array())
      for (const Json& step : steps->get_array())
        if (step.is_object())
          std::printf("  %-8s  %s%s\n", StringOr(step.get_object(), "state", "").c_str(),
                      StringOr(step.get_object(), "file", "").c_str(),
                      BoolOr(step.get_object(), "late", false) ? "  (older than one that was applied)" : "");
    if (const Json* problems = migration.if_contains("problems"); problems != nullptr && problems->is_array())
      for (const Json& why : problems->get_array()) {
        problem = true;
        std::fflush(stdout);
        std::fprintf(stderr, "  %s %s\n", Paint(Colour::kRed, "problem:").c_str(),
                     why.is_string() ? std::string(why.get_string()).c_str() : "");
      }
  }
  if (const Json* contracting = status.if_contains("contracting");
      contracting != nullptr && contracting->is_object()) {
    const JsonObject& run = contracting->get_object();
    const std::string again = StringOr(run, "again", "");
    std::printf(
        "contract scripts of r%lld %s\n", static_cast<long long>(IntOr(run, "revision", 0)),
        again.empty()
            ? "are being run"
            : ("failed and will be tried again at " + again + ": " + StringOr(run, "reason", "")).c_str());
  }
  return problem;
}

int Status(Invocation& invocation) {
  DaemonClient client(invocation);
  auto status = Ask(invocation, client, "status");
  if (!status) return Report(invocation, status.error());
  if (!invocation.json) {
    const bool problem = Show(status->get_object());
    ShowCommands(*status);
    return problem ? kFailed : kDone;
  }
  PrintJson(*status);
  for (const Json& migration : *status->as_object().at("migrations").if_array())
    if (!migration.as_object().at("problems").as_array().empty()) return kFailed;
  return kDone;
}

int RunThem(Invocation& invocation) {
  DaemonClient client(invocation);
  auto answer = Ask(invocation, client, "run");
  if (!answer) return Report(invocation, answer.error());
  if (invocation.json) {
    PrintJson(*answer);
    return kDone;
  }
  const Json* applied = answer->get_object().if_contains("applied");
  if (applied == nullptr || !applied->is_array() || applied->get_array().empty()) {
    std::puts("no script is due");
  } else {
    for (const Json& script : applied->get_array())
      std::printf("applied %s\n", script.is_string() ? std::string(script.get_string()).c_str() : "");
  }
  ShowCommands(*answer);
  return kDone;
}

}  // namespace

void AddMigrate(CLI::App& app, Invocation& invocation) {
  CLI::App* verb =
      app.add_subcommand("migrate", "the schema's migrations: what was applied, what is to be, by hand");
  verb->require_subcommand(1);
  CLI::App* status =
      AddVerb(*verb, invocation, "status", "compare the scripts here with the database's ledger",
              [&invocation] { return Status(invocation); });
  AddProjectOptions(*status, invocation);
  status->footer(
      "Exit code 1: a script was changed or is missing, the lint has a finding, or the database cannot be "
      "reached.");
  CLI::App* run = AddVerb(*verb, invocation, "run", "run the expand scripts that are due, without a release",
                          [&invocation] { return RunThem(invocation); });
  AddProjectOptions(*run, invocation);
  run->footer(
      "`ingot apply` does it by itself. Contract scripts run when no revision is left that does not know "
      "them.");
}

}  // namespace ingot::app

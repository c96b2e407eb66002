#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/daemon_client.h"
#include "app/project.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

std::string Age(const JsonObject& object, std::string_view key) {
  auto time = ParseTime(StringOr(object, key, ""));
  return time ? RenderAge(*time, SystemClock().Now()) : "";
}

std::string RevisionName(const JsonObject& object, std::string_view key) {
  const int64_t number = IntOr(object, key, 0);
  return number == 0 ? "-" : "r" + std::to_string(number);
}

int History(Invocation& invocation) {
  auto project = ProjectName(invocation);
  if (!project) return Report(invocation, project.error());
  DaemonClient client(invocation);
  auto answer = client.Call("GET", EnvironmentPath(*project, invocation.environment, "/history"));
  if (!answer) return Report(invocation, answer.error());
  if (invocation.json) {
    PrintJson(*answer);
    return kDone;
  }
  if (!answer->is_object()) return Report(invocation, Error(Code::kInternal, "the history is not an object"));
  const JsonObject& history = answer->get_object();
  std::vector<std::vector<std::string>> revisions = {{"REVISION", "NOW", "COMMIT", "BY", "AGE", "IMAGES"}};
  auto rows = GetArray(history, "revisions");
  if (!rows) return Report(invocation, rows.error());
  for (const Json& item : **rows) {
    if (!item.is_object()) continue;
    const JsonObject& revision = item.get_object();
    std::string images;
    if (auto services = GetArray(revision, "services")) {
      for (const Json& service : **services)
        if (service.is_object())
          images += (images.empty() ? "" : " ") + StringOr(service.get_object(), "name", "") + "@" +
                    StringOr(service.get_object(), "image", "sha256:").substr(7, 12);
    }
    const std::string commit = StringOr(revision, "commit", "").substr(0, 10);
    revisions.push_back(
        {RevisionName(revision, "revision"),
         StringOr(revision, "role", "") + (BoolOr(revision, "verified", true) ? "" : " not verified"),
         (commit.empty() ? "-" : commit) + (BoolOr(revision, "dirty", false) ? "+changes" : ""),
         StringOr(revision, "actor", ""), Age(revision, "created"), images});
  }
  std::fputs(RenderTable(revisions).c_str(), stdout);
  std::vector<std::vector<std::string>> rollouts = {
      {"ROLLOUT", "KIND", "FROM", "TO", "OUTCOME", "AGE", "REASON"}};
  auto list = GetArray(history, "rollouts");
  if (!list) return Report(invocation, list.error());
  for (const Json& item : **list) {
    if (!item.is_object()) continue;
    const JsonObject& rollout = item.get_object();
    const std::string phase = StringOr(rollout, "phase", "");
    rollouts.push_back({std::to_string(IntOr(rollout, "id", 0)), StringOr(rollout, "kind", ""),
                        RevisionName(rollout, "from"), RevisionName(rollout, "to"),
                        Paint(phase == "reverted" ? Colour::kRed : Colour::kGreen, phase),
                        Age(rollout, "created"), StringOr(rollout, "reason", "")});
  }
  std::fputs(("\n" + RenderTable(rollouts)).c_str(), stdout);
  return kDone;
}

}  // namespace

void AddHistory(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = AddVerb(app, invocation, "history", "revisions and rollouts, the newest first",
                           [&invocation] { return History(invocation); });
  AddProjectOptions(*verb, invocation);
}

}  // namespace ingot::app

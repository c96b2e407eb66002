// ingot rollout: what a person says of the rollout that goes on.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "app/daemon_client.h"
#include "app/project.h"
#include "app/rollout_view.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "app/verification.h"

namespace ingot::app {

namespace {

// Tells the daemon, and says what follows from it.
int Tell(Invocation& invocation, const std::string& what, const char* done) {
  auto project = ProjectName(invocation);
  if (!project) return Report(invocation, project.error());
  DaemonClient client(invocation);
  auto answer = client.Call("POST", EnvironmentPath(*project, invocation.environment, "/" + what));
  if (!answer) return Report(invocation, answer.error());
  if (invocation.json)
    PrintJson(*answer);
  else
    std::puts(done);
  return kDone;
}

const JsonObject* ObjectOf(const JsonObject& parent, std::string_view key) {
  const Json* value = parent.if_contains(key);
  return value != nullptr && value->is_object() ? &value->get_object() : nullptr;
}

std::string Described(const JsonObject& rollout) {
  const Json* from = rollout.if_contains("from");
  const std::string to = "r" + std::to_string(IntOr(rollout, "to", 0));
  return "rollout " + std::to_string(IntOr(rollout, "id", 0)) + " (" + StringOr(rollout, "kind", "") + ", " +
         (from != nullptr && !from->is_null() ? "r" + RenderJson(*from) + " to " + to : "to " + to) + ")";
}

// What each check of the present step last said.
void ShowChecks(const JsonObject& status) {
  const Json* checks = status.if_contains("checks");
  if (checks == nullptr || !checks->is_array()) return;
  for (const Json& item : checks->get_array()) {
    if (!item.is_object()) continue;
    const JsonObject& check = item.get_object();
    const std::string outcome = StringOr(check, "outcome", "");
    const std::string value = StringOr(check, "value", "");
    const std::string said = IntOr(check, "measured", 0) == 0 ? "not measured yet"
                             : value.empty()
                                 ? outcome + ": " + StringOr(check, "message", "")
                                 : outcome + ": " + value + ", expected " + StringOr(check, "bound", "");
    std::printf("  check %s %s: %s\n", StringOr(check, "service", "").c_str(),
                StringOr(check, "check", "").c_str(), said.c_str());
  }
}

// What became of copies of requests in the present step.
void ShowShadows(const JsonObject& status) {
  const Json* shadows = status.if_contains("shadows");
  if (shadows == nullptr || !shadows->is_array()) return;
  for (const Json& item : shadows->get_array()) {
    if (!item.is_object()) continue;
    const JsonObject& shadow = item.get_object();
    const auto number = [&](const char* key) { return std::to_string(IntOr(shadow, key, 0)); };
    std::printf("  shadow %s: %s\n", StringOr(shadow, "service", "").c_str(),
                StringOr(shadow, "text", "").c_str());
    std::printf(
        "    %s copied: %s same, %s other status, %s other body, %s failed, %s timed out, %s in flight; "
        "%s not copied\n",
        number("mirrored").c_str(), number("same").c_str(), number("other_status").c_str(),
        number("other_body").c_str(), number("failed").c_str(), number("timed_out").c_str(),
        number("in_flight").c_str(), number("skipped").c_str());
  }
}

void ShowGoingOn(const JsonObject& status) {
  const JsonObject* rollout = ObjectOf(status, "rollout");
  if (rollout == nullptr) {
    std::puts("no rollout is running");
    if (const JsonObject* last = ObjectOf(status, "last"); last != nullptr) {
      const std::string reason = StringOr(*last, "reason", "");
      std::printf("the last one, %s, %s at %s%s\n", Described(*last).c_str(),
                  StringOr(*last, "phase", "").c_str(), StringOr(*last, "since", "").c_str(),
                  reason.empty() ? "" : (": " + reason).c_str());
    }
    return;
  }
  const std::string phase = StringOr(*rollout, "phase", "");
  const std::string reason = StringOr(*rollout, "reason", "");
  std::printf("%s by %s: %s since %s%s\n", Described(*rollout).c_str(),
              StringOr(*rollout, "actor", "").c_str(),
              Paint(phase == "reverting" ? Colour::kRed : Colour::kBold, phase).c_str(),
              StringOr(*rollout, "since", "").c_str(), reason.empty() ? "" : (": " + reason).c_str());
  const Json* steps = status.if_contains("steps");
  if (steps != nullptr && steps->is_array() && !steps->get_array().empty()) {
    size_t number = 0;
    for (const Json& item : steps->get_array()) {
      if (!item.is_object()) continue;
      const std::string state = StringOr(item.get_object(), "state", "");
      std::printf("  %s %zu. %s%s\n", state == "present" ? "→" : " ", ++number,
                  StringOr(item.get_object(), "text", "").c_str(), state == "done" ? "  (done)" : "");
    }
    std::printf("    %zu. everything\n", ++number);
  }
  ShowChecks(status);
  ShowShadows(status);
  if (const std::string held = StringOr(*rollout, "held", ""); !held.empty())
    std::printf("%s %s\n", Paint(Colour::kYellow, "inconclusive:").c_str(), held.c_str());
  if (const std::string what = StringOr(status, "waits_for", ""); !what.empty())
    std::printf("it waits for %s\n", what.c_str());
}

// For what the daemon says waits now, and not for what has taken its place by the time that it is heard.
int Approve(Invocation& invocation, const std::string& note) {
  auto project = ProjectName(invocation);
  if (!project) return Report(invocation, project.error());
  DaemonClient client(invocation);
  const auto path = [&](const char* what) { return EnvironmentPath(*project, invocation.environment, what); };
  auto status = client.Call("GET", path("/rollout"));
  if (!status) return Report(invocation, status.error());
  std::string query = note.empty() ? "" : "&note=" + adapters::PercentEncode(note);
  if (const JsonObject* rollout = status->is_object() ? ObjectOf(status->get_object(), "rollout") : nullptr)
    query += "&rollout=" + std::to_string(IntOr(*rollout, "id", 0)) +
             "&step=" + std::to_string(IntOr(*rollout, "step", 0));
  if (!query.empty()) query.front() = '?';
  return ShowAnswer(invocation, client.Call("POST", path("/approve") + query), [](const JsonObject&) {
    std::puts("approved; `ingot rollout status` shows where it is");
  });
}

int ShowRollout(Invocation& invocation) {
  auto project = ProjectName(invocation);
  if (!project) return Report(invocation, project.error());
  DaemonClient client(invocation);
  return ShowAnswer(invocation,
                    client.Call("GET", EnvironmentPath(*project, invocation.environment, "/rollout")),
                    ShowGoingOn);
}

int VerifyServing(Invocation& invocation) {
  auto project = LoadProject(invocation);
  if (!project) return Report(invocation, project.error());
  if (VerifyOf(*project, invocation.environment).empty())
    return Report(invocation, Error(Code::kInvalid, project->definition.file + " has no environments." +
                                                        invocation.environment + ".verify"));
  if (auto checked = CheckVerifyCommands(*project, invocation.environment); !checked)
    return Report(invocation, checked.error());
  JsonObject report;
  const int code = VerifyActive(invocation, *project, report);
  if (invocation.json)
    PrintJson(report);
  else if (code == kDone && report.empty())
    std::puts("what serves is verified already");
  return code;
}

}  // namespace

void AddRollout(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = app.add_subcommand(
      "rollout", "watch, approve, pause, resume, advance or abort the rollout that is going on");
  verb->require_subcommand(1);
  CLI::App* status = AddVerb(*verb, invocation, "status", "where it is, and what it waits for",
                             [&invocation] { return ShowRollout(invocation); });
  AddProjectOptions(*status, invocation);
  const auto add = [&](const char* name, const char* about, const char* done, const char* footer) {
    CLI::App* added = AddVerb(*verb, invocation, name, about, [&invocation, name = std::string(name), done] {
      return Tell(invocation, name, done);
    });
    AddProjectOptions(*added, invocation);
    added->footer(footer);
  };
  add("pause", "move no further traffic until resume",
      "it moves no further traffic until `ingot rollout resume`",
      "What fails meanwhile is taken back all the same.");
  add("resume", "go on after pause", "it goes on", "");
  add("advance", "go on from the present step, whatever it waits for",
      "it goes on from its step; `ingot rollout status` shows where it is",
      "Ends a pause of the definition (pause: manual), the time of a step, and an analysis that is "
      "inconclusive.\n"
      "A pause by `ingot rollout pause` stays: the rollout stops again at the next step.");
  auto note = std::make_shared<std::string>();
  CLI::App* approve = AddVerb(*verb, invocation, "approve", "give the word that the rollout waits for",
                              [&invocation, note] { return Approve(invocation, *note); });
  AddProjectOptions(*approve, invocation);
  approve->add_option("-m,--message", *note, "why, for the record")->type_name("TEXT");
  approve->footer("Who may is said by `access` of the definition that is in force; root may always.");
  CLI::App* verify =
      AddVerb(*verb, invocation, "verify", "run `verify` of the environment, if that is outstanding",
              [&invocation] { return VerifyServing(invocation); });
  AddProjectOptions(*verify, invocation);
  verify->footer(
      "For what an apply left open: --detach, or a client that was ended before its commands had ended. "
      "When\n"
      "one fails, traffic goes back (exit 5).");
  add("abort", "take the running rollout back: nothing has changed then",
      "it is being reverted; `ingot status` shows when what served before is alone again",
      "Possible until all traffic has been switched; after that it is `ingot rollback`.");
}

}  // namespace ingot::app

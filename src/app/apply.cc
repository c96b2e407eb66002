#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>

#include "app/build_images.h"
#include "app/deployment.h"
#include "app/rollout_view.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "app/verification.h"

namespace ingot::app {

namespace {

struct ApplyOptions {
  bool yes = false;
  bool allow_dirty = false;
  bool locked = false;
  bool wait = false;
  bool detach = false;
  std::string override_freeze;
  std::string build_on;
};

void AddBuildPlace(CLI::App& verb, std::string& build_on) {
  verb.add_option("--build-on", build_on,
                  "of an environment on another host, where images are built: here (and sent there) or host "
                  "(default: here as root, else host)")
      ->type_name("PLACE");
}

Result<bool> Confirm() {
  if (::isatty(STDIN_FILENO) != 1)
    return Error(Code::kRefused,
                 "apply asks before it changes anything and there is no terminal to ask on; pass --yes");
  std::printf("apply? [y/N] ");
  std::fflush(stdout);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

void ShowAccepted(const JsonObject& answer) {
  const Json* member = answer.if_contains("accepted");
  const JsonObject none;
  const JsonObject& accepted = member != nullptr && member->is_object() ? member->get_object() : none;
  const std::string kind = StringOr(accepted, "accepted", "");
  if (kind == "rollout")
    std::printf("rollout %lld to r%lld is accepted; `ingot rollout status` shows where it is\n",
                static_cast<long long>(IntOr(accepted, "rollout", 0)),
                static_cast<long long>(IntOr(accepted, "revision", 0)));
  else
    std::puts(kind == "nothing" ? "nothing to do" : "done");
}

// What has just begun to serve; or what serves since a former apply that did not come to its end.
int VerifyChange(Invocation& invocation, const Project& project, JsonObject& last) {
  if (VerifyOf(project, invocation.environment).empty()) return kDone;
  const Json* member = last.if_contains("rollout");
  if (member == nullptr || !member->is_object()) return VerifyActive(invocation, project, last);
  const JsonObject rollout = member->get_object();
  return VerifyRevision(invocation, project, static_cast<uint64_t>(IntOr(rollout, "to", 0)),
                        static_cast<uint64_t>(IntOr(rollout, "id", 0)), last);
}

int Apply(Invocation& invocation, const ApplyOptions& options) {
  if (invocation.json && !options.yes)
    return Report(invocation, Error(Code::kRefused, "apply --json asks nothing, so it needs --yes"));
  DaemonClient client(invocation);
  auto deployment =
      PrepareDeployment(invocation, client, {options.allow_dirty, options.locked, options.build_on});
  if (!deployment) return ReportBuild(invocation, deployment.error());
  if (auto checked = CheckVerifyCommands(deployment->project, invocation.environment); !checked)
    return Report(invocation, checked.error());
  const bool verifies = !VerifyOf(deployment->project, invocation.environment).empty();
  const Json document = definition::ToJson(deployment->resolved);
  const std::string& project = deployment->project.definition.project;
  std::string planned_against;
  if (!invocation.json) {
    const std::string overridden = options.override_freeze.empty() ? "" : "?override_freeze=1";
    auto planned = client.Call("POST", EnvironmentPath(project, invocation.environment, "/plan" + overridden),
                               &document);
    if (!planned) return Report(invocation, planned.error());
    const JsonObject& plan = planned->get_object();
    std::fputs(StringOr(plan, "text", "").c_str(), stdout);
    const bool nothing = BoolOr(plan, "nothing_to_do", false);
    // What was shown is what happens: not if somebody else was quicker. (Who waits his turn expects that.)
    if (const auto shown = GetObject(plan, "plan"); shown && !options.wait)
      planned_against = "&planned_against=" + std::to_string(IntOr(**shown, "active", 0));
    if (!options.yes && !nothing) {
      auto confirmed = Confirm();
      if (!confirmed) return Report(invocation, confirmed.error());
      if (!*confirmed) {
        std::puts("nothing was changed");
        return kDone;
      }
    }
    std::fflush(stdout);
  }
  std::string target = EnvironmentPath(project, invocation.environment, "/rollouts") +
                       "?wait_turn=" + (options.wait ? "1" : "0") + planned_against;
  if (!options.override_freeze.empty())
    target += "&override_freeze=" + adapters::PercentEncode(options.override_freeze);
  if (verifies) target += "&verify=1";
  const std::string body = RenderJson(document);
  if (!options.detach)
    return FollowChange(invocation, client, target, body, [&](JsonObject& last) {
      return VerifyChange(invocation, deployment->project, last);
    });
  return ShowAnswer(invocation, client.Call("POST", target, &document), ShowAccepted);
}

int Plan(Invocation& invocation, bool detailed, const DeploymentOptions& options) {
  DaemonClient client(invocation);
  auto deployment = PrepareDeployment(invocation, client, options);
  if (!deployment) return ReportBuild(invocation, deployment.error());
  const Json document = definition::ToJson(deployment->resolved);
  auto planned = client.Call(
      "POST", EnvironmentPath(deployment->project.definition.project, invocation.environment, "/plan"),
      &document);
  if (!planned) return Report(invocation, planned.error());
  const JsonObject& plan = planned->get_object();
  const bool nothing = BoolOr(plan, "nothing_to_do", false);
  const std::string problem = StringOr(plan, "problem", "");
  if (invocation.json) {
    PrintJson(*planned);
  } else {
    std::fputs(StringOr(plan, "text", "").c_str(), stdout);
    if (!problem.empty())
      std::fprintf(stderr, "%s %s\n", Paint(Colour::kRed, "cannot be applied:").c_str(), problem.c_str());
  }
  if (!problem.empty()) return kFailed;
  return detailed && !nothing ? kChanges : kDone;
}

}  // namespace

void AddPlan(CLI::App& app, Invocation& invocation) {
  auto detailed = std::make_shared<bool>(false);
  auto options = std::make_shared<DeploymentOptions>();
  CLI::App* verb =
      AddVerb(app, invocation, "plan", "what apply would change, without changing anything",
              [&invocation, detailed, options] { return Plan(invocation, *detailed, *options); });
  verb->alias("diff");
  AddProjectOptions(*verb, invocation);
  verb->add_flag("--detailed-exitcode", *detailed, "exit with 3 when there are changes");
  verb->add_flag("--allow-dirty", options->allow_dirty, "accept uncommitted changes outside `local`");
  verb->add_flag("--locked", options->locked, "refuse what ingot.lock does not pin");
  AddBuildPlace(*verb, options->build_on);
}

void AddApply(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<ApplyOptions>();
  CLI::App* verb =
      AddVerb(app, invocation, "apply", "build, test, plan, ask, roll out: a new revision or nothing",
              [&invocation, options] { return Apply(invocation, *options); });
  AddProjectOptions(*verb, invocation);
  verb->add_flag("-y,--yes", options->yes, "do not ask");
  verb->add_flag("--allow-dirty", options->allow_dirty,
                 "accept uncommitted changes outside `local`, on the record");
  verb->add_flag("--locked", options->locked, "refuse what ingot.lock does not pin");
  AddBuildPlace(*verb, options->build_on);
  verb->add_flag("--wait", options->wait, "wait for a running rollout to end instead of being refused");
  verb->add_flag(
      "--detach", options->detach,
      "do not wait for the rollout's end; what it has to show is then up to `ingot rollout verify`");
  verb->add_option("--override-freeze", options->override_freeze,
                   "release in a time in which nothing is released, for this reason, on the record")
      ->type_name("REASON");
  verb->footer(
      "Exit codes: 0 done, 2 invalid definition, 4 refused, 5 the rollout was reverted (what served before\n"
      "serves still), or verification failed (it serves again).");
}

}  // namespace ingot::app

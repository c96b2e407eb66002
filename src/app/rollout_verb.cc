#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/daemon_client.h"
#include "app/project.h"
#include "app/rollout_view.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

int AbortRollout(Invocation& invocation) {
  auto project = ProjectName(invocation);
  if (!project) return Report(invocation, project.error());
  DaemonClient client(invocation.layout());
  auto answer = client.Call("POST", EnvironmentPath(*project, invocation.environment, "/abort"));
  if (!answer) return Report(invocation, answer.error());
  if (invocation.json)
    PrintJson(*answer);
  else
    std::puts("it is being reverted; `ingot status` shows when what served before is alone again");
  return kDone;
}

}  // namespace

void AddRollout(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = app.add_subcommand("rollout", "act on the rollout that is going on");
  verb->require_subcommand(1);
  CLI::App* abort =
      AddVerb(*verb, invocation, "abort", "take the running rollout back: nothing has changed then",
              [&invocation] { return AbortRollout(invocation); });
  AddProjectOptions(*abort, invocation);
  abort->footer("Possible until traffic has been switched; after that it is `ingot rollback`.");
}

}  // namespace ingot::app

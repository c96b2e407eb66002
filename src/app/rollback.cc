#include <CLI/CLI.hpp>
#include <memory>

#include "app/daemon_client.h"
#include "app/project.h"
#include "app/rollout_view.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

int Rollback(Invocation& invocation, std::string revision) {
  auto project = ProjectName(invocation);
  if (!project) return Report(invocation, project.error());
  std::string target = EnvironmentPath(*project, invocation.environment, "/rollback");
  if (!revision.empty()) {
    if (revision.front() == 'r') revision.erase(0, 1);
    if (revision.empty() || revision.find_first_not_of("0123456789") != std::string::npos)
      return Report(invocation,
                    Error(Code::kInvalid, "a revision is written r3; `ingot history` lists them"));
    target += "?to=" + revision;
  }
  DaemonClient client(invocation);
  return FollowChange(invocation, client, target, "");
}

}  // namespace

void AddRollback(CLI::App& app, Invocation& invocation) {
  auto revision = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(app, invocation, "rollback", "switch traffic back to the previous revision",
                           [&invocation, revision] { return Rollback(invocation, *revision); });
  AddProjectOptions(*verb, invocation);
  verb->add_option("revision", *revision, "the revision to go back to, such as r3 (default: the one before)");
  verb->footer(
      "While the old fleet is warm (rollout.keep_old) this is one atomic routing write. Later the same "
      "images are\n"
      "started again; nothing is rebuilt.");
}

}  // namespace ingot::app

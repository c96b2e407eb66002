#include <CLI/CLI.hpp>
#include <memory>

#include "app/daemon_client.h"
#include "app/project.h"
#include "app/rollout_view.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

int Scale(Invocation& invocation, const std::string& what) {
  const size_t equals = what.find('=');
  const std::string count = equals == std::string::npos ? "" : what.substr(equals + 1);
  if (equals == 0 || count.empty() || count.find_first_not_of("0123456789") != std::string::npos)
    return Report(invocation,
                  Error(Code::kInvalid, "\"" + what + "\": expected SERVICE=COUNT, such as web=5"));
  auto project = ProjectName(invocation);
  if (!project) return Report(invocation, project.error());
  DaemonClient client(invocation);
  return FollowChange(invocation, client,
                      EnvironmentPath(*project, invocation.environment,
                                      "/scale/" + adapters::PercentEncode(what.substr(0, equals))) +
                          "?replicas=" + count,
                      "");
}

}  // namespace

void AddScale(CLI::App& app, Invocation& invocation) {
  auto what = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(app, invocation, "scale", "run another number of identical instances",
                           [&invocation, what] { return Scale(invocation, *what); });
  AddProjectOptions(*verb, invocation);
  verb->add_option("count", *what, "SERVICE=COUNT, such as web=5")->required();
  verb->footer("Holds until an apply changes the service's `replicas`. A count is no part of a revision.");
}

}  // namespace ingot::app

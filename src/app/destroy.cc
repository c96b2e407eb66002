#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>

#include "app/daemon_client.h"
#include "app/project.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "platform/ids.h"

namespace ingot::app {

namespace {

bool Confirmed(const std::string& what) {
  if (::isatty(STDIN_FILENO) != 1) return false;
  std::printf("end %s and everything that runs in it? [y/N] ", what.c_str());
  std::fflush(stdout);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "yes";
}

Result<JsonArray> DestroyAll(DaemonClient& client) {
  JsonArray gone;
  const Json all = TRY(client.Call("GET", "/v1/environments"));
  if (!all.is_object()) return Error(Code::kInternal, "the daemon's list of environments is not an object");
  for (const Json& environment : *TRY(GetArray(all.get_object(), "environments"))) {
    if (!environment.is_object()) continue;
    const auto id =
        TRY(platform::EnvironmentId::Parse(StringOr(environment.get_object(), "environment", "")));
    TRY(client.Call("DELETE", EnvironmentPath(id.project(), id.environment())));
    gone.emplace_back(id.Render());
  }
  TRY(client.Call("DELETE", "/v1/host"));
  return gone;
}

int Destroy(Invocation& invocation, bool yes, bool host) {
  DaemonClient client = host ? DaemonClient(invocation.layout()) : DaemonClient(invocation);
  std::string what = "every environment on this host";
  std::string project;
  if (!host) {
    auto name = ProjectName(invocation);
    if (!name) return Report(invocation, name.error());
    project = *name;
    what = project + "/" + invocation.environment;
  }
  if (!yes && !Confirmed(what))
    return Report(invocation, Error(Code::kRefused, "nothing was changed; pass --yes to end " + what));
  if (host) {
    auto gone = DestroyAll(client);
    if (!gone) return Report(invocation, gone.error());
    if (invocation.json) {
      PrintJson(JsonObject{{"destroyed", std::move(*gone)}, {"daemon", "stopping"}});
    } else {
      std::puts("every environment has ended; the daemon gives up its namespaces and stops");
    }
    return kDone;
  }
  auto answer = client.Call("DELETE", EnvironmentPath(project, invocation.environment));
  if (!answer) return Report(invocation, answer.error());
  if (invocation.json) {
    PrintJson(*answer);
  } else {
    std::printf("%s has ended; its history, images, logs and volumes stay\n", what.c_str());
  }
  return kDone;
}

}  // namespace

void AddDestroy(CLI::App& app, Invocation& invocation) {
  auto yes = std::make_shared<bool>(false);
  auto host = std::make_shared<bool>(false);
  CLI::App* verb = AddVerb(app, invocation, "destroy", "end everything of an environment",
                           [&invocation, yes, host] { return Destroy(invocation, *yes, *host); });
  AddProjectOptions(*verb, invocation);
  verb->add_flag("-y,--yes", *yes, "do not ask");
  verb->add_flag("--host", *host, "every environment on this host, its namespaces and its daemon");
}

}  // namespace ingot::app

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/daemon_client.h"
#include "app/project.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

struct EventsOptions {
  bool follow = false;
  bool host = false;
  uint64_t after = 0;
};

void Show(const JsonObject& event) {
  std::string detail;
  if (const Json* fields = event.if_contains("detail"); fields != nullptr && fields->is_object()) {
    for (const auto& member : fields->get_object()) {
      const Json& value = member.value();
      detail += " " + Paint(Colour::kDim, std::string(member.key()) + "=") +
                (value.is_string() ? std::string(value.get_string()) : RenderJson(value));
    }
  }
  std::printf("%s %s %s%s\n", Paint(Colour::kDim, StringOr(event, "time", "")).c_str(),
              StringOr(event, "environment", "").c_str(),
              Paint(Colour::kBold, StringOr(event, "kind", "")).c_str(), detail.c_str());
}

int Events(Invocation& invocation, const EventsOptions& options) {
  std::string target = "/v1/events";
  if (!options.host) {
    auto project = ProjectName(invocation);
    if (!project) return Report(invocation, project.error());
    target = EnvironmentPath(*project, invocation.environment, "/events");
  }
  target += "?after=" + std::to_string(options.after);
  if (options.follow) target += "&follow=1";
  DaemonClient client = options.host ? DaemonClient(invocation.layout()) : DaemonClient(invocation);
  auto done = client.Stream("GET", target, "", [&](std::string_view line) {
    if (invocation.json) {
      std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
    } else if (auto json = ParseJson(line); json && json->is_object()) {
      Show(json->get_object());
    }
    return std::fflush(stdout) == 0;
  });
  return done ? static_cast<int>(kDone) : Report(invocation, done.error());
}

}  // namespace

void AddEvents(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<EventsOptions>();
  CLI::App* verb = AddVerb(app, invocation, "events", "the record of what happened, who asked and why",
                           [&invocation, options] { return Events(invocation, *options); });
  AddProjectOptions(*verb, invocation);
  verb->add_flag("-F,--follow", options->follow, "go on as new events come");
  verb->add_option("--after", options->after, "only events with a greater sequence number");
  verb->add_flag("--host", options->host, "of every environment on this host");
}

}  // namespace ingot::app

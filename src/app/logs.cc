#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/daemon_client.h"
#include "app/project.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "platform/ids.h"

namespace ingot::app {

namespace {

struct LogsOptions {
  std::string what;
  bool follow = false;
  uint64_t tail = 100;
  bool all = false;
};

int Logs(Invocation& invocation, const LogsOptions& options) {
  auto project = ProjectName(invocation);
  if (!project) return Report(invocation, project.error());
  std::string query = "?";
  if (!options.what.empty()) query += "of=" + adapters::PercentEncode(options.what) + "&";
  if (!options.all) query += "tail=" + std::to_string(options.tail) + "&";
  if (options.follow) query += "follow=1";
  DaemonClient client(invocation);
  auto done =
      client.Stream("GET", EnvironmentPath(*project, invocation.environment, "/logs") + query, "",
                    [&](std::string_view line) {
                      if (invocation.json) {
                        std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
                        return std::fflush(stdout) == 0;
                      }
                      auto json = ParseJson(line);
                      if (!json || !json->is_object()) return true;
                      const JsonObject& fields = json->get_object();
                      const auto id = platform::InstanceId::Parse(StringOr(fields, "instance", ""));
                      const std::string text = StringOr(fields, "text", "");
                      const bool error = StringOr(fields, "stream", "") == "stderr";
                      std::printf("%s %s %s\n", Paint(Colour::kDim, StringOr(fields, "time", "")).c_str(),
                                  Paint(Colour::kBlue, id ? id->Short() : "?").c_str(),
                                  (error ? Paint(Colour::kYellow, text) : text).c_str());
                      return std::fflush(stdout) == 0;
                    });
  return done ? static_cast<int>(kDone) : Report(invocation, done.error());
}

}  // namespace

void AddLogs(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<LogsOptions>();
  CLI::App* verb = AddVerb(app, invocation, "logs", "what instances wrote, also those that are gone",
                           [&invocation, options] { return Logs(invocation, *options); });
  AddProjectOptions(*verb, invocation);
  verb->add_option("what", options->what, "a service (web) or an instance (web-17); default: everything");
  verb->add_flag("-F,--follow", options->follow, "go on as new lines come");
  verb->add_option("-n,--tail", options->tail, "how many of the newest lines")->capture_default_str();
  verb->add_flag("-a,--all", options->all, "all lines");
}

}  // namespace ingot::app

#include "app/invocation.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/terminal.h"

namespace ingot::app {

int ExitCodeFor(const Error& error) {
  switch (error.code()) {
    case Code::kInvalid:
      return kUsage;
    case Code::kRefused:
      return kRefused;
    default:
      return kFailed;
  }
}

int Report(const Invocation& invocation, const Error& given) {
  const Error error = given.code() == Code::kNoSpace
                          ? Error(given.code(), given.Render() +
                                                    "; make room on that filesystem (`ingot gc` removes "
                                                    "what no image, revision or build needs)")
                          : given;
  if (invocation.json) {
    PrintJson(
        JsonObject{{"error", JsonObject{{"code", CodeName(error.code())}, {"message", error.Render()}}}});
  } else {
    std::fflush(stdout);
    std::fprintf(stderr, "%s %s\n", Paint(Colour::kRed, "error:").c_str(), error.Render().c_str());
  }
  return ExitCodeFor(error);
}

void PrintJson(const Json& json) {
  const std::string text = ::isatty(STDOUT_FILENO) == 1 ? RenderPretty(json) : RenderJson(json);
  std::fprintf(stdout, "%s\n", text.c_str());
  std::fflush(stdout);
}

int ShowAnswer(const Invocation& invocation, const Result<Json>& answer,
               const std::function<void(const JsonObject&)>& show) {
  if (!answer) return Report(invocation, answer.error());
  if (!answer->is_object())
    return Report(invocation, Error(Code::kInternal, "the daemon's answer is not an object"));
  if (invocation.json)
    PrintJson(*answer);
  else
    show(answer->get_object());
  return kDone;
}

CLI::App* AddVerb(CLI::App& app, Invocation& invocation, const std::string& name,
                  const std::string& description, std::function<int()> run) {
  CLI::App* verb = app.add_subcommand(name, description);
  verb->add_flag("--json", invocation.json, "one JSON document (JSON lines when streaming) instead of text");
  verb->add_option("--root", invocation.root_option,
                   "where everything is kept (default: $INGOT_ROOT or /var/lib/ingot)");
  verb->callback([&invocation, run = std::move(run)] { invocation.run = run; });
  return verb;
}

void AddProjectOptions(CLI::App& verb, Invocation& invocation) {
  verb.add_option("-f,--file", invocation.file, "the definition")->capture_default_str();
  verb.add_option("-e,--environment", invocation.environment, "the environment to act on")
      ->capture_default_str();
}

}  // namespace ingot::app

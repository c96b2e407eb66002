// What every verb shares: the global options, exit codes (DESIGN: interfaces) and how an error is shown.
//
// A verb is a file with one function AddVerb(CLI::App&, Invocation&): it declares its options and, when
// chosen, sets Invocation::run. Nothing runs while the command line is parsed.
#pragma once

#include <functional>
#include <string>

#include "app/layout.h"
#include "base/json.h"
#include "base/result.h"

namespace CLI {
class App;
}

namespace ingot::app {

enum ExitCode : int { kDone = 0, kFailed = 1, kUsage = 2, kChanges = 3, kRefused = 4, kReverted = 5 };

struct Invocation {
  std::string root_option;
  std::string host_config;  // --host-config; empty: not given
  std::string environment = "local";
  std::string file = "ingot.yaml";
  bool json = false;
  std::function<int()> run;

  Layout layout() const {
    Layout layout = Layout::From(root_option);
    layout.host_config = host_config;
    return layout;
  }
};

// The exit code that belongs to an error: invalid → 2, refused → 4, else 1.
int ExitCodeFor(const Error& error);
// Shows the error: text on stderr, or {"error": {"code", "message"}} on stdout with --json. Returns its exit
// code.
int Report(const Invocation& invocation, const Error& error);
// One JSON document on stdout: indented on a terminal, one line when piped.
void PrintJson(const Json& json);
// The daemon's answer, an object, as JSON or as `show` tells it; the exit code.
int ShowAnswer(const Invocation& invocation, const Result<Json>& answer,
               const std::function<void(const JsonObject&)>& show);

// Declares a verb: `name` and its one-line description; returns it to add options. Common options are added.
CLI::App* AddVerb(CLI::App& app, Invocation& invocation, const std::string& name,
                  const std::string& description, std::function<int()> run);
// The options that a verb about a project takes: -f FILE, -e ENVIRONMENT.
void AddProjectOptions(CLI::App& verb, Invocation& invocation);

}  // namespace ingot::app

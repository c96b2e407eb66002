#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/invocation.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "base/file.h"
#include "definition/example.h"

namespace ingot::app {

namespace {

int Init(Invocation& invocation, const std::string& name) {
  const fs::path file = invocation.file;
  std::error_code ec;
  if (fs::exists(file, ec))
    return Report(invocation, Error(Code::kExists, file.string() + " exists; `ingot validate` checks it"));
  const std::string project =
      definition::NameFrom(name.empty() ? fs::absolute(file, ec).parent_path().filename().string() : name);
  if (auto written = WriteFileAtomic(file, definition::StarterDefinition(project)); !written)
    return Report(invocation, written.error());
  if (invocation.json) {
    PrintJson(JsonObject{{"file", file.string()}, {"project", project}});
    return kDone;
  }
  std::printf("wrote %s for project %s\n", file.c_str(), project.c_str());
  if (!fs::exists(file.parent_path() / "Dockerfile", ec))
    std::printf("%s it builds from ./Dockerfile, which is not there yet\n",
                Paint(Colour::kYellow, "note:").c_str());
  std::printf("next: ingot validate, then as root: ingot serve & and ingot apply\n");
  return kDone;
}

}  // namespace

void AddInit(CLI::App& app, Invocation& invocation) {
  auto name = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(app, invocation, "init", "write a first ingot.yaml for the Dockerfile here",
                           [&invocation, name] { return Init(invocation, *name); });
  verb->add_option("name", *name, "the project's name (default: from the directory)");
  verb->add_option("-f,--file", invocation.file, "the definition to write")->capture_default_str();
}

}  // namespace ingot::app

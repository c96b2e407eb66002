#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/host_config.h"
#include "app/migration_scripts.h"
#include "app/problems.h"
#include "app/project.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "definition/resolve.h"
#include "definition/unsupported.h"

namespace ingot::app {

namespace {

int Validate(Invocation& invocation) {
  auto parsed = ParseProject(invocation);
  if (!parsed) return Report(invocation, parsed.error());
  if (!parsed->problems.empty())
    if (const auto code = ShowProblems(invocation, parsed->problems)) return *code;
  const definition::Definition& definition = *parsed->definition;
  // An environment that is not declared is an error for every verb that resolves it.
  if (auto known = definition::ImagesNeeded(definition, invocation.environment); !known)
    return Report(invocation, known.error());
  // What stands in scripts is as much a mistake as what stands in the definition.
  auto scripts = ReadScripts(definition, fs::absolute(invocation.file).lexically_normal().parent_path());
  if (!scripts) return Report(invocation, scripts.error());
  if (!scripts->findings.empty())
    if (const auto code = ShowProblems(invocation, scripts->findings)) return *code;
  if (invocation.json) return *ShowProblems(invocation, {});
  std::printf("%s is valid: project %s, %zu images, %zu services, %zu routes\n", invocation.file.c_str(),
              definition.project.c_str(), definition.images.size(), definition.services.size(),
              definition.routes.size());
  for (const auto& unsupported : definition::NotYetSupported(definition, invocation.environment))
    std::printf("%s %s\n", Paint(Colour::kYellow, "note:").c_str(),
                definition::RenderUnsupported(definition, unsupported).c_str());
  return kDone;
}

}  // namespace

void AddValidate(CLI::App& app, Invocation& invocation) {
  auto host = std::make_shared<bool>(false);
  auto file = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(
      app, invocation, "validate", "check the definition; every problem with its line",
      [&invocation, host, file] { return *host ? ValidateHost(invocation, *file) : Validate(invocation); });
  AddProjectOptions(*verb, invocation);
  AddHostOption(*verb, invocation);
  CLI::Option* flag = verb->add_flag("--host", *host, "check the host's configuration instead");
  verb->add_option("HOST_FILE", *file, "with --host: the file (default: that of --host-config)")->needs(flag);
}

}  // namespace ingot::app

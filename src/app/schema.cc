#include "definition/schema.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/invocation.h"
#include "app/verbs.h"
#include "definition/host.h"

namespace ingot::app {

void AddSchema(CLI::App& app, Invocation& invocation) {
  auto host = std::make_shared<bool>(false);
  CLI::App* verb =
      AddVerb(app, invocation, "schema", "print the JSON Schema of ingot.yaml, for editors", [host] {
        std::puts((*host ? definition::HostJsonSchema() : definition::JsonSchema()).c_str());
        return static_cast<int>(kDone);
      });
  verb->add_flag("--host", *host, "that of the host's configuration, host.yaml, instead");
  verb->footer(
      "Save it beside the definition and point your editor at it:\n"
      "  ingot schema > ingot.schema.json\n"
      "  # first line of ingot.yaml:\n"
      "  # yaml-language-server: $schema=ingot.schema.json");
}

}  // namespace ingot::app

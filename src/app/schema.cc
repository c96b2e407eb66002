#include "definition/schema.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/invocation.h"
#include "app/verbs.h"

namespace ingot::app {

void AddSchema(CLI::App& app, Invocation& invocation) {
  CLI::App* verb = AddVerb(app, invocation, "schema", "print the JSON Schema of ingot.yaml, for editors", [] {
    std::puts(definition::JsonSchema().c_str());
    return static_cast<int>(kDone);
  });
  verb->footer(
      "Save it beside the definition and point your editor at it:\n"
      "  ingot schema > ingot.schema.json\n"
      "  # first line of ingot.yaml:\n"
      "  # yaml-language-server: $schema=ingot.schema.json");
}

}  // namespace ingot::app

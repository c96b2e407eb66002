#include "app/version.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/invocation.h"
#include "app/verbs.h"

namespace ingot::app {

void AddVersion(CLI::App& app, Invocation& invocation) {
  app.set_version_flag("--version", std::string("ingot ") + kVersion, "print the version and exit");
  AddVerb(app, invocation, "version", "the version of this program", [&invocation] {
    if (invocation.json) {
      PrintJson(JsonObject{{"version", kVersion}, {"definition", 1}, {"api", 1}});
    } else {
      std::printf("ingot %s\n", kVersion);
    }
    return static_cast<int>(kDone);
  });
}

}  // namespace ingot::app

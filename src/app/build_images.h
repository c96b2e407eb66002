// Building the images of a project in front of a verb: wiring and the live view. Shared by build, lock, plan
// and apply.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "app/invocation.h"
#include "app/project.h"
#include "build/builder.h"

namespace ingot::app {

struct BuildRequest {
  std::vector<std::string> images;  // empty: all
  bool no_cache = false;
  bool locked = false;  // refuse what ingot.lock does not pin
  bool show_progress = true;
};

// Builds and tags each image as "<project>/<image>:latest" in the store.
Result<std::map<std::string, build::BuiltImage>> BuildImages(const Invocation& invocation,
                                                             const Project& project,
                                                             const BuildRequest& request);
Result<build::LockFile> LockPackages(const Invocation& invocation, const Project& project, bool upgrade);

}  // namespace ingot::app

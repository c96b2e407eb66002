// What of a project one of its images is built from: for who sends it, and for who got it from somebody else.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "definition/definition.h"

namespace ingot::app {

struct BuildPaths {
  std::string context;             // relative to the project; empty: the project itself
  std::string dockerfile;          // relative to the context, as written
  std::vector<std::string> reads;  // relative to the project: the Dockerfile, and where .dockerignore may be
};
// Of an image with `build`. kInvalid: one leads out of the project.
Result<BuildPaths> BuildPathsOf(const definition::Definition& definition, const std::string& image);

// kInvalid when a part of the path below `project`, or its end, is a symbolic link: it could lead anywhere.
// What is not there is no link.
Result<void> RefuseLinks(const fs::path& project, const std::string& path);

}  // namespace ingot::app

// `ingot init --from`: a definition out of what a project has already.
#pragma once

#include "base/file.h"
#include "definition/compose.h"

namespace ingot::app {

// From a Compose file or a Dockerfile (by its name: Dockerfile, Containerfile, *.Dockerfile). What is
// relative in it stays relative to its folder. `project`: a name. kInvalid: neither; kNotFound, kPermission,
// kIo.
Result<definition::ComposeImport> DefinitionFrom(const fs::path& file, const std::string& project);

}  // namespace ingot::app

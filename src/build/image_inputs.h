// What an image of the definition is built from, read before anything is built: so that images are built in
// the order in which they need each other.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "build/dockerfile.h"
#include "build/dockerfile_scope.h"
#include "definition/definition.h"
#include "oci/reference.h"

namespace ingot::build {

struct ImageInputs {
  const definition::Image* image = nullptr;
  std::set<std::string> needs;  // images of the definition
  // Images from elsewhere, by the name that the Dockerfile or `image:` writes; Normalized.
  std::map<std::string, oci::Reference> references;
  // Of an image with `build`.
  std::optional<Dockerfile> dockerfile;
  std::string dockerfile_bytes;
  std::string dockerfile_path;  // relative to the context
  fs::path context;
  BuildInputs inputs;
  // Of an image with `from: debian:SUITE`: the suite.
  std::string debian_suite;
};

// For `images` and all that they need. kInvalid, kUnsupported with the place: a Dockerfile that does not
// parse, images that need each other, a name that is neither, what this version does not build.
Result<std::map<std::string, ImageInputs>> ReadImageInputs(const definition::Definition& definition,
                                                           const fs::path& project,
                                                           const std::vector<std::string>& images);

inline constexpr std::string_view kLayoutPrefix = "oci-layout:";
// As OCI names this machine: "amd64".
std::string MachineArchitecture();
// "bookworm" for `from: debian:bookworm`; empty for any other image.
std::string DebianSuite(const definition::Image& image);
// `packages`, sorted, each once: as ingot.lock keeps them.
std::vector<std::string> SortedPackages(const definition::Image& image);

}  // namespace ingot::build

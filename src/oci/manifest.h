// An OCI image manifest (image-spec 1.1, manifest.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/descriptor.h"

namespace ingot::oci {

// Registries refuse larger manifests; so does Parse.
inline constexpr size_t kMaxManifestBytes = 4 << 20;

struct Manifest {
  std::string media_type{kManifestType};
  std::string artifact_type;
  Descriptor config;
  std::vector<Descriptor> layers;
  std::optional<Descriptor> subject;
  Annotations annotations;
  bool operator==(const Manifest&) const = default;

  // kInvalid says which member is wrong; kUnsupported for Docker's schema 1. Accepts OCI manifests and
  // Docker's schema 2. An index is kInvalid.
  static Result<Manifest> Parse(std::string_view bytes);
  // Canonical bytes: members in the specification's order, no white space, no trailing newline. What the
  // digest of an image built here is taken of.
  std::string Render() const;
};

}  // namespace ingot::oci

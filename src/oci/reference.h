// An image reference: [registry/]repository[:tag][@digest].
//
// Grammar: OCI distribution-spec 1.1 ("Pulling manifests", <name> and <reference>) and the reference grammar
// of Docker's distribution, which adds the registry: the first component is one when it has a dot or a colon
// or is "localhost".
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/digest.h"

namespace ingot::oci {

struct Reference {
  std::string registry;    // "registry.example:5000"; empty when not written
  std::string repository;  // "library/redis"
  std::string tag;         // empty when not written
  std::optional<Digest> digest;

  // As written: nothing is added. kInvalid says which part is wrong.
  static Result<Reference> Parse(std::string_view text);
  // The inverse of Parse.
  std::string Render() const;
  // As Docker reads short names: no registry is docker.io, a one-word repository there is below library/,
  // neither tag nor digest is the tag "latest". "redis" → "docker.io/library/redis:latest".
  Reference Normalized() const;

  auto operator<=>(const Reference&) const = default;
};

}  // namespace ingot::oci

// An OCI image index (image-spec 1.1, image-index.md); also the index.json of an image layout.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/descriptor.h"

namespace ingot::oci {

struct Index {
  std::string media_type{kIndexType};  // may be empty in what others wrote
  std::string artifact_type;
  std::vector<Descriptor> manifests;
  std::optional<Descriptor> subject;
  Annotations annotations;
  bool operator==(const Index&) const = default;

  // At most kMaxManifestBytes. kInvalid says which member is wrong. Accepts Docker's manifest lists.
  static Result<Index> Parse(std::string_view bytes);
  std::string Render() const;  // canonical, as Manifest::Render

  // The manifest for a machine: os and architecture equal, variant equal where both have one (of several the
  // one with the very variant: one for a newer CPU stands beside the one for all); a manifest without
  // platform counts as for any. nullptr: none.
  const Descriptor* Select(const Platform& platform) const;
};

// The machine this program runs on: {"amd64", "linux"}.
Platform HostPlatform();

}  // namespace ingot::oci

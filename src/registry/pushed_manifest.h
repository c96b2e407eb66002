// What the registry must know of a manifest that is pushed to it. Everything else in it is the client's
// affair: custom members, artifacts of any type.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/digest.h"

namespace ingot::registry {

struct PushedManifest {
  std::string media_type;              // of the document, else the request's
  std::vector<oci::Digest> blobs;      // configuration and layers, without those that are kept elsewhere
                                       // (nondistributable, or with urls)
  std::vector<oci::Digest> manifests;  // of an index
  std::optional<oci::Digest> subject;
  std::string artifact_type;  // the document's, else of its configuration; may be empty
  std::string descriptor;     // JSON, as a list of referrers shows it; empty without a subject

  // `content_type`: of the request, without parameters; may be empty. kInvalid says what is wrong: no JSON
  // object, another mediaType than the request says, schemaVersion other than 2, or a member that is no
  // descriptor where one must be.
  static Result<PushedManifest> Parse(std::string_view bytes, const oci::Digest& digest,
                                      std::string_view content_type);
};

}  // namespace ingot::registry

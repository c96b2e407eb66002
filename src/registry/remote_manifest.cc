#include "registry/remote_manifest.h"

#include "base/json.h"
#include "oci/descriptor.h"

namespace ingot::registry {

std::string MediaTypeOf(std::string_view bytes) {
  if (const auto json = ParseJson(bytes); json && json->is_object()) {
    const std::string said = StringOr(json->get_object(), "mediaType", "");
    if (!said.empty()) return said;
    if (json->get_object().if_contains("manifests") != nullptr) return std::string(oci::kIndexType);
  }
  return std::string(oci::kManifestType);
}

}  // namespace ingot::registry

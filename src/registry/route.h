// Which endpoint a path means (distribution-spec 1.1, "Endpoints").
#pragma once

#include <string>
#include <string_view>

namespace ingot::registry {

enum class Endpoint { kUnknown, kBase, kBlob, kUploads, kUpload, kManifest, kTags, kReferrers };

struct Route {
  Endpoint endpoint = Endpoint::kUnknown;
  std::string repository;  // not checked yet
  std::string reference;   // digest, tag or upload id; not checked yet
  bool operator==(const Route&) const = default;

  static Route Of(std::string_view path);
};

}  // namespace ingot::registry

#include "registry/conditional.h"

#include <algorithm>

namespace ingot::registry {

std::string EntityTag(const oci::Digest& digest) {
  return "\"" + digest.Render() + "\"";
}

bool IsKnown(std::string_view if_none_match, const oci::Digest& digest) {
  if (if_none_match.empty()) return false;
  const std::string tag = EntityTag(digest);
  while (!if_none_match.empty()) {
    std::string_view one = if_none_match.substr(0, if_none_match.find(','));
    if_none_match.remove_prefix(std::min(if_none_match.size(), one.size() + 1));
    while (one.starts_with(' ') || one.starts_with('\t')) one.remove_prefix(1);
    while (one.ends_with(' ') || one.ends_with('\t')) one.remove_suffix(1);
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == tag || one == "*") return true;
  }
  return false;
}

Response NotModified(const oci::Digest& digest) {
  Response response;
  response.status = 304;
  response.With("ETag", EntityTag(digest)).With("Docker-Content-Digest", digest.Render());
  return response;
}

}  // namespace ingot::registry

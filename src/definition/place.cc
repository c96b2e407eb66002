#include "definition/place.h"

#include <algorithm>

namespace ingot::definition {

void Place::Fail(const std::string& path, const std::string& message) const {
  const auto is_written = [&](const std::string& candidate) {
    return std::any_of(definition_.written.begin(), definition_.written.end(),
                       [&](const Written& key) { return key.path == candidate; });
  };
  std::string place = path;
  if (!environment_.empty()) {
    const std::string overriding = "environments." + environment_ + "." + path;
    if (is_written(overriding)) place = overriding;
  }
  problems_.Add(definition_.Where(place), place + ": " + message);
}

}  // namespace ingot::definition

#include "registry/message.h"

namespace ingot::registry {

std::optional<std::string> Request::Parameter(std::string_view key) const {
  for (const auto& [name, value] : query)
    if (name == key) return value;
  return std::nullopt;
}

uint64_t Response::BodyBytes() const {
  if (file) return file->size_bytes;
  if (growing) return growing->size_bytes;
  return made ? made->size_bytes : text.size();
}

std::string_view Response::Header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

}  // namespace ingot::registry

// What is remembered of a build context between builds (docs/formats/build-cache.md). Internal to context.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/object_id.h"

namespace ingot::build {

struct IndexedFile {
  uint64_t size_bytes = 0;
  uint64_t inode = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  int64_t measured_ns = 0;  // wall time just before its contents were read
  store::ObjectId object;
  bool operator==(const IndexedFile&) const = default;
};

using ContextIndex = std::map<std::string, IndexedFile, std::less<>>;

// Inverses. kCorrupt for anything but complete bytes that RenderContextIndex made for the same `directory`.
std::string RenderContextIndex(const ContextIndex& index, std::string_view directory);
Result<ContextIndex> ParseContextIndex(std::string_view bytes, std::string_view directory);

}  // namespace ingot::build

// TarOutline: a tar by everything but the files' contents, which stand in it by the names of their objects.
// Two tars with equal outlines are equal byte for byte, so whether an archive that was read is the canonical
// tar of what was read from it (tar_writer.h) is told without reading any contents a second time.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/sha256.h"
#include "store/object_id.h"

namespace ingot::store {

struct TarOutline {
  Sha256::Bytes between{};   // of all bytes that are no contents, one after the other
  Sha256::Bytes contents{};  // of the place, size and object of each file's contents, in their order
  uint64_t size_bytes = 0;   // of the tar
  bool operator==(const TarOutline&) const = default;
};

// One thread.
class TarOutliner {
 public:
  // The next bytes of the tar, which are no file's contents.
  void Between(std::string_view bytes) {
    between_.Update(bytes);
    at_bytes_ += bytes.size();
  }
  // Leaves out contents; their object may be told later (Object), in the same order. Where they begin.
  uint64_t Skip(uint64_t size_bytes) { return std::exchange(at_bytes_, at_bytes_ + size_bytes); }
  void Object(uint64_t begin, uint64_t size_bytes, const ObjectId& object) {
    const uint64_t place[] = {begin, size_bytes};
    contents_.Update(std::string_view(reinterpret_cast<const char*>(place), sizeof place));
    contents_.Update(
        std::string_view(reinterpret_cast<const char*>(object.bytes().data()), object.bytes().size()));
  }
  // Once.
  TarOutline Finish() { return {between_.Finish(), contents_.Finish(), at_bytes_}; }

 private:
  Sha256 between_;
  Sha256 contents_;
  uint64_t at_bytes_ = 0;
};

}  // namespace ingot::store

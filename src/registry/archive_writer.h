// ArchiveWriter: a tar of plain files, written front to back. Always the same bytes for the same files.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "base/byte_stream.h"
#include "base/result.h"

namespace ingot::registry {

class ArchiveWriter {
 public:
  explicit ArchiveWriter(ByteSink sink) : sink_(std::move(sink)) {}

  // A file of exactly `size_bytes`, which `write` gives to its sink. `name`: at most 100 bytes. kInvalid when
  // it gives another number.
  Result<void> Add(std::string_view name, uint64_t size_bytes,
                   const std::function<Result<void>(const ByteSink&)>& write);
  Result<void> Add(std::string_view name, std::string_view bytes);
  bool Has(const std::string& name) const { return names_.contains(name); }
  // The end of the archive.
  Result<void> Finish();

 private:
  ByteSink sink_;
  std::set<std::string> names_;
};

}  // namespace ingot::registry

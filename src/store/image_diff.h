// What two images differ in, file by file.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "store/store.h"

namespace ingot::store {

struct FileChange {
  ChangeKind kind;
  std::string path;
  uint64_t before_bytes = 0;  // of the regular file; 0 for anything else
  uint64_t after_bytes = 0;
  bool operator==(const FileChange&) const = default;
};

struct ImageDiff {
  std::vector<FileChange> files;  // canonical order
  uint64_t shared_layers = 0;     // lowest layers that both have
  bool config_changed = false;
};

// Compares what the two show as root filesystems. kNotFound.
Result<ImageDiff> DiffImages(Store& store, const oci::Digest& before, const oci::Digest& after);

}  // namespace ingot::store

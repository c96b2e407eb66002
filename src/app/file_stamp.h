// Whether a file is still the one that was read.
#pragma once

#include <sys/stat.h>

#include <cstdint>

#include "base/file.h"

namespace ingot::app {

struct FileStamp {
  uint64_t inode = 0;
  int64_t size = -1;  // -1: there is no such file, or it cannot be looked at
  int64_t changed_ns = 0;
  bool operator==(const FileStamp&) const = default;

  static FileStamp Of(const fs::path& file) {
    struct stat st {};
    if (::stat(file.c_str(), &st) != 0) return {};
    return {st.st_ino, st.st_size, st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec};
  }
};

}  // namespace ingot::app

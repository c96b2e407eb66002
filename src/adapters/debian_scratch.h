// A temporary directory that does not outlive its process for long: the next one of its kind removes it.
#pragma once

#include <string_view>

#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

class DebianScratch {
 public:
  // Below `parent` (made if missing), named `prefix` + random, after those of the same prefix were removed
  // whose process has ended.
  static Result<DebianScratch> Make(const fs::path& parent, std::string_view prefix);
  const fs::path& path() const { return directory_.path(); }

 private:
  DebianScratch(TempDirectory directory, Fd lock)
      : directory_(std::move(directory)), lock_(std::move(lock)) {}
  TempDirectory directory_;
  Fd lock_;  // of the directory itself, held while this process lives
};

}  // namespace ingot::adapters

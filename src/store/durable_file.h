// A file that is written under a temporary name and published whole.
#pragma once

#include <string_view>

#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot::store {

class DurableFile {
 public:
  // `temporary` must not exist and be on the filesystem of the final name.
  static Result<DurableFile> Create(fs::path temporary, mode_t mode);
  DurableFile(DurableFile&& other) noexcept;
  DurableFile& operator=(DurableFile&&) = delete;
  // Removes the temporary file unless it was published.
  ~DurableFile();

  Result<void> Write(std::string_view bytes);
  // Its name until it is published.
  const fs::path& temporary() const { return temporary_; }
  // Syncs the contents and gives the file its name, replacing what had it. The name is durable only after
  // SyncDirectory.
  Result<void> Publish(const fs::path& path);

 private:
  DurableFile(fs::path temporary, Fd fd) : temporary_(std::move(temporary)), fd_(std::move(fd)) {}
  fs::path temporary_;
  Fd fd_;
};

}  // namespace ingot::store

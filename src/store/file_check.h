// FileCheck: whether a file of the store is what its name promises. What verify, the scrub and the guards of
// reading have in common.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/result.h"
#include "oci/digest.h"
#include "store/object_id.h"

namespace ingot::store {

// Has a buffer of its own: one thread at a time.
class FileCheck {
 public:
  enum class Reads {
    kCached,    // whatever the kernel has in memory counts
    kFromDisk,  // past the page cache where the filesystem can, so that the disk itself is looked at
  };
  // Called after each piece that was read, with its size: a limit of the rate waits in it. An Error ends the
  // check.
  using Pace = std::function<Result<void>(size_t bytes)>;
  explicit FileCheck(Reads reads = Reads::kCached, Pace pace = {});

  // Opens without following links or noting the time of use. `expected_bytes`, where it is known, is read
  // ahead.
  Result<Fd> Open(const fs::path& path) const;

  // How many bytes it has. kCorrupt: it has another digest, or size. kIo, kNotFound, …: could not look.
  Result<uint64_t> Object(const fs::path& path, const ObjectId& id, std::optional<uint64_t> size_bytes);
  Result<uint64_t> Object(int fd, const ObjectId& id, std::optional<uint64_t> size_bytes);
  Result<uint64_t> Blob(const fs::path& path, const oci::Digest& digest);
  Result<uint64_t> Blob(int fd, const oci::Digest& digest);

 private:
  template <typename Hash>
  Result<uint64_t> ReadInto(int fd, Hash& hash);
  struct Free {
    void operator()(char* bytes) const;
  };
  Reads reads_;
  Pace pace_;
  std::unique_ptr<char, Free> buffer_;
  ObjectHasher hasher_;
};

}  // namespace ingot::store

// Upload: a blob on its way in, a file that grows below tmp/uploads/ and the digest of what it has so far.
//
// It lives as long as its process: the bytes are not synced and the hash is in memory. A client that was cut
// off asks where it stands and goes on. docs/formats/registry.md.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"
#include "base/sha256.h"
#include "oci/digest.h"
#include "registry/hash_ahead.h"
#include "store/disk_budget.h"

namespace ingot::registry {

// One request at a time (see Uploads::Begin), any thread.
class Upload {
 public:
  static Result<std::unique_ptr<Upload>> Create(const fs::path& path, HashAhead& hashing,
                                                store::DiskBudget& budget);
  // Removes the file unless it was taken.
  ~Upload();
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  uint64_t size_bytes() const { return size_bytes_; }
  const fs::path& path() const { return path_; }

  // Appends; on an error nothing counts as appended. kNoSpace also when the host's disk_limit would be
  // exceeded. The bytes are hashed later if `keep` says that they stay: Settle waits for it.
  Result<void> Write(std::string_view bytes, std::shared_ptr<const void> keep = nullptr);
  void Settle() { hashing_task_.reset(); }

  // Where it stands, to come back to with Rewind.
  struct Mark {
    uint64_t size_bytes;
    Sha256 hash;
  };
  Mark Here() {
    Settle();
    return {size_bytes_, hash_};
  }
  Result<void> Rewind(const Mark& mark);

  // The digest of all that was written, by "sha256" (known already) or "sha512" (reads the file). Nothing may
  // be written afterwards.
  Result<oci::Digest> DigestBy(std::string_view algorithm);
  // Everything written is on disk.
  Result<void> Sync();
  // Somebody else has given the file another name.
  void Release() {
    path_.clear();
    share_.Keep();
  }

 private:
  Upload(fs::path path, Fd fd, HashAhead& hashing, store::DiskBudget& budget)
      : path_(std::move(path)), fd_(std::move(fd)), hashing_(hashing), share_(&budget) {}
  fs::path path_;
  Fd fd_;
  HashAhead& hashing_;
  store::DiskShare share_;
  uint64_t size_bytes_ = 0;
  uint64_t flushed_bytes_ = 0;  // up to here the kernel was told to begin writing
  Sha256 hash_;
  std::optional<HashAhead::Task> hashing_task_;  // has hash_ while it is there
};

}  // namespace ingot::registry

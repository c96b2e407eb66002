// Claims: what a process that holds leases relies on, written where collectors of other processes read it.
// The protocol is in lease.h.
//
// A claims file holds records of 33 bytes: a ClaimKind and 32 bytes of digest. It is neither synced nor
// needed after its process has ended.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"
#include "oci/digest.h"
#include "store/object_pool.h"

namespace ingot::store {

enum class ClaimKind : uint8_t { kObject = 'o', kLayer = 'l', kBlob = 'b' };

// The digest's 32 bytes; of a sha512 name its own SHA-256.
ObjectId::Bytes ClaimBytes(const oci::Digest& digest);

// The claims of one Store. Any thread.
class Claims final : public ObjectGuard {
 public:
  explicit Claims(fs::path directory) : directory_(std::move(directory)) {}

  // A lease begins: makes the claims file if there is none, and gives its name.
  Result<std::string> Begin();
  // A lease has ended, its row is gone. With the last one the file goes too. (A lease whose row could not be
  // removed does not end: its file is left for the collector, when the process has ended.)
  void End();

  using Look = std::function<Result<void>()>;
  // kInternal when no lease is held.
  Result<void> Claim(const std::vector<ObjectId>& ids, const Look& look) override;
  Result<void> Claim(ClaimKind kind, const std::vector<ObjectId::Bytes>& names, const Look& look);

  // A name for a temporary file beside `path` which tells whose it is: "<path>.tmp.<session>.<n>".
  Result<fs::path> TemporaryFor(const fs::path& path);

 private:
  struct Key {
    ClaimKind kind;
    ObjectId name;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const { return std::hash<ObjectId>()(key.name); }
  };
  Result<void> OpenSession();

  fs::path directory_;
  std::mutex mutex_;
  size_t leases_ = 0;
  std::string session_;  // the claims file's name; empty when there is none
  Fd file_;
  Fd lock_;  // claims/lock, shared while a claim and its look are made
  std::unordered_set<Key, KeyHash> claimed_;
  uint64_t next_temporary_ = 0;
};

// The session in a temporary file's name, or "".
std::string_view SessionOfTemporary(std::string_view file_name);

// The other side: what the live sessions have claimed, read again and again. One thread.
class ClaimReader {
 public:
  explicit ClaimReader(fs::path directory) : directory_(std::move(directory)) {}

  // Keeps importers from claiming until it is dropped. Blocks for the microseconds that a claim takes.
  Result<Fd> LockOut();
  // Reads what these sessions have added; to be called while they are locked out. A session whose file is
  // missing is kIo: what it relies on is unknown.
  Result<void> Update(const std::set<std::string>& sessions);

  struct Found {
    ClaimKind kind;
    ObjectId::Bytes name;
  };
  // What the last Update has added.
  const std::vector<Found>& added() const { return added_; }

 private:
  fs::path directory_;
  std::map<std::string, uint64_t> offsets_;
  std::vector<Found> added_;
};

}  // namespace ingot::store

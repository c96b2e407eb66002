// Catalog: the rows of the store: which sealed layers and images exist, what names them, who is using them.
//
// Files hold the bytes (objects, layers, blobs); the catalog says which of them mean something. A row is
// committed only after the files it refers to are on disk, so a crash leaves files without a row, never a row
// without its files. docs/formats/store.md.
//
// Everything happens inside Read or Write. Write is one transaction: all of it or nothing, one writer at a
// time across all processes, on disk when it returns. Keep it short: others wait.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"
#include "oci/descriptor.h"
#include "oci/digest.h"
#include "store/lifecycle_rows.h"
#include "store/object_id.h"
#include "store/repository_rows.h"

namespace ingot::store {

// A sealed layer's name: the fs-verity digest of its file, `layers/<64 hex>.erofs`.
using LayerId = ObjectId;

// A layer as the store knows it.
struct Layer {
  LayerId id;
  oci::Digest diff_id;        // SHA-256 of the layer's uncompressed tar
  uint64_t tar_bytes = 0;     // of that tar
  uint64_t object_bytes = 0;  // of the contents it names, each inode once
  // Set when the tar came from elsewhere and cannot be made again from the sealed layer byte for byte: the
  // blob as it came, kept in blobs/. Unset: the layer's blob is its canonical tar, made when it is read.
  std::optional<oci::Descriptor> blob;
  WallTime created{};
  bool operator==(const Layer&) const = default;
};

struct ImageRow {
  oci::Digest digest;  // of the manifest
  WallTime created{};  // when this store got it
  bool golden = false;
  std::string test_record;  // JSON; empty until tested
  std::string provenance;   // JSON; empty: unknown
  // Lowest first; diff_id beside the layer, because the same tree can have come as different tars.
  struct LayerRef {
    LayerId id;
    oci::Digest diff_id;
    bool operator==(const LayerRef&) const = default;
  };
  std::vector<LayerRef> layers;
  bool operator==(const ImageRow&) const = default;
};

// What a cache entry's value refers to, so that garbage collection knows.
struct CacheRefs {
  std::vector<LayerId> layers;
  std::vector<oci::Digest> images;
  bool operator==(const CacheRefs&) const = default;
};

struct CacheEntry {
  std::string key;
  std::string value;  // JSON
  CacheRefs refs;
  WallTime last_used{};
  bool operator==(const CacheEntry&) const = default;
};

// A process that is making something: see lease.h.
struct LeaseRow {
  std::string id;       // 32 hex digits, random
  std::string purpose;  // for people: "build web"
  std::string boot_id;  // /proc/sys/kernel/random/boot_id
  uint64_t pid_namespace = 0;
  pid_t pid = 0;
  uint64_t pid_start = 0;  // field 22 of /proc/PID/stat: a pid used again is another process
  WallTime expires{};      // believed until then where the process cannot be looked at
  std::string claims;      // the name of its process's claims file (claims.h)
  bool operator==(const LeaseRow&) const = default;
};

// What somebody keeps alive by name: the daemon pins the images of all revisions it may run, per
// "shop/local".
struct PinRow {
  std::string owner;
  std::set<oci::Digest> images;
  bool operator==(const PinRow&) const = default;
};

// The rows, inside one transaction. Nothing may dangle: a tag or pin of an unknown image, an image of an
// unknown layer, the removal of an image that has a tag or pin or of a layer that an image has, are kExists.
// What a cache entry refers to is not checked. Remove… say whether there was something to remove. Lists are
// sorted by key.
class CatalogRows : public RepositoryRows, public LifecycleRows {
 public:
  // Keyed by (id, diff_id); putting the same again changes nothing.
  virtual Result<void> PutLayer(const Layer& layer) = 0;
  virtual Result<std::vector<Layer>> FindLayers(const LayerId& id) const = 0;
  // Oldest first.
  virtual Result<std::vector<Layer>> FindLayers(const oci::Digest& diff_id) const = 0;
  virtual Result<std::vector<Layer>> ListLayers() const = 0;
  virtual Result<bool> RemoveLayer(const LayerId& id) = 0;

  // Putting an image that exists keeps its `created`, `golden` and `test_record`; provenance is kept unless
  // the new one has some.
  virtual Result<void> PutImage(const ImageRow& image) = 0;
  virtual Result<std::optional<ImageRow>> FindImage(const oci::Digest& digest) const = 0;
  virtual Result<std::vector<ImageRow>> ListImages() const = 0;
  // False when there is no such image.
  virtual Result<bool> MarkGolden(const oci::Digest& digest, std::string_view test_record) = 0;
  virtual Result<bool> RemoveImage(const oci::Digest& digest) = 0;

  virtual Result<void> PutTag(const Tag& tag) = 0;
  virtual Result<std::optional<Tag>> FindTag(std::string_view repository, std::string_view tag) const = 0;
  virtual Result<std::vector<Tag>> ListTags() const = 0;
  virtual Result<std::vector<Tag>> ListTags(std::string_view repository) const = 0;
  virtual Result<bool> RemoveTag(std::string_view repository, std::string_view tag) = 0;

  virtual Result<void> PutCache(const CacheEntry& entry) = 0;
  virtual Result<std::optional<CacheEntry>> FindCache(std::string_view key) const = 0;
  virtual Result<std::vector<CacheEntry>> ListCache() const = 0;
  virtual Result<bool> RemoveCache(std::string_view key) = 0;

  virtual Result<void> PutLease(const LeaseRow& lease) = 0;
  virtual Result<std::vector<LeaseRow>> ListLeases() const = 0;
  virtual Result<bool> RemoveLease(std::string_view id) = 0;

  // Replaces what `owner` pins; an empty set removes the owner.
  virtual Result<void> SetPin(const PinRow& pin) = 0;
  virtual Result<std::vector<PinRow>> ListPins() const = 0;

  // Grows with every change except of leases, pulls, reservations and the usage of the disk.
  virtual Result<int64_t> Generation() const = 0;
};

class Catalog {
 public:
  virtual ~Catalog() = default;
  // One consistent view. The function's Error is passed on. Not to be nested. Any thread.
  virtual Result<void> Read(const std::function<Result<void>(const CatalogRows&)>& read) = 0;
  // Commits when the function succeeds, otherwise nothing has changed. With Durability::kNone all processes
  // see the change at once, but a power cut may undo it (never it alone without what came after it).
  // kConflict when another process held the write lock for ten seconds; kNoSpace, kIo. Not to be nested. Any
  // thread.
  virtual Result<void> Write(const std::function<Result<void>(CatalogRows&)>& write,
                             Durability durability = Durability::kDurable) = 0;
  // As a durable Write, but callers at the same time share one sync of the disk, for what many do at once.
  // Others may see the change a moment before it is durable, and after an error of the sync (kIo) it stays
  // seen: for changes that do no harm when they are made twice.
  virtual Result<void> WriteTogether(const std::function<Result<void>(CatalogRows&)>& write) = 0;
};

}  // namespace ingot::store

// What a Store holds. Internal to store/.
#pragma once

#include <memory>

#include "base/group_sync.h"
#include "base/late_closer.h"
#include "store/claims.h"
#include "store/store.h"

namespace ingot::store {

struct Store::State {
  StorePaths paths;
  Catalog* catalog;
  const Clock* clock;
  std::shared_ptr<Claims> claims;  // shared with the leases; outlives the pool, whose guard it is
  std::unique_ptr<DiskBudget> budget;
  ObjectPool pool;
  TagRules tag_rules = {};
  // Names in the folder of SHA-256 blobs, made durable for all who have just given some.
  GroupSync blob_names{[this] { return SyncDirectory(paths.blobs / "sha256"); }};

  // Of blobs that others have replaced.
  LateCloser replaced = {};

  ~State() {
    pool.SetGuard(nullptr);
    pool.SetBudget(nullptr);
  }

  // Writes a file under a claim unless one of this size is there. The contents are durable then, the name
  // only after SyncDirectory; to be called also when the file was there, as who wrote it may not have come to
  // that.
  Result<void> PutFile(ClaimKind kind, const ObjectId::Bytes& name, const fs::path& path,
                       std::string_view bytes);
};

inline constexpr std::string_view kLayerSuffix = ".erofs";

// "There is no <what> <name> in the store."
Error NotInStore(std::string_view what, const std::string& name);
// kNotFound when the catalog has no such image.
Result<void> RequireImage(const CatalogRows& rows, const oci::Digest& digest);

}  // namespace ingot::store

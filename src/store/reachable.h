// What rows and claims lead to. Internal to garbage collection.
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/catalog.h"
#include "store/claims.h"
#include "store/retention.h"
#include "store/store.h"

namespace ingot::store {

// Names claimed by live sessions.
struct Claimed {
  std::set<LayerId> layers;
  std::set<ObjectId::Bytes> blobs;
};

// Which rows are needed: what tags, pins, claims and cache entries lead to. Reads rows only.
struct NeededRows {
  std::set<oci::Digest> images;
  std::set<LayerId> layers;
  std::set<std::string> cache;
  // Why an image that is not needed goes, where a rule says so.
  std::map<oci::Digest, std::string> reasons;

  // Cache entries used after `cache_since` are roots; older ones are needed when all they refer to is. Rules
  // of projects (rows) and of the host (`rules`) keep images that a tag of a repository has named.
  static Result<NeededRows> Find(const CatalogRows& rows, const Claimed& claimed, WallTime cache_since,
                                 const std::vector<RetentionRule>& rules, WallTime now);
};

// Which files are needed for given images and layers. Grows only.
class NeededFiles {
 public:
  explicit NeededFiles(const Store& store) : store_(store) {}

  // Reads each sealed layer and manifest once. An Error when one cannot be read: what it needs is unknown.
  Result<void> AddLayer(const LayerId& id);
  Result<void> AddImage(const oci::Digest& digest);
  // All that was pushed to the registry, but `without`.
  Result<void> AddRepositories(const RepositoryRows& rows, const std::set<oci::Digest>& without);
  // A claimed layer may not be written yet; then its objects are claimed themselves.
  Result<void> AddClaims(const std::vector<ClaimReader::Found>& claims);

  bool HasObject(const ObjectId& id) const { return objects_.contains(id); }
  bool HasLayer(const LayerId& id) const { return layers_.contains(id) || claimed_.layers.contains(id); }
  bool HasBlob(const ObjectId::Bytes& name) const {
    return blobs_.contains(name) || claimed_.blobs.contains(name);
  }
  const Claimed& claimed() const { return claimed_; }

 private:
  const Store& store_;
  std::unordered_set<ObjectId> objects_;
  std::set<LayerId> layers_;  // whose objects are in objects_
  std::set<oci::Digest> images_;
  std::set<ObjectId::Bytes> blobs_;
  Claimed claimed_;
};

}  // namespace ingot::store

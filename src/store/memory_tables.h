// The tables of MemoryCatalog. Internal to it.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "store/catalog.h"

namespace ingot::store {

struct MemoryTables {
  std::map<std::pair<LayerId, oci::Digest>, Layer> layers;
  std::map<oci::Digest, ImageRow> images;
  std::map<std::pair<std::string, std::string>, Tag> tags;
  std::map<std::string, CacheEntry> cache;
  std::map<std::string, LeaseRow> leases;
  std::map<std::string, PinRow> pins;
  std::map<std::pair<std::string, oci::Digest>, RepositoryBlob> repository_blobs;
  std::map<std::pair<std::string, oci::Digest>, RepositoryManifest> repository_manifests;
  std::map<std::pair<std::string, std::string>, Tag> repository_tags;
  int64_t generation = 0;
};

// A row by its key, or nothing.
template <typename Map, typename Key>
std::optional<typename Map::mapped_type> FindRow(const Map& map, const Key& key) {
  const auto found = map.find(key);
  if (found == map.end()) return std::nullopt;
  return found->second;
}

// The part of MemoryCatalog's rows that is about repositories.
class MemoryRepositoryRows : public CatalogRows {
 public:
  explicit MemoryRepositoryRows(MemoryTables& tables) : t_(tables) {}

  Result<bool> HasRepository(std::string_view repository) const override;
  Result<void> PutRepositoryBlob(const RepositoryBlob& blob) override;
  Result<std::optional<RepositoryBlob>> FindRepositoryBlob(std::string_view repository,
                                                           const oci::Digest& digest) const override;
  Result<std::optional<RepositoryBlob>> FindRepositoryBlob(const oci::Digest& digest) const override;
  Result<bool> RemoveRepositoryBlob(std::string_view repository, const oci::Digest& digest) override;
  Result<void> PutRepositoryManifest(const RepositoryManifest& manifest) override;
  Result<std::optional<RepositoryManifest>> FindRepositoryManifest(std::string_view repository,
                                                                   const oci::Digest& digest) const override;
  Result<bool> RemoveRepositoryManifest(std::string_view repository, const oci::Digest& digest) override;
  Result<std::vector<RepositoryManifest>> ListReferrers(std::string_view repository,
                                                        const oci::Digest& subject) const override;
  Result<void> PutRepositoryTag(const Tag& tag) override;
  Result<std::optional<Tag>> FindRepositoryTag(std::string_view repository,
                                               std::string_view tag) const override;
  Result<std::vector<Tag>> ListRepositoryTags(std::string_view repository) const override;
  Result<std::vector<Tag>> ListRepositoryTags() const override;
  Result<bool> RemoveRepositoryTag(std::string_view repository, std::string_view tag) override;
  Result<std::vector<oci::Digest>> ListRepositoryDigests() const override;

 protected:
  bool Changed(bool any) {
    dirty_ = dirty_ || any;
    return any;
  }
  MemoryTables& t_;
  bool dirty_ = false;
};

}  // namespace ingot::store

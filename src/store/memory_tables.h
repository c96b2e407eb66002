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
  std::map<std::pair<std::string, std::string>, FixedTag> fixed_tags;
  std::map<std::pair<std::string, oci::Digest>, NamedImage> named_images;
  std::map<std::pair<std::string, oci::Digest>, Pull> pulls;
  std::vector<Promotion> promotions;
  std::map<std::pair<oci::Digest, std::string>, Proof> proofs;
  std::map<std::string, ProjectRetention> project_retention;
  std::map<std::string, Reservation> reservations;
  std::optional<DiskUsage> disk_usage;
  int64_t generation = 0;
};

// A row by its key, or nothing.
template <typename Map, typename Key>
std::optional<typename Map::mapped_type> FindRow(const Map& map, const Key& key) {
  const auto found = map.find(key);
  if (found == map.end()) return std::nullopt;
  return found->second;
}

template <typename Map>
std::vector<typename Map::mapped_type> ListRows(const Map& map) {
  std::vector<typename Map::mapped_type> rows;
  for (const auto& [key, row] : map) rows.push_back(row);
  return rows;
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
  Result<std::vector<std::string>> ListRepositories() const override;
  Result<std::vector<RepositoryManifest>> ListRepositoryManifests(std::string_view repository) const override;
  Result<std::vector<RepositoryBlob>> ListRepositoryBlobs(std::string_view repository) const override;
  Result<std::vector<std::string>> ListRepositoriesWith(const oci::Digest& digest) const override;
  Result<std::vector<oci::Digest>> ListRepositoryDigests() const override;

 protected:
  bool Changed(bool any) {
    dirty_ = dirty_ || any;
    return any;
  }
  MemoryTables& t_;
  bool dirty_ = false;
};

// And the one of lifecycle_rows.h.
class MemoryLifecycleRows : public MemoryRepositoryRows {
 public:
  using MemoryRepositoryRows::MemoryRepositoryRows;

  Result<void> PutFixedTag(const FixedTag& tag) override;
  Result<std::optional<FixedTag>> FindFixedTag(std::string_view repository,
                                               std::string_view tag) const override;
  Result<void> PutNamedImage(const NamedImage& image) override;
  Result<std::vector<NamedImage>> ListNamedImages() const override;
  Result<void> PutPull(const Pull& pull) override;
  Result<std::vector<Pull>> ListPulls(std::string_view repository) const override;
  Result<void> RemovePull(std::string_view repository, const oci::Digest& digest) override;
  Result<uint64_t> AppendPromotion(const Promotion& promotion) override;
  Result<std::vector<Promotion>> ListPromotions(std::string_view repository) const override;
  Result<bool> IsChannel(std::string_view repository, std::string_view tag) const override;
  Result<void> PutProof(const Proof& proof) override;
  Result<std::vector<Proof>> ListProofs(const oci::Digest& digest) const override;
  Result<void> SetProjectRetention(const ProjectRetention& retention) override;
  Result<std::vector<ProjectRetention>> ListProjectRetention() const override;
  Result<void> PutReservation(const Reservation& reservation) override;
  Result<std::vector<Reservation>> ListReservations() const override;
  Result<void> PutDiskUsage(const std::optional<DiskUsage>& usage) override;
  Result<std::optional<DiskUsage>> FindDiskUsage() const override;
};

}  // namespace ingot::store

// The rows of store.db as SQL, within one transaction of sqlite_catalog.cc.
#pragma once

#include "adapters/sqlite.h"
#include "store/catalog.h"

namespace ingot::adapters {

class SqliteRows final : public store::CatalogRows {
 public:
  explicit SqliteRows(Database& db) : db_(db) {}
  // To be called before the commit of a write.
  Result<void> Finish();

  Result<void> PutLayer(const store::Layer& layer) override;
  Result<std::vector<store::Layer>> FindLayers(const store::LayerId& id) const override;
  Result<std::vector<store::Layer>> FindLayers(const oci::Digest& diff_id) const override;
  Result<std::vector<store::Layer>> ListLayers() const override;
  Result<bool> RemoveLayer(const store::LayerId& id) override;
  Result<void> PutImage(const store::ImageRow& image) override;
  Result<std::optional<store::ImageRow>> FindImage(const oci::Digest& digest) const override;
  Result<std::vector<store::ImageRow>> ListImages() const override;
  Result<bool> MarkGolden(const oci::Digest& digest, std::string_view test_record) override;
  Result<bool> RemoveImage(const oci::Digest& digest) override;
  Result<void> PutTag(const store::Tag& tag) override;
  Result<std::optional<store::Tag>> FindTag(std::string_view repository, std::string_view tag) const override;
  Result<std::vector<store::Tag>> ListTags() const override;
  Result<std::vector<store::Tag>> ListTags(std::string_view repository) const override;
  Result<bool> RemoveTag(std::string_view repository, std::string_view tag) override;
  Result<void> PutCache(const store::CacheEntry& entry) override;
  Result<std::optional<store::CacheEntry>> FindCache(std::string_view key) const override;
  Result<std::vector<store::CacheEntry>> ListCache() const override;
  Result<bool> RemoveCache(std::string_view key) override;
  Result<void> PutLease(const store::LeaseRow& lease) override;
  Result<std::vector<store::LeaseRow>> ListLeases() const override;
  Result<bool> RemoveLease(std::string_view id) override;
  Result<void> SetPin(const store::PinRow& pin) override;
  Result<std::vector<store::PinRow>> ListPins() const override;
  Result<int64_t> Generation() const override;

  // sqlite_repository_rows.cc
  Result<bool> HasRepository(std::string_view repository) const override;
  Result<void> PutRepositoryBlob(const store::RepositoryBlob& blob) override;
  Result<std::optional<store::RepositoryBlob>> FindRepositoryBlob(std::string_view repository,
                                                                  const oci::Digest& digest) const override;
  Result<std::optional<store::RepositoryBlob>> FindRepositoryBlob(const oci::Digest& digest) const override;
  Result<bool> RemoveRepositoryBlob(std::string_view repository, const oci::Digest& digest) override;
  Result<void> PutRepositoryManifest(const store::RepositoryManifest& manifest) override;
  Result<std::optional<store::RepositoryManifest>> FindRepositoryManifest(
      std::string_view repository, const oci::Digest& digest) const override;
  Result<bool> RemoveRepositoryManifest(std::string_view repository, const oci::Digest& digest) override;
  Result<std::vector<store::RepositoryManifest>> ListReferrers(std::string_view repository,
                                                               const oci::Digest& subject) const override;
  Result<void> PutRepositoryTag(const store::Tag& tag) override;
  Result<std::optional<store::Tag>> FindRepositoryTag(std::string_view repository,
                                                      std::string_view tag) const override;
  Result<std::vector<store::Tag>> ListRepositoryTags(std::string_view repository) const override;
  Result<std::vector<store::Tag>> ListRepositoryTags() const override;
  Result<bool> RemoveRepositoryTag(std::string_view repository, std::string_view tag) override;
  Result<std::vector<std::string>> ListRepositories() const override;
  Result<std::vector<store::RepositoryManifest>> ListRepositoryManifests(
      std::string_view repository) const override;
  Result<std::vector<store::RepositoryBlob>> ListRepositoryBlobs(std::string_view repository) const override;
  Result<std::vector<std::string>> ListRepositoriesWith(const oci::Digest& digest) const override;
  Result<std::vector<oci::Digest>> ListRepositoryDigests() const override;

  // sqlite_lifecycle_rows.cc
  Result<void> PutFixedTag(const store::FixedTag& tag) override;
  Result<std::optional<store::FixedTag>> FindFixedTag(std::string_view repository,
                                                      std::string_view tag) const override;
  Result<void> PutNamedImage(const store::NamedImage& image) override;
  Result<std::vector<store::NamedImage>> ListNamedImages() const override;
  Result<void> PutPull(const store::Pull& pull) override;
  Result<std::vector<store::Pull>> ListPulls(std::string_view repository) const override;
  Result<void> RemovePull(std::string_view repository, const oci::Digest& digest) override;
  Result<uint64_t> AppendPromotion(const store::Promotion& promotion) override;
  Result<std::vector<store::Promotion>> ListPromotions(std::string_view repository) const override;
  Result<bool> IsChannel(std::string_view repository, std::string_view tag) const override;
  Result<void> PutProof(const store::Proof& proof) override;
  Result<std::vector<store::Proof>> ListProofs(const oci::Digest& digest) const override;
  Result<void> SetProjectRetention(const store::ProjectRetention& retention) override;
  Result<std::vector<store::ProjectRetention>> ListProjectRetention() const override;
  Result<void> PutReservation(const store::Reservation& reservation) override;
  Result<std::vector<store::Reservation>> ListReservations() const override;
  Result<void> PutDiskUsage(const std::optional<store::DiskUsage>& usage) override;
  Result<std::optional<store::DiskUsage>> FindDiskUsage() const override;

 private:
  Result<std::vector<store::Layer>> Layers(Statement& query) const;
  Result<std::vector<store::ImageRow::LayerRef>> LayersOf(const oci::Digest& image) const;
  // Runs a change that removes or alters rows: whether there were any.
  template <typename... Values>
  Result<bool> Changed(std::string_view sql, const Values&... values) {
    TRY(db_.Run(sql, values...));
    const bool any = db_.Changes() > 0;
    dirty_ = dirty_ || any;
    return any;
  }
  Database& db_;
  bool dirty_ = false;
};

}  // namespace ingot::adapters

// The rows of sqlite_catalog_rows.h about what was pushed to the registry.
#include "adapters/sqlite_catalog_rows.h"
#include "adapters/sqlite_values.h"

namespace ingot::adapters {

using store::RepositoryBlob;
using store::RepositoryManifest;

namespace {

Result<RepositoryBlob> RepositoryBlobOf(const Statement& query) {
  RepositoryBlob blob;
  blob.repository = query.Text(0);
  blob.digest = TRY(Stored(oci::Digest::Parse(query.Text(1))));
  blob.size_bytes = static_cast<uint64_t>(query.Int(2));
  blob.created = TimeOf(query.Int(3));
  return blob;
}

Result<RepositoryManifest> RepositoryManifestOf(const Statement& query) {
  RepositoryManifest manifest;
  manifest.repository = query.Text(0);
  manifest.digest = TRY(Stored(oci::Digest::Parse(query.Text(1))));
  manifest.media_type = query.Text(2);
  manifest.size_bytes = static_cast<uint64_t>(query.Int(3));
  if (!query.IsNull(4)) manifest.subject = TRY(Stored(oci::Digest::Parse(query.Text(4))));
  manifest.artifact_type = query.Text(5);
  manifest.descriptor = query.Text(6);
  manifest.created = TimeOf(query.Int(7));
  return manifest;
}

Result<store::Tag> RepositoryTagOf(const Statement& query) {
  store::Tag tag;
  tag.repository = query.Text(0);
  tag.tag = query.Text(1);
  tag.digest = TRY(Stored(oci::Digest::Parse(query.Text(2))));
  tag.updated = TimeOf(query.Int(3));
  return tag;
}

// The first row or none.
template <typename T>
Result<std::optional<T>> FirstRow(Statement& query, Result<T> (*read)(const Statement&)) {
  if (!TRY(query.Step())) return std::optional<T>();
  auto found = std::make_optional(TRY(read(query)));
  query.Reset();
  return found;
}

template <typename T>
Result<std::vector<T>> AllRows(Statement& query, Result<T> (*read)(const Statement&)) {
  std::vector<T> rows;
  while (TRY(query.Step())) rows.push_back(TRY(read(query)));
  return rows;
}

constexpr std::string_view kManifestColumns =
    "SELECT repository, digest, media_type, size_bytes, subject, artifact_type, descriptor, created "
    "FROM repository_manifests ";

}  // namespace

Result<bool> SqliteRows::HasRepository(std::string_view repository) const {
  Statement* query =
      TRY(db_.Cached("SELECT EXISTS(SELECT 1 FROM repository_manifests WHERE repository = ?1) "
                     "OR EXISTS(SELECT 1 FROM repository_blobs WHERE repository = ?1)"));
  query->BindAll(repository);
  const bool has = TRY(query->Step()) && query->Int(0) != 0;
  query->Reset();
  return has;
}

Result<void> SqliteRows::PutRepositoryBlob(const RepositoryBlob& blob) {
  TRY(
      Changed("INSERT INTO repository_blobs(repository, digest, size_bytes, created) VALUES(?,?,?,?) "
              "ON CONFLICT DO NOTHING",
              blob.repository, blob.digest.Render(), blob.size_bytes, MsOf(blob.created)));
  return {};
}

Result<std::optional<RepositoryBlob>> SqliteRows::FindRepositoryBlob(std::string_view repository,
                                                                     const oci::Digest& digest) const {
  Statement* query =
      TRY(db_.Cached("SELECT repository, digest, size_bytes, created FROM repository_blobs "
                     "WHERE repository = ? AND digest = ?"));
  query->BindAll(repository, digest.Render());
  return FirstRow(*query, RepositoryBlobOf);
}

Result<std::optional<RepositoryBlob>> SqliteRows::FindRepositoryBlob(const oci::Digest& digest) const {
  Statement* query =
      TRY(db_.Cached("SELECT repository, digest, size_bytes, created FROM repository_blobs "
                     "WHERE digest = ? ORDER BY repository LIMIT 1"));
  query->BindAll(digest.Render());
  return FirstRow(*query, RepositoryBlobOf);
}

Result<bool> SqliteRows::RemoveRepositoryBlob(std::string_view repository, const oci::Digest& digest) {
  return Changed("DELETE FROM repository_blobs WHERE repository = ? AND digest = ?", repository,
                 digest.Render());
}

Result<void> SqliteRows::PutRepositoryManifest(const RepositoryManifest& manifest) {
  std::optional<std::string> subject;
  if (manifest.subject) subject = manifest.subject->Render();
  TRY(
      Changed("INSERT INTO repository_manifests(repository, digest, media_type, size_bytes, subject, "
              "artifact_type, descriptor, created) VALUES(?,?,?,?,?,?,?,?) "
              "ON CONFLICT DO UPDATE SET media_type = excluded.media_type, "
              "artifact_type = excluded.artifact_type, descriptor = excluded.descriptor",
              manifest.repository, manifest.digest.Render(), manifest.media_type, manifest.size_bytes,
              subject, manifest.artifact_type, manifest.descriptor, MsOf(manifest.created)));
  return {};
}

Result<std::optional<RepositoryManifest>> SqliteRows::FindRepositoryManifest(
    std::string_view repository, const oci::Digest& digest) const {
  Statement* query = TRY(db_.Cached(std::string(kManifestColumns) + "WHERE repository = ? AND digest = ?"));
  query->BindAll(repository, digest.Render());
  return FirstRow(*query, RepositoryManifestOf);
}

Result<bool> SqliteRows::RemoveRepositoryManifest(std::string_view repository, const oci::Digest& digest) {
  // Its tags go by the foreign key.
  return Changed("DELETE FROM repository_manifests WHERE repository = ? AND digest = ?", repository,
                 digest.Render());
}

Result<std::vector<RepositoryManifest>> SqliteRows::ListReferrers(std::string_view repository,
                                                                  const oci::Digest& subject) const {
  Statement* query =
      TRY(db_.Cached(std::string(kManifestColumns) + "WHERE repository = ? AND subject = ? ORDER BY digest"));
  query->BindAll(repository, subject.Render());
  return AllRows(*query, RepositoryManifestOf);
}

Result<void> SqliteRows::PutRepositoryTag(const store::Tag& tag) {
  TRY(
      Changed("INSERT INTO repository_tags(repository, tag, digest, updated) VALUES(?,?,?,?) "
              "ON CONFLICT DO UPDATE SET digest = excluded.digest, updated = excluded.updated",
              tag.repository, tag.tag, tag.digest.Render(), MsOf(tag.updated)));
  return {};
}

Result<std::optional<store::Tag>> SqliteRows::FindRepositoryTag(std::string_view repository,
                                                                std::string_view tag) const {
  Statement* query =
      TRY(db_.Cached("SELECT repository, tag, digest, updated FROM repository_tags "
                     "WHERE repository = ? AND tag = ?"));
  query->BindAll(repository, tag);
  return FirstRow(*query, RepositoryTagOf);
}

Result<std::vector<store::Tag>> SqliteRows::ListRepositoryTags(std::string_view repository) const {
  Statement* query =
      TRY(db_.Cached("SELECT repository, tag, digest, updated FROM repository_tags "
                     "WHERE repository = ? ORDER BY tag"));
  query->BindAll(repository);
  return AllRows(*query, RepositoryTagOf);
}

Result<std::vector<store::Tag>> SqliteRows::ListRepositoryTags() const {
  Statement* query = TRY(
      db_.Cached("SELECT repository, tag, digest, updated FROM repository_tags ORDER BY repository, tag"));
  return AllRows(*query, RepositoryTagOf);
}

Result<bool> SqliteRows::RemoveRepositoryTag(std::string_view repository, std::string_view tag) {
  return Changed("DELETE FROM repository_tags WHERE repository = ? AND tag = ?", repository, tag);
}

Result<std::vector<std::string>> SqliteRows::ListRepositories() const {
  std::vector<std::string> names;
  Statement* query =
      TRY(db_.Cached("SELECT repository FROM repository_blobs UNION "
                     "SELECT repository FROM repository_manifests ORDER BY repository"));
  while (TRY(query->Step())) names.push_back(query->Text(0));
  return names;
}

Result<std::vector<RepositoryManifest>> SqliteRows::ListRepositoryManifests(
    std::string_view repository) const {
  Statement* query = TRY(db_.Cached(std::string(kManifestColumns) + "WHERE repository = ? ORDER BY digest"));
  query->BindAll(repository);
  return AllRows(*query, RepositoryManifestOf);
}

Result<std::vector<RepositoryBlob>> SqliteRows::ListRepositoryBlobs(std::string_view repository) const {
  Statement* query =
      TRY(db_.Cached("SELECT repository, digest, size_bytes, created FROM repository_blobs "
                     "WHERE repository = ? ORDER BY digest"));
  query->BindAll(repository);
  return AllRows(*query, RepositoryBlobOf);
}

Result<std::vector<std::string>> SqliteRows::ListRepositoriesWith(const oci::Digest& digest) const {
  std::vector<std::string> names;
  Statement* query =
      TRY(db_.Cached("SELECT repository FROM repository_blobs WHERE digest = ?1 UNION "
                     "SELECT repository FROM repository_manifests WHERE digest = ?1 ORDER BY repository"));
  query->BindAll(digest.Render());
  while (TRY(query->Step())) names.push_back(query->Text(0));
  return names;
}

Result<std::vector<oci::Digest>> SqliteRows::ListRepositoryDigests() const {
  std::vector<oci::Digest> digests;
  Statement* query =
      TRY(db_.Cached("SELECT digest FROM repository_blobs UNION SELECT digest FROM repository_manifests "
                     "ORDER BY digest"));
  while (TRY(query->Step())) digests.push_back(TRY(Stored(oci::Digest::Parse(query->Text(0)))));
  return digests;
}

}  // namespace ingot::adapters

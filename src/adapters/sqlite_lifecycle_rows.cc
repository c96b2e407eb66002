// The rows of sqlite_catalog_rows.h about what happened to names and images, and about the disk.
#include "adapters/sqlite_catalog_rows.h"
#include "adapters/sqlite_values.h"

namespace ingot::adapters {

namespace {

Result<oci::Digest> DigestAt(const Statement& query, int column) {
  return Stored(oci::Digest::Parse(query.Text(column)));
}

std::optional<int64_t> MsOrNull(const std::optional<Milliseconds>& time) {
  if (!time) return std::nullopt;
  return time->count();
}

}  // namespace

Result<void> SqliteRows::PutFixedTag(const store::FixedTag& tag) {
  TRY(
      Changed("INSERT INTO fixed_tags(repository, tag, digest, created) VALUES(?,?,?,?) "
              "ON CONFLICT DO NOTHING",
              tag.repository, tag.tag, tag.digest.Render(), MsOf(tag.created)));
  return {};
}

Result<std::optional<store::FixedTag>> SqliteRows::FindFixedTag(std::string_view repository,
                                                                std::string_view tag) const {
  Statement* query =
      TRY(db_.Cached("SELECT digest, created FROM fixed_tags WHERE repository = ? AND tag = ?"));
  query->BindAll(repository, tag);
  if (!TRY(query->Step())) return std::optional<store::FixedTag>();
  store::FixedTag found;
  found.repository = repository;
  found.tag = tag;
  found.digest = TRY(DigestAt(*query, 0));
  found.created = TimeOf(query->Int(1));
  query->Reset();
  return std::optional(std::move(found));
}

Result<void> SqliteRows::PutNamedImage(const store::NamedImage& image) {
  TRY(
      Changed("INSERT INTO named_images(repository, digest, named) VALUES(?,?,?) "
              "ON CONFLICT DO UPDATE SET named = excluded.named",
              image.repository, image.digest.Render(), MsOf(image.named)));
  return {};
}

Result<std::vector<store::NamedImage>> SqliteRows::ListNamedImages() const {
  std::vector<store::NamedImage> images;
  Statement* query =
      TRY(db_.Cached("SELECT repository, digest, named FROM named_images ORDER BY repository, digest"));
  while (TRY(query->Step())) {
    store::NamedImage image;
    image.repository = query->Text(0);
    image.digest = TRY(DigestAt(*query, 1));
    image.named = TimeOf(query->Int(2));
    images.push_back(std::move(image));
  }
  return images;
}

Result<void> SqliteRows::PutPull(const store::Pull& pull) {
  return db_.Run(
      "INSERT INTO pulls(repository, digest, pulled) VALUES(?,?,?) "
      "ON CONFLICT DO UPDATE SET pulled = max(pulled, excluded.pulled)",
      pull.repository, pull.digest.Render(), MsOf(pull.pulled));
}

Result<std::vector<store::Pull>> SqliteRows::ListPulls(std::string_view repository) const {
  std::vector<store::Pull> pulls;
  Statement* query = TRY(db_.Cached("SELECT digest, pulled FROM pulls WHERE repository = ? ORDER BY digest"));
  query->BindAll(repository);
  while (TRY(query->Step())) {
    store::Pull pull;
    pull.repository = repository;
    pull.digest = TRY(DigestAt(*query, 0));
    pull.pulled = TimeOf(query->Int(1));
    pulls.push_back(std::move(pull));
  }
  return pulls;
}

Result<void> SqliteRows::RemovePull(std::string_view repository, const oci::Digest& digest) {
  return db_.Run("DELETE FROM pulls WHERE repository = ? AND digest = ?", repository, digest.Render());
}

Result<uint64_t> SqliteRows::AppendPromotion(const store::Promotion& promotion) {
  std::optional<std::string> previous;
  if (promotion.previous) previous = promotion.previous->Render();
  TRY(
      Changed("INSERT INTO promotions(repository, channel, digest, previous, source, actor, reason, time) "
              "VALUES(?,?,?,?,?,?,?,?)",
              promotion.repository, promotion.channel, promotion.digest.Render(), previous, promotion.source,
              promotion.actor, promotion.reason, MsOf(promotion.time)));
  return static_cast<uint64_t>(db_.LastInsertRowId());
}

Result<std::vector<store::Promotion>> SqliteRows::ListPromotions(std::string_view repository) const {
  std::vector<store::Promotion> promotions;
  Statement* query =
      TRY(db_.Cached("SELECT id, repository, channel, digest, previous, source, actor, reason, time "
                     "FROM promotions WHERE ?1 = '' OR repository = ?1 ORDER BY id"));
  query->BindAll(repository);
  while (TRY(query->Step())) {
    store::Promotion promotion;
    promotion.id = static_cast<uint64_t>(query->Int(0));
    promotion.repository = query->Text(1);
    promotion.channel = query->Text(2);
    promotion.digest = TRY(DigestAt(*query, 3));
    if (!query->IsNull(4)) promotion.previous = TRY(DigestAt(*query, 4));
    promotion.source = query->Text(5);
    promotion.actor = query->Text(6);
    promotion.reason = query->Text(7);
    promotion.time = TimeOf(query->Int(8));
    promotions.push_back(std::move(promotion));
  }
  return promotions;
}

Result<bool> SqliteRows::IsChannel(std::string_view repository, std::string_view tag) const {
  Statement* query =
      TRY(db_.Cached("SELECT EXISTS(SELECT 1 FROM promotions WHERE repository = ? AND channel = ?)"));
  query->BindAll(repository, tag);
  const bool is = TRY(query->Step()) && query->Int(0) != 0;
  query->Reset();
  return is;
}

Result<void> SqliteRows::PutProof(const store::Proof& proof) {
  TRY(Changed("INSERT INTO proofs(digest, environment, proven) VALUES(?,?,?) ON CONFLICT DO NOTHING",
              proof.digest.Render(), proof.environment, MsOf(proof.proven)));
  return {};
}

Result<std::vector<store::Proof>> SqliteRows::ListProofs(const oci::Digest& digest) const {
  std::vector<store::Proof> proofs;
  Statement* query =
      TRY(db_.Cached("SELECT environment, proven FROM proofs WHERE digest = ? ORDER BY environment"));
  query->BindAll(digest.Render());
  while (TRY(query->Step())) {
    store::Proof proof;
    proof.environment = query->Text(0);
    proof.digest = digest;
    proof.proven = TimeOf(query->Int(1));
    proofs.push_back(std::move(proof));
  }
  return proofs;
}

Result<void> SqliteRows::SetProjectRetention(const store::ProjectRetention& retention) {
  if (!retention.keep && !retention.keep_for) {
    TRY(Changed("DELETE FROM project_retention WHERE project = ?", retention.project));
    return {};
  }
  TRY(
      Changed("INSERT INTO project_retention(project, keep, keep_for) VALUES(?,?,?) "
              "ON CONFLICT DO UPDATE SET keep = excluded.keep, keep_for = excluded.keep_for",
              retention.project, retention.keep, MsOrNull(retention.keep_for)));
  return {};
}

Result<std::vector<store::ProjectRetention>> SqliteRows::ListProjectRetention() const {
  std::vector<store::ProjectRetention> all;
  Statement* query =
      TRY(db_.Cached("SELECT project, keep, keep_for FROM project_retention ORDER BY project"));
  while (TRY(query->Step())) {
    store::ProjectRetention retention;
    retention.project = query->Text(0);
    if (!query->IsNull(1)) retention.keep = static_cast<uint64_t>(query->Int(1));
    if (!query->IsNull(2)) retention.keep_for = Milliseconds(query->Int(2));
    all.push_back(std::move(retention));
  }
  return all;
}

Result<void> SqliteRows::PutReservation(const store::Reservation& reservation) {
  if (reservation.bytes == 0) return db_.Run("DELETE FROM reservations WHERE id = ?", reservation.id);
  return db_.Run(
      "INSERT OR REPLACE INTO reservations(id, boot_id, pid_namespace, pid, pid_start, bytes) "
      "VALUES(?,?,?,?,?,?)",
      reservation.id, reservation.boot_id, reservation.pid_namespace, static_cast<int64_t>(reservation.pid),
      reservation.pid_start, reservation.bytes);
}

Result<std::vector<store::Reservation>> SqliteRows::ListReservations() const {
  std::vector<store::Reservation> reservations;
  Statement* query =
      TRY(db_.Cached("SELECT id, boot_id, pid_namespace, pid, pid_start, bytes FROM reservations "
                     "ORDER BY id"));
  while (TRY(query->Step())) {
    store::Reservation reservation;
    reservation.id = query->Text(0);
    reservation.boot_id = query->Text(1);
    reservation.pid_namespace = static_cast<uint64_t>(query->Int(2));
    reservation.pid = static_cast<pid_t>(query->Int(3));
    reservation.pid_start = static_cast<uint64_t>(query->Int(4));
    reservation.bytes = static_cast<uint64_t>(query->Int(5));
    reservations.push_back(std::move(reservation));
  }
  return reservations;
}

Result<void> SqliteRows::PutDiskUsage(const std::optional<store::DiskUsage>& usage) {
  if (!usage) return db_.Run("DELETE FROM disk_usage");
  return db_.Run("INSERT OR REPLACE INTO disk_usage(id, used_bytes, added_bytes, boot_id) VALUES(1,?,?,?)",
                 usage->used_bytes, usage->added_bytes, usage->boot_id);
}

Result<std::optional<store::DiskUsage>> SqliteRows::FindDiskUsage() const {
  Statement* query = TRY(db_.Cached("SELECT used_bytes, added_bytes, boot_id FROM disk_usage"));
  if (!TRY(query->Step())) return std::optional<store::DiskUsage>();
  store::DiskUsage usage;
  usage.used_bytes = static_cast<uint64_t>(query->Int(0));
  usage.added_bytes = static_cast<uint64_t>(query->Int(1));
  usage.boot_id = query->Text(2);
  query->Reset();
  return std::optional(std::move(usage));
}

}  // namespace ingot::adapters

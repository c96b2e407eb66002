#include <algorithm>

#include "store/memory_tables.h"

namespace ingot::store {

Result<void> MemoryLifecycleRows::PutFixedTag(const FixedTag& tag) {
  Changed(t_.fixed_tags.emplace(std::pair(tag.repository, tag.tag), tag).second);
  return {};
}

Result<std::optional<FixedTag>> MemoryLifecycleRows::FindFixedTag(std::string_view repository,
                                                                  std::string_view tag) const {
  return FindRow(t_.fixed_tags, std::pair(std::string(repository), std::string(tag)));
}

Result<void> MemoryLifecycleRows::PutNamedImage(const NamedImage& image) {
  if (!t_.images.contains(image.digest))
    return Error(Code::kExists, "catalog: no image " + image.digest.Render());
  t_.named_images[{image.repository, image.digest}] = image;
  Changed(true);
  return {};
}

Result<std::vector<NamedImage>> MemoryLifecycleRows::ListNamedImages() const {
  return ListRows(t_.named_images);
}

Result<void> MemoryLifecycleRows::PutPull(const Pull& pull) {
  const auto [row, fresh] = t_.pulls.emplace(std::pair(pull.repository, pull.digest), pull);
  if (!fresh) row->second.pulled = std::max(row->second.pulled, pull.pulled);
  return {};
}

Result<std::vector<Pull>> MemoryLifecycleRows::ListPulls(std::string_view repository) const {
  std::vector<Pull> found;
  for (const auto& [key, pull] : t_.pulls)
    if (pull.repository == repository) found.push_back(pull);
  return found;
}

Result<void> MemoryLifecycleRows::RemovePull(std::string_view repository, const oci::Digest& digest) {
  t_.pulls.erase({std::string(repository), digest});
  return {};
}

Result<uint64_t> MemoryLifecycleRows::AppendPromotion(const Promotion& promotion) {
  t_.promotions.push_back(promotion);
  t_.promotions.back().id = t_.promotions.size();
  Changed(true);
  return t_.promotions.back().id;
}

Result<std::vector<Promotion>> MemoryLifecycleRows::ListPromotions(std::string_view repository) const {
  std::vector<Promotion> found;
  for (const Promotion& promotion : t_.promotions)
    if (repository.empty() || promotion.repository == repository) found.push_back(promotion);
  return found;
}

Result<bool> MemoryLifecycleRows::IsChannel(std::string_view repository, std::string_view tag) const {
  return std::any_of(t_.promotions.begin(), t_.promotions.end(), [&](const Promotion& promotion) {
    return promotion.repository == repository && promotion.channel == tag;
  });
}

Result<void> MemoryLifecycleRows::PutProof(const Proof& proof) {
  Changed(t_.proofs.emplace(std::pair(proof.digest, proof.environment), proof).second);
  return {};
}

Result<std::vector<Proof>> MemoryLifecycleRows::ListProofs(const oci::Digest& digest) const {
  std::vector<Proof> found;
  for (const auto& [key, proof] : t_.proofs)
    if (key.first == digest) found.push_back(proof);
  return found;
}

Result<void> MemoryLifecycleRows::SetProjectRetention(const ProjectRetention& retention) {
  if (retention.keep || retention.keep_for) {
    t_.project_retention[retention.project] = retention;
    Changed(true);
  } else {
    Changed(t_.project_retention.erase(retention.project) > 0);
  }
  return {};
}

Result<std::vector<ProjectRetention>> MemoryLifecycleRows::ListProjectRetention() const {
  return ListRows(t_.project_retention);
}

Result<void> MemoryLifecycleRows::PutReservation(const Reservation& reservation) {
  t_.reservations[reservation.id] = reservation;
  if (reservation.bytes == 0) t_.reservations.erase(reservation.id);
  return {};
}

Result<std::vector<Reservation>> MemoryLifecycleRows::ListReservations() const {
  return ListRows(t_.reservations);
}

Result<void> MemoryLifecycleRows::PutDiskUsage(const std::optional<DiskUsage>& usage) {
  t_.disk_usage = usage;
  return {};
}

Result<std::optional<DiskUsage>> MemoryLifecycleRows::FindDiskUsage() const {
  return t_.disk_usage;
}

}  // namespace ingot::store

#include <algorithm>
#include <set>

#include "store/memory_tables.h"

namespace ingot::store {

Result<bool> MemoryRepositoryRows::HasRepository(std::string_view repository) const {
  const auto of = [&](const auto& item) { return item.first.first == repository; };
  return std::any_of(t_.repository_blobs.begin(), t_.repository_blobs.end(), of) ||
         std::any_of(t_.repository_manifests.begin(), t_.repository_manifests.end(), of);
}

Result<void> MemoryRepositoryRows::PutRepositoryBlob(const RepositoryBlob& blob) {
  Changed(t_.repository_blobs.emplace(std::pair(blob.repository, blob.digest), blob).second);
  return {};
}

Result<std::optional<RepositoryBlob>> MemoryRepositoryRows::FindRepositoryBlob(
    std::string_view repository, const oci::Digest& digest) const {
  return FindRow(t_.repository_blobs, std::pair(std::string(repository), digest));
}

Result<std::optional<RepositoryBlob>> MemoryRepositoryRows::FindRepositoryBlob(
    const oci::Digest& digest) const {
  for (const auto& [key, blob] : t_.repository_blobs)
    if (key.second == digest) return std::optional(blob);
  return std::optional<RepositoryBlob>();
}

Result<bool> MemoryRepositoryRows::RemoveRepositoryBlob(std::string_view repository,
                                                        const oci::Digest& digest) {
  return Changed(t_.repository_blobs.erase({std::string(repository), digest}) > 0);
}

Result<void> MemoryRepositoryRows::PutRepositoryManifest(const RepositoryManifest& manifest) {
  const auto [row, fresh] =
      t_.repository_manifests.emplace(std::pair(manifest.repository, manifest.digest), manifest);
  if (!fresh) {
    const WallTime created = row->second.created;
    row->second = manifest;
    row->second.created = created;
  }
  Changed(true);
  return {};
}

Result<std::optional<RepositoryManifest>> MemoryRepositoryRows::FindRepositoryManifest(
    std::string_view repository, const oci::Digest& digest) const {
  return FindRow(t_.repository_manifests, std::pair(std::string(repository), digest));
}

Result<bool> MemoryRepositoryRows::RemoveRepositoryManifest(std::string_view repository,
                                                            const oci::Digest& digest) {
  if (!Changed(t_.repository_manifests.erase({std::string(repository), digest}) > 0)) return false;
  std::erase_if(t_.repository_tags, [&](const auto& item) {
    return item.second.repository == repository && item.second.digest == digest;
  });
  return true;
}

Result<std::vector<RepositoryManifest>> MemoryRepositoryRows::ListReferrers(
    std::string_view repository, const oci::Digest& subject) const {
  std::vector<RepositoryManifest> found;
  for (const auto& [key, manifest] : t_.repository_manifests)
    if (manifest.repository == repository && manifest.subject == subject) found.push_back(manifest);
  return found;
}

Result<void> MemoryRepositoryRows::PutRepositoryTag(const Tag& tag) {
  if (!t_.repository_manifests.contains({tag.repository, tag.digest}))
    return Error(Code::kExists, "catalog: " + tag.repository + " has no manifest " + tag.digest.Render());
  t_.repository_tags[{tag.repository, tag.tag}] = tag;
  Changed(true);
  return {};
}

Result<std::optional<Tag>> MemoryRepositoryRows::FindRepositoryTag(std::string_view repository,
                                                                   std::string_view tag) const {
  return FindRow(t_.repository_tags, std::pair(std::string(repository), std::string(tag)));
}

Result<std::vector<Tag>> MemoryRepositoryRows::ListRepositoryTags(std::string_view repository) const {
  std::vector<Tag> found;
  for (const auto& [key, tag] : t_.repository_tags)
    if (tag.repository == repository) found.push_back(tag);
  return found;
}

Result<std::vector<Tag>> MemoryRepositoryRows::ListRepositoryTags() const {
  std::vector<Tag> found;
  for (const auto& [key, tag] : t_.repository_tags) found.push_back(tag);
  return found;
}

Result<bool> MemoryRepositoryRows::RemoveRepositoryTag(std::string_view repository, std::string_view tag) {
  return Changed(t_.repository_tags.erase({std::string(repository), std::string(tag)}) > 0);
}

Result<std::vector<std::string>> MemoryRepositoryRows::ListRepositories() const {
  std::set<std::string> names;
  for (const auto& [key, blob] : t_.repository_blobs) names.insert(key.first);
  for (const auto& [key, manifest] : t_.repository_manifests) names.insert(key.first);
  return std::vector<std::string>(names.begin(), names.end());
}

Result<std::vector<RepositoryManifest>> MemoryRepositoryRows::ListRepositoryManifests(
    std::string_view repository) const {
  std::vector<RepositoryManifest> found;
  for (const auto& [key, manifest] : t_.repository_manifests)
    if (key.first == repository) found.push_back(manifest);
  return found;
}

Result<std::vector<RepositoryBlob>> MemoryRepositoryRows::ListRepositoryBlobs(
    std::string_view repository) const {
  std::vector<RepositoryBlob> found;
  for (const auto& [key, blob] : t_.repository_blobs)
    if (key.first == repository) found.push_back(blob);
  return found;
}

Result<std::vector<std::string>> MemoryRepositoryRows::ListRepositoriesWith(const oci::Digest& digest) const {
  std::set<std::string> names;
  for (const auto& [key, blob] : t_.repository_blobs)
    if (key.second == digest) names.insert(key.first);
  for (const auto& [key, manifest] : t_.repository_manifests)
    if (key.second == digest) names.insert(key.first);
  return std::vector<std::string>(names.begin(), names.end());
}

Result<std::vector<oci::Digest>> MemoryRepositoryRows::ListRepositoryDigests() const {
  std::set<oci::Digest> digests;
  for (const auto& [key, blob] : t_.repository_blobs) digests.insert(key.second);
  for (const auto& [key, manifest] : t_.repository_manifests) digests.insert(key.second);
  return std::vector<oci::Digest>(digests.begin(), digests.end());
}

}  // namespace ingot::store

#include "plan/volumes.h"

#include <algorithm>

#include "base/units.h"

namespace ingot::plan {

namespace {

uint32_t CountIn(const std::map<std::string, uint32_t>& counts, const std::string& service) {
  const auto found = counts.find(service);
  return found == counts.end() ? 0 : found->second;
}

}  // namespace

Result<void> CheckVolumes(const definition::Resolved& before, const definition::Resolved& next) {
  std::map<std::string, std::string> owners;
  for (const auto& service : before.services)
    for (const auto& volume : service.volumes) owners[volume.name] = service.name;
  for (const auto& service : next.services)
    for (const auto& volume : service.volumes) {
      const auto owner = owners.find(volume.name);
      if (owner != owners.end() && owner->second != service.name)
        return Error(Code::kConflict,
                     "volume " + volume.name + " would go from service " + owner->second + " to " +
                         service.name + ", while members of " + owner->second +
                         " have it; first apply a definition without either, then one with " + service.name);
    }
  return {};
}

std::vector<std::string> VolumeWarnings(const definition::Resolved* before, const definition::Resolved& next,
                                        const std::map<std::string, uint32_t>& counts_before,
                                        const std::map<std::string, uint32_t>& counts_next,
                                        const std::string& sizes_not_kept) {
  std::vector<std::string> out;
  const auto known = [&](const definition::ResolvedVolume& volume) {
    if (before == nullptr) return false;
    return std::any_of(before->services.begin(), before->services.end(), [&](const auto& other) {
      return std::any_of(other.volumes.begin(), other.volumes.end(), [&](const auto& one) {
        return one.name == volume.name && one.size_bytes == volume.size_bytes;
      });
    });
  };
  // Once: each apply would repeat it.
  for (const auto& service : next.services)
    for (const auto& volume : service.volumes)
      if (volume.size_bytes > 0 && !sizes_not_kept.empty() && !known(volume))
        out.push_back("the size of volume " + volume.name + " (" + RenderSize(volume.size_bytes) +
                      ") is not enforced: " + sizes_not_kept);
  if (before == nullptr) return out;
  for (const auto& service : before->services) {
    const uint32_t had = CountIn(counts_before, service.name);
    const uint32_t stays = CountIn(counts_next, service.name);
    for (const auto& volume : service.volumes) {
      const bool kept = std::any_of(next.services.begin(), next.services.end(), [&](const auto& other) {
        return std::any_of(other.volumes.begin(), other.volumes.end(),
                           [&](const auto& one) { return one.name == volume.name; });
      });
      for (uint32_t member = kept ? stays : 0; member < had; ++member)
        out.push_back("volume " + volume.name + "-" + std::to_string(member) +
                      " stays, with no instance that has it; `ingot volume rm` removes it");
    }
  }
  return out;
}

}  // namespace ingot::plan

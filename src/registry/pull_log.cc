#include "registry/pull_log.h"

#include <algorithm>

namespace ingot::registry {

void PullLog::Note(const std::string& repository, const oci::Digest& digest, WallTime now) {
  auto pulls = pulls_.lock();
  std::pair key(repository, digest);
  if (const auto known = pulls->find(key); known != pulls->end()) {
    known->second = now;
  } else if (pulls->size() < kMost) {
    pulls->emplace(std::move(key), now);
  }
}

Result<void> PullLog::Flush(store::Catalog& catalog) {
  Pulls noted;
  noted.swap(*pulls_.lock());
  if (noted.empty()) return {};
  auto written = catalog.Write(
      [&](store::CatalogRows& rows) -> Result<void> {
        for (const auto& [key, time] : noted) TRY(rows.PutPull({key.first, key.second, time}));
        return {};
      },
      Durability::kNone);
  if (!written) {
    auto pulls = pulls_.lock();
    for (const auto& [key, time] : noted) {
      WallTime& kept = (*pulls)[key];
      kept = std::max(kept, time);
    }
  }
  return written;
}

}  // namespace ingot::registry

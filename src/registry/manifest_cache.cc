#include "registry/manifest_cache.h"

namespace ingot::registry {

std::shared_ptr<const KeptManifest> ManifestCache::Find(const oci::Digest& digest) {
  auto state = state_.lock();
  const auto found = state->places.find(digest);
  if (found == state->places.end()) return nullptr;
  state->used.splice(state->used.begin(), state->used, found->second);
  return found->second->manifest;
}

void ManifestCache::Put(const oci::Digest& digest, std::shared_ptr<const KeptManifest> manifest) {
  if (manifest->bytes.size() > limit_bytes_ / 4) return;
  auto state = state_.lock();
  if (state->places.contains(digest)) return;
  state->bytes += manifest->bytes.size();
  state->used.push_front({digest, std::move(manifest)});
  state->places[digest] = state->used.begin();
  while (state->bytes > limit_bytes_) {
    state->bytes -= state->used.back().manifest->bytes.size();
    state->places.erase(state->used.back().digest);
    state->used.pop_back();
  }
}

}  // namespace ingot::registry

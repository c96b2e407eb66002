#include "registry/remote_image.h"

namespace ingot::registry {

Result<RemoteManifest> RemoteSource::GetManifest(const std::optional<oci::Digest>& digest,
                                                 const std::atomic<bool>* cancelled) {
  if (!digest) return client_.GetManifest(reference_, cancelled);
  oci::Reference inner = reference_;
  inner.tag.clear();
  inner.digest = digest;
  return client_.GetManifest(inner, cancelled);
}

Result<void> RemoteTarget::PutManifest(const RemoteManifest& manifest, bool chosen) {
  oci::Reference name = reference_;
  if (!chosen) {
    name.tag.clear();
    name.digest = manifest.digest;
  }
  return client_.PutManifest(name, manifest);
}

}  // namespace ingot::registry

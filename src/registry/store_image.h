// An image of the store, or what was pushed to its registry, as source of a copy. A layer that was made here
// is made while it is read (docs/formats/layer-tar.md).
#pragma once

#include <string>

#include "registry/image_source.h"
#include "store/store.h"

namespace ingot::registry {

class StoreSource final : public ImageSource {
 public:
  // `digest`: of a manifest of the store or of one that was pushed to `repository` (may be empty: then
  // nothing refers to anything). `store` and `lease` must outlive it.
  StoreSource(store::Store& store, std::string repository, oci::Digest digest, std::string name,
              store::Lease& lease)
      : store_(store),
        repository_(std::move(repository)),
        digest_(std::move(digest)),
        name_(std::move(name)),
        lease_(lease) {}

  std::string name() const override { return name_; }
  Result<RemoteManifest> GetManifest(const std::optional<oci::Digest>& digest,
                                     const std::atomic<bool>* cancelled) override;
  Result<void> GetBlob(const oci::Descriptor& blob, uint64_t offset, const ByteSink& sink,
                       const std::atomic<bool>* cancelled) override;
  Result<std::vector<oci::Descriptor>> ListReferrers(const oci::Digest& subject) override;

 private:
  store::Store& store_;
  const std::string repository_;
  const oci::Digest digest_;
  const std::string name_;
  store::Lease& lease_;
};

}  // namespace ingot::registry

// An image of a registry as source or target of a copy.
#pragma once

#include <string>

#include "registry/client.h"
#include "registry/image_source.h"
#include "registry/image_target.h"

namespace ingot::registry {

class RemoteSource final : public ImageSource {
 public:
  // `client` must outlive it; `reference` is Normalized.
  RemoteSource(Client& client, oci::Reference reference)
      : client_(client), reference_(std::move(reference)) {}
  std::string name() const override { return reference_.Render(); }
  Result<RemoteManifest> GetManifest(const std::optional<oci::Digest>& digest,
                                     const std::atomic<bool>* cancelled) override;
  Result<void> GetBlob(const oci::Descriptor& blob, uint64_t offset, const ByteSink& sink,
                       const std::atomic<bool>* cancelled) override {
    return client_.GetBlob(reference_, blob, offset, sink, cancelled);
  }
  Result<std::vector<oci::Descriptor>> ListReferrers(const oci::Digest& subject) override {
    return client_.ListReferrers(reference_, subject);
  }
  std::optional<oci::Reference> remote() const override { return reference_; }

 private:
  Client& client_;
  const oci::Reference reference_;
};

class RemoteTarget final : public ImageTarget {
 public:
  // `source` (may be nullopt): blobs are mounted from there when it is the same registry.
  RemoteTarget(Client& client, oci::Reference reference, const std::optional<oci::Reference>& source)
      : client_(client), reference_(std::move(reference)) {
    if (source && source->registry == reference_.registry) mount_from_ = source->repository;
  }
  int max_jobs() const override { return 16; }
  Result<bool> HasManifest(const RemoteManifest& manifest) override {
    return client_.HasManifest(reference_, manifest.digest);
  }
  Result<bool> HasBlob(const oci::Descriptor& blob) override { return client_.HasBlob(reference_, blob); }
  Result<BlobOutcome> PutBlob(const oci::Descriptor& blob, const BlobReader& read,
                              const std::atomic<bool>* cancelled) override {
    return client_.PutBlob(reference_, blob, read, mount_from_, cancelled);
  }
  Result<void> PutManifest(const RemoteManifest& manifest, bool chosen) override;
  Result<void> Finish() override { return {}; }

 private:
  Client& client_;
  const oci::Reference reference_;
  std::string mount_from_;
};

}  // namespace ingot::registry

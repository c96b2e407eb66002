// An archive as `docker save` writes it and `docker load` and `podman load` read it, as target of a copy.
#pragma once

#include <map>
#include <string>

#include "base/file.h"
#include "registry/archive_writer.h"
#include "registry/image_target.h"

namespace ingot::registry {

// One image, written front to back. Layers are written as they are unpacked: of a compressed one the tar is
// put into a file without a name in `spool` first, because an archive says how long a file is before it
// begins.
class DockerArchiveTarget final : public ImageTarget {
 public:
  // `tag`: "shop/web:1"; may be empty.
  DockerArchiveTarget(ByteSink sink, std::string tag, fs::path spool)
      : writer_(std::move(sink)), tag_(std::move(tag)), spool_(std::move(spool)) {}
  int max_jobs() const override { return 1; }
  Result<bool> HasManifest(const RemoteManifest&) override { return false; }
  Result<bool> HasBlob(const oci::Descriptor&) override { return false; }
  Result<BlobOutcome> PutBlob(const oci::Descriptor& blob, const BlobReader& read,
                              const std::atomic<bool>* cancelled) override;
  // kUnsupported: an index, or what refers to an image, which such an archive cannot hold.
  Result<void> PutManifest(const RemoteManifest& manifest, bool chosen) override;
  Result<void> Finish() override { return writer_.Finish(); }

 private:
  Result<void> PutLayer(const oci::Descriptor& blob, const BlobReader& read);

  ArchiveWriter writer_;
  const std::string tag_;
  const fs::path spool_;
  std::map<oci::Digest, std::string> files_;  // of blobs
};

}  // namespace ingot::registry

// An OCI layout as target of a copy: a folder, or a tar of one (oci-archive).
#pragma once

#include <memory>
#include <string>

#include "base/file.h"
#include "base/sync.h"
#include "oci/index.h"
#include "registry/archive_writer.h"
#include "registry/image_target.h"

namespace ingot::registry {

// A folder that is empty, missing or a layout; what it holds stays, an entry of the same name is replaced.
// index.json is written last.
class LayoutTarget final : public ImageTarget {
 public:
  // `name`: the ref name in index.json; may be empty. kExists: the folder holds something else.
  static Result<std::unique_ptr<LayoutTarget>> Open(const fs::path& folder, std::string name);
  int max_jobs() const override { return 4; }
  Result<bool> HasManifest(const RemoteManifest& manifest) override;
  Result<bool> HasBlob(const oci::Descriptor& blob) override;
  Result<BlobOutcome> PutBlob(const oci::Descriptor& blob, const BlobReader& read,
                              const std::atomic<bool>* cancelled) override;
  Result<void> PutManifest(const RemoteManifest& manifest, bool chosen) override;
  Result<void> Finish() override;

 private:
  LayoutTarget(fs::path folder, std::string name) : folder_(std::move(folder)), name_(std::move(name)) {}
  fs::path PathOf(const oci::Digest& digest) const;
  Result<void> Write(const oci::Digest& digest, const BlobReader& read);

  const fs::path folder_;
  const std::string name_;
  oci::Index index_;
};

// Written front to back to a sink; nothing of it counts before Finish.
class LayoutArchiveTarget final : public ImageTarget {
 public:
  LayoutArchiveTarget(ByteSink sink, std::string name) : writer_(std::move(sink)), name_(std::move(name)) {}
  int max_jobs() const override { return 1; }
  Result<bool> HasManifest(const RemoteManifest&) override { return false; }
  Result<bool> HasBlob(const oci::Descriptor&) override { return false; }
  Result<BlobOutcome> PutBlob(const oci::Descriptor& blob, const BlobReader& read,
                              const std::atomic<bool>* cancelled) override;
  Result<void> PutManifest(const RemoteManifest& manifest, bool chosen) override;
  Result<void> Finish() override;

 private:
  ArchiveWriter writer_;
  const std::string name_;
  oci::Index index_;
};

}  // namespace ingot::registry

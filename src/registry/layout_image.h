// An image of an OCI layout (image-spec 1.1, image-layout.md), a folder or a tar of one (oci-archive), as
// source of a copy.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "oci/index.h"
#include "registry/archive_files.h"
#include "registry/image_source.h"

namespace ingot::registry {

class LayoutSource final : public ImageSource {
 public:
  // The image whose ref name or digest is `name`, or the only one when it is empty. kNotFound: no layout, no
  // such image; kInvalid: several, and no name.
  static Result<std::unique_ptr<LayoutSource>> Open(std::unique_ptr<ArchiveFiles> files,
                                                    std::string_view name);
  std::string name() const override { return files_->name(); }
  Result<RemoteManifest> GetManifest(const std::optional<oci::Digest>& digest,
                                     const std::atomic<bool>* cancelled) override;
  Result<void> GetBlob(const oci::Descriptor& blob, uint64_t offset, const ByteSink& sink,
                       const std::atomic<bool>* cancelled) override;
  // Those that index.json names.
  Result<std::vector<oci::Descriptor>> ListReferrers(const oci::Digest& subject) override;

  // What the layout calls it: "1.0", "docker.io/library/redis:7"; may be empty.
  const std::string& ref_name() const { return ref_name_; }

 private:
  explicit LayoutSource(std::unique_ptr<ArchiveFiles> files) : files_(std::move(files)) {}
  Result<void> Choose(std::string_view name);

  std::unique_ptr<ArchiveFiles> files_;
  oci::Index index_;
  oci::Descriptor chosen_;
  std::string ref_name_;
};

}  // namespace ingot::registry

// An image of an archive as `docker save` writes it, as source of a copy: manifest.json, a configuration, and
// each layer as a tar, mostly not compressed. It has no manifest; one is made that any reader of the same
// archive makes, too.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "registry/archive_files.h"
#include "registry/image_source.h"

namespace ingot::registry {

class DockerArchiveSource final : public ImageSource {
 public:
  // The image with the tag `name` ("shop/web:1"), or the only one when it is empty. kNotFound: no such
  // archive or image; kInvalid: several, and no name; a member that is not what it should be.
  static Result<std::unique_ptr<DockerArchiveSource>> Open(std::unique_ptr<ArchiveFiles> files,
                                                           std::string_view name);
  std::string name() const override { return files_->name(); }
  Result<RemoteManifest> GetManifest(const std::optional<oci::Digest>& digest,
                                     const std::atomic<bool>* cancelled) override;
  Result<void> GetBlob(const oci::Descriptor& blob, uint64_t offset, const ByteSink& sink,
                       const std::atomic<bool>* cancelled) override;
  Result<std::vector<oci::Descriptor>> ListReferrers(const oci::Digest&) override {
    return std::vector<oci::Descriptor>();
  }
  // "shop/web:1", …
  const std::vector<std::string>& tags() const { return tags_; }

 private:
  explicit DockerArchiveSource(std::unique_ptr<ArchiveFiles> files) : files_(std::move(files)) {}
  Result<void> Choose(std::string_view name);
  Result<void> MakeManifest(const std::string& config_file, const std::vector<std::string>& layer_files);

  std::unique_ptr<ArchiveFiles> files_;
  std::vector<std::string> tags_;
  RemoteManifest manifest_;
  std::map<oci::Digest, FilePart> blobs_;
};

}  // namespace ingot::registry

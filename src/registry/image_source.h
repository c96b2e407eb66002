// ImageSource: where an image is copied from: a registry, the store, a layout, an archive. Manifests and
// blobs by digest, as they are.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_stream.h"
#include "base/result.h"
#include "oci/descriptor.h"
#include "oci/reference.h"
#include "registry/remote_manifest.h"
#include "store/tree.h"

namespace ingot::registry {

// One image of it, or index, was chosen when it was made. Any thread.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // For people: "registry.example/app:1", "web.tar".
  virtual std::string name() const = 0;
  // nullopt: the chosen one. kNotFound; kInvalid: its bytes are not what the digest says.
  virtual Result<RemoteManifest> GetManifest(const std::optional<oci::Digest>& digest,
                                             const std::atomic<bool>* cancelled) = 0;
  // The blob's bytes from `offset` on. Size and digest are the caller's to check (CheckedBlob).
  virtual Result<void> GetBlob(const oci::Descriptor& blob, uint64_t offset, const ByteSink& sink,
                               const std::atomic<bool>* cancelled) = 0;
  // A layer whose canonical tar is `diff_id` as a tree, with its contents in the pool of the store that it is
  // taken into; nullopt: only as a blob. Whether it is that layer is the caller's to check.
  virtual Result<std::optional<store::Tree>> GetTree(const oci::Digest& diff_id) {
    static_cast<void>(diff_id);
    return std::optional<store::Tree>();
  }
  // Signatures, bills of materials and the like that refer to `subject`. None is none; kUnsupported where
  // there can be none.
  virtual Result<std::vector<oci::Descriptor>> ListReferrers(const oci::Digest& subject) = 0;
  // The repository of a registry that it is, from which another one there may mount blobs.
  virtual std::optional<oci::Reference> remote() const { return std::nullopt; }
};

}  // namespace ingot::registry

// ImageTarget: where an image is copied to: a registry, a layout, an archive.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "base/byte_stream.h"
#include "base/result.h"
#include "oci/descriptor.h"
#include "registry/remote_manifest.h"

namespace ingot::registry {

// Gives a blob's bytes from an offset on; may be called again after an error of the sink. Fails after the
// last byte when size or digest are wrong: then nothing of it may be kept.
using BlobReader = std::function<Result<void>(uint64_t offset, const ByteSink& sink)>;

enum class BlobOutcome { kCopied, kMounted };

// Blobs come first, then manifests, what they refer to before them. Any thread, for blobs.
class ImageTarget {
 public:
  virtual ~ImageTarget() = default;
  // How many blobs at once make sense at most.
  virtual int max_jobs() const = 0;
  // Whether it has the manifest and so all blobs that it names.
  virtual Result<bool> HasManifest(const RemoteManifest& manifest) = 0;
  virtual Result<bool> HasBlob(const oci::Descriptor& blob) = 0;
  virtual Result<BlobOutcome> PutBlob(const oci::Descriptor& blob, const BlobReader& read,
                                      const std::atomic<bool>* cancelled) = 0;
  // `chosen`: it is the one that the copy is about, and gets the name.
  virtual Result<void> PutManifest(const RemoteManifest& manifest, bool chosen) = 0;
  // After everything: what was written becomes visible.
  virtual Result<void> Finish() = 0;
};

}  // namespace ingot::registry

// Copying an image from one place to another, byte for byte: a push, an export, a copy between registries.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/result.h"
#include "oci/descriptor.h"
#include "registry/image_source.h"
#include "registry/image_target.h"

namespace ingot::registry {

struct CopyProgress {
  uint64_t done_bytes = 0;
  uint64_t total_bytes = 0;  // of the blobs that the target lacks
  size_t blobs_done = 0;
  size_t blobs_total = 0;
};

struct CopyOptions {
  int jobs = 4;                           // blobs at a time
  std::optional<oci::Platform> platform;  // of an index only this image; unset: all of it
  bool referrers = false;                 // also what refers to it: signatures, bills of materials
  // Called from several threads, never from two at once.
  std::function<void(const CopyProgress&)> progress;
};

struct CopiedImage {
  oci::Digest digest;  // of the chosen manifest or index
  size_t manifests = 0;
  size_t referrers = 0;  // of the manifests
  size_t blobs_copied = 0;
  size_t blobs_mounted = 0;
  size_t blobs_present = 0;
  uint64_t copied_bytes = 0;
};

// Every size and digest is checked. What the target has is not transferred. On an error the target's names
// lead to what they led to before.
//
// kNotFound: no such image, or none for the platform. kInvalid: a size or digest is not what was said. Else
// as the source and the target.
Result<CopiedImage> CopyImage(ImageSource& source, ImageTarget& target, const CopyOptions& options);

// "linux/arm64/v8". kInvalid.
Result<oci::Platform> ParsePlatform(std::string_view text);
std::string ShowPlatform(const oci::Platform& platform);

}  // namespace ingot::registry

// CheckedBlob: a source's blob, read whole at least once, with its size and digest checked on the way.
#pragma once

#include <functional>
#include <variant>

#include "base/sha256.h"
#include "base/sha512.h"
#include "registry/image_source.h"

namespace ingot::registry {

// One reader at a time.
class CheckedBlob {
 public:
  CheckedBlob(ImageSource& source, const oci::Descriptor& blob, const std::atomic<bool>* cancelled);

  // As BlobReader. kInvalid after the last byte when they are not the descriptor's; begins again where an
  // earlier call ended, before or after it.
  Result<void> Read(uint64_t offset, const ByteSink& sink);

 private:
  Result<void> Check();

  ImageSource& source_;
  const oci::Descriptor& blob_;
  const std::atomic<bool>* cancelled_;
  std::variant<Sha256, Sha512> hash_;
  uint64_t hashed_bytes_ = 0;
  bool right_ = false;
};

}  // namespace ingot::registry

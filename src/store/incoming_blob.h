// IncomingBlob: a blob from elsewhere while it arrives. Its bytes are counted and digested as they come, can
// be read once they are known to be right, and get their name in the store only when the caller says so: so a
// layer can be refused after it was looked into, and nothing of it is left.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/byte_stream.h"
#include "base/result.h"
#include "base/sha256.h"
#include "oci/digest.h"
#include "store/disk_budget.h"
#include "store/durable_file.h"

namespace ingot::store {

// Made by Store::ReceiveBlob. One thread at a time. Destroyed without Publish: nothing is kept.
class IncomingBlob {
 public:
  // The next bytes. kInvalid when they are more than the blob has.
  Result<void> Write(std::string_view bytes);
  uint64_t received_bytes() const { return received_bytes_; }
  uint64_t size_bytes() const { return size_bytes_; }
  const oci::Digest& digest() const { return digest_; }

  // After the last byte: kInvalid unless size and digest are the blob's.
  Result<void> Check();
  // Its bytes from the beginning; after Check. Several may be open.
  Result<Fd> Open() const;
  // The same while it arrives, for who knows that the bytes may be wrong.
  Result<Fd> OpenUnchecked() const;
  // Gives it its name, durably; after Check.
  Result<void> Publish();

 private:
  friend class Store;
  IncomingBlob(oci::Digest digest, uint64_t size_bytes, fs::path path, DurableFile file, DiskShare share)
      : digest_(std::move(digest)),
        size_bytes_(size_bytes),
        path_(std::move(path)),
        file_(std::move(file)),
        share_(std::move(share)) {}
  oci::Digest digest_;
  uint64_t size_bytes_;
  fs::path path_;
  DurableFile file_;
  DiskShare share_;
  Sha256 hash_;
  uint64_t received_bytes_ = 0;
  bool checked_ = false;
};

}  // namespace ingot::store

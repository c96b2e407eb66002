// fs-verity's Merkle tree (Linux, Documentation/filesystems/fsverity.rst, "Merkle tree" and "File digest
// computation") on base/sha256.h. Not libfsverity: it goes through EVP for each 4 KiB block, at a third of
// the speed.
#include "store/object_id.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "base/sha256.h"
#include "base/sha256_pair.h"

namespace ingot::store {
namespace {

constexpr size_t kBlock = 4096;
constexpr size_t kReadAhead = 256 * 1024;  // stays in the second-level cache between read and hash

Sha256::Bytes HashBytes(const void* bytes, size_t size) {
  Sha256 hash;
  hash.Update(std::string_view(static_cast<const char*>(bytes), size));
  return hash.Finish();
}

// struct fsverity_descriptor for SHA-256, 4 KiB blocks, no salt; its SHA-256 is the file's digest.
ObjectId FileDigest(const Sha256::Bytes& root, uint64_t size) {
  std::array<uint8_t, 256> descriptor{};
  descriptor[0] = 1;   // version
  descriptor[1] = 1;   // FS_VERITY_HASH_ALG_SHA256
  descriptor[2] = 12;  // log2 of the block size
  for (size_t i = 0; i < 8; ++i) descriptor[8 + i] = static_cast<uint8_t>(size >> (8 * i));
  std::copy(root.begin(), root.end(), descriptor.begin() + 16);
  return ObjectId(HashBytes(descriptor.data(), descriptor.size()));
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

// The tree is built from the leaves as the bytes come: each level holds the one block of hashes that is not
// yet full. A full block is only hashed into the level above when one more hash comes, since it may turn out
// to be the root.
struct ObjectHasher::State {
  static constexpr size_t kLevels = 8;  // 128^8 blocks: more than 64-bit sizes
  std::array<uint8_t, kBlock> data;     // of the last, incomplete block
  size_t data_used = 0;
  uint64_t size = 0;
  std::array<std::array<uint8_t, kBlock>, kLevels> hashes;
  std::array<size_t, kLevels> used{};

  void AddHash(const Sha256::Bytes& hash, size_t level) {
    if (used[level] == kBlock) {
      AddHash(HashBytes(hashes[level].data(), kBlock), level + 1);
      used[level] = 0;
    }
    std::copy(hash.begin(), hash.end(), hashes[level].begin() + used[level]);
    used[level] += hash.size();
  }

  Sha256::Bytes Root() {
    if (data_used > 0) {
      std::fill(data.begin() + data_used, data.end(), 0);
      AddHash(HashBytes(data.data(), kBlock), 0);
    }
    for (size_t level = 0;; ++level) {
      const bool top = level + 1 == kLevels || used[level + 1] == 0;
      if (top && used[level] == sizeof(Sha256::Bytes)) {
        Sha256::Bytes root;
        std::copy_n(hashes[level].begin(), root.size(), root.begin());
        return root;
      }
      std::fill(hashes[level].begin() + used[level], hashes[level].end(), 0);
      const Sha256::Bytes hash = HashBytes(hashes[level].data(), kBlock);
      if (top) return hash;
      AddHash(hash, level + 1);
    }
  }

  void Clear() {
    data_used = 0;
    size = 0;
    used.fill(0);
  }
};

ObjectHasher::ObjectHasher() : state_(new State) {}
ObjectHasher::~ObjectHasher() {
  delete state_;
}

void ObjectHasher::Update(std::string_view bytes) {
  State& s = *state_;
  s.size += bytes.size();
  if (s.data_used > 0) {
    const size_t n = std::min(bytes.size(), kBlock - s.data_used);
    std::memcpy(s.data.data() + s.data_used, bytes.data(), n);
    s.data_used += n;
    bytes.remove_prefix(n);
    if (s.data_used < kBlock) return;
    s.AddHash(HashBytes(s.data.data(), kBlock), 0);
    s.data_used = 0;
  }
  while (bytes.size() >= 2 * kBlock) {
    Sha256::Bytes first;
    Sha256::Bytes second;
    Sha256Pair(bytes.data(), bytes.data() + kBlock, kBlock, first, second);
    s.AddHash(first, 0);
    s.AddHash(second, 0);
    bytes.remove_prefix(2 * kBlock);
  }
  if (bytes.size() >= kBlock) {
    s.AddHash(HashBytes(bytes.data(), kBlock), 0);
    bytes.remove_prefix(kBlock);
  }
  if (!bytes.empty()) std::memcpy(s.data.data(), bytes.data(), bytes.size());
  s.data_used = bytes.size();
}

ObjectId ObjectHasher::Finish() {
  ObjectId id;
  if (state_->size > 0) {
    const Sha256::Bytes root = state_->Root();
    id = FileDigest(root, state_->size);
  }
  state_->Clear();
  return id;
}

Result<ObjectId> ObjectId::Parse(std::string_view hex) {
  Bytes bytes;
  const auto bad = [&] {
    return Error(Code::kInvalid,
                 "\"" + std::string(hex.substr(0, 80)) +
                     "\" is not an object's name: 64 lower-case hexadecimal digits are expected.");
  };
  if (hex.size() != 2 * bytes.size()) return bad();
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int high = HexValue(hex[2 * i]);
    const int low = HexValue(hex[2 * i + 1]);
    if (high < 0 || low < 0) return bad();
    bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return ObjectId(bytes);
}

ObjectId ObjectId::Of(std::string_view contents) {
  if (contents.empty()) return {};
  if (contents.size() <= kBlock) {  // most files: one block is its own root
    std::array<uint8_t, kBlock> block;
    std::memcpy(block.data(), contents.data(), contents.size());
    std::memset(block.data() + contents.size(), 0, kBlock - contents.size());
    return FileDigest(HashBytes(block.data(), kBlock), contents.size());
  }
  ObjectHasher hasher;
  hasher.Update(contents);
  return hasher.Finish();
}

Result<ObjectId::Measured> ObjectId::OfFile(int fd) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(kReadAhead);
  ObjectHasher hasher;
  Measured measured;
  while (true) {
    const ssize_t n = ::pread(fd, buffer.get(), kReadAhead, static_cast<off_t>(measured.size_bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read a file to hash it");
    if (n == 0) break;
    hasher.Update(std::string_view(buffer.get(), static_cast<size_t>(n)));
    measured.size_bytes += static_cast<uint64_t>(n);
  }
  measured.id = hasher.Finish();
  return measured;
}

std::string ObjectId::Render() const {
  return Hex(bytes_);
}

std::string ObjectId::RelativePath() const {
  std::string path = Render();
  path.insert(2, 1, '/');
  return path;
}

}  // namespace ingot::store

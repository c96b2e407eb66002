// ObjectId: the name of one file's contents in the object pool.
//
// It is the fs-verity digest of the contents (SHA-256, 4 KiB blocks, no salt), the digest the kernel itself
// computes and checks when fs-verity is enabled on a file, and the one that overlayfs finds in a `metacopy`
// attribute.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::store {

class ObjectId {
 public:
  using Bytes = std::array<uint8_t, 32>;

  ObjectId() = default;  // empty: "no object", which is what an empty file has
  explicit ObjectId(const Bytes& bytes) : bytes_(bytes) {}

  // 64 lower-case hexadecimal digits; kInvalid otherwise. Inverse of Render.
  static Result<ObjectId> Parse(std::string_view hex);
  // The digest of contents held in memory; the empty ObjectId for no bytes. Any thread.
  static ObjectId Of(std::string_view contents);
  // The digest of what `fd` holds from its beginning to its end (pread; the offset is not moved), and how
  // many bytes that was. kIo.
  struct Measured;
  static Result<Measured> OfFile(int fd);

  std::string Render() const;
  // Where the pool keeps it: "ab/cdef…" (2 + "/" + 62).
  std::string RelativePath() const;
  const Bytes& bytes() const { return bytes_; }
  bool empty() const { return *this == ObjectId(); }
  auto operator<=>(const ObjectId&) const = default;

 private:
  Bytes bytes_{};
};

struct ObjectId::Measured {
  ObjectId id;
  uint64_t size_bytes = 0;
};

// The fs-verity digest of a stream that arrives in pieces.
class ObjectHasher {
 public:
  ObjectHasher();
  ~ObjectHasher();
  ObjectHasher(const ObjectHasher&) = delete;
  ObjectHasher& operator=(const ObjectHasher&) = delete;
  void Update(std::string_view bytes);
  // The id of everything so far; the hasher is then as new.
  ObjectId Finish();

 private:
  struct State;
  State* state_;  // owned; 36 KiB
};

}  // namespace ingot::store

template <>
struct std::hash<ingot::store::ObjectId> {
  size_t operator()(const ingot::store::ObjectId& id) const noexcept {
    size_t value;  // a digest is already uniform
    std::memcpy(&value, id.bytes().data(), sizeof value);
    return value;
  }
};

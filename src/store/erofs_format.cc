#include "store/erofs_format.h"

#include <algorithm>
#include <bit>

namespace ingot::store::erofs {
namespace {

// XXH32 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md).
constexpr uint32_t kPrime1 = 0x9e3779b1, kPrime2 = 0x85ebca77, kPrime3 = 0xc2b2ae3d, kPrime4 = 0x27d4eb2f,
                   kPrime5 = 0x165667b1;

uint32_t Load32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

uint32_t XxHash32(std::string_view bytes, uint32_t seed) {
  size_t at = 0;
  uint32_t hash;
  if (bytes.size() >= 16) {
    uint32_t lanes[4] = {seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1};
    for (; at + 16 <= bytes.size(); at += 16) {
      for (size_t i = 0; i < 4; ++i) {
        lanes[i] = std::rotl(lanes[i] + Load32(bytes, at + 4 * i) * kPrime2, 13) * kPrime1;
      }
    }
    hash =
        std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) + std::rotl(lanes[3], 18);
  } else {
    hash = seed + kPrime5;
  }
  hash += static_cast<uint32_t>(bytes.size());
  for (; at + 4 <= bytes.size(); at += 4) hash = std::rotl(hash + Load32(bytes, at) * kPrime3, 17) * kPrime4;
  for (; at < bytes.size(); ++at) {
    hash = std::rotl(hash + static_cast<unsigned char>(bytes[at]) * kPrime5, 11) * kPrime1;
  }
  hash = (hash ^ hash >> 15) * kPrime2;
  hash = (hash ^ hash >> 13) * kPrime3;
  return hash ^ hash >> 16;
}

}  // namespace

uint32_t XattrFilterBit(uint8_t index, std::string_view rest) {
  return uint32_t{1} << (XxHash32(rest, kFilterSeed + index) & 31);
}

uint32_t ChunkBits(uint64_t size_bytes) {
  const auto bits = static_cast<uint32_t>(std::bit_width(size_bytes - 1));
  return std::clamp(bits, kBlockBits, kMaxChunkBits);
}

uint32_t ChunkCount(uint64_t size_bytes) {
  const uint32_t bits = ChunkBits(size_bytes);
  return static_cast<uint32_t>((size_bytes + (uint64_t{1} << bits) - 1) >> bits);
}

uint8_t DirentTypeOf(NodeType type) {
  switch (type) {
    case NodeType::kRegular:
      return kRegularType;
    case NodeType::kDirectory:
      return kDirectoryType;
    case NodeType::kSymlink:
      return kSymlinkType;
    case NodeType::kCharDevice:
    case NodeType::kWhiteout:
      return kCharType;
    case NodeType::kBlockDevice:
      return kBlockType;
    case NodeType::kFifo:
      return kFifoType;
  }
  return 0;
}

bool IsObjectPath(std::string_view path) {
  if (path.size() != 65 || path[2] != '/') return false;
  return std::all_of(path.begin(), path.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '/'; });
}

}  // namespace ingot::store::erofs

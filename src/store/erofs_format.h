// EROFS on disk (Linux, fs/erofs/erofs_fs.h; https://erofs.docs.kernel.org, "Core on-disk format") and the
// composefs header, as far as a sealed layer uses them. All numbers are little-endian.
// docs/formats/sealed-layer.md shows how they are put together.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "store/tree.h"

namespace ingot::store::erofs {

constexpr uint32_t kComposefsMagic = 0xd078629a;  // at 0
constexpr uint32_t kComposefsVersion = 1;         // at 4; flags at 8
constexpr uint32_t kComposefsHasAcl = 1;

constexpr uint32_t kMagic = 0xe0f5e1e2;
constexpr uint32_t kBlockBits = 12;
constexpr uint32_t kBlock = 1 << kBlockBits;
constexpr uint32_t kSuperblock = 1024;  // offset; 128 bytes
constexpr uint32_t kMetadata = 1152;    // the first inode follows the superblock
constexpr uint32_t kSlot = 32;          // inode number × 32 = its offset
constexpr uint32_t kFeatureMtime = 0x2;
constexpr uint32_t kFeatureXattrFilter = 0x4;

constexpr uint32_t kCompactInode = 32;
constexpr uint32_t kExtendedInode = 64;
constexpr uint32_t kXattrHeader = 12;
constexpr uint32_t kXattrEntry = 4;
constexpr uint32_t kDirent = 12;
constexpr uint32_t kNullAddress = 0xffffffff;
constexpr uint32_t kMaxChunkBits = 31 + kBlockBits;

enum Layout : uint32_t { kFlatPlain = 0, kFlatInline = 2, kChunkBased = 4 };
enum FileType : uint8_t {
  kRegularType = 1,
  kDirectoryType,
  kCharType,
  kBlockType,
  kFifoType,
  kSocketType,
  kSymlinkType
};

uint8_t DirentTypeOf(NodeType type);

// Limits of Ingot's own, so that reading stays proportional to the size of the image.
constexpr size_t kMaxSharedValue = 128;       // bytes of an attribute value that may be shared between inodes
constexpr size_t kMaxAttributeBytes = 65536;  // of one inode, names and values
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 48;

// An attribute's name is told as the number of a prefix and the rest.
struct XattrPrefix {
  uint8_t index;
  std::string_view text;
  bool whole;  // the prefix is the whole name
};
constexpr std::array<XattrPrefix, 5> kXattrPrefixes{{
    {1, "user.", false},
    {2, "system.posix_acl_access", true},
    {3, "system.posix_acl_default", true},
    {4, "trusted.", false},
    {6, "security.", false},
}};

constexpr std::string_view kMetacopy = "trusted.overlay.metacopy";
constexpr std::string_view kRedirect = "trusted.overlay.redirect";
constexpr std::string_view kOpaque = "trusted.overlay.opaque";
constexpr std::string_view kOverlayPrefix = "trusted.overlay.";
// struct ovl_metacopy: version 0, length, flags 0, FS_VERITY_HASH_ALG_SHA256; the digest follows.
constexpr std::string_view kMetacopyHeader("\x00\x24\x00\x01", 4);

// One bit per attribute name: set when the inode surely lacks it. Overlayfs asks each inode for three names.
constexpr uint32_t kFilterSeed = 0x25bbe08f;
uint32_t XattrFilterBit(uint8_t index, std::string_view rest);

// The chunk size, as a power of two, of a file with one hole for its contents: one chunk up to 8 TiB.
uint32_t ChunkBits(uint64_t size_bytes);
uint32_t ChunkCount(uint64_t size_bytes);

// "ab/cdef…" at the root of a layer: the name that overlayfs looks up for an object, in the layers below as
// well.
bool IsObjectPath(std::string_view path);

}  // namespace ingot::store::erofs

// ParseSealed: from bytes that anybody may have made. Every offset is checked before it is followed, each
// directory is entered once, and the entries of all directories together may not be larger than the image: so
// the work is bounded by its size, whatever the inodes point at.
#include <unordered_map>
#include <vector>

#include "store/erofs_format.h"
#include "store/sealed_layer.h"

namespace ingot::store {
namespace {

using namespace erofs;

struct RawInode {
  uint32_t layout = 0;
  uint32_t xattr_count = 0;
  uint32_t mode = 0;
  uint64_t size = 0;
  uint32_t detail = 0;
  Node node;
  uint64_t xattrs_at = 0;
  uint64_t tail_at = 0;
};

class Reader {
 public:
  explicit Reader(std::string_view image) : image_(image) {}

  Result<Tree> Parse() {
    TRY(ReadSuperblock());
    TRY(ReadDirectory("", root_, /*is_root=*/true));
    while (!pending_.empty()) {
      const auto [path, number] = std::move(pending_.back());
      pending_.pop_back();
      TRY(ReadDirectory(path, number, /*is_root=*/false));
    }
    return std::move(tree_);
  }

 private:
  Error Corrupt(uint64_t at, std::string_view what) const {
    return Error(Code::kCorrupt, "The sealed layer is damaged at byte " + std::to_string(at) + ": " +
                                     std::string(what) +
                                     ". Run \"ingot verify\", then pull or build the image again.");
  }
  // A little-endian number; nothing but zero beyond the end (callers check ranges first).
  uint64_t Number(uint64_t at, size_t bytes) const {
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;) {
      value = value << 8 | (at + i < image_.size() ? static_cast<unsigned char>(image_[at + i]) : 0);
    }
    return value;
  }
  bool Inside(uint64_t at, uint64_t size) const { return at <= image_.size() && size <= image_.size() - at; }

  Result<void> ReadSuperblock();
  Result<RawInode> ReadInode(uint64_t number);
  Result<void> ReadAttributes(const RawInode& raw, Node& node);
  Result<void> ReadAttribute(uint64_t at, uint64_t end, bool shared, Node& node, uint64_t& size);
  Result<void> TakeAttribute(uint64_t at, std::string name, std::string_view value, Node& node);
  Result<void> ReadDirectory(const std::string& path, uint64_t number, bool is_root);
  Result<void> ReadEntries(const std::string& path, std::string_view block, uint64_t at);
  Result<void> Add(const std::string& path, uint64_t number, uint64_t type, uint64_t at);

  std::string_view image_;
  uint64_t root_ = 0;
  uint64_t shared_at_ = 0;
  int64_t epoch_s_ = 0;
  uint32_t epoch_ns_ = 0;
  Tree tree_;
  std::unordered_map<uint64_t, std::string> first_names_;  // of inodes that are not directories
  std::vector<std::pair<std::string, uint64_t>> pending_;  // directories to read
  std::unordered_map<uint64_t, bool> directories_;
  std::string last_name_;     // of the directory being read: entries are strictly ascending
  uint64_t entry_bytes_ = 0;  // in all directories read so far
  uint64_t path_bytes_ = 0;   // of all names made so far
};

Result<void> Reader::ReadSuperblock() {
  if (image_.size() < kBlock || image_.size() % kBlock != 0) {
    return Corrupt(image_.size(), "its size is not a multiple of 4,096 bytes");
  }
  if (Number(0, 4) != kComposefsMagic || Number(4, 4) != kComposefsVersion)
    return Corrupt(0, "no composefs header");
  if (Number(kSuperblock, 4) != kMagic) return Corrupt(kSuperblock, "no EROFS superblock");
  if (Number(kSuperblock + 12, 1) != kBlockBits)
    return Corrupt(kSuperblock + 12, "blocks are not 4,096 bytes");
  if (Number(kSuperblock + 13, 1) != 0) return Corrupt(kSuperblock + 13, "an extended superblock");
  root_ = Number(kSuperblock + 14, 2);
  epoch_s_ = static_cast<int64_t>(Number(kSuperblock + 24, 8));
  epoch_ns_ = static_cast<uint32_t>(Number(kSuperblock + 32, 4));
  if (epoch_ns_ > 999'999'999) return Corrupt(kSuperblock + 32, "a time with too many nanoseconds");
  if (Number(kSuperblock + 36, 4) * kBlock != image_.size())
    return Corrupt(kSuperblock + 36, "the count of blocks is wrong");
  if (Number(kSuperblock + 40, 4) != 0)
    return Corrupt(kSuperblock + 40, "the inodes do not count from the beginning");
  shared_at_ = Number(kSuperblock + 44, 4) * kBlock;
  if (Number(kSuperblock + 80, 4) != 0)
    return Corrupt(kSuperblock + 80, "a feature that sealed layers do not use");
  return {};
}

Result<RawInode> Reader::ReadInode(uint64_t number) {
  if (number > image_.size() / kSlot) return Corrupt(image_.size(), "an inode lies beyond the end");
  const uint64_t at = number * kSlot;
  if (at < kMetadata || !Inside(at, kCompactInode))
    return Corrupt(at, "an inode lies outside the inode area");
  RawInode raw;
  const uint64_t format = Number(at, 2);
  const bool extended = (format & 1) != 0;
  if (!Inside(at, extended ? kExtendedInode : kCompactInode)) return Corrupt(at, "an inode is cut off");
  if (format > 0xf) return Corrupt(at, "an inode of an unknown format");
  raw.layout = static_cast<uint32_t>(format >> 1);
  raw.xattr_count = static_cast<uint32_t>(Number(at + 2, 2));
  raw.mode = static_cast<uint32_t>(Number(at + 4, 2));
  Node& node = raw.node;
  node.mode = raw.mode & 07777;
  if (extended) {
    raw.size = Number(at + 8, 8);
    raw.detail = static_cast<uint32_t>(Number(at + 16, 4));
    node.uid = static_cast<uint32_t>(Number(at + 24, 4));
    node.gid = static_cast<uint32_t>(Number(at + 28, 4));
    node.mtime_s = static_cast<int64_t>(Number(at + 32, 8));
    node.mtime_ns = static_cast<uint32_t>(Number(at + 40, 4));
    if (node.mtime_ns > 999'999'999) return Corrupt(at + 40, "a time with too many nanoseconds");
  } else {
    raw.size = Number(at + 8, 4);
    raw.detail = static_cast<uint32_t>(Number(at + 16, 4));
    node.uid = static_cast<uint32_t>(Number(at + 24, 2));
    node.gid = static_cast<uint32_t>(Number(at + 26, 2));
    node.mtime_s = epoch_s_;
    node.mtime_ns = epoch_ns_;
  }
  raw.xattrs_at = at + (extended ? kExtendedInode : kCompactInode);
  const uint64_t xattr_size = raw.xattr_count == 0 ? 0 : kXattrHeader + 4 * (uint64_t{raw.xattr_count} - 1);
  if (!Inside(raw.xattrs_at, xattr_size)) return Corrupt(at, "the attributes of an inode are cut off");
  raw.tail_at = raw.xattrs_at + xattr_size;

  switch (raw.mode & 0170000) {
    case 0100000:
      node.type = NodeType::kRegular;
      break;
    case 0040000:
      node.type = NodeType::kDirectory;
      break;
    case 0120000:
      node.type = NodeType::kSymlink;
      break;
    case 0060000:
      node.type = NodeType::kBlockDevice;
      break;
    case 0010000:
      node.type = NodeType::kFifo;
      break;
    case 0020000:
      node.type = raw.detail == 0 ? NodeType::kWhiteout : NodeType::kCharDevice;
      break;
    default:
      return Corrupt(at + 4, "an inode of a type that a layer cannot hold");
  }
  const bool expect_chunks = node.type == NodeType::kRegular && raw.size > 0;
  if (raw.layout != kChunkBased &&
      (expect_chunks || (raw.layout != kFlatPlain && raw.layout != kFlatInline))) {
    return Corrupt(at, "an inode with contents of its own");
  }
  if (raw.layout == kChunkBased && !expect_chunks) return Corrupt(at, "an inode of the wrong layout");
  if (expect_chunks) {
    if (raw.size > kMaxFileBytes) return Corrupt(at + 8, "a file larger than 256 TiB");
    if (raw.detail != ChunkBits(raw.size) - kBlockBits)
      return Corrupt(at + 16, "a chunk size that does not fit the file");
    const uint32_t chunks = ChunkCount(raw.size);
    if (!Inside(raw.tail_at, 4 * uint64_t{chunks}))
      return Corrupt(raw.tail_at, "the chunks of a file are cut off");
    for (uint32_t i = 0; i < chunks; ++i) {
      if (Number(raw.tail_at + 4 * uint64_t{i}, 4) != kNullAddress)
        return Corrupt(raw.tail_at, "a file with contents of its own");
    }
    node.size_bytes = raw.size;
  }
  if (node.type == NodeType::kCharDevice || node.type == NodeType::kBlockDevice) {
    node.rdev_major = raw.detail >> 8 & 0xfff;
    node.rdev_minor = (raw.detail & 0xff) | (raw.detail >> 12 & 0xfff00);
  }
  if (node.type == NodeType::kSymlink) {
    if (raw.size == 0 || raw.size > 4095)
      return Corrupt(at + 8, "a symbolic link's target has 1 to 4,095 bytes");
    const uint64_t target_at = raw.layout == kFlatInline ? raw.tail_at : uint64_t{raw.detail} * kBlock;
    if (!Inside(target_at, raw.size)) return Corrupt(at, "a symbolic link's target is cut off");
    node.target = std::string(image_.substr(target_at, raw.size));
    if (node.target.find('\0') != std::string::npos)
      return Corrupt(target_at, "a symbolic link's target has a NUL byte");
  }
  TRY(ReadAttributes(raw, node));
  if (node.type == NodeType::kRegular && node.object.empty() != (node.size_bytes == 0)) {
    return Corrupt(at, "a file with contents but no object, or none but one");
  }
  if (node.type == NodeType::kWhiteout) node = Node::Whiteout();
  return raw;
}

Result<void> Reader::ReadAttributes(const RawInode& raw, Node& node) {
  if (raw.xattr_count == 0) return {};
  const uint64_t shared = Number(raw.xattrs_at + 4, 1);
  uint64_t at = raw.xattrs_at + kXattrHeader;
  if (shared * 4 > raw.tail_at - at) return Corrupt(at, "more shared attributes than there is room for");
  uint64_t size = 0;
  uint64_t total = 0;
  for (uint64_t i = 0; i < shared; ++i, at += 4) {
    TRY(ReadAttribute(shared_at_ + Number(at, 4) * 4, image_.size(), /*shared=*/true, node, size));
    total += size;
  }
  while (at < raw.tail_at) {
    TRY(ReadAttribute(at, raw.tail_at, /*shared=*/false, node, size));
    at += (size + 3) / 4 * 4;
    total += size;
  }
  if (at != raw.tail_at) return Corrupt(at, "an attribute is cut off");
  if (total > kMaxAttributeBytes)
    return Corrupt(raw.xattrs_at, "the attributes of an inode are larger than 64 KiB");
  return {};
}

Result<void> Reader::ReadAttribute(uint64_t at, uint64_t end, bool shared, Node& node, uint64_t& size) {
  if (!Inside(at, kXattrEntry) || end < at + kXattrEntry) return Corrupt(at, "an attribute is cut off");
  const uint64_t name_size = Number(at, 1);
  const uint64_t index = Number(at + 1, 1);
  const uint64_t value_size = Number(at + 2, 2);
  size = kXattrEntry + name_size + value_size;
  if (size > end - at) return Corrupt(at, "an attribute is cut off");
  if (shared && value_size > kMaxSharedValue) return Corrupt(at, "a shared attribute of more than 128 bytes");
  const std::string_view rest = image_.substr(at + kXattrEntry, name_size);
  for (const XattrPrefix& prefix : kXattrPrefixes) {
    if (prefix.index != index) continue;
    if (prefix.whole != rest.empty()) break;
    return TakeAttribute(at, std::string(prefix.text) + std::string(rest),
                         image_.substr(at + kXattrEntry + name_size, value_size), node);
  }
  return Corrupt(at, "an attribute of an unknown kind");
}

Result<void> Reader::TakeAttribute(uint64_t at, std::string name, std::string_view value, Node& node) {
  if (name == kRedirect) {
    if (node.type != NodeType::kRegular || !value.starts_with('/') || !IsObjectPath(value.substr(1))) {
      return Corrupt(at, "a redirect that does not lead to an object");
    }
    std::string hex(value.substr(1));
    hex.erase(2, 1);
    const ObjectId id = TRY(ObjectId::Parse(hex));
    if (!node.object.empty() && node.object != id)
      return Corrupt(at, "a redirect to another object than its digest names");
    node.object = id;
  } else if (name == kMetacopy) {
    if (node.type != NodeType::kRegular || value.size() != 36 || !value.starts_with(kMetacopyHeader)) {
      return Corrupt(at, "a metacopy attribute without an fs-verity digest");
    }
    ObjectId::Bytes bytes;
    std::memcpy(bytes.data(), value.data() + 4, bytes.size());
    if (!node.object.empty() && node.object != ObjectId(bytes))
      return Corrupt(at, "a digest of another object than it redirects to");
    node.object = ObjectId(bytes);
  } else if (name == kOpaque) {
    if (node.type != NodeType::kDirectory || value != "y") return Corrupt(at, "an opaque mark that is none");
    node.opaque = true;
  } else if (name.starts_with(kOverlayPrefix) ||
             name.find_first_of(std::string_view("=\0", 2)) != std::string::npos) {
    return Corrupt(at, "an attribute that a sealed layer cannot hold");
  } else if (!node.xattrs.emplace(std::move(name), value).second) {
    return Corrupt(at, "an attribute stands twice");
  }
  return {};
}

Result<void> Reader::ReadDirectory(const std::string& path, uint64_t number, bool is_root) {
  RawInode raw = TRY(ReadInode(number));
  if (!raw.node.IsDirectory()) return Corrupt(number * kSlot, "the root is not a directory");
  if (is_root) {
    directories_.emplace(number, true);
    TRY(tree_.Put("", raw.node));
  }
  entry_bytes_ += raw.size;
  if (entry_bytes_ > image_.size()) return Corrupt(number * kSlot, "directories are larger than the image");
  const uint64_t tail = raw.layout == kFlatInline ? raw.size % kBlock : 0;
  const uint64_t in_blocks = raw.size - tail;
  const uint64_t data_at = uint64_t{raw.detail} * kBlock;
  if (!Inside(data_at, in_blocks) || !Inside(raw.tail_at, tail))
    return Corrupt(number * kSlot, "a directory is cut off");
  last_name_.clear();
  for (uint64_t done = 0; done < in_blocks; done += kBlock) {
    const uint64_t size = std::min<uint64_t>(kBlock, in_blocks - done);
    TRY(ReadEntries(path, image_.substr(data_at + done, size), data_at + done));
  }
  if (tail > 0) TRY(ReadEntries(path, image_.substr(raw.tail_at, tail), raw.tail_at));
  return {};
}

Result<void> Reader::ReadEntries(const std::string& path, std::string_view block, uint64_t at) {
  const uint64_t names_at = Number(at + 8, 2);
  if (block.size() < kDirent || names_at < kDirent || names_at % kDirent != 0 || names_at > block.size()) {
    return Corrupt(at, "a directory block without entries");
  }
  const uint64_t count = names_at / kDirent;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t entry_at = at + i * kDirent;
    const uint64_t begin = Number(entry_at + 8, 2);
    uint64_t end = i + 1 < count ? Number(entry_at + kDirent + 8, 2) : block.size();
    if (begin < names_at || begin >= end || end > block.size()) return Corrupt(entry_at, "a name is cut off");
    std::string_view name = block.substr(begin, end - begin);
    if (i + 1 == count) name = name.substr(0, name.find('\0'));  // padding of the block
    if (!last_name_.empty() && name <= last_name_)
      return Corrupt(entry_at, "the names of a directory are not in order");
    last_name_ = std::string(name);
    if (name == "." || name == "..") continue;
    std::string full = path.empty() ? std::string(name) : path + "/" + std::string(name);
    if (name.find('/') != std::string_view::npos || !ValidatePath(full) || IsObjectPath(full) ||
        name.starts_with(".wh.")) {
      return Corrupt(entry_at, "a name that a layer cannot hold");
    }
    TRY(Add(full, Number(entry_at, 8), Number(entry_at + 10, 1), entry_at));
  }
  return {};
}

Result<void> Reader::Add(const std::string& path, uint64_t number, uint64_t type, uint64_t at) {
  path_bytes_ += path.size();
  if (path_bytes_ > 64 * (image_.size() + (1 << 20)))
    return Corrupt(at, "its paths are out of all proportion");
  if (const auto first = first_names_.find(number); first != first_names_.end()) {
    if (tree_.Find(first->second)->type == NodeType::kWhiteout)
      return Corrupt(at, "a whiteout with two names");
    TRY(tree_.Link(path, first->second));
    return {};
  }
  RawInode raw = TRY(ReadInode(number));
  if (type != DirentTypeOf(raw.node.type)) return Corrupt(at, "an entry and its inode differ in type");
  if (raw.node.IsDirectory()) {
    if (!directories_.emplace(number, true).second) return Corrupt(at, "a directory with two names");
    pending_.emplace_back(path, number);
  } else {
    first_names_.emplace(number, path);
  }
  return tree_.Put(path, std::move(raw.node));
}

}  // namespace

Result<Tree> ParseSealed(std::string_view bytes) {
  return Reader(bytes).Parse();
}

}  // namespace ingot::store

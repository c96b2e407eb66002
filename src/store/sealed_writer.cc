// RenderSealed: lays the inodes out in canonical order, then writes them. Layout of the image: composefs
// header, superblock, inodes (each with its attributes and its tail), shared attributes, blocks of
// directories and long links.
#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "store/erofs_format.h"
#include "store/sealed_layer.h"

namespace ingot::store {
namespace {

using namespace erofs;

uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

struct Attribute {
  uint8_t index;
  std::string rest;
  std::string value;
  int64_t shared = -1;  // offset in the shared area

  size_t entry_size() const { return RoundUp(kXattrEntry + rest.size() + value.size(), 4); }
};

struct Entry {  // in a directory
  std::string_view name;
  uint32_t inode;
};

struct Inode {
  const Node* node;
  uint32_t links = 0;
  std::vector<Attribute> attributes;
  std::vector<Entry> entries;  // of a directory, with "." and "..", sorted by bytes
  std::vector<size_t>
      block_begins;  // of a directory: index of the first entry of each block, the tail's last
  bool compact = false;
  uint64_t size = 0;
  uint32_t blocks = 0;  // whole blocks in the data area
  uint32_t tail = 0;    // bytes behind the inode
  uint32_t xattr_size = 0;
  uint64_t offset = 0;
  uint64_t first_block = 0;

  uint32_t header_size() const { return compact ? kCompactInode : kExtendedInode; }
};

class Bytes {
 public:
  explicit Bytes(size_t size) : bytes_(size, '\0') {}
  void Seek(uint64_t at) { at_ = at; }
  uint64_t at() const { return at_; }
  void U8(uint64_t v) { bytes_[at_++] = static_cast<char>(v); }
  void U16(uint64_t v) { Little(v, 2); }
  void U32(uint64_t v) { Little(v, 4); }
  void U64(uint64_t v) { Little(v, 8); }
  void Text(std::string_view text) {
    text.copy(bytes_.data() + at_, text.size());
    at_ += text.size();
  }
  std::string Take() { return std::move(bytes_); }

 private:
  void Little(uint64_t v, int n) {
    for (int i = 0; i < n; ++i) bytes_[at_++] = static_cast<char>(v >> (8 * i));
  }
  std::string bytes_;
  uint64_t at_ = 0;
};

Error Cannot(std::string_view path, std::string_view why) {
  return Error(Code::kInvalid,
               "\"/" + std::string(path) + "\" cannot be in a sealed layer: " + std::string(why) + ".");
}

class Writer {
 public:
  explicit Writer(const Tree& tree) : tree_(tree) {}

  Result<std::string> Render() {
    TRY(Collect());
    ShareAttributes();
    ChooseEpoch();
    Place();
    return Write();
  }

 private:
  Result<void> Collect();
  Result<void> Check(const std::string& path, const Node& node);
  Result<std::vector<Attribute>> Attributes(const std::string& path, const Node& node);
  void ShareAttributes();
  void ChooseEpoch();
  void PlaceDirectory(Inode& inode);
  void Place();
  std::string Write();
  void WriteInode(Bytes& out, const Inode& inode, uint32_t number);
  void WriteAttributes(Bytes& out, const Inode& inode);
  void WriteEntries(Bytes& out, const Inode& inode, size_t begin, size_t end);
  static void WriteAttribute(Bytes& out, const Attribute& attribute);

  const Tree& tree_;
  std::vector<Inode> inodes_;  // in the order of their first names
  std::vector<Attribute> shared_;
  uint64_t shared_begin_ = 0;
  uint64_t shared_size_ = 0;
  uint64_t data_begin_ = 0;
  uint64_t end_ = 0;
  int64_t epoch_s_ = 0;
  uint32_t epoch_ns_ = 0;
  bool has_acl_ = false;
};

Result<void> Writer::Check(const std::string& path, const Node& node) {
  if (IsObjectPath(path))
    return Cannot(path, "the name is that of an object in the pool, which it would hide");
  if (BaseName(path).starts_with(".wh.")) {
    return Cannot(path, "in a layer tar, a name that begins with \".wh.\" removes another file");
  }
  if (node.mode > 07777) return Cannot(path, "its mode has more than permission bits");
  if (node.mtime_ns > 999'999'999) return Cannot(path, "its time has more than 999,999,999 nanoseconds");
  if (node.type == NodeType::kRegular) {
    if (node.size_bytes > kMaxFileBytes) return Cannot(path, "it is larger than 256 TiB");
    if ((node.size_bytes == 0) != node.object.empty())
      return Cannot(path, "it has contents but no object, or none but one");
  }
  if (node.type == NodeType::kSymlink && (node.target.empty() || node.target.size() > 4095)) {
    return Cannot(path, "a symbolic link's target has 1 to 4,095 bytes");
  }
  if (node.target.find('\0') != std::string::npos) return Cannot(path, "its target has a NUL byte");
  if (node.type == NodeType::kCharDevice || node.type == NodeType::kBlockDevice) {
    if (node.rdev_major > 0xfff || node.rdev_minor > 0xfffff)
      return Cannot(path, "its device number is out of range");
    if (node.type == NodeType::kCharDevice && node.rdev_major == 0 && node.rdev_minor == 0) {
      return Cannot(path, "a character device 0:0 is a whiteout");
    }
  }
  if (node.type == NodeType::kWhiteout && !(node == Node::Whiteout()))
    return Cannot(path, "a whiteout has no attributes");
  return {};
}

Result<std::vector<Attribute>> Writer::Attributes(const std::string& path, const Node& node) {
  std::vector<Attribute> out;
  size_t total = 0;
  const auto add = [&](std::string_view name, std::string_view value) -> Result<void> {
    for (const XattrPrefix& prefix : kXattrPrefixes) {
      if (!name.starts_with(prefix.text)) continue;
      const std::string_view rest = name.substr(prefix.text.size());
      if (prefix.whole != rest.empty()) continue;
      if (rest.size() > 255) break;
      total += rest.size() + value.size() + kXattrEntry;
      if (value.size() > 0xffff || total > kMaxAttributeBytes)
        return Cannot(path, "its attributes are larger than 64 KiB");
      out.push_back({prefix.index, std::string(rest), std::string(value)});
      return {};
    }
    return Cannot(path, "its attribute \"" + std::string(name.substr(0, 300)) +
                            "\" is not of user, trusted, security or a POSIX access list");
  };
  for (const auto& [name, value] : node.xattrs) {
    if (name.starts_with(kOverlayPrefix)) {
      return Cannot(path, "overlayfs would obey its attribute \"" + name.substr(0, 300) + "\"");
    }
    if (name.find_first_of(std::string_view("=\0", 2)) != std::string::npos) {
      return Cannot(path,
                    "a layer tar cannot hold its attribute \"" + name + "\", for its name has \"=\" or NUL");
    }
    TRY(add(name, value));
    has_acl_ = has_acl_ || name.starts_with("system.posix_acl_");
  }
  if (node.type == NodeType::kRegular && node.size_bytes > 0) {
    std::string digest(kMetacopyHeader);
    digest.append(reinterpret_cast<const char*>(node.object.bytes().data()), node.object.bytes().size());
    TRY(add(kMetacopy, digest));
    TRY(add(kRedirect, "/" + node.object.RelativePath()));
  }
  if (node.opaque) TRY(add(kOpaque, "y"));
  std::sort(out.begin(), out.end(), [](const Attribute& a, const Attribute& b) {
    return std::tie(a.index, a.rest) < std::tie(b.index, b.rest);
  });
  return out;
}

// Inodes and directories, from one walk in canonical order: a directory's path is a prefix of the names that
// follow.
Result<void> Writer::Collect() {
  if (tree_.names().size() > (size_t{1} << 24)) return Cannot("", "a layer has at most 16,777,216 names");
  constexpr uint32_t kNone = UINT32_MAX;
  std::vector<uint32_t> number(tree_.node_id_limit(), kNone);
  std::vector<std::pair<std::string_view, uint32_t>> open;  // the directories that hold the current name
  for (const auto& [path, id] : tree_.names()) {
    const Node& node = tree_.node(id);
    TRY(ValidatePath(path));
    TRY(Check(path, node));
    uint32_t& inode = number[id];
    if (inode == kNone) {
      inode = static_cast<uint32_t>(inodes_.size());
      inodes_.push_back({});
      inodes_.back().node = &node;
      inodes_.back().attributes = TRY(Attributes(path, node));
    }
    while (!open.empty() && !open.back().first.empty() && open.back().first != ParentOf(path))
      open.pop_back();
    const uint32_t parent = open.empty() ? inode : open.back().second;
    if (!path.empty()) {
      inodes_[parent].entries.push_back({BaseName(path), inode});
      ++inodes_[inode].links;
    }
    if (node.IsDirectory()) {
      inodes_[inode].entries = {{".", inode}, {"..", parent}};
      inodes_[inode].links = 2;
      if (parent != inode) ++inodes_[parent].links;
      open.emplace_back(path, inode);
    }
  }
  for (Inode& inode : inodes_) {
    std::sort(inode.entries.begin(), inode.entries.end(),
              [](const Entry& a, const Entry& b) { return a.name < b.name; });
  }
  return {};
}

// Small values that several inodes have stand once. (A label of a security module is on every inode.)
void Writer::ShareAttributes() {
  struct Use {
    size_t count = 0;
    int64_t offset = -1;
  };
  std::map<std::tuple<uint8_t, std::string_view, std::string_view>, Use> uses;
  const auto key = [](const Attribute& a) {
    return std::tuple<uint8_t, std::string_view, std::string_view>(a.index, a.rest, a.value);
  };
  for (const Inode& inode : inodes_) {
    for (const Attribute& a : inode.attributes) {
      if (a.value.size() <= kMaxSharedValue && a.rest != "overlay.redirect" && a.rest != "overlay.metacopy")
        ++uses[key(a)].count;
    }
  }
  for (auto& [attribute, use] : uses) {
    if (use.count < 2) continue;
    use.offset = static_cast<int64_t>(shared_size_);
    shared_.push_back(
        {std::get<0>(attribute), std::string(std::get<1>(attribute)), std::string(std::get<2>(attribute))});
    shared_size_ += shared_.back().entry_size();
  }
  for (Inode& inode : inodes_) {
    size_t shared = 0;  // the count is one byte
    for (Attribute& a : inode.attributes) {
      const auto found = uses.find(key(a));
      if (found != uses.end() && found->second.offset >= 0 && shared < 255) {
        a.shared = found->second.offset;
        ++shared;
      }
    }
  }
}

// The time that most inodes have; theirs need only the short form. Of equally frequent ones the earliest.
void Writer::ChooseEpoch() {
  std::map<std::pair<int64_t, uint32_t>, size_t> counts;
  for (const Inode& inode : inodes_) ++counts[{inode.node->mtime_s, inode.node->mtime_ns}];
  const auto most = std::max_element(counts.begin(), counts.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  std::tie(epoch_s_, epoch_ns_) = most->first;
}

// Fills blocks with entries, in order; a last block less than half full becomes the inode's tail.
void Writer::PlaceDirectory(Inode& inode) {
  size_t used = 0;
  inode.block_begins.push_back(0);
  for (size_t i = 0; i < inode.entries.size(); ++i) {
    const size_t size = kDirent + inode.entries[i].name.size();
    if (used + size > kBlock) {
      ++inode.blocks;
      inode.block_begins.push_back(i);
      used = 0;
    }
    used += size;
  }
  if (used > kBlock / 2) {
    ++inode.blocks;
    inode.block_begins.push_back(inode.entries.size());
  } else {
    inode.tail = static_cast<uint32_t>(used);
  }
}

void Writer::Place() {
  uint64_t at = kMetadata;
  for (Inode& inode : inodes_) {
    const Node& node = *inode.node;
    if (node.IsDirectory()) {
      PlaceDirectory(inode);
    } else if (node.type == NodeType::kSymlink) {
      inode.size = inode.tail = static_cast<uint32_t>(node.target.size());
    } else if (node.type == NodeType::kRegular && node.size_bytes > 0) {
      inode.size = node.size_bytes;
      inode.tail = 4 * ChunkCount(node.size_bytes);
    }
    size_t unshared = 0;
    size_t shared = 0;
    for (const Attribute& a : inode.attributes) {
      shared += a.shared >= 0 ? 1 : 0;
      unshared += a.shared >= 0 ? 0 : a.entry_size();
    }
    if (!inode.attributes.empty())
      inode.xattr_size = static_cast<uint32_t>(kXattrHeader + 4 * shared + unshared);
    inode.compact = node.mtime_s == epoch_s_ && node.mtime_ns == epoch_ns_ && node.uid <= 0xffff &&
                    node.gid <= 0xffff && inode.links <= 0xffff && inode.size <= 0xffffffff &&
                    inode.blocks < 0xfffff;

    at = RoundUp(at, kSlot);
    // A tail must not cross a block; a link's target must even be in the block of its inode. Starting a
    // little later helps, but for a target that has no room in one block with its inode: that gets a block of
    // its own.
    const uint64_t fixed = inode.header_size() + inode.xattr_size;
    const bool with_inode = node.type == NodeType::kSymlink;
    const auto crosses = [&](uint64_t begin) {
      const uint64_t first = with_inode ? begin : begin + fixed;
      return inode.tail > 0 && first / kBlock != (begin + fixed + inode.tail - 1) / kBlock;
    };
    if (crosses(at)) {
      uint64_t moved = at;
      while (crosses(moved) && moved < at + kBlock) moved += kSlot;
      if (!crosses(moved)) {
        at = moved;
      } else {
        ++inode.blocks;
        inode.tail = 0;
      }
    }
    if (node.IsDirectory()) inode.size = uint64_t{inode.blocks} * kBlock + inode.tail;
    inode.offset = at;
    at += fixed + inode.tail;
  }
  shared_begin_ = RoundUp(at, kSlot);
  data_begin_ = RoundUp(shared_begin_ + shared_size_, kBlock);
  end_ = data_begin_;
  for (Inode& inode : inodes_) {
    inode.first_block = end_ / kBlock;
    end_ += uint64_t{inode.blocks} * kBlock;
  }
}

void Writer::WriteAttribute(Bytes& out, const Attribute& attribute) {
  const uint64_t begin = out.at();
  out.U8(attribute.rest.size());
  out.U8(attribute.index);
  out.U16(attribute.value.size());
  out.Text(attribute.rest);
  out.Text(attribute.value);
  out.Seek(begin + attribute.entry_size());
}

void Writer::WriteAttributes(Bytes& out, const Inode& inode) {
  if (inode.attributes.empty()) return;
  uint32_t filter = 0;
  size_t shared = 0;
  for (const Attribute& a : inode.attributes) {
    filter |= XattrFilterBit(a.index, a.rest);
    shared += a.shared >= 0 ? 1 : 0;
  }
  const uint64_t begin = out.at();
  out.U32(~filter);
  out.U8(shared);
  out.Seek(begin + kXattrHeader);
  for (const Attribute& a : inode.attributes) {
    if (a.shared >= 0) out.U32((shared_begin_ % kBlock + static_cast<uint64_t>(a.shared)) / 4);
  }
  for (const Attribute& a : inode.attributes) {
    if (a.shared < 0) WriteAttribute(out, a);
  }
}

uint32_t FileModeBits(const Node& node) {
  switch (node.type) {
    case NodeType::kRegular:
      return 0100000;
    case NodeType::kDirectory:
      return 0040000;
    case NodeType::kSymlink:
      return 0120000;
    case NodeType::kCharDevice:
    case NodeType::kWhiteout:
      return 0020000;
    case NodeType::kBlockDevice:
      return 0060000;
    case NodeType::kFifo:
      return 0010000;
  }
  return 0;
}

void Writer::WriteEntries(Bytes& out, const Inode& inode, size_t begin, size_t end) {
  size_t name_at = (end - begin) * kDirent;
  for (size_t i = begin; i < end; ++i) {
    const Entry& entry = inode.entries[i];
    out.U64(inodes_[entry.inode].offset / kSlot);
    out.U16(name_at);
    out.U8(DirentTypeOf(inodes_[entry.inode].node->type));
    out.U8(0);
    name_at += entry.name.size();
  }
  for (size_t i = begin; i < end; ++i) out.Text(inode.entries[i].name);
}

void Writer::WriteInode(Bytes& out, const Inode& inode, uint32_t number) {
  const Node& node = *inode.node;
  uint32_t layout = inode.tail > 0 ? kFlatInline : kFlatPlain;
  uint32_t detail = inode.blocks > 0 ? static_cast<uint32_t>(inode.first_block) : 0;
  if (node.type == NodeType::kRegular && node.size_bytes > 0) {
    layout = kChunkBased;
    detail = ChunkBits(node.size_bytes) - kBlockBits;
  } else if (node.type == NodeType::kCharDevice || node.type == NodeType::kBlockDevice) {
    detail = (node.rdev_minor & 0xff) | node.rdev_major << 8 | (node.rdev_minor & ~0xffU) << 12;
  }
  const uint32_t xattr_count = inode.xattr_size == 0 ? 0 : (inode.xattr_size - kXattrHeader) / 4 + 1;
  out.Seek(inode.offset);
  out.U16(layout << 1 | (inode.compact ? 0 : 1));
  out.U16(xattr_count);
  out.U16(FileModeBits(node) | node.mode);
  if (inode.compact) {
    out.U16(inode.links);
    out.U32(inode.size);
    out.U32(0);
    out.U32(detail);
    out.U32(number);
    out.U16(node.uid);
    out.U16(node.gid);
    out.U32(0);
  } else {
    out.U16(0);
    out.U64(inode.size);
    out.U32(detail);
    out.U32(number);
    out.U32(node.uid);
    out.U32(node.gid);
    out.U64(static_cast<uint64_t>(node.mtime_s));
    out.U32(node.mtime_ns);
    out.U32(inode.links);
    out.Seek(out.at() + 16);
  }
  WriteAttributes(out, inode);
  if (node.IsDirectory()) {
    for (size_t b = 0; b < inode.block_begins.size(); ++b) {
      const bool in_block = b < inode.blocks;
      const size_t end = b + 1 < inode.block_begins.size() ? inode.block_begins[b + 1] : inode.entries.size();
      if (end == inode.block_begins[b]) continue;
      const uint64_t tail_at = inode.offset + inode.header_size() + inode.xattr_size;
      out.Seek(in_block ? (inode.first_block + b) * kBlock : tail_at);
      WriteEntries(out, inode, inode.block_begins[b], end);
    }
  } else if (node.type == NodeType::kSymlink) {
    if (inode.blocks > 0) out.Seek(inode.first_block * kBlock);
    out.Text(node.target);
  } else if (layout == kChunkBased) {
    for (uint32_t i = 0; i < ChunkCount(node.size_bytes); ++i) out.U32(kNullAddress);
  }
}

std::string Writer::Write() {
  Bytes out(end_);
  out.U32(kComposefsMagic);
  out.U32(kComposefsVersion);
  out.U32(has_acl_ ? kComposefsHasAcl : 0);
  out.U32(0);  // composefs_version: how it writes whiteouts of nested overlays; a sealed layer has none

  out.Seek(kSuperblock);
  out.U32(kMagic);
  out.U32(0);  // checksum: the feature is off, the layer's name is its digest
  out.U32(kFeatureMtime | kFeatureXattrFilter);
  out.U8(kBlockBits);
  out.U8(0);
  out.U16(inodes_[0].offset / kSlot);
  out.U64(inodes_.size());
  out.U64(static_cast<uint64_t>(epoch_s_));
  out.U32(epoch_ns_);
  out.U32(end_ / kBlock);
  out.U32(0);                       // metadata: inode numbers count from the image's beginning
  out.U32(shared_begin_ / kBlock);  // shared attributes
  // The rest is zero: uuid, volume name, no incompatible feature, no second device.

  for (size_t i = 0; i < inodes_.size(); ++i) WriteInode(out, inodes_[i], static_cast<uint32_t>(i + 1));
  out.Seek(shared_begin_);
  for (const Attribute& a : shared_) WriteAttribute(out, a);
  return out.Take();
}

}  // namespace

Result<std::string> RenderSealed(const Tree& tree, const SealedOptions& options) {
  if (!options.hide_pool) return Writer(tree).Render();
  Tree hiding = tree;
  for (int i = 0; i < 256; ++i) {
    const std::string name{"0123456789abcdef"[i >> 4], "0123456789abcdef"[i & 15]};
    if (hiding.Find(name) == nullptr) TRY(hiding.Put(name, Node::Whiteout()));
  }
  return Writer(hiding).Render();
}

Result<std::string> RenderWhiteoutTop(const Node& root) {
  Tree tree;
  TRY(tree.Put("", root));
  return RenderSealed(tree, {.hide_pool = true});
}

}  // namespace ingot::store

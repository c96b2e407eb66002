#include "store/tar_reader.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "base/decompress.h"
#include "base/sha256.h"
#include "store/byte_pipe.h"
#include "store/tar_header.h"
#include "store/tar_input.h"

namespace ingot::store {
namespace {

constexpr size_t kReadPiece = 256 << 10;       // what a processor's second-level cache holds
constexpr int64_t kMaxMetadata = 1 << 20;      // of one PAX or long-name header
constexpr int64_t kInMemory = 1 << 20;         // files up to here are hashed before they are written
constexpr uint64_t kMaxPathBytes = 256 << 20;  // of all names together
constexpr std::string_view kXattrRecord = "SCHILY.xattr.";

// Small files are put into the pool by so many, or so many bytes.
constexpr size_t kBatchFiles = 128;
constexpr size_t kBatchBytes = 1 << 20;

// Contents that were read and are not in the pool yet.
struct Batch {
  struct File {
    std::optional<Tree::NodeId> node;  // told when the entry is complete
    uint64_t begin = 0;                // in the tar
    size_t at = 0;                     // in `bytes`
    size_t size = 0;
  };
  std::string bytes;
  std::vector<File> files;
};

uint64_t PaddingOf(int64_t size) {
  return (kTarBlock - static_cast<uint64_t>(size) % kTarBlock) % kTarBlock;
}

Error Refuse(std::string_view name, std::string_view why) {
  return Error(Code::kInvalid, "The archive's entry \"" + std::string(name.substr(0, 200)) +
                                   "\" is refused: " + std::string(why) + ".");
}

// "./usr//bin/" → "usr/bin". kInvalid for names that lead out of the archive's root.
Result<std::string> Canonical(std::string_view name, bool absolute_names) {
  if (name.starts_with('/') && !absolute_names)
    return Refuse(name, "its name is absolute; make the archive with relative names");
  std::string out;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") return Refuse(name, "its name has \"..\", which could lead out of the image");
    if (!out.empty()) out += '/';
    out += part;
  }
  if (auto valid = ValidatePath(out); !valid) return valid.error();
  return out;
}

class Parser {
 public:
  Parser(TarInput& input, ObjectPool& pool, const TarOptions& options)
      : in_(input), pool_(pool), options_(options) {}

  Result<Tree> Parse() {
    while (true) {
      const std::string block = TRY(in_.Take(kTarBlock));
      if (block.empty()) {
        if (!any_) return Error(Code::kInvalid, "The archive is empty: not even a tar's end is in it.");
        break;
      }
      if (block.find_first_not_of('\0') == std::string::npos) break;  // the end; what follows is padding
      any_ = true;
      TarHeader header = TRY(ParseTarHeader(block));
      if (header.type == 'S') TRY(ReadSparseMap(block, header));
      TRY(Entry(std::move(header)));
    }
    TRY(PutBatch());
    ApplyWhiteouts();
    return std::move(tree_);
  }

 private:
  Result<void> Entry(TarHeader header);
  Result<std::string> Metadata(const TarHeader& header);
  Result<void> Add(TarHeader& header, const std::map<std::string, std::string>& records);
  Result<void> AddWhiteout(const std::string& path);
  Result<Node> NodeOf(const TarHeader& header, const std::map<std::string, std::string>& records);
  Result<void> ReadSparseMap(const std::string& block, TarHeader& header);
  Result<void> Contents(TarHeader& header, Node& node);
  Result<void> SmallContents(const TarHeader& header);
  Result<void> PutBatch();
  Result<void> SparseContents(TarHeader& header, Node& node);
  void ApplyWhiteouts();

  TarInput& in_;
  ObjectPool& pool_;
  const TarOptions& options_;
  Tree tree_;
  bool any_ = false;
  uint64_t entries_ = 0;
  uint64_t path_bytes_ = 0;
  uint64_t sparse_bytes_ = 0;
  std::map<std::string, std::string> global_;  // PAX records for all entries that follow
  std::map<std::string, std::string> local_;   // for the next
  std::string long_name_;
  std::string long_link_;
  std::set<std::string, PathOrder> whiteouts_;
  std::set<std::string, PathOrder> opaque_;
  Batch batch_;
};

Result<std::string> Parser::Metadata(const TarHeader& header) {
  if (header.size < 0 || header.size > kMaxMetadata) {
    return Error(Code::kRefused, "The archive has a header of " + std::to_string(header.size) +
                                     " bytes; at most 1 MiB is read.");
  }
  std::string data = TRY(in_.Take(static_cast<uint64_t>(header.size)));
  if (data.size() != static_cast<size_t>(header.size))
    return Error(Code::kInvalid, "The archive is cut off in a header.");
  TRY(in_.Skip(PaddingOf(header.size)));
  return data;
}

Result<void> Parser::Entry(TarHeader header) {
  if (++entries_ > options_.limits.max_entries) {
    return Error(Code::kRefused,
                 "The archive has more than " + std::to_string(options_.limits.max_entries) + " entries.");
  }
  switch (header.type) {
    case 'x':
    case 'X':
      local_ = TRY(ParsePaxRecords(TRY(Metadata(header))));
      return {};
    case 'g':
      for (auto& [key, value] : TRY(ParsePaxRecords(TRY(Metadata(header)))))
        global_.insert_or_assign(key, value);
      if (global_.size() > 1000)
        return Error(Code::kRefused, "The archive has more than 1,000 global PAX records.");
      return {};
    case 'L':
    case 'K': {
      std::string text = TRY(Metadata(header));
      text.erase(std::min(text.find('\0'), text.size()));
      (header.type == 'L' ? long_name_ : long_link_) = std::move(text);
      return {};
    }
    default:
      break;
  }
  if (!long_name_.empty()) header.name = std::exchange(long_name_, {});
  if (!long_link_.empty()) header.link = std::exchange(long_link_, {});
  std::map<std::string, std::string> records = global_;
  for (auto& [key, value] : std::exchange(local_, {})) records.insert_or_assign(key, std::move(value));
  TRY(ApplyPaxRecords(records, header));
  return Add(header, records);
}

Result<Node> Parser::NodeOf(const TarHeader& header, const std::map<std::string, std::string>& records) {
  Node node;
  node.mode = static_cast<uint32_t>(header.mode & 07777);
  if (header.uid < 0 || header.gid < 0 || header.uid > UINT32_MAX - 1 || header.gid > UINT32_MAX - 1) {
    return Refuse(header.name, "its owner or group is out of range");
  }
  node.uid = static_cast<uint32_t>(header.uid);
  node.gid = static_cast<uint32_t>(header.gid);
  node.mtime_s = header.mtime_s;
  node.mtime_ns = header.mtime_ns;
  switch (header.type) {
    case '5':
    case 'D':
      node.type = NodeType::kDirectory;
      break;
    case '2':
      node.type = NodeType::kSymlink;
      node.mode = 0777;
      node.target = header.link;
      if (node.target.empty() || node.target.size() > 4095)
        return Refuse(header.name, "a symbolic link's target has 1 to 4,095 bytes");
      if (node.target.find('\0') != std::string::npos)
        return Refuse(header.name, "its target has a NUL byte");
      break;
    case '3':
    case '4':
      node.type = header.type == '3' ? NodeType::kCharDevice : NodeType::kBlockDevice;
      if (header.major < 0 || header.major > 0xfff || header.minor < 0 || header.minor > 0xfffff) {
        return Refuse(header.name, "its device number is out of range");
      }
      node.rdev_major = static_cast<uint32_t>(header.major);
      node.rdev_minor = static_cast<uint32_t>(header.minor);
      if (header.type == '3' && header.major == 0 && header.minor == 0) {
        return Refuse(header.name, "overlayfs would take the device 0:0 for a whiteout");
      }
      break;
    case '6':
      node.type = NodeType::kFifo;
      break;
    case '0':
    case '\0':
    case '7':
    case 'S':
      break;
    default:
      return Error(Code::kUnsupported, "The archive's entry \"" + header.name + "\" is of the type '" +
                                           std::string(1, header.type) + "', which is not known.");
  }
  for (const auto& [key, value] : records) {
    if (!key.starts_with(kXattrRecord)) continue;
    const std::string name = key.substr(kXattrRecord.size());
    if (name.starts_with("trusted.overlay."))
      return Refuse(header.name, "overlayfs would obey its attribute \"" + name + "\"");
    if (name.find('\0') != std::string::npos)
      return Refuse(header.name, "an attribute's name has a NUL byte");
    // Attributes that no Linux filesystem takes (com.apple.…) are left out, as unpacking them would.
    const bool known = name.starts_with("user.") || name.starts_with("security.") ||
                       name.starts_with("trusted.") || name == "system.posix_acl_access" ||
                       name == "system.posix_acl_default";
    if (known && name.size() > name.find('.') + 1) node.xattrs.emplace(name, value);
  }
  return node;
}

// What stands behind a header of type 'S'.
Result<void> Parser::ReadSparseMap(const std::string& block, TarHeader& header) {
  header.sparse.emplace();
  bool more = TRY(AddSparseHeader(block, *header.sparse));
  while (more) more = TRY(AddSparseBlock(TRY(in_.Take(kTarBlock)), *header.sparse));
  return {};
}

Result<void> Parser::SparseContents(TarHeader& header, Node& node) {
  SparseMap& map = *header.sparse;
  auto left = static_cast<uint64_t>(header.size);
  if (header.sparse_in_contents) {
    const uint64_t taken = TRY(ReadSparseLines([&] { return in_.Take(kTarBlock); }, map));
    if (taken > left) return Refuse(header.name, "its map is longer than its contents");
    left -= taken;
  }
  TRY(map.Check(left));
  sparse_bytes_ += map.real_size;
  if (map.real_size > options_.limits.max_sparse_bytes || sparse_bytes_ > options_.limits.max_sparse_bytes) {
    return Error(Code::kRefused, "The archive's sparse files have more than " +
                                     std::to_string(options_.limits.max_sparse_bytes) + " bytes.");
  }
  const ByteSource stored = [&](char* buffer, size_t size) -> Result<size_t> {
    const std::string_view some = TRY(in_.Some(size));
    std::copy(some.begin(), some.end(), buffer);
    return some.size();
  };
  node.size_bytes = map.real_size;
  node.object = TRY(pool_.PutStream(ExpandSparse(map, stored))).id;
  TRY(in_.Take(PaddingOf(header.size)));
  return {};
}

Error CutOff(std::string_view name) {
  return Refuse(name, "the archive is cut off in its contents");
}

// Into the batch; Add tells the node.
Result<void> Parser::SmallContents(const TarHeader& header) {
  const auto size = static_cast<size_t>(header.size);
  if (size == 0) return {};
  if (batch_.bytes.size() + size > kBatchBytes || batch_.files.size() == kBatchFiles) TRY(PutBatch());
  batch_.files.push_back({std::nullopt, in_.outline().Skip(0), batch_.bytes.size(), size});
  for (size_t left = size; left > 0;) {
    const std::string_view some = TRY(in_.SomeContents(left));
    if (some.empty()) return CutOff(header.name);
    batch_.bytes += some;
    left -= some.size();
  }
  return {};
}

// Puts the files that were read into the pool and tells their nodes.
Result<void> Parser::PutBatch() {
  if (batch_.files.empty()) return {};
  std::vector<std::string_view> contents;
  contents.reserve(batch_.files.size());
  for (const Batch::File& file : batch_.files)
    contents.push_back(std::string_view(batch_.bytes).substr(file.at, file.size));
  const std::vector<ObjectId> objects = TRY(pool_.PutAll(contents));
  for (size_t i = 0; i < objects.size(); ++i) {
    const Batch::File& file = batch_.files[i];
    tree_.node(*file.node).object = objects[i];
    in_.outline().Object(file.begin, file.size, objects[i]);
  }
  batch_.files.clear();
  batch_.bytes.clear();
  return {};
}

Result<void> Parser::Contents(TarHeader& header, Node& node) {
  if (header.sparse) return SparseContents(header, node);
  node.size_bytes = static_cast<uint64_t>(header.size);
  if (header.size <= kInMemory) {
    TRY(SmallContents(header));
  } else {
    TRY(PutBatch());  // the outline wants objects in their order
    uint64_t left = node.size_bytes;
    const uint64_t begin = in_.outline().Skip(0);
    const ObjectId::Measured stored = TRY(pool_.PutStream([&](char* buffer, size_t size) -> Result<size_t> {
      if (left == 0) return size_t{0};
      const std::string_view some = TRY(in_.SomeContents(std::min<uint64_t>(size, left)));
      if (some.empty()) return CutOff(header.name);
      std::memcpy(buffer, some.data(), some.size());
      left -= some.size();
      return some.size();
    }));
    in_.outline().Object(begin, stored.size_bytes, stored.id);
    node.object = stored.id;
  }
  // A last entry without its padding is common enough in hand-made archives; the next header would tell.
  const uint64_t padding = PaddingOf(header.size);
  TRY(in_.Take(padding));
  return {};
}

Result<void> Parser::AddWhiteout(const std::string& path) {
  const std::string_view parent = ParentOf(path);
  const std::string_view name = BaseName(path);
  if (name == ".wh..wh..opq") {
    opaque_.emplace(parent);
    return {};
  }
  if (name.starts_with(".wh..wh.")) return {};  // AUFS's own files
  const std::string_view hidden = name.substr(4);
  if (hidden.empty() || hidden == "." || hidden == "..")
    return Refuse(path, "it removes nothing that could exist");
  whiteouts_.insert(std::string(parent) + (parent.empty() ? "" : "/") + std::string(hidden));
  return {};
}

Result<void> Parser::Add(TarHeader& header, const std::map<std::string, std::string>& records) {
  if (header.type == 'V') return {};  // a volume's label
  if (header.size < 0) return Refuse(header.name, "its size is negative");
  const bool regular = header.type == '0' || header.type == '\0' || header.type == '7' || header.type == 'S';
  if (regular && header.name.ends_with('/')) header.type = '5';  // how version 7 told a directory
  const std::string path = TRY(Canonical(header.name, options_.absolute_names));
  path_bytes_ += path.size() + header.link.size();
  if (path_bytes_ > kMaxPathBytes)
    return Error(Code::kRefused, "The archive's names are larger than 256 MiB together.");

  if (options_.whiteouts && BaseName(path).starts_with(".wh.")) {
    TRY(AddWhiteout(path));
    return regular ? in_.Skip(static_cast<uint64_t>(header.size) + PaddingOf(header.size)) : Result<void>();
  }
  if (header.type == '1') {
    const std::string target = TRY(Canonical(header.link, options_.absolute_names));
    auto linked = tree_.Link(path, target);
    if (!linked) return Error(Code::kInvalid, linked.error().message());
    return {};
  }
  Node node = TRY(NodeOf(header, records));
  if (path.empty() && !node.IsDirectory()) return Refuse(header.name, "the root of an image is a directory");
  if (header.type == 'D') TRY(in_.Skip(static_cast<uint64_t>(header.size) + PaddingOf(header.size)));
  if (node.type == NodeType::kRegular) TRY(Contents(header, node));
  auto put = tree_.Put(path, std::move(node));
  if (!put) return Refuse(header.name, put.error().message());
  if (!batch_.files.empty() && !batch_.files.back().node)
    batch_.files.back().node = static_cast<Tree::NodeId>(tree_.node_id_limit() - 1);
  return {};
}

// Whiteouts speak of the layers below, wherever they stand in the archive, and never of what the archive
// itself holds.
void Parser::ApplyWhiteouts() {
  const auto mark = [&](const std::string& path) {
    Node* node = tree_.Find(path);
    if (node != nullptr && node->IsDirectory()) node->opaque = true;
    return node != nullptr;
  };
  for (const std::string& path : whiteouts_) {
    if (mark(path)) continue;
    // Refused only below a file or another whiteout, where there is nothing left to hide.
    [[maybe_unused]] const auto put = tree_.Put(path, Node::Whiteout());
  }
  for (const std::string& path : opaque_) {
    if (mark(path)) continue;
    Node node = Node::Directory();
    node.implied = true;
    node.opaque = true;
    [[maybe_unused]] const auto put = tree_.Put(path, std::move(node));
  }
  PruneWhiteouts(tree_);
}

// Reads, decompresses and digests the whole stream into the pipe.
class Feeder {
 public:
  Feeder(const ByteSource& source, const TarLimits& limits, BytePipe& pipe) : limits_(limits), pipe_(pipe) {
    stream_ = Decompress([this, &source](char* buffer, size_t size) -> Result<size_t> {
      const size_t n = TRY(source(buffer, size));
      compressed_ += n;
      return n;
    });
  }

  Result<void> Run() {
    while (true) {
      std::string piece = pipe_.Spare();
      piece.resize(kReadPiece);
      size_t used = 0;
      while (used < kReadPiece) {
        const size_t n = TRY(stream_(piece.data() + used, kReadPiece - used));
        if (n == 0) break;
        used += n;
      }
      if (used == 0) return {};
      piece.resize(used);
      size_ += used;
      if (size_ > limits_.max_bytes) {
        return Error(Code::kRefused,
                     "The archive is larger than " + std::to_string(limits_.max_bytes) + " bytes.");
      }
      if (size_ > limits_.ratio_from_bytes && size_ / limits_.max_ratio > compressed_) {
        return Error(Code::kRefused, "The archive unpacks to more than " + std::to_string(limits_.max_ratio) +
                                         " times its size, as only a decompression bomb does.");
      }
      hash_.Update(piece);
      TRY(pipe_.Push(std::move(piece)));
    }
  }
  uint64_t size() const { return size_; }
  oci::Digest Digest() { return oci::Digest::FromSha256Hex(Hex(hash_.Finish())); }

 private:
  const TarLimits& limits_;
  BytePipe& pipe_;
  ByteSource stream_;
  Sha256 hash_;
  uint64_t compressed_ = 0;
  uint64_t size_ = 0;
};

}  // namespace

Result<ReadArchive> ReadTar(const ByteSource& source, ObjectPool& pool, const TarOptions& options) {
  BytePipe pipe;
  Feeder feeder(source, options.limits, pipe);
  std::thread thread([&] { pipe.Close(feeder.Run()); });
  TarInput input(pipe);
  const auto parse = [&]() -> Result<ReadArchive> {
    ReadArchive archive;
    archive.tree = TRY(Parser(input, pool, options).Parse());
    while (!TRY(input.Some(kReadPiece)).empty()) {
    }
    return archive;
  };
  Result<ReadArchive> archive = parse();
  pipe.Cancel();
  thread.join();
  if (archive) {
    archive->diff_id = feeder.Digest();
    archive->uncompressed_bytes = feeder.size();
    archive->outline = input.outline().Finish();
  }
  return archive;
}

}  // namespace ingot::store

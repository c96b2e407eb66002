#include "store/tar_writer.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <thread>

#include "base/sha256.h"
#include "store/byte_pipe.h"
#include "store/file_check.h"
#include "store/tar_header.h"

namespace ingot::store {
namespace {

constexpr uint64_t kMaxOctalSize = 077777777777;
constexpr uint32_t kMaxOctalId = 07777777;
constexpr size_t kPiece = 1 << 20;
// Below this a second thread costs more than it brings.
constexpr uint64_t kTarWorthAThread = 4 << 20;

uint64_t Padded(uint64_t size) {
  return (size + kTarBlock - 1) / kTarBlock * kTarBlock;
}

// ustar: a name of up to 100 bytes, or up to 155 more before a slash.
bool SplitName(std::string_view name, std::string_view& prefix, std::string_view& rest) {
  prefix = {};
  rest = name;
  if (name.size() <= 100) return true;
  // The last slash that leaves a rest: the shortest rest, so the longest prefix that fits.
  for (size_t slash = std::min<size_t>(name.size() - 2, 155);; --slash) {
    if (name[slash] == '/' && name.size() - slash - 1 <= 100) {
      prefix = name.substr(0, slash);
      rest = name.substr(slash + 1);
      return slash > 0;
    }
    if (slash == 0) return false;
  }
}

// "LEN key=value\n", LEN counting itself.
void AddRecord(std::string& records, std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) ++length;
  records += std::to_string(length);
  records += ' ';
  records += key;
  records += '=';
  records += value;
  records += '\n';
}

// Seconds since 1970 as a decimal number; exact, without trailing zeros.
std::string DecimalTime(int64_t s, uint32_t ns) {
  if (ns == 0) return std::to_string(s);
  const bool negative = s < 0;
  if (negative) {  // -1 s + 0.25 s is -0.75
    s = -(s + 1);
    ns = 1'000'000'000 - ns;
  }
  std::string fraction = std::to_string(ns);
  fraction.insert(0, 9 - fraction.size(), '0');
  fraction.erase(fraction.find_last_not_of('0') + 1);
  return (negative ? "-" : "") + std::to_string(s) + "." + fraction;
}

struct Header {
  std::string name;  // of the entry, directories with a trailing slash
  std::string link;
  char type = '0';
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;
  int64_t mtime_s = 0;
  uint32_t mtime_ns = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  const std::map<std::string, std::string>* xattrs = nullptr;
};

void Octal(std::array<char, kTarBlock>& block, size_t at, size_t digits, uint64_t value) {
  for (size_t i = digits; i-- > 0; value >>= 3) block[at + i] = static_cast<char>('0' + (value & 7));
}

void UstarBlock(const Header& h, std::string_view prefix, std::string_view name, std::string& out) {
  std::array<char, kTarBlock> block{};
  name.copy(block.data(), 100);
  Octal(block, 100, 7, h.mode);
  Octal(block, 108, 7, h.uid <= kMaxOctalId ? h.uid : 0);
  Octal(block, 116, 7, h.gid <= kMaxOctalId ? h.gid : 0);
  Octal(block, 124, 11, h.size <= kMaxOctalSize ? h.size : 0);
  const bool time_fits = h.mtime_s >= 0 && static_cast<uint64_t>(h.mtime_s) <= kMaxOctalSize;
  Octal(block, 136, 11, time_fits ? static_cast<uint64_t>(h.mtime_s) : 0);
  block[156] = h.type;
  std::string_view(h.link).copy(block.data() + 157, 100);
  std::string_view(
      "ustar\0"
      "00",
      8)
      .copy(block.data() + 257, 8);
  Octal(block, 329, 7, h.major);
  Octal(block, 337, 7, h.minor);
  prefix.copy(block.data() + 345, 155);
  std::fill_n(block.begin() + 148, 8, ' ');
  uint64_t sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  Octal(block, 148, 6, sum);
  block[154] = '\0';
  out.append(block.data(), block.size());
}

// The header blocks of one entry: a PAX header before it where ustar has no room.
void Render(const Header& h, std::string& out) {
  std::string_view prefix;
  std::string_view rest;
  std::string records;  // in the order of their keys
  if (h.xattrs != nullptr) {
    for (const auto& [name, value] : *h.xattrs) AddRecord(records, "SCHILY.xattr." + name, value);
  }
  if (h.gid > kMaxOctalId) AddRecord(records, "gid", std::to_string(h.gid));
  if (h.link.size() > 100) AddRecord(records, "linkpath", h.link);
  if (h.mtime_ns != 0 || h.mtime_s < 0 || static_cast<uint64_t>(h.mtime_s) > kMaxOctalSize) {
    AddRecord(records, "mtime", DecimalTime(h.mtime_s, h.mtime_ns));
  }
  if (!SplitName(h.name, prefix, rest)) AddRecord(records, "path", h.name);
  if (h.size > kMaxOctalSize) AddRecord(records, "size", std::to_string(h.size));
  if (h.uid > kMaxOctalId) AddRecord(records, "uid", std::to_string(h.uid));
  if (!records.empty()) {
    Header pax;
    pax.type = 'x';
    pax.mode = 0644;
    pax.size = records.size();
    UstarBlock(pax, {}, "PaxHeaders.0/entry", out);
    out += records;
    out.append(Padded(records.size()) - records.size(), '\0');
  }
  UstarBlock(h, prefix, rest, out);
}

// One entry: its header blocks and the object that follows them.
struct TarEntry {
  std::string header;
  const Node* contents = nullptr;  // a regular file's
  const std::string* path = nullptr;
};

Header HeaderOf(const std::string& path, const Node& node) {
  Header h;
  h.name = path;
  h.mode = node.mode;
  h.uid = node.uid;
  h.gid = node.gid;
  h.mtime_s = node.mtime_s;
  h.mtime_ns = node.mtime_ns;
  h.xattrs = &node.xattrs;
  switch (node.type) {
    case NodeType::kRegular:
      h.size = node.size_bytes;
      break;
    case NodeType::kDirectory:
      h.type = '5';
      h.name = path.empty() ? "./" : path + "/";
      break;
    case NodeType::kSymlink:
      h.type = '2';
      h.link = node.target;
      break;
    case NodeType::kCharDevice:
    case NodeType::kBlockDevice:
      h.type = node.type == NodeType::kCharDevice ? '3' : '4';
      h.major = node.rdev_major;
      h.minor = node.rdev_minor;
      break;
    case NodeType::kFifo:
      h.type = '6';
      break;
    case NodeType::kWhiteout: {
      const std::string_view parent = ParentOf(path);
      h.name = std::string(parent) + (parent.empty() ? "" : "/") + ".wh." + std::string(BaseName(path));
      h.mode = 0;
      h.xattrs = nullptr;
      break;
    }
  }
  return h;
}

// An untouched root says nothing: archives of others leave it out, too.
bool IsDefaultRoot(const Node& root) {
  Node plain = Node::Directory();
  plain.opaque = root.opaque;
  return root == plain;
}

// The entries in order. Stops at the first Error of `emit`.
template <typename Emit>
Result<void> ForEachEntry(const Tree& tree, Emit&& emit) {
  std::vector<const std::string*> first_name(tree.node_id_limit());
  TarEntry entry;
  for (const auto& [path, id] : tree.names()) {
    const Node& node = tree.node(id);
    entry = {};
    entry.path = &path;
    if (first_name[id] != nullptr) {
      Header h = HeaderOf(path, node);
      h.type = '1';
      h.link = *first_name[id];
      h.size = 0;
      h.major = h.minor = 0;
      h.xattrs = nullptr;
      Render(h, entry.header);
    } else {
      first_name[id] = &path;
      if (!path.empty() || !IsDefaultRoot(node)) Render(HeaderOf(path, node), entry.header);
      if (node.type == NodeType::kRegular && node.size_bytes > 0) entry.contents = &node;
      if (node.opaque) {
        Header h;
        h.name = path + (path.empty() ? "" : "/") + ".wh..wh..opq";
        Render(h, entry.header);
      }
    }
    TRY(emit(entry));
  }
  return {};
}

Result<void> AppendObject(const ObjectPool& pool, FileCheck* check, const TarEntry& entry, std::string& piece,
                          const ByteSink& sink) {
  const Node& node = *entry.contents;
  const auto wrong = [&] {
    return Error(Code::kCorrupt,
                 "The object " + node.object.Render() + " of /" + *entry.path + " has not the " +
                     std::to_string(node.size_bytes) +
                     " bytes it should have. Run \"ingot verify\" to see which images it is in.");
  };
  const Fd fd = TRY(pool.OpenObject(node.object));
  if (check != nullptr) {
    if (auto checked = check->Object(fd.get(), node.object, node.size_bytes); !checked) {
      return std::move(checked).error().While("reading the object " + node.object.Render() + " of /" +
                                              *entry.path + "; ingot verify --repair looks for another copy");
    }
  }
  uint64_t left = node.size_bytes;
  while (left > 0) {
    if (piece.size() >= kPiece) {
      TRY(sink(piece));
      piece.clear();
    }
    const size_t used = piece.size();
    const size_t want = static_cast<size_t>(std::min<uint64_t>(left, kPiece - used));
    piece.resize(used + want);
    ssize_t n;
    while ((n = ::read(fd.get(), piece.data() + used, want)) < 0 && errno == EINTR) {
    }
    if (n < 0) return ErrnoError(errno, "read the object " + node.object.Render());
    if (n == 0) return wrong();
    piece.resize(used + static_cast<size_t>(n));
    left -= static_cast<uint64_t>(n);
  }
  char more;
  if (::read(fd.get(), &more, 1) == 1) return wrong();
  piece.append(Padded(node.size_bytes) - node.size_bytes, '\0');
  return {};
}

Result<void> WriteSerially(const Tree& tree, const ObjectPool& pool, const ByteSink& sink,
                           ObjectReads reads) {
  std::optional<FileCheck> check;
  if (reads == ObjectReads::kChecked) check.emplace();
  std::string piece;
  piece.reserve(kPiece + kTarBlock);
  TRY(ForEachEntry(tree, [&](const TarEntry& entry) -> Result<void> {
    if (piece.size() + entry.header.size() > kPiece) {
      if (!piece.empty()) TRY(sink(piece));
      piece.clear();
    }
    piece += entry.header;
    if (entry.contents != nullptr) TRY(AppendObject(pool, check ? &*check : nullptr, entry, piece, sink));
    return {};
  }));
  piece.append(2 * kTarBlock, '\0');
  return sink(piece);
}

// What a layer tar would misread: names and attributes that mean something else there.
Result<void> CheckNames(const Tree& tree) {
  for (const auto& [path, id] : tree.names()) {
    if (BaseName(path).starts_with(".wh.")) {
      return Error(Code::kInvalid, "\"/" + path +
                                       "\" cannot be in a layer tar: a name that begins with \".wh.\" " +
                                       "removes another file there.");
    }
    for (const auto& [name, value] : tree.node(id).xattrs) {
      if (name.find_first_of(std::string_view("=\0", 2)) != std::string::npos) {
        return Error(Code::kInvalid, "\"/" + path +
                                         "\" cannot be in a layer tar: the name of its attribute \"" + name +
                                         "\" has \"=\" or NUL.");
      }
    }
  }
  return {};
}

}  // namespace

uint64_t TarSize(const Tree& tree) {
  uint64_t size = 2 * kTarBlock;
  [[maybe_unused]] const auto counted = ForEachEntry(tree, [&](const TarEntry& entry) -> Result<void> {
    size += entry.header.size() + (entry.contents == nullptr ? 0 : Padded(entry.contents->size_bytes));
    return {};
  });
  return size;
}

TarOutline OutlineTar(const Tree& tree) {
  constexpr std::array<char, 2 * kTarBlock> kZeros{};
  TarOutliner outline;
  [[maybe_unused]] const auto outlined = ForEachEntry(tree, [&](const TarEntry& entry) -> Result<void> {
    outline.Between(entry.header);
    if (entry.contents == nullptr) return {};
    const uint64_t size = entry.contents->size_bytes;
    outline.Object(outline.Skip(size), size, entry.contents->object);
    outline.Between(std::string_view(kZeros.data(), Padded(size) - size));
    return {};
  });
  outline.Between(std::string_view(kZeros.data(), kZeros.size()));
  return outline.Finish();
}

Result<void> WriteTar(const Tree& tree, const ObjectPool& pool, const ByteSink& sink, ObjectReads reads) {
  TRY(CheckNames(tree));
  if (tree.ContentBytes() < kTarWorthAThread) return WriteSerially(tree, pool, sink, reads);
  BytePipe pipe;
  std::thread reader([&] {
    const auto push = [&](std::string_view piece) {
      std::string copy = pipe.Spare();
      copy = piece;
      return pipe.Push(std::move(copy));
    };
    pipe.Close(WriteSerially(tree, pool, push, reads));
  });
  const auto drain = [&]() -> Result<void> {
    std::string piece;
    while (TRY(pipe.Pop(piece))) TRY(sink(piece));
    return {};
  };
  Result<void> done = drain();
  pipe.Cancel();
  reader.join();
  return done;
}

Result<TarDigest> DigestTar(const Tree& tree, const ObjectPool& pool) {
  Sha256 hash;
  TarDigest digest;
  TRY(WriteTar(tree, pool, [&](std::string_view piece) -> Result<void> {
    hash.Update(piece);
    digest.size_bytes += piece.size();
    return {};
  }));
  digest.digest = oci::Digest::FromSha256Hex(Hex(hash.Finish()));
  return digest;
}

}  // namespace ingot::store

#include "build/archive.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "base/byte_stream.h"
#include "store/tar_reader.h"

namespace ingot::build {
namespace {

using namespace std::string_view_literals;

bool IsCompressed(std::string_view head) {
  constexpr std::array kMagics = {"\x1f\x8b"sv, "BZh"sv,
                                  "\xfd"
                                  "7zXZ\0"sv,
                                  "\x28\xb5\x2f\xfd"sv};
  return std::any_of(kMagics.begin(), kMagics.end(),
                     [&](std::string_view magic) { return head.starts_with(magic); });
}

// A tar header says so ("ustar"), or is a v7 one: its checksum is right.
bool IsTarHeader(std::string_view head) {
  if (head.size() < 512) return false;
  if (head.substr(257, 5) == "ustar") return true;
  unsigned sum = 0;
  for (size_t i = 0; i < 512; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(head[i]);
  unsigned said = 0;
  bool digits = false;
  for (const char c : head.substr(148, 8)) {
    if (c >= '0' && c <= '7') {
      said = said * 8 + static_cast<unsigned>(c - '0');
      digits = true;
    } else if (digits) {
      break;
    }
  }
  return digits && said == sum && head[0] != '\0';
}

bool NamedTar(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (name.find(".tar") != std::string::npos) return true;
  constexpr std::array kEndings = {".tgz"sv, ".tbz"sv, ".tbz2"sv, ".txz"sv, ".tzst"sv};
  return std::any_of(kEndings.begin(), kEndings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

SelectedSource SourceOfTree(const store::Tree& tree, const std::string& name, int64_t mtime_s) {
  SelectedSource source{name, true, {}};
  for (const auto& [path, id] : tree.names()) {
    SelectedItem item{path, tree.node(id), "", -1};
    if (path.empty()) {
      item.node = store::Node::Directory();
      item.node.implied = true;
    }
    if (item.node.implied) item.node.mtime_s = mtime_s;
    if (item.node.type == store::NodeType::kRegular) item.hard_link = static_cast<int>(id);
    source.items.push_back(std::move(item));
  }
  return source;
}

}  // namespace

Result<void> UnpackArchives(Selection& selection, store::ObjectPool& pool, int64_t mtime_s) {
  for (SelectedSource& source : selection) {
    if (source.directory || source.items.front().node.type != store::NodeType::kRegular) continue;
    const store::ObjectId object = source.items.front().node.object;
    if (object.empty()) continue;
    const Fd fd = TRY(pool.OpenObject(object));
    std::array<char, 512> head{};
    const ssize_t size = ::pread(fd.get(), head.data(), head.size(), 0);
    if (size < 0) return ErrnoError(errno, "read " + source.name);
    const std::string_view bytes(head.data(), static_cast<size_t>(size));
    const bool plain = IsTarHeader(bytes);
    if (!plain && !IsCompressed(bytes)) continue;
    auto read = store::ReadTar(SourceOf(fd.get()), pool, {.limits = {}, .whiteouts = false});
    if (read) {
      source = SourceOfTree(read->tree, source.name, mtime_s);
    } else if (plain || NamedTar(source.name) || read.error().code() != Code::kInvalid) {
      return std::move(read).error().While("unpacking " + source.name);
    }
  }
  return {};
}

}  // namespace ingot::build

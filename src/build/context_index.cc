#include "build/context_index.h"

#include <cstring>
#include <type_traits>

#include "base/sha256.h"

namespace ingot::build {
namespace {

constexpr std::string_view kMagic = "ingot context index 1\n";
constexpr size_t kChecksumBytes = 32;

void AppendNumber(std::string& out, uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>(value >> shift));
}

void AppendText(std::string& out, std::string_view text) {
  AppendNumber(out, text.size());
  out += text;
}

std::string Checksum(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  const Sha256::Bytes digest = hash.Finish();
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

// Reads what Append… wrote; `ok` turns false for ever at the first read beyond the end.
struct IndexReader {
  std::string_view rest;
  bool ok = true;

  std::string_view Take(size_t size) {
    if (!ok || size > rest.size()) {
      ok = false;
      return {};
    }
    const std::string_view taken = rest.substr(0, size);
    rest.remove_prefix(size);
    return taken;
  }
  uint64_t Number() {
    const std::string_view bytes = Take(8);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size(); ++i) value |= uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
    return value;
  }
  std::string_view Text() { return Take(static_cast<size_t>(Number())); }
};

}  // namespace

std::string RenderContextIndex(const ContextIndex& index, std::string_view directory) {
  std::string out(kMagic);
  AppendText(out, directory);
  AppendNumber(out, index.size());
  for (const auto& [path, file] : index) {
    AppendText(out, path);
    AppendNumber(out, file.size_bytes);
    AppendNumber(out, file.inode);
    AppendNumber(out, static_cast<uint64_t>(file.mtime_ns));
    AppendNumber(out, static_cast<uint64_t>(file.ctime_ns));
    AppendNumber(out, static_cast<uint64_t>(file.measured_ns));
    out.append(reinterpret_cast<const char*>(file.object.bytes().data()), file.object.bytes().size());
  }
  return out + Checksum(out);
}

Result<ContextIndex> ParseContextIndex(std::string_view bytes, std::string_view directory) {
  const Error corrupt(Code::kCorrupt, "the index of the build context is damaged");
  if (bytes.size() < kMagic.size() + kChecksumBytes || !bytes.starts_with(kMagic)) return corrupt;
  const std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
  if (Checksum(body) != bytes.substr(body.size())) return corrupt;
  IndexReader reader{body.substr(kMagic.size())};
  if (reader.Text() != directory) return corrupt;
  const uint64_t count = reader.Number();
  ContextIndex index;
  for (uint64_t i = 0; i < count && reader.ok; ++i) {
    const std::string_view path = reader.Text();
    IndexedFile file;
    file.size_bytes = reader.Number();
    file.inode = reader.Number();
    file.mtime_ns = static_cast<int64_t>(reader.Number());
    file.ctime_ns = static_cast<int64_t>(reader.Number());
    file.measured_ns = static_cast<int64_t>(reader.Number());
    store::ObjectId::Bytes id{};
    const std::string_view raw = reader.Take(id.size());
    if (!reader.ok) break;
    std::memcpy(id.data(), raw.data(), id.size());
    file.object = store::ObjectId(id);
    index.emplace_hint(index.end(), path, file);
  }
  if (!reader.ok || !reader.rest.empty()) return corrupt;
  return index;
}

}  // namespace ingot::build

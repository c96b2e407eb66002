#include "backup/manifest.h"

#include <algorithm>

namespace ingot::backup {

namespace {

constexpr const char* kKinds[] = {"file", "directory", "symlink", "hardlink"};
constexpr size_t kMostParts = 16;

Result<Part> ReadPart(const Json& json) {
  if (!json.is_object()) return Error(Code::kInvalid, "a part is no object");
  const JsonObject& object = json.get_object();
  Part part;
  part.name = TRY(GetString(object, "name"));
  part.sha256 = TRY(GetString(object, "sha256"));
  const int64_t entries = TRY(GetInt(object, "entries"));
  const int64_t bytes = TRY(GetInt(object, "bytes"));
  if (entries < 0 || bytes < 0) return Error(Code::kInvalid, "a part has a size below 0");
  part.entries = static_cast<uint64_t>(entries);
  part.bytes = static_cast<uint64_t>(bytes);
  return part;
}

Result<Manifest> Read(const JsonObject& object) {
  Manifest manifest;
  manifest.ingot = TRY(GetString(object, "ingot"));
  manifest.host = TRY(GetString(object, "host"));
  manifest.root = TRY(GetString(object, "root"));
  manifest.created = TRY(ParseTime(TRY(GetString(object, "created"))));
  const JsonArray* parts = TRY(GetArray(object, "parts"));
  if (parts->size() > kMostParts) return Error(Code::kInvalid, "it has more parts than there are");
  for (const Json& part : *parts) manifest.parts.push_back(TRY(ReadPart(part)));
  for (const Json& warning : *TRY(GetArray(object, "warnings"))) {
    if (!warning.is_string()) return Error(Code::kInvalid, "a warning is no text");
    manifest.warnings.emplace_back(warning.get_string());
  }
  return manifest;
}

}  // namespace

const Part* Manifest::Find(std::string_view part) const {
  const auto found = std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.name == part; });
  return found == parts.end() ? nullptr : &*found;
}

std::string RenderManifest(const Manifest& manifest) {
  JsonArray parts;
  for (const Part& part : manifest.parts)
    parts.push_back(JsonObject{
        {"name", part.name}, {"entries", part.entries}, {"bytes", part.bytes}, {"sha256", part.sha256}});
  JsonArray warnings;
  for (const std::string& warning : manifest.warnings) warnings.emplace_back(warning);
  return RenderPretty(JsonObject{{"ingot_backup", kBackupFormat},
                                 {"ingot", manifest.ingot},
                                 {"host", manifest.host},
                                 {"root", manifest.root},
                                 {"created", RenderTime(manifest.created)},
                                 {"parts", std::move(parts)},
                                 {"warnings", std::move(warnings)}}) +
         "\n";
}

Result<Manifest> ParseManifest(std::string_view text) {
  const Json json = TRY(ParseJson(text));
  if (!json.is_object()) return Error(Code::kInvalid, "it is no JSON object");
  const int64_t format = IntOr(json.get_object(), "ingot_backup", 0);
  if (format < 1) return Error(Code::kInvalid, "it is not that of a backup");
  if (format > kBackupFormat)
    return Error(Code::kUnsupported, "the backup has the format " + std::to_string(format) +
                                         ", and this version of Ingot knows those up to " +
                                         std::to_string(kBackupFormat) + "; restore it with a newer one");
  return Read(json.get_object());
}

void PartDigest::Add(const TarEntry& entry) {
  JsonObject xattrs;
  for (const auto& [name, value] : entry.xattrs) xattrs[name] = Hex(value);
  // A link has neither mode nor times of its own in a tar.
  const bool link = entry.kind == TarEntry::Kind::kHardLink;
  sha_.Update(RenderCanonical(JsonObject{{"path", Hex(entry.path)},
                                         {"kind", kKinds[static_cast<int>(entry.kind)]},
                                         {"mode", link ? 0 : entry.mode},
                                         {"uid", link ? 0 : entry.uid},
                                         {"gid", link ? 0 : entry.gid},
                                         {"seconds", link ? 0 : entry.mtime_seconds},
                                         {"nanoseconds", link ? 0 : entry.mtime_nanoseconds},
                                         {"size", entry.size_bytes},
                                         {"target", Hex(entry.target)},
                                         {"xattrs", link ? JsonObject() : std::move(xattrs)}}) +
              "\n");
  ++entries_;
}

void PartDigest::Data(std::string_view bytes) {
  sha_.Update(bytes);
  bytes_ += bytes.size();
}

Part PartDigest::Finish(std::string name) {
  return {std::move(name), entries_, bytes_, Hex(sha_.Finish())};
}

}  // namespace ingot::backup

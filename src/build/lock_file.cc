#include "build/lock_file.h"

#include <algorithm>
#include <cctype>

#include "base/json.h"
#include "build/key.h"

namespace ingot::build {
namespace {

constexpr std::string_view kFileName = "ingot.lock";
constexpr int64_t kVersion = 1;

Error InvalidLock(std::string_view where, std::string_view what) {
  return Error(Code::kInvalid, std::string(kFileName) + ": " + std::string(where) + ": " + std::string(what) +
                                   ". Run `ingot lock` to write it again.");
}

std::string Quote(const std::string& text) {
  return RenderJson(Json(text));
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// What ends up in a command line, a URL or a file name.
bool IsPackageWord(std::string_view text) {
  if (text.empty() || text.size() > 256 || text.front() == '-') return false;
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("+-.:~_").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool IsPoolPath(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.size() > 1024) return false;
  if (("/" + std::string(path) + "/").find("/../") != std::string::npos) return false;
  return std::all_of(path.begin(), path.end(), [](unsigned char c) { return c > ' ' && c < 127; });
}

Result<std::vector<std::string>> LockStrings(const JsonObject& object, std::string_view key) {
  std::vector<std::string> strings;
  for (const Json& item : *TRY(GetArray(object, key))) {
    if (!item.is_string()) return Error(Code::kInvalid, std::string(key) + ": expected strings");
    strings.emplace_back(item.get_string().c_str(), item.get_string().size());
  }
  return strings;
}

Result<DebianSource> ParseSource(const JsonObject& object) {
  DebianSource source;
  source.uri = TRY(GetString(object, "uri"));
  source.suite = TRY(GetString(object, "suite"));
  source.components = TRY(LockStrings(object, "components"));
  source.released_s = TRY(GetInt(object, "released"));
  if (!IsPoolPath(source.uri)) return Error(Code::kInvalid, "uri: not a URL");
  if (!IsPoolPath(source.suite)) return Error(Code::kInvalid, "suite: not a suite");
  return source;
}

Result<DebianPackage> ParsePackage(const JsonObject& object) {
  DebianPackage package;
  package.name = TRY(GetString(object, "name"));
  package.version = TRY(GetString(object, "version"));
  package.architecture = TRY(GetString(object, "architecture"));
  package.sha256 = TRY(GetString(object, "sha256"));
  package.size_bytes = static_cast<uint64_t>(TRY(GetInt(object, "size")));
  package.source = static_cast<size_t>(TRY(GetInt(object, "source")));
  package.path = TRY(GetString(object, "path"));
  if (!IsPackageWord(package.name)) return Error(Code::kInvalid, "name: not a package name");
  if (!IsPackageWord(package.version))
    return Error(Code::kInvalid, "version of " + package.name + ": not a version");
  if (!IsPackageWord(package.architecture))
    return Error(Code::kInvalid, "architecture of " + package.name + ": not an architecture");
  if (!IsSha256(package.sha256))
    return Error(Code::kInvalid, "sha256 of " + package.name + ": expected 64 hexadecimal digits");
  if (!IsPoolPath(package.path)) return Error(Code::kInvalid, "path of " + package.name + ": not a path");
  return package;
}

Result<LockedBase> ParseBase(const JsonObject& object) {
  LockedBase base;
  base.suite = TRY(GetString(object, "suite"));
  base.architecture = TRY(GetString(object, "architecture"));
  if (!IsPackageWord(base.suite)) return Error(Code::kInvalid, "suite: not a suite");
  if (!IsPackageWord(base.architecture)) return Error(Code::kInvalid, "architecture: not an architecture");
  base.requested = TRY(LockStrings(object, "requested"));
  for (const Json& item : *TRY(GetArray(object, "sources"))) {
    if (!item.is_object()) return Error(Code::kInvalid, "sources: expected objects");
    base.sources.push_back(TRY(ParseSource(item.get_object())));
  }
  for (const Json& item : *TRY(GetArray(object, "packages"))) {
    if (!item.is_object()) return Error(Code::kInvalid, "packages: expected objects");
    base.packages.push_back(TRY(ParsePackage(item.get_object())));
    if (base.packages.back().source >= base.sources.size())
      return Error(Code::kInvalid, "source of " + base.packages.back().name + ": there is no such source");
  }
  if (base.packages.empty()) return Error(Code::kInvalid, "packages: none");
  return base;
}

std::string List(const std::vector<std::string>& words) {
  std::string text = "[";
  for (const std::string& word : words) text += (text.size() > 1 ? ", " : "") + Quote(word);
  return text + "]";
}

}  // namespace

oci::Digest LockedBase::Identity() const {
  KeyHasher key("debian/1");
  key.Add(suite).Add(architecture).AddNumber(packages.size());
  for (const DebianPackage& package : packages)
    key.Add(package.name).Add(package.version).Add(package.architecture).Add(package.sha256);
  // The times of what is made at assembly come from here.
  key.AddNumber(static_cast<uint64_t>(NewestRelease()));
  return oci::Digest::FromSha256Hex(key.Finish());
}

int64_t LockedBase::NewestRelease() const {
  int64_t newest = 0;
  for (const DebianSource& source : sources) newest = std::max(newest, source.released_s);
  return newest;
}

Result<LockFile> LockFile::Parse(std::string_view bytes) {
  auto json = ParseJson(bytes);
  if (!json) return InvalidLock("not JSON", json.error().message());
  if (!json->is_object()) return InvalidLock("top level", "expected an object");
  const JsonObject& top = json->get_object();
  if (IntOr(top, "version", 0) != kVersion) {
    return Error(Code::kUnsupported,
                 std::string(kFileName) +
                     ": its version is not 1. It was written by another version of Ingot; "
                     "use that one, or run `ingot lock --upgrade` to write it again.");
  }
  auto images = GetObject(top, "images");
  if (!images) return InvalidLock("images", images.error().message());
  LockFile lock;
  for (const auto& [name, value] : **images) {
    const std::string image(name);
    if (!value.is_object()) return InvalidLock("images." + image, "expected an object");
    auto base = ParseBase(value.get_object());
    if (!base) return InvalidLock("images." + image, base.error().message());
    lock.images.emplace(image, std::move(*base));
  }
  const Json* references = top.if_contains("references");
  if (references == nullptr) return lock;
  if (!references->is_object()) return InvalidLock("references", "expected an object");
  for (const auto& [key, value] : references->get_object()) {
    const std::string where = "references." + std::string(key).substr(0, 200);
    auto reference = oci::Reference::Parse(std::string(key));
    if (!reference || reference->Normalized() != *reference)
      return InvalidLock(where, "expected a whole reference, such as docker.io/library/redis:7.2");
    auto digest = oci::Digest::Parse(value.is_string() ? std::string_view(value.get_string()) : "");
    if (!digest || (reference->digest && *reference->digest != *digest))
      return InvalidLock(where, "expected its digest");
    lock.references.emplace(std::move(*reference), std::move(*digest));
  }
  return lock;
}

std::string LockFile::Render() const {
  std::string text = "{\n  \"version\": 1,\n  \"images\": {";
  bool first_image = true;
  for (const auto& [name, base] : images) {
    text += std::string(first_image ? "" : ",") + "\n    " + Quote(name) + ": {\n";
    first_image = false;
    text += "      \"suite\": " + Quote(base.suite) + ",\n";
    text += "      \"architecture\": " + Quote(base.architecture) + ",\n";
    text += "      \"requested\": " + List(base.requested) + ",\n      \"sources\": [";
    bool first = true;
    for (const DebianSource& source : base.sources) {
      text += std::string(first ? "" : ",") + "\n        {\"uri\": " + Quote(source.uri) +
              ", \"suite\": " + Quote(source.suite) + ", \"components\": " + List(source.components) +
              ", \"released\": " + std::to_string(source.released_s) + "}";
      first = false;
    }
    text += "\n      ],\n      \"packages\": [";
    first = true;
    for (const DebianPackage& package : base.packages) {
      text += std::string(first ? "" : ",") + "\n        {\"name\": " + Quote(package.name) +
              ", \"version\": " + Quote(package.version) +
              ", \"architecture\": " + Quote(package.architecture) +
              ", \"size\": " + std::to_string(package.size_bytes) + ", \"sha256\": " + Quote(package.sha256) +
              ", \"source\": " + std::to_string(package.source) + ", \"path\": " + Quote(package.path) + "}";
      first = false;
    }
    text += "\n      ]\n    }";
  }
  text += "\n  }";
  if (!references.empty()) text += ",\n  \"references\": {";
  std::map<std::string, std::string> lines;
  for (const auto& [reference, digest] : references) lines.emplace(reference.Render(), digest.Render());
  bool first_line = true;
  for (const auto& [reference, digest] : lines) {
    text += std::string(first_line ? "" : ",") + "\n    " + Quote(reference) + ": " + Quote(digest);
    first_line = false;
  }
  return text + (references.empty() ? "\n}\n" : "\n  }\n}\n");
}

Result<LockFile> LockFile::Load(const fs::path& directory) {
  auto bytes = ReadFile(directory / kFileName, size_t{64} << 20);
  if (!bytes && bytes.error().code() == Code::kNotFound) return LockFile();
  if (!bytes) return std::move(bytes).error();
  return Parse(*bytes);
}

Result<void> LockFile::Save(const fs::path& directory) const {
  const fs::path path = directory / kFileName;
  const std::string bytes = Render();
  auto old = ReadFile(path, size_t{64} << 20);
  if (old && *old == bytes) return {};
  return WriteFileAtomic(path, bytes);
}

}  // namespace ingot::build

#include "backup/check.h"

#include <algorithm>

#include "platform/ids.h"

namespace ingot::backup {

namespace {

constexpr size_t kLongestPath = 4000;
constexpr size_t kLongestName = 255;
constexpr uint64_t kLargestFile = uint64_t{1} << 44;  // 16 TiB

std::vector<std::string_view> Components(std::string_view path) {
  std::vector<std::string_view> out;
  while (true) {
    const size_t slash = path.find('/');
    out.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return out;
    path.remove_prefix(slash + 1);
  }
}

bool IsPlainPath(std::string_view path) {
  if (path.empty() || path.size() > kLongestPath || path.find('\0') != std::string_view::npos) return false;
  const auto components = Components(path);
  return std::all_of(components.begin(), components.end(), [](std::string_view name) {
    return !name.empty() && name != "." && name != ".." && name.size() <= kLongestName;
  });
}

bool IsHex(std::string_view text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsEnvironment(std::string_view project, std::string_view environment) {
  return platform::EnvironmentId::Parse(std::string(project) + "/" + std::string(environment)).has_value();
}

bool IsSimpleName(std::string_view name) {
  return !name.empty() && name.front() != '.' && name.size() <= 100 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
             std::string_view::npos;
}

bool IsSecretPath(const std::vector<std::string_view>& path) {
  constexpr std::string_view kSealedEnd = ".sealed";
  if (path.size() == 2) return path[1] == "names.sealed";
  return path.size() == 5 && IsEnvironment(path[1], path[2]) && IsSimpleName(path[3]) &&
         path[4].ends_with(kSealedEnd) && IsHex(path[4].substr(0, path[4].size() - kSealedEnd.size()), 16);
}

bool IsImagePath(const std::vector<std::string_view>& path) {
  if (path.size() == 4 && path[1] == "objects") return IsHex(path[2], 2) && IsHex(path[3], 62);
  if (path.size() == 3 && path[1] == "layers")
    return path[2].ends_with(".erofs") && IsHex(path[2].substr(0, path[2].size() - 6), 64);
  if (path.size() == 4 && path[1] == "blobs")
    return (path[2] == "sha256" && IsHex(path[3], 64)) || (path[2] == "sha512" && IsHex(path[3], 128));
  return false;
}

// volumes/PROJECT/ENVIRONMENT/NAME-MEMBER/…
bool IsVolumePath(const std::vector<std::string_view>& path) {
  if (path.size() < 4 || !IsEnvironment(path[1], path[2]) || !IsSimpleName(path[3])) return false;
  if (path.size() == 4) return true;
  if (path[4] == "volume.json") return path.size() == 5;
  // What begins with a dot is a copy that was cut off.
  return path[4] == "data" || (path[4] == "snapshots" && (path.size() == 5 || path[5].front() != '.'));
}

bool IsPathOfItsPart(const std::vector<std::string_view>& path) {
  if (path[0] == "state") return path.size() == 2 && path[1] == "state.db";
  if (path[0] == "store") return path.size() == 2 && path[1] == "store.db";
  if (path[0] == "key") return path.size() == 2 && path[1] == "secrets.key";
  if (path[0] == "scripts") return path.size() == 2 && IsHex(path[1], 64);
  if (path[0] == "secrets") return IsSecretPath(path);
  if (path[0] == "images") return IsImagePath(path);
  return path[0] == "volumes" && IsVolumePath(path);
}

Error Refuse(const TarEntry& entry, const std::string& why) {
  std::string shown = entry.path.substr(0, 200);
  for (char& c : shown)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return Error(Code::kInvalid, "\"" + shown + "\" in the backup " + why);
}

}  // namespace

const std::vector<std::string>& PartNames() {
  static const std::vector<std::string> names = {"state", "store",  "scripts", "secrets",
                                                 "key",   "images", "volumes"};
  return names;
}

std::string_view PartOf(std::string_view path) {
  return path.substr(0, path.find('/'));
}

Result<void> CheckEntry(const TarEntry& entry) {
  using Kind = TarEntry::Kind;
  if (!IsPlainPath(entry.path)) return Refuse(entry, "has a path that leads elsewhere");
  const auto path = Components(entry.path);
  if (!IsPathOfItsPart(path)) return Refuse(entry, "is nothing that a backup has");
  if (entry.size_bytes > kLargestFile) return Refuse(entry, "is larger than any file");
  if (entry.mode > 07777 || entry.mtime_nanoseconds >= 1'000'000'000)
    return Refuse(entry, "has a mode or a time that no file has");
  if (path[0] != "volumes") {
    if (entry.kind != Kind::kFile) return Refuse(entry, "is no plain file");
    if (!entry.xattrs.empty()) return Refuse(entry, "has attributes");
    return {};
  }
  const bool fixed_folder = path.size() == 4 || (path.size() == 5 && path[4] != "volume.json") ||
                            (path.size() == 6 && path[4] == "snapshots");
  if (fixed_folder && entry.kind != Kind::kDirectory) return Refuse(entry, "is no folder");
  if (path.size() == 5 && path[4] == "volume.json" && entry.kind != Kind::kFile)
    return Refuse(entry, "is no plain file");
  for (const auto& [name, value] : entry.xattrs)
    if (!IsKeptXattr(name)) return Refuse(entry, "has an attribute that no backup has");
  if (entry.kind == Kind::kSymlink && (entry.target.empty() || entry.target.size() > kLongestPath ||
                                       entry.target.find('\0') != std::string::npos))
    return Refuse(entry, "is a link to nowhere");
  if (entry.kind == Kind::kHardLink) {
    if (!IsPlainPath(entry.target)) return Refuse(entry, "is a link that leads elsewhere");
    const auto target = Components(entry.target);
    // Within one volume alone.
    if (target.size() < 6 || path.size() < 6 || !std::equal(path.begin(), path.begin() + 5, target.begin()))
      return Refuse(entry, "is a link that leads elsewhere");
  }
  return {};
}

std::string PlaceOf(std::string_view path) {
  const std::string_view part = PartOf(path);
  if (part == "secrets" || part == "scripts" || part == "volumes") return std::string(path);
  return std::string(path.substr(std::min(part.size() + 1, path.size())));
}

bool IsKeptXattr(std::string_view name) {
  return name.starts_with("user.") || name == "security.capability" || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

}  // namespace ingot::backup

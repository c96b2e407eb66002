#include "backup/tree.h"

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "backup/check.h"

namespace ingot::backup {

namespace {

constexpr size_t kMostXattrBytes = 65'536;
constexpr int kDeepest = 1'000;

Result<std::map<std::string, std::string>> XattrsOf(const fs::path& path) {
  std::map<std::string, std::string> out;
  std::string names(kMostXattrBytes, '\0');
  const ssize_t size = ::llistxattr(path.c_str(), names.data(), names.size());
  if (size < 0 && (errno == ENOTSUP || errno == ENOENT)) return out;
  if (size < 0) return ErrnoError(errno, "list the attributes of " + path.string());
  names.resize(static_cast<size_t>(size));
  for (size_t at = 0; at < names.size(); at = names.find('\0', at) + 1) {
    const std::string name(names.c_str() + at);
    if (!IsKeptXattr(name)) continue;
    std::string value(kMostXattrBytes, '\0');
    const ssize_t n = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (n < 0) return ErrnoError(errno, "read the attribute " + name + " of " + path.string());
    value.resize(static_cast<size_t>(n));
    out[name] = std::move(value);
  }
  return out;
}

class Walk {
 public:
  Walk(Contents contents, std::vector<SourceEntry>& out) : contents_(contents), out_(out) {}

  Result<void> Add(const fs::path& path, const std::string& as, int depth) {
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0) {
      if (errno == ENOENT && depth > 0) return {};
      return ErrnoError(errno, "look at " + path.string());
    }
    if (depth == 0) device_ = st.st_dev;
    if (depth > kDeepest || st.st_dev != device_)
      return Error(Code::kInvalid, path.string() + " is on another file system, or too deep to be copied");
    SourceEntry source;
    source.entry.path = as;
    if (contents_ == Contents::kAny) TRY(Describe(path, st, source.entry));
    if (contents_ == Contents::kPlain) source.entry.mode = 0600;
    if (S_ISDIR(st.st_mode)) return Folder(path, std::move(source), depth);
    if (S_ISREG(st.st_mode)) return File(path, st, std::move(source));
    if (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode)) return {};
    if (!S_ISLNK(st.st_mode) || contents_ == Contents::kPlain)
      return Error(Code::kInvalid, path.string() + " is no file that can be copied");
    std::string target(4096, '\0');
    const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
    if (n < 0) return ErrnoError(errno, "read the link " + path.string());
    target.resize(static_cast<size_t>(n));
    source.entry.kind = TarEntry::Kind::kSymlink;
    source.entry.target = std::move(target);
    out_.push_back(std::move(source));
    return {};
  }

 private:
  static Result<void> Describe(const fs::path& path, const struct stat& st, TarEntry& entry) {
    entry.mode = st.st_mode & 07777;
    entry.uid = st.st_uid;
    entry.gid = st.st_gid;
    entry.mtime_seconds = st.st_mtim.tv_sec;
    entry.mtime_nanoseconds = static_cast<uint32_t>(st.st_mtim.tv_nsec);
    entry.xattrs = TRY(XattrsOf(path));
    // The mode of a symbolic link means nothing.
    if (S_ISLNK(st.st_mode)) entry.mode = 0777;
    return {};
  }

  Result<void> Folder(const fs::path& path, SourceEntry source, int depth) {
    const std::string as = source.entry.path;
    source.entry.kind = TarEntry::Kind::kDirectory;
    if (contents_ == Contents::kAny) out_.push_back(std::move(source));
    for (const std::string& name : TRY(ListDirectory(path)))
      TRY(Add(path / name, as + "/" + name, depth + 1));
    return {};
  }

  Result<void> File(const fs::path& path, const struct stat& st, SourceEntry source) {
    if (contents_ == Contents::kAny && st.st_nlink > 1) {
      const auto [first, is_new] = linked_.try_emplace({st.st_dev, st.st_ino}, source.entry.path);
      if (!is_new) {
        SourceEntry link;
        link.entry.path = source.entry.path;
        link.entry.kind = TarEntry::Kind::kHardLink;
        link.entry.target = first->second;
        out_.push_back(std::move(link));
        return {};
      }
    }
    source.entry.size_bytes = static_cast<uint64_t>(st.st_size);
    source.file = path;
    out_.push_back(std::move(source));
    return {};
  }

  Contents contents_;
  std::vector<SourceEntry>& out_;
  dev_t device_ = 0;
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;
};

}  // namespace

Result<void> AddTree(const fs::path& path, const std::string& as, Contents contents,
                     std::vector<SourceEntry>& out) {
  return Walk(contents, out).Add(path, as, 0);
}

}  // namespace ingot::backup

#include "observe/root_drift.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "base/fd.h"
#include "base/file.h"
#include "store/file_check.h"

namespace ingot::observe {
namespace {

using store::Node;
using store::NodeType;
using store::Tree;

// Where a path of the instance leads in the image, as a Tree names it; links followed.
std::string ResolveInImage(const Tree& image, std::string path) {
  for (int links = 0; links < 40; ++links) {
    std::string done;
    bool followed = false;
    for (const fs::path& part : fs::path(path).lexically_normal().relative_path()) {
      if (part.empty()) continue;
      const std::string next = done.empty() ? part.string() : done + "/" + part.string();
      const Node* node = image.Find(next);
      if (!followed && node != nullptr && node->type == NodeType::kSymlink) {
        done = (node->target.starts_with('/') ? fs::path(node->target) : fs::path("/" + done) / node->target)
                   .lexically_normal()
                   .relative_path()
                   .string();
        followed = true;
      } else {
        done = next;
      }
    }
    if (!followed) return done;
    path = "/" + done;
  }
  return path.substr(1);
}

mode_t FileTypeOf(NodeType type) {
  switch (type) {
    case NodeType::kRegular:
      return S_IFREG;
    case NodeType::kDirectory:
      return S_IFDIR;
    case NodeType::kSymlink:
      return S_IFLNK;
    case NodeType::kCharDevice:
      return S_IFCHR;
    case NodeType::kBlockDevice:
      return S_IFBLK;
    case NodeType::kFifo:
      return S_IFIFO;
    case NodeType::kWhiteout:
      return 0;
  }
  return 0;
}

class Comparison {
 public:
  Comparison(int root, const ExpectedRoot& expected, const CompareOptions& options)
      : root_(root), expected_(expected), options_(options), image_(*expected.image) {
    for (const std::string& path : expected.own) Allow(path, own_);
    for (const std::string& path : expected.mounts) Allow(path, mounts_);
  }

  RootReport Run() {
    struct statvfs fs {};
    if (::fstatvfs(root_, &fs) != 0)
      Unknown("/", ErrnoError(errno, "look at the root's mount"));
    else if ((fs.f_flag & ST_RDONLY) == 0)
      Add(RootDrift::Kind::kChanged, "", "the root can be written to");
    struct statx root {};
    if (::statx(root_, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &root) != 0) {
      Unknown("/", ErrnoError(errno, "look at the root"));
      return std::move(report_);
    }
    seen_.insert("");
    Attributes("", *image_.Find(""), root);
    Folder(root_, "");
    // What nobody has met. Below a folder that is not there, the folder alone is named.
    for (const auto& [path, id] : image_.names()) {
      if (seen_.contains(path) || Covered(path)) continue;
      const std::string parent(store::ParentOf(path));
      if (seen_.contains(parent) && !unreadable_.contains(parent))
        Add(RootDrift::Kind::kMissing, path, "the image has it");
    }
    Contents();
    std::sort(report_.drifts.begin(), report_.drifts.end(),
              [](const RootDrift& a, const RootDrift& b) { return store::PathOrder()(a.path, b.path); });
    report_.files = seen_.size();
    return std::move(report_);
  }

 private:
  struct Contained {
    std::string path;
    const Node* node;
  };

  // The path, and the folders that lead there.
  void Allow(const std::string& path, std::set<std::string>& where) {
    std::string name = ResolveInImage(image_, path);
    where.insert(name);
    while (!name.empty()) {
      name = std::string(store::ParentOf(name));
      above_.insert(name);
    }
  }
  bool Covered(const std::string& path) const {
    for (std::string name = path; !name.empty(); name = std::string(store::ParentOf(name)))
      if (mounts_.contains(name)) return true;
    return false;
  }
  void Add(RootDrift::Kind kind, const std::string& path, std::string detail) {
    const std::lock_guard lock(mutex_);
    report_.drifts.push_back({kind, "/" + path, std::move(detail)});
  }
  void Unknown(const std::string& path, const Error& error) {
    const std::lock_guard lock(mutex_);
    report_.unknown.push_back(path + ": " + error.Render());
  }

  void Folder(int fd, const std::string& path) {
    const int raw = ::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* listing = raw < 0 ? nullptr : ::fdopendir(raw);
    if (listing == nullptr) {
      Unknown("/" + path, ErrnoError(errno, "list it"));
      unreadable_.insert(path);
      if (raw >= 0) ::close(raw);
      return;
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> close(listing, ::closedir);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(listing)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      errno = 0;
    }
    if (errno != 0) {
      Unknown("/" + path, ErrnoError(errno, "list it"));
      unreadable_.insert(path);
    }
    for (const std::string& name : names) Name(fd, name, path.empty() ? name : path + "/" + name);
  }

  void Name(int folder, const std::string& name, const std::string& path) {
    seen_.insert(path);
    struct statx st {};
    if (::statx(folder, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &st) != 0)
      return Unknown("/" + path, ErrnoError(errno, "look at it"));
    const Node* node = image_.Find(path);
    if ((st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) {
      if (!mounts_.contains(path))
        Add(RootDrift::Kind::kUnexpected, path, "something is mounted there that nobody declared");
      return;
    }
    if (own_.contains(path)) return;
    const bool folder_here = S_ISDIR(st.stx_mode);
    if (node == nullptr) {
      // A place to mount on, or the way to one.
      if (!mounts_.contains(path) && !(folder_here && above_.contains(path)))
        return Add(RootDrift::Kind::kUnexpected, path, "the image does not have it");
    } else if (!Attributes(path, *node, st)) {
      return;
    } else if (node->type == NodeType::kRegular) {
      contents_.push_back({path, node});
      total_bytes_ += node->size_bytes;
    } else if (node->type == NodeType::kSymlink) {
      std::string target(PATH_MAX, '\0');
      const ssize_t n = ::readlinkat(folder, name.c_str(), target.data(), target.size());
      if (n < 0) return Unknown("/" + path, ErrnoError(errno, "read the link"));
      target.resize(static_cast<size_t>(n));
      if (target != node->target)
        Add(RootDrift::Kind::kChanged, path, "it leads to " + target + ", not to " + node->target);
    }
    if (!folder_here) return;
    const Fd fd(::openat(folder, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) return Unknown("/" + path, ErrnoError(errno, "open it"));
    Folder(fd.get(), path);
  }

  uint32_t OwnerOf(uint32_t id) const { return id < expected_.ids ? expected_.first_id + id : 65534; }

  // False: it is something else altogether.
  bool Attributes(const std::string& path, const Node& node, const struct statx& st) {
    if ((st.stx_mode & S_IFMT) != FileTypeOf(node.type)) {
      Add(RootDrift::Kind::kChanged, path, "it is another kind of file");
      return false;
    }
    std::string what;
    const auto differs = [&what](bool yes, const char* word) {
      if (yes) what += (what.empty() ? "" : ", ") + std::string(word);
    };
    differs(st.stx_uid != OwnerOf(node.uid) || st.stx_gid != OwnerOf(node.gid), "owner");
    if (node.type != NodeType::kSymlink) differs((st.stx_mode & 07777U) != node.mode, "mode");
    if (node.type == NodeType::kRegular) {
      differs(st.stx_size != node.size_bytes, "size");
      differs(st.stx_mtime.tv_sec != node.mtime_s || st.stx_mtime.tv_nsec != node.mtime_ns, "time of change");
    }
    if (node.type == NodeType::kCharDevice || node.type == NodeType::kBlockDevice)
      differs(st.stx_rdev_major != node.rdev_major || st.stx_rdev_minor != node.rdev_minor, "device number");
    if (!what.empty()) Add(RootDrift::Kind::kChanged, path, what);
    return true;
  }

  // Every file once more, by its bytes.
  void Contents() {
    std::atomic<size_t> next = 0;
    std::atomic<uint64_t> done = 0;
    const auto work = [&] {
      store::FileCheck check;
      for (size_t i = next++; i < contents_.size(); i = next++) {
        const auto read = Content(check, contents_[i]);
        if (read) {
          done += *read;
        } else if (read.error().code() == Code::kCorrupt) {
          Add(RootDrift::Kind::kChanged, contents_[i].path, "contents");
        } else {
          Unknown("/" + contents_[i].path, read.error());
        }
        if (options_.progress) {
          const std::lock_guard lock(mutex_);
          options_.progress(done, total_bytes_);
        }
      }
    };
    const unsigned count =
        options_.threads != 0 ? options_.threads : std::max(1U, std::thread::hardware_concurrency());
    std::vector<std::thread> others;
    for (unsigned i = 1; i < count; ++i) others.emplace_back(work);
    work();
    for (std::thread& thread : others) thread.join();
    report_.bytes = done;
  }

  Result<uint64_t> Content(store::FileCheck& check, const Contained& file) const {
    // No part of its way is a link: they were folders a moment ago, and are not followed now.
    const Fd fd(::openat(root_, file.path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!fd.valid()) return ErrnoError(errno, "open it");
    if (file.node->size_bytes == 0) {
      char byte = 0;
      const ssize_t n = ::read(fd.get(), &byte, 1);
      if (n < 0) return ErrnoError(errno, "read it");
      if (n > 0) return Error(Code::kCorrupt, "it is not empty");
      return uint64_t{0};
    }
    return check.Object(fd.get(), file.node->object, file.node->size_bytes);
  }

  const int root_;
  const ExpectedRoot& expected_;
  const CompareOptions& options_;
  const Tree& image_;
  std::set<std::string> own_, mounts_, above_;
  std::set<std::string> seen_, unreadable_;
  std::vector<Contained> contents_;
  uint64_t total_bytes_ = 0;
  std::mutex mutex_;  // of report_ and progress
  RootReport report_;
};

}  // namespace

RootReport CompareRoot(int root, const ExpectedRoot& expected, const CompareOptions& options) {
  return Comparison(root, expected, options).Run();
}

std::string_view RootDriftKindName(RootDrift::Kind kind) {
  switch (kind) {
    case RootDrift::Kind::kMissing:
      return "missing";
    case RootDrift::Kind::kChanged:
      return "changed";
    case RootDrift::Kind::kUnexpected:
      return "unexpected";
  }
  return "";
}

JsonArray ToJson(const std::vector<RootDrift>& drifts) {
  JsonArray array;
  for (const RootDrift& drift : drifts)
    array.push_back(
        JsonObject{{"kind", RootDriftKindName(drift.kind)}, {"path", drift.path}, {"detail", drift.detail}});
  return array;
}

}  // namespace ingot::observe

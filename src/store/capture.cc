#include "store/capture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "base/sync.h"

namespace ingot::store {
namespace {

constexpr size_t kHashThreads = 2;

// What overlayfs left in attributes of an upper inode.
struct OverlayMarks {
  bool metacopy = false;
  bool opaque = false;
  bool whiteout = false;
  std::string redirect;
};

// A file whose contents are still to be hashed.
struct Job {
  Tree::NodeId node;
  std::string path;                      // on disk
  std::vector<std::string> other_names;  // further hard links, on disk
};

// Where overlayfs looks for what a directory of the upper one does not have itself.
struct Below {
  std::optional<std::string> origin;  // the directory in the layers below; unset: nothing shows through
  bool copied = false;  // what shows through stands in the captured tree already (a renamed directory)
};

class Walker {
 public:
  Walker(const fs::path& root, ObjectPool& pool, const CaptureOptions& options, bool upper)
      : root_(root),
        pool_(pool),
        options_(options),
        upper_(upper),
        excluded_(options.exclude.begin(), options.exclude.end()) {}

  Result<Captured> Capture() {
    struct stat st {};
    if (::lstat(root_.c_str(), &st) != 0) return ErrnoError(errno, "look at " + root_.string());
    if (!S_ISDIR(st.st_mode)) return Error(Code::kInvalid, root_.string() + " is not a directory.");
    TRY(Visit("", st, {.origin = ""}));
    TRY(HashAll());
    return std::move(captured_);
  }

 private:
  fs::path OnDisk(const std::string& path) const { return path.empty() ? root_ : root_ / path; }
  static std::string Child(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + "/" + name;
  }
  void SetTime(Node& node, const struct stat& st) const;
  Result<void> ReadAttributes(const fs::path& path, const struct stat& st, Node& node, OverlayMarks& marks);
  Result<void> Visit(const std::string& path, const struct stat& st, const Below& parent);
  Result<void> VisitDirectory(const std::string& path, Node node, const OverlayMarks& marks, Below below);
  Result<void> HideBelow(const std::string& path, const Below& parent);
  Result<void> VisitFile(const std::string& path, const struct stat& st, Node node, const OverlayMarks& marks,
                         const std::optional<std::string>& origin);
  Result<const Tree*> Lower(const std::string& path);
  Result<void> CopyFromLower(const std::string& from, const std::string& to);
  Result<void> HashAll();

  const fs::path& root_;
  ObjectPool& pool_;
  const CaptureOptions& options_;
  const bool upper_;
  const std::set<std::string> excluded_;
  Captured captured_;
  std::map<std::pair<dev_t, ino_t>, std::pair<std::string, size_t>> links_;  // first name, index of its job
  std::vector<Job> jobs_;
  const Tree* lower_ = nullptr;
};

void Walker::SetTime(Node& node, const struct stat& st) const {
  node.mtime_s = st.st_mtim.tv_sec;
  node.mtime_ns = static_cast<uint32_t>(st.st_mtim.tv_nsec);
  if (options_.clamp_mtime_s && (node.mtime_s > *options_.clamp_mtime_s ||
                                 (node.mtime_s == *options_.clamp_mtime_s && node.mtime_ns > 0))) {
    node.mtime_s = *options_.clamp_mtime_s;
    node.mtime_ns = 0;
  }
  if (options_.fixed_mtime_s) {
    node.mtime_s = *options_.fixed_mtime_s;
    node.mtime_ns = 0;
  }
}

Result<void> Walker::ReadAttributes(const fs::path& path, const struct stat& st, Node& node,
                                    OverlayMarks& marks) {
  std::string list(1024, '\0');
  ssize_t n;
  while ((n = ::llistxattr(path.c_str(), list.data(), list.size())) < 0 && errno == ERANGE) {
    list.resize(list.size() * 4);
  }
  if (n < 0 && errno == EOPNOTSUPP) return {};
  if (n < 0) return ErrnoError(errno, "list the attributes of " + path.string());
  for (const char* p = list.data(); p < list.data() + n; p += std::strlen(p) + 1) {
    const std::string name(p);
    std::string value(256, '\0');
    ssize_t size;
    while ((size = ::lgetxattr(path.c_str(), p, value.data(), value.size())) < 0 && errno == ERANGE) {
      value.resize(value.size() * 16);
    }
    if (size < 0 && errno == ENODATA) continue;
    if (size < 0) return ErrnoError(errno, "read the attribute " + name + " of " + path.string());
    value.resize(static_cast<size_t>(size));
    if (name.starts_with("trusted.overlay.")) {
      const std::string_view key = std::string_view(name).substr(16);
      if (key == "metacopy") marks.metacopy = true;
      if (key == "opaque") marks.opaque = value == "y";
      if (key == "redirect") marks.redirect = value;
      if (key == "whiteout" && S_ISREG(st.st_mode) && st.st_size == 0) marks.whiteout = true;
    } else if (name == "security.selinux" || name == "security.ima" || name == "security.evm") {
      continue;  // the host's, not the image's
    } else {
      node.xattrs.emplace(name, std::move(value));
    }
  }
  return {};
}

Result<const Tree*> Walker::Lower(const std::string& path) {
  if (lower_ != nullptr) return lower_;
  if (!options_.lower) {
    return Error(Code::kUnsupported,
                 "/" + path +
                     " points into the layers below (it was renamed, or only its attributes "
                     "were changed), and those were not given.");
  }
  lower_ = TRY(options_.lower());
  return lower_;
}

// The whole of a directory that was renamed, as the layers below have it.
Result<void> Walker::CopyFromLower(const std::string& from, const std::string& to) {
  const Tree& lower = *TRY(Lower(to));
  const auto begin = lower.names().find(from);
  if (begin == lower.names().end() || !lower.node(begin->second).IsDirectory()) {
    return Error(Code::kCorrupt,
                 "/" + to + " was renamed from /" + from + ", which the layers below do not hold.");
  }
  std::map<Tree::NodeId, std::string> first;
  for (auto it = std::next(begin); it != lower.names().end() && it->first.starts_with(from + "/"); ++it) {
    const std::string path = to + it->first.substr(from.size());
    const auto [known, fresh] = first.emplace(it->second, path);
    if (fresh) {
      TRY(captured_.tree.Put(path, lower.node(it->second)));
    } else {
      TRY(captured_.tree.Link(path, known->second));
    }
  }
  return {};
}

Result<void> Walker::HideBelow(const std::string& path, const Below& parent) {
  if (!parent.copied) return captured_.tree.Put(path, Node::Whiteout());
  captured_.tree.Remove(path);  // in an opaque directory there is nothing to hide
  return {};
}

Result<void> Walker::Visit(const std::string& path, const struct stat& st, const Below& parent) {
  const fs::path on_disk = OnDisk(path);
  Node node;
  node.mode = st.st_mode & 07777;
  node.uid = options_.owner ? options_.owner->first : st.st_uid;
  node.gid = options_.owner ? options_.owner->second : st.st_gid;
  SetTime(node, st);
  const bool null_device = S_ISCHR(st.st_mode) && st.st_rdev == 0;
  if (upper_ && null_device) return HideBelow(path, parent);
  if (S_ISSOCK(st.st_mode) || null_device) {
    captured_.dropped.push_back(path);
    return {};
  }
  OverlayMarks marks;
  TRY(ReadAttributes(on_disk, st, node, marks));
  if (!upper_) marks = {};
  if (marks.whiteout) return HideBelow(path, parent);

  Below below = parent;
  if (!path.empty() && below.origin) below.origin = Child(*parent.origin, std::string(BaseName(path)));
  if (marks.redirect.starts_with('/')) {
    below.origin = marks.redirect.substr(1);
  } else if (!marks.redirect.empty() && parent.origin) {
    below.origin = Child(*parent.origin, marks.redirect);
  }
  if (S_ISDIR(st.st_mode)) return VisitDirectory(path, std::move(node), marks, std::move(below));

  if (const auto link = links_.find({st.st_dev, st.st_ino}); st.st_nlink > 1 && link != links_.end()) {
    TRY(captured_.tree.Link(path, link->second.first));
    if (link->second.second < jobs_.size()) jobs_[link->second.second].other_names.push_back(on_disk);
    return {};
  }
  return VisitFile(path, st, std::move(node), marks, below.origin);
}

Result<void> Walker::VisitDirectory(const std::string& path, Node node, const OverlayMarks& marks,
                                    Below below) {
  node.type = NodeType::kDirectory;
  // Renamed: it shows the old directory's contents, under a name where the layers below may show something
  // else.
  const bool renamed = !marks.redirect.empty() && !marks.opaque && below.origin;
  node.opaque = marks.opaque || renamed;
  if (node.opaque) captured_.tree.Remove(path);  // what a renamed parent brought
  TRY(captured_.tree.Put(path, std::move(node)));
  if (renamed) TRY(CopyFromLower(*below.origin, path));
  if (renamed) below.copied = true;
  if (marks.opaque) below = {};
  for (const std::string& name : TRY(ListDirectory(OnDisk(path)))) {
    const std::string child = Child(path, name);
    if (excluded_.contains(child)) continue;
    struct stat st {};
    if (::lstat(OnDisk(child).c_str(), &st) != 0)
      return ErrnoError(errno, "look at " + OnDisk(child).string());
    TRY(Visit(child, st, below));
  }
  return {};
}

Result<void> Walker::VisitFile(const std::string& path, const struct stat& st, Node node,
                               const OverlayMarks& marks, const std::optional<std::string>& origin) {
  const fs::path on_disk = OnDisk(path);
  size_t job = SIZE_MAX;
  if (S_ISREG(st.st_mode)) {
    node.size_bytes = static_cast<uint64_t>(st.st_size);
    if (marks.metacopy) {
      if (!origin)
        return Error(Code::kCorrupt, "/" + path + " has its data in the layers below, where nothing is.");
      const Node* below = TRY(Lower(path))->Find(*origin);
      if (below == nullptr || below->type != NodeType::kRegular || below->size_bytes != node.size_bytes) {
        return Error(Code::kCorrupt, "/" + path + " has its data in /" + *origin +
                                         ", which the layers below do not hold with that size.");
      }
      node.object = below->object;
    } else {
      job = jobs_.size();
    }
  } else if (S_ISLNK(st.st_mode)) {
    node.type = NodeType::kSymlink;
    std::string target(4096, '\0');
    const ssize_t n = ::readlink(on_disk.c_str(), target.data(), target.size());
    if (n < 0) return ErrnoError(errno, "read the symbolic link " + on_disk.string());
    target.resize(static_cast<size_t>(n));
    node.target = std::move(target);
  } else if (S_ISFIFO(st.st_mode)) {
    node.type = NodeType::kFifo;
  } else {
    node.type = S_ISCHR(st.st_mode) ? NodeType::kCharDevice : NodeType::kBlockDevice;
    node.rdev_major = major(st.st_rdev);
    node.rdev_minor = minor(st.st_rdev);
  }
  TRY(captured_.tree.Put(path, std::move(node)));
  if (job != SIZE_MAX) jobs_.push_back({captured_.tree.names().find(path)->second, on_disk, {}});
  if (st.st_nlink > 1) links_.emplace(std::pair(st.st_dev, st.st_ino), std::pair(path, job));
  return {};
}

Result<void> Walker::HashAll() {
  std::atomic<size_t> next{0};
  std::atomic<bool> stop{false};
  Sync<Result<void>> failure;
  std::vector<ObjectId::Measured> measured(jobs_.size());
  const auto store = [&](const Job& job) -> Result<ObjectId::Measured> {
    if (!options_.move) return pool_.PutFile(job.path);
    // With its other names gone the file is ours alone and can be moved.
    for (const std::string& name : job.other_names) {
      if (::unlink(name.c_str()) != 0) return ErrnoError(errno, "remove " + name);
    }
    return pool_.Adopt(job.path);
  };
  const auto work = [&] {
    for (size_t i; !stop && (i = next.fetch_add(1)) < jobs_.size();) {
      auto done = store(jobs_[i]);
      if (done) {
        measured[i] = *done;
        continue;
      }
      stop = true;
      *failure.lock() = std::move(done).error();
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(kHashThreads, jobs_.size() / 16 + 1); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  TRY(std::move(*failure.lock()));
  for (size_t i = 0; i < jobs_.size(); ++i) {
    Node& node = captured_.tree.node(jobs_[i].node);
    node.object = measured[i].id;
    node.size_bytes = measured[i].size_bytes;
    captured_.bytes += measured[i].size_bytes;
  }
  return {};
}

}  // namespace

Result<Captured> CaptureUpper(const fs::path& directory, ObjectPool& pool, const CaptureOptions& options) {
  return Walker(directory, pool, options, /*upper=*/true).Capture();
}

Result<Captured> CaptureDirectory(const fs::path& directory, ObjectPool& pool,
                                  const CaptureOptions& options) {
  return Walker(directory, pool, options, /*upper=*/false).Capture();
}

}  // namespace ingot::store

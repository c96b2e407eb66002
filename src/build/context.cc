#include "build/context.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "base/sha256.h"
#include "build/context_index.h"

namespace ingot::build {
namespace {

constexpr size_t kMaxEntries = 1'000'000;
constexpr int kMaxDepth = 200;
// A file changed less than this before it was read may change again without its times telling.
constexpr int64_t kRacyNs = 2'000'000'000;

int64_t Nanoseconds(const struct statx_timestamp& time) {
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

int64_t NowNs() {
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

Result<ContextEntry> StatEntry(int directory_fd, const char* name, int flags, const std::string& shown) {
  struct statx st {};
  if (::statx(directory_fd, name, flags | AT_STATX_DONT_SYNC,
              STATX_TYPE | STATX_MODE | STATX_SIZE | STATX_INO | STATX_MTIME | STATX_CTIME, &st) < 0) {
    return ErrnoError(errno, "look at " + shown);
  }
  ContextEntry entry;
  switch (st.stx_mode & S_IFMT) {
    case S_IFREG:
      entry.type = ContextEntry::Type::kFile;
      break;
    case S_IFDIR:
      entry.type = ContextEntry::Type::kDirectory;
      break;
    case S_IFLNK:
      entry.type = ContextEntry::Type::kSymlink;
      break;
    default:
      entry.type = ContextEntry::Type::kOther;
  }
  entry.executable = entry.type == ContextEntry::Type::kFile && (st.stx_mode & S_IXUSR) != 0;
  entry.size_bytes = st.stx_size;
  entry.inode = st.stx_ino;
  entry.mtime_ns = Nanoseconds(st.stx_mtime);
  entry.ctime_ns = Nanoseconds(st.stx_ctime);
  return entry;
}

bool SameFile(const ContextEntry& a, const ContextEntry& b) {
  return a.type == b.type && a.executable == b.executable && a.size_bytes == b.size_bytes &&
         a.inode == b.inode && a.mtime_ns == b.mtime_ns && a.ctime_ns == b.ctime_ns;
}

Error Changed(const fs::path& path) {
  return Error(Code::kConflict,
               path.string() +
                   " changed while the build was reading it. Build again when nothing writes "
                   "to the build context.");
}

Result<DockerIgnore> LoadIgnore(const fs::path& directory, std::string_view dockerfile) {
  for (const std::string& name : IgnoreFileCandidates(dockerfile)) {
    auto bytes = ReadFile(directory / name, 1 << 20);
    if (bytes) return DockerIgnore::Parse(*bytes, name);
    if (bytes.error().code() != Code::kNotFound) return std::move(bytes).error();
  }
  return DockerIgnore();
}

}  // namespace

Result<Context> Context::Scan(const fs::path& directory, const fs::path& index_dir,
                              std::string_view dockerfile) {
  std::error_code failed;
  Context context;
  context.directory_ = fs::canonical(directory, failed);
  if (failed || !fs::is_directory(context.directory_, failed)) {
    return Error(Code::kNotFound, "the build context " + directory.string() +
                                      " is not a directory. Check `context` of the image's build.");
  }
  const DockerIgnore ignore = TRY(LoadIgnore(context.directory_, dockerfile));
  context.index_file_ = index_dir / (Sha256Hex(context.directory_.string()).substr(0, 32) + ".context");
  Fd root = TRY(OpenFile(context.directory_, O_RDONLY | O_DIRECTORY));
  context.root_ = TRY(StatEntry(root.get(), "", AT_EMPTY_PATH, context.directory_.string()));
  TRY(context.Walk(root.get(), "", ignore, DockerIgnore::Root(), 0));

  auto bytes = ReadFile(context.index_file_);
  // Without an index everything is measured again: it is only an optimisation.
  if (!bytes) return context;
  auto index = ParseContextIndex(*bytes, context.directory_.string());
  if (!index) return context;
  for (auto& [path, entry] : context.entries_) {
    if (entry.type != ContextEntry::Type::kFile) continue;
    const auto known = index->find(path);
    if (known == index->end()) continue;
    const IndexedFile& file = known->second;
    if (file.size_bytes != entry.size_bytes || file.inode != entry.inode || file.mtime_ns != entry.mtime_ns ||
        file.ctime_ns != entry.ctime_ns) {
      continue;
    }
    if (std::max(file.mtime_ns, file.ctime_ns) + kRacyNs > file.measured_ns) continue;
    entry.measured = true;
    entry.measured_ns = file.measured_ns;
    entry.object = file.object;
  }
  return context;
}

Result<void> Context::Walk(int directory_fd, const std::string& prefix, const DockerIgnore& ignore,
                           const DockerIgnore::State& state, int depth) {
  if (depth > kMaxDepth) {
    return Error(Code::kInvalid,
                 "the build context has folders more than " + std::to_string(kMaxDepth) + " deep: " + prefix);
  }
  const int copy = ::openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return ErrnoError(errno, "open " + (directory_ / prefix).string());
  std::unique_ptr<DIR, DirCloser> dir(::fdopendir(copy));
  if (dir == nullptr) return ErrnoError(errno, "list " + (directory_ / prefix).string());
  errno = 0;
  while (const dirent* item = ::readdir(dir.get())) {
    const std::string name = item->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = prefix.empty() ? name : prefix + "/" + name;
    DockerIgnore::State below;
    if (!ignore.empty()) below = ignore.Descend(path, state);
    // What is excluded is not even looked at, unless a folder may hold something taken back.
    if (below.excluded && item->d_type != DT_DIR && item->d_type != DT_UNKNOWN) continue;
    if (below.excluded && !ignore.MayContainIncluded(path)) continue;
    ContextEntry entry =
        TRY(StatEntry(directory_fd, name.c_str(), AT_SYMLINK_NOFOLLOW, (directory_ / path).string()));
    const bool is_directory = entry.type == ContextEntry::Type::kDirectory;
    if (below.excluded && !is_directory) continue;
    if (entry.type == ContextEntry::Type::kSymlink) {
      std::string target(4096, '\0');
      const ssize_t size = ::readlinkat(directory_fd, name.c_str(), target.data(), target.size());
      if (size < 0) return ErrnoError(errno, "read the symbolic link " + (directory_ / path).string());
      target.resize(static_cast<size_t>(size));
      entry.target = std::move(target);
    }
    if (!below.excluded) entries_.emplace(path, std::move(entry));
    if (entries_.size() > kMaxEntries) {
      return Error(Code::kInvalid, "the build context " + directory_.string() + " has more than " +
                                       std::to_string(kMaxEntries) +
                                       " entries. Exclude what no COPY needs in .dockerignore.");
    }
    if (!is_directory) continue;
    const size_t before = entries_.size();
    Fd child(::openat(directory_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child.valid()) return ErrnoError(errno, "open " + (directory_ / path).string());
    TRY(Walk(child.get(), path, ignore, below, depth + 1));
    // An excluded folder is there after all when something in it is.
    if (below.excluded && entries_.size() > before) {
      ContextEntry folder;
      folder.type = ContextEntry::Type::kDirectory;
      entries_.emplace(path, folder);
    }
    errno = 0;
  }
  if (errno != 0) return ErrnoError(errno, "list " + (directory_ / prefix).string());
  return {};
}

const ContextEntry* Context::Find(std::string_view path) const {
  if (path.empty()) return &root_;
  const auto found = entries_.find(path);
  return found == entries_.end() ? nullptr : &found->second;
}

Result<store::ObjectId> Context::Read(const std::string& path, store::ObjectPool* pool) {
  const auto found = entries_.find(path);
  if (found == entries_.end() || found->second.type != ContextEntry::Type::kFile)
    return Error(Code::kInternal, "not a file of the build context: " + path);
  ContextEntry& entry = found->second;
  const fs::path file = directory_ / path;
  auto opened = OpenFile(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!opened) {
    if (opened.error().code() == Code::kNotFound) return Changed(file);
    return std::move(opened).error();
  }
  const int64_t now_ns = NowNs();
  if (!SameFile(entry, TRY(StatEntry(opened->get(), "", AT_EMPTY_PATH, file.string())))) return Changed(file);
  const store::ObjectId::Measured measured =
      TRY(pool != nullptr ? pool->PutFd(opened->get()) : store::ObjectId::OfFile(opened->get()));
  if (measured.size_bytes != entry.size_bytes ||
      !SameFile(entry, TRY(StatEntry(opened->get(), "", AT_EMPTY_PATH, file.string())))) {
    return Changed(file);
  }
  ++files_read_;
  if (entry.measured && entry.object != measured.id) {
    // Contents changed and not one time or number of the inode did: what is remembered is worth nothing.
    std::error_code ignored;
    fs::remove(index_file_, ignored);
    return Changed(file);
  }
  entry.measured = true;
  entry.measured_ns = now_ns;
  entry.object = measured.id;
  learnt_ = true;
  return measured.id;
}

Result<store::ObjectId> Context::Measure(const std::string& path) {
  const auto found = entries_.find(path);
  if (found != entries_.end() && found->second.measured) {
    used_.insert(path);
    return found->second.object;
  }
  const store::ObjectId id = TRY(Read(path, nullptr));
  used_.insert(path);
  return id;
}

Result<store::ObjectId> Context::PutInPool(const std::string& path, store::ObjectPool& pool) {
  const store::ObjectId id = TRY(Measure(path));
  if (id.empty() || TRY(pool.Has(id))) return id;
  return Read(path, &pool);
}

Result<void> Context::CheckUnchanged() const {
  for (const std::string& path : used_) {
    const fs::path file = directory_ / path;
    auto now = StatEntry(AT_FDCWD, file.c_str(), AT_SYMLINK_NOFOLLOW, file.string());
    if (!now) {
      if (now.error().code() == Code::kNotFound) return Changed(file);
      return std::move(now).error();
    }
    if (!SameFile(entries_.find(path)->second, *now)) return Changed(file);
  }
  return {};
}

Result<void> Context::SaveIndex() {
  if (!learnt_) return {};
  ContextIndex index;
  for (const auto& [path, entry] : entries_) {
    if (entry.type != ContextEntry::Type::kFile || !entry.measured) continue;
    index[path] = {entry.size_bytes, entry.inode,       entry.mtime_ns,
                   entry.ctime_ns,   entry.measured_ns, entry.object};
  }
  TRY(MakeDirectories(index_file_.parent_path(), 0700));
  TRY(WriteFileAtomic(index_file_, RenderContextIndex(index, directory_.string()), 0600, Durability::kNone));
  learnt_ = false;
  return {};
}

}  // namespace ingot::build

#include "store/object_pool.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <atomic>
#include <bitset>
#include <cerrno>
#include <ctime>
#include <unordered_map>

#include "base/sync.h"
#include "store/disk_budget.h"
#include "store/verity.h"

namespace ingot::store {
namespace {

constexpr size_t kStagingParts = 8;
constexpr size_t kFewFiles = 4;  // up to here an fsync each beats a syncfs
constexpr size_t kCopyBuffer = 1 << 20;
// An object that another process made less than this ago may not be durable in its folder yet: Flush syncs
// that too.
constexpr int64_t kYoungSeconds = 120;

struct Pending {
  std::string staged;    // path in the staging folder
  bool replace = false;  // the pool has a torn or tampered file of this name
};

struct Queue {
  std::unordered_map<ObjectId, Pending> objects;
  std::bitset<256> young;  // folders of objects found that another process may not have synced yet
};

fs::path StagingRoot(const fs::path& directory) {
  fs::path root = directory;
  root += ".staging";
  return root;
}

// A pool file has no attribute of its own: overlayfs would obey trusted.overlay.* and show user.*.
Result<void> StripAttributes(int fd, const fs::path& path) {
  std::string list(1024, '\0');
  ssize_t n;
  while ((n = ::flistxattr(fd, list.data(), list.size())) < 0 && errno == ERANGE)
    list.resize(list.size() * 4);
  if (n < 0) {
    if (errno == EOPNOTSUPP) return {};
    return ErrnoError(errno, "list the attributes of " + path.string());
  }
  for (const char* name = list.data(); name < list.data() + n; name += std::strlen(name) + 1) {
    // Labels of a security module stay: the host's policy set them, and may forbid their removal.
    if (::fremovexattr(fd, name) != 0 && errno != ENODATA &&
        !std::string_view(name).starts_with("security.")) {
      return ErrnoError(errno, "remove the attribute " + std::string(name) + " of " + path.string());
    }
  }
  return {};
}

// mode 0444, owned by root; for others than root (tests) owned by whom it may be. A file that was just made
// is so mostly, and each change costs a write of its inode.
Result<void> NormaliseInode(int fd, const fs::path& path) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return ErrnoError(errno, "look at " + path.string());
  if ((st.st_mode & 07777) == 0444 && (::geteuid() != 0 || (st.st_uid == 0 && st.st_gid == 0))) return {};
  if (::geteuid() == 0 && ::fchown(fd, 0, 0) != 0)
    return ErrnoError(errno, "change the owner of " + path.string());
  if (::fchmod(fd, 0444) != 0) return ErrnoError(errno, "change the mode of " + path.string());
  return {};
}

}  // namespace

struct ObjectPool::State {
  fs::path directory;
  Fd directory_fd;
  std::atomic<uint64_t> next_name{0};
  Sync<Queue> queue;
  ObjectGuard* guard = nullptr;
  DiskBudget* budget = nullptr;
  std::mutex flushing;  // one Flush at a time; Put and Open go on meanwhile

  struct Staging {
    fs::path path;  // empty until something is staged
    Fd lock;        // of the folder itself: held while this process lives
    std::optional<bool> verity;
    std::bitset<kStagingParts> parts;  // its folders that are there
  };
  Sync<Staging> staging;

  ~State() {
    auto lock = staging.lock();
    if (!lock->path.empty()) [[maybe_unused]]
      const auto removed = RemoveTree(lock->path);
  }

  fs::path Final(const ObjectId& id) const { return directory / id.RelativePath(); }

  // This process's own staging folder, made with the first use.
  Result<fs::path> StagingFolder();
  // A new path in it. Threads have folders of their own there: they would wait for each other in one.
  Result<fs::path> NewStagedName();
  // What the pool has under an object's name.
  enum class Found {
    kNothing,
    kObject,  // nothing must be stored
    kWrong,   // a file of the wrong size, to be replaced
  };
  // Claims the object first.
  Result<Found> Find(const ObjectId& id, uint64_t size);
  Result<Found> Look(const ObjectId& id, uint64_t size);
  // Hands a complete staged file of an object that was not `found` to Flush, or removes it when another
  // thread did so first. (When another process did, Flush finds out.)
  Result<void> Stage(const ObjectId& id, Found found, const fs::path& staged, DiskShare& share);
  // The same for one that was not looked for yet.
  Result<void> FindAndStage(const ObjectId::Measured& object, const fs::path& staged, DiskShare& share);
  Result<void> StoreIfNew(const ObjectId& id, Found found, std::string_view bytes);
  Result<fs::path> WriteStaged(std::string_view bytes);
  Result<void> MoveToName(const ObjectId& id, const Pending& pending, const fs::path& staging_path,
                          bool& new_folder);
  Result<bool> ProbeVerity();
  // Flush, for what is queued now; adds to `folders` those that must be synced.
  Result<void> PublishAll(std::bitset<256>& folders);
};

Result<fs::path> ObjectPool::State::StagingFolder() {
  auto lock = staging.lock();
  if (!lock->path.empty()) return lock->path;
  const fs::path root = StagingRoot(directory);
  // A sweeper may take the folder between its making and its locking: then make another.
  for (int attempt = 0; attempt < 100; ++attempt) {
    TRY(MakeDirectories(root, 0700));
    fs::path path =
        root / (std::to_string(::getpid()) + "." + std::to_string(reinterpret_cast<uintptr_t>(this)) + "." +
                std::to_string(std::time(nullptr)) + "." + std::to_string(attempt));
    if (::mkdir(path.c_str(), 0700) != 0) {
      if (errno == EEXIST || errno == ENOENT) continue;
      return ErrnoError(errno, "make the folder " + path.string());
    }
    Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) {
      if (errno == ENOENT) continue;
      return ErrnoError(errno, "open the folder " + path.string());
    }
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) continue;
    struct stat by_fd {};
    struct stat by_path {};
    if (::fstat(fd.get(), &by_fd) != 0 || ::stat(path.c_str(), &by_path) != 0 ||
        by_fd.st_ino != by_path.st_ino) {
      continue;
    }
    lock->lock = std::move(fd);
    lock->path = path;
    return path;
  }
  return Error(Code::kConflict, "Cannot make a staging folder in " + root.string() +
                                    ": it disappears each time. Is another program emptying it?");
}

Result<fs::path> ObjectPool::State::NewStagedName() {
  static std::atomic<size_t> threads{0};
  thread_local const size_t part = threads.fetch_add(1) % kStagingParts;
  const fs::path folder = TRY(StagingFolder()) / std::to_string(part);
  auto lock = staging.lock();
  if (!lock->parts[part]) {
    if (::mkdir(folder.c_str(), 0700) != 0) return ErrnoError(errno, "make the folder " + folder.string());
    lock->parts.set(part);
  }
  return folder / std::to_string(next_name.fetch_add(1));
}

Result<ObjectPool::State::Found> ObjectPool::State::Find(const ObjectId& id, uint64_t size) {
  if (guard == nullptr) return Look(id, size);
  Found found = Found::kNothing;
  TRY(guard->Claim({id}, [&]() -> Result<void> {
    found = TRY(Look(id, size));
    return {};
  }));
  return found;
}

Result<ObjectPool::State::Found> ObjectPool::State::Look(const ObjectId& id, uint64_t size) {
  if (queue.lock()->objects.contains(id)) return Found::kObject;
  struct stat st {};
  if (::fstatat(directory_fd.get(), id.RelativePath().c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return Found::kNothing;
    return ErrnoError(errno, "look for the object " + id.Render());
  }
  if (!S_ISREG(st.st_mode) || static_cast<uint64_t>(st.st_size) != size) return Found::kWrong;
  if (std::abs(std::time(nullptr) - st.st_ctime) < kYoungSeconds) queue.lock()->young.set(id.bytes()[0]);
  return Found::kObject;
}

Result<void> ObjectPool::State::Stage(const ObjectId& id, Found found, const fs::path& staged,
                                      DiskShare& share) {
  if (found != Found::kObject) {
    Pending pending{staged.parent_path().filename() / staged.filename(), found == Found::kWrong};
    if (queue.lock()->objects.emplace(id, std::move(pending)).second) {
      share.Keep();
      return {};
    }
  }
  if (::unlink(staged.c_str()) != 0) return ErrnoError(errno, "remove " + staged.string());
  return {};
}

Result<void> ObjectPool::State::FindAndStage(const ObjectId::Measured& object, const fs::path& staged,
                                             DiskShare& share) {
  return Stage(object.id, TRY(Find(object.id, object.size_bytes)), staged, share);
}

Result<void> ObjectPool::State::StoreIfNew(const ObjectId& id, Found found, std::string_view bytes) {
  // Again, and cheaply: one of its siblings may have been the same.
  if (found == Found::kObject || queue.lock()->objects.contains(id)) return {};
  DiskShare share(budget);
  TRY(share.Grow(bytes.size()));
  return Stage(id, found, TRY(WriteStaged(bytes)), share);
}

Result<fs::path> ObjectPool::State::WriteStaged(std::string_view bytes) {
  fs::path staged = TRY(NewStagedName());
  Fd fd = TRY(OpenFile(staged, O_WRONLY | O_CREAT | O_EXCL, 0444));
  auto written = WriteAll(fd.get(), bytes);
  if (written) written = NormaliseInode(fd.get(), staged);
  if (!written) {
    ::unlink(staged.c_str());
    return std::move(written).error().While("storing an object");
  }
  return staged;
}

Result<bool> ObjectPool::State::ProbeVerity() {
  if (const auto known = staging.lock()->verity) return *known;
  const fs::path probe = TRY(WriteStaged("fs-verity"));
  Result<bool> active = EnableVerity(probe);
  ::unlink(probe.c_str());
  if (active) staging.lock()->verity = *active;
  return active;
}

ObjectPool::ObjectPool(std::unique_ptr<State> state) : state_(std::move(state)) {}
ObjectPool::ObjectPool(ObjectPool&&) noexcept = default;
ObjectPool& ObjectPool::operator=(ObjectPool&&) noexcept = default;
ObjectPool::~ObjectPool() = default;

Result<ObjectPool> ObjectPool::Open(const fs::path& directory) {
  auto state = std::make_unique<State>();
  state->directory = fs::path(directory).lexically_normal();
  if (!state->directory.has_filename()) state->directory = state->directory.parent_path();  // "…/objects/"
  TRY(MakeDirectories(state->directory, 0755));
  state->directory_fd = TRY(OpenFile(state->directory, O_RDONLY | O_DIRECTORY));
  return ObjectPool(std::move(state));
}

void ObjectPool::SetGuard(ObjectGuard* guard) {
  state_->guard = guard;
}

void ObjectPool::SetBudget(DiskBudget* budget) {
  state_->budget = budget;
}

const fs::path& ObjectPool::directory() const {
  return state_->directory;
}
fs::path ObjectPool::PathOf(const ObjectId& id) const {
  return state_->Final(id);
}

Result<ObjectId> ObjectPool::Put(std::string_view bytes) {
  const ObjectId id = ObjectId::Of(bytes);
  if (!id.empty()) TRY(state_->StoreIfNew(id, TRY(state_->Find(id, bytes.size())), bytes));
  return id;
}

Result<std::vector<ObjectId>> ObjectPool::PutAll(const std::vector<std::string_view>& contents) {
  std::vector<ObjectId> ids;
  ids.reserve(contents.size());
  std::vector<ObjectId> claimed;
  for (const std::string_view bytes : contents) {
    ids.push_back(ObjectId::Of(bytes));
    if (!bytes.empty()) claimed.push_back(ids.back());
  }
  std::vector<State::Found> found(ids.size(), State::Found::kObject);  // no bytes need no object
  const auto look = [&]() -> Result<void> {
    for (size_t i = 0; i < ids.size(); ++i)
      if (!ids[i].empty()) found[i] = TRY(state_->Look(ids[i], contents[i].size()));
    return {};
  };
  TRY(state_->guard == nullptr ? look() : state_->guard->Claim(claimed, look));
  for (size_t i = 0; i < ids.size(); ++i) TRY(state_->StoreIfNew(ids[i], found[i], contents[i]));
  return ids;
}

Result<ObjectId::Measured> ObjectPool::PutStream(const ByteSource& source) {
  const fs::path staged = TRY(state_->NewStagedName());
  Fd fd = TRY(OpenFile(staged, O_WRONLY | O_CREAT | O_EXCL, 0444));
  // The name must be that of the bytes stored, whatever happens to the source meanwhile: hash what is
  // written.
  DiskShare share(state_->budget);
  const auto copy = [&]() -> Result<ObjectId::Measured> {
    const auto buffer = std::make_unique_for_overwrite<char[]>(kCopyBuffer);
    ObjectHasher hasher;
    ObjectId::Measured measured;
    while (const size_t n = TRY(source(buffer.get(), kCopyBuffer))) {
      const std::string_view bytes(buffer.get(), n);
      hasher.Update(bytes);
      TRY(share.Grow(measured.size_bytes + n));
      TRY(WriteAll(fd.get(), bytes));
      measured.size_bytes += n;
    }
    TRY(NormaliseInode(fd.get(), staged));
    measured.id = hasher.Finish();
    return measured;
  };
  auto measured = copy();
  fd.reset();
  if (!measured || measured->id.empty()) {
    ::unlink(staged.c_str());
    return measured;
  }
  TRY(state_->FindAndStage(*measured, staged, share));
  return measured;
}

Result<ObjectId::Measured> ObjectPool::PutFile(const fs::path& path) {
  const Fd fd = TRY(OpenFile(path, O_RDONLY | O_NONBLOCK));
  return PutFd(fd.get());
}

Result<ObjectId::Measured> ObjectPool::PutFd(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return ErrnoError(errno, "look at a file to store");
  if (!S_ISREG(st.st_mode)) return Error(Code::kInvalid, "Only a regular file can be stored as an object.");
  if (st.st_size > static_cast<off_t>(kCopyBuffer)) {
    const fs::path staged = TRY(state_->NewStagedName());
    Fd copy = TRY(OpenFile(staged, O_RDWR | O_CREAT | O_EXCL, 0444));
    if (::ioctl(copy.get(), FICLONE, fd) == 0) {
      auto measured = ObjectId::OfFile(copy.get());
      auto normal = measured ? NormaliseInode(copy.get(), staged) : Result<void>();
      DiskShare share(state_->budget);
      auto admitted = measured ? share.Grow(measured->size_bytes) : Result<void>();
      if (!admitted) {
        ::unlink(staged.c_str());
        return std::move(admitted).error();
      }
      copy.reset();  // another thread's Flush may seal it from here on, which an open writer forbids
      if (measured && normal && !measured->id.empty()) {
        TRY(state_->FindAndStage(*measured, staged, share));
        return measured;
      }
      ::unlink(staged.c_str());
      if (!normal) return std::move(normal).error();
      return measured;
    }
    ::unlink(staged.c_str());
  }
  off_t offset = 0;
  return PutStream([fd, offset](char* buffer, size_t size) mutable -> Result<size_t> {
    while (true) {
      const ssize_t n = ::pread(fd, buffer, size, offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "read a file to store");
      offset += n;
      return static_cast<size_t>(n);
    }
  });
}

Result<ObjectId::Measured> ObjectPool::Adopt(const fs::path& path) {
  const Fd fd = TRY(OpenFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return ErrnoError(errno, "look at " + path.string());
  if (!S_ISREG(st.st_mode)) {
    return Error(Code::kInvalid, path.string() + " is not a regular file, so it cannot be an object.");
  }
  const auto remove = [&](const ObjectId::Measured& measured) -> Result<ObjectId::Measured> {
    if (::unlink(path.c_str()) != 0) return ErrnoError(errno, "remove " + path.string());
    return measured;
  };
  if (st.st_nlink > 1) return remove(TRY(PutFd(fd.get())));
  const ObjectId::Measured measured = TRY(ObjectId::OfFile(fd.get()));
  if (measured.id.empty()) return remove(measured);
  const State::Found found = TRY(state_->Find(measured.id, measured.size_bytes));
  if (found == State::Found::kObject) return remove(measured);
  DiskShare share(state_->budget);
  TRY(share.Grow(measured.size_bytes));
  const fs::path staged = TRY(state_->NewStagedName());
  TRY(StripAttributes(fd.get(), path));
  TRY(NormaliseInode(fd.get(), path));
  if (::rename(path.c_str(), staged.c_str()) != 0) {
    const int failed = errno;
    if (failed != EXDEV) return ErrnoError(failed, "move " + path.string() + " into the object pool");
    return remove(TRY(PutFd(fd.get())));
  }
  TRY(state_->Stage(measured.id, found, staged, share));
  return measured;
}

Result<void> ObjectPool::State::MoveToName(const ObjectId& id, const Pending& pending,
                                           const fs::path& staging_path, bool& new_folder) {
  const fs::path from = staging_path / pending.staged;
  const std::string to = id.RelativePath();
  for (int attempt = 0; attempt < 2; ++attempt) {
    const unsigned flags = pending.replace ? 0 : RENAME_NOREPLACE;
    // Both by path: a caller in a mount namespace of its own sees another mount than the descriptor's.
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, (directory / to).c_str(), flags) == 0) return {};
    if (errno == EEXIST) {  // another process was faster, with the same contents
      if (::unlink(from.c_str()) != 0) return ErrnoError(errno, "remove " + from.string());
      return {};
    }
    if (errno != ENOENT || attempt > 0) break;
    if (::mkdirat(directory_fd.get(), to.substr(0, 2).c_str(), 0755) == 0) {
      new_folder = true;
    } else if (errno != EEXIST) {
      return ErrnoError(errno, "make the folder " + (directory / to.substr(0, 2)).string());
    }
  }
  return ErrnoError(errno, "move an object to " + (directory / to).string());
}

Result<void> ObjectPool::State::PublishAll(std::bitset<256>& folders) {
  std::vector<std::pair<ObjectId, Pending>> batch;
  {
    auto lock = queue.lock();
    batch.assign(lock->objects.begin(), lock->objects.end());
  }
  const fs::path staging_path = batch.empty() ? fs::path() : TRY(StagingFolder());
  std::sort(batch.begin(), batch.end(), [](const auto& a, const auto& b) { return a.first < b.first; });

  bool sync_whole = batch.size() > kFewFiles;
  if (!batch.empty() && TRY(ProbeVerity())) {
    sync_whole = sync_whole || TRY(SealNeedsSyncfs(directory_fd.get()));
    for (const auto& [id, pending] : batch) {
      if (!TRY(EnableVerity(staging_path / pending.staged))) {
        return Error(Code::kUnsupported, "fs-verity works for some files in " + staging_path.string() +
                                             " and not for others; keep the store on one filesystem.");
      }
    }
  }
  if (!sync_whole) {
    for (const auto& [id, pending] : batch) {
      const Fd fd = TRY(OpenFile(staging_path / pending.staged, O_RDONLY | O_NOFOLLOW));
      if (::fsync(fd.get()) != 0) return ErrnoError(errno, "make an object durable");
    }
  } else if (::syncfs(directory_fd.get()) != 0) {
    return ErrnoError(errno, "make objects durable in " + directory.string());
  }

  bool new_folder = false;
  for (const auto& [id, pending] : batch) {
    folders.set(id.bytes()[0]);
    TRY(MoveToName(id, pending, staging_path, new_folder));
    queue.lock()->objects.erase(id);
  }
  if (folders.count() > kFewFiles) {
    if (::syncfs(directory_fd.get()) != 0) return ErrnoError(errno, "make the folders of objects durable");
    return {};
  }
  for (size_t i = 0; i < folders.size(); ++i) {
    if (!folders[i]) continue;
    TRY(SyncDirectory(directory / ObjectId(ObjectId::Bytes{static_cast<uint8_t>(i)}).Render().substr(0, 2)));
  }
  if (new_folder) TRY(SyncDirectory(directory));
  return {};
}

Result<void> ObjectPool::Flush() {
  const std::lock_guard<std::mutex> one_at_a_time(state_->flushing);
  std::bitset<256> folders = std::exchange(state_->queue.lock()->young, {});
  auto published = state_->PublishAll(folders);
  if (!published) state_->queue.lock()->young |= folders;  // still to be synced, by the next Flush
  return published;
}

void ObjectPool::WriteOut() {
  // By a descriptor of its own: the kernel tells each a failed write once, and Flush must hear of it.
  const Fd fd(::open(state_->directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid()) ::syncfs(fd.get());
}

Result<bool> ObjectPool::Has(const ObjectId& id) const {
  if (id.empty()) return true;
  if (state_->queue.lock()->objects.contains(id)) return true;
  if (::faccessat(state_->directory_fd.get(), id.RelativePath().c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    return true;
  if (errno == ENOENT) return false;
  return ErrnoError(errno, "look for the object " + id.Render());
}

Result<Fd> ObjectPool::OpenObject(const ObjectId& id) const {
  if (id.empty()) return OpenFile("/dev/null", O_RDONLY);
  // Staged objects move to their names: look at the name, then in staging, then again at the name.
  for (int attempt = 0; attempt < 2; ++attempt) {
    Fd fd(::openat(state_->directory_fd.get(), id.RelativePath().c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (fd.valid()) return fd;
    if (errno != ENOENT) return ErrnoError(errno, "open the object " + id.Render());
    std::string staged;
    {
      auto queue = state_->queue.lock();
      const auto found = queue->objects.find(id);
      if (found != queue->objects.end()) staged = found->second.staged;
    }
    if (staged.empty()) continue;
    const fs::path path = state_->staging.lock()->path / staged;
    fd.reset(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (fd.valid()) return fd;
    if (errno != ENOENT) return ErrnoError(errno, "open the object " + path.string());
  }
  return Error(Code::kNotFound, "The object " + id.Render() + " is not in " + state_->directory.string() +
                                    ". Run \"ingot verify\" to see which images miss it.");
}

Result<uint64_t> ObjectPool::SizeOf(const ObjectId& id) const {
  if (id.empty()) return uint64_t{0};
  const Fd fd = TRY(OpenObject(id));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return ErrnoError(errno, "look at the object " + id.Render());
  return static_cast<uint64_t>(st.st_size);
}

Result<void> ObjectPool::Verify(const ObjectId& id) const {
  if (id.empty()) return {};
  const Fd fd = TRY(OpenObject(id));
  const ObjectId::Measured measured = TRY(ObjectId::OfFile(fd.get()));
  if (measured.id == id) return {};
  return Error(Code::kCorrupt,
               "The object " + PathOf(id).string() + " holds other contents (" +
                   (measured.id.empty() ? std::string("none") : measured.id.Render()) +
                   "). Restore it from a backup, or remove it and pull or build its images again.");
}

Result<std::vector<ObjectId>> ObjectPool::List() const {
  std::vector<ObjectId> ids;
  for (const std::string& folder : TRY(ListDirectory(state_->directory))) {
    if (folder.size() != 2) continue;
    auto names = ListDirectory(state_->directory / folder);
    if (!names && names.error().code() == Code::kNotFound) continue;
    for (const std::string& name : TRY(std::move(names))) {
      if (auto id = ObjectId::Parse(folder + name)) ids.push_back(*id);
    }
  }
  return ids;
}

Result<bool> ObjectPool::Remove(const ObjectId& id) {
  if (::unlinkat(state_->directory_fd.get(), id.RelativePath().c_str(), 0) == 0) return true;
  if (errno == ENOENT) return false;
  return ErrnoError(errno, "remove the object " + id.Render());
}

bool ObjectPool::VerityActive() const {
  const auto active = state_->ProbeVerity();
  return active && *active;
}

Result<size_t> ObjectPool::SweepStaging() {
  const fs::path root = StagingRoot(state_->directory);
  auto names = ListDirectory(root);
  if (!names && names.error().code() == Code::kNotFound) return size_t{0};
  size_t removed = 0;
  for (const std::string& name : TRY(std::move(names))) {
    const fs::path path = root / name;
    const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid() || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) continue;  // gone, or its process lives
    TRY(RemoveTree(path));
    ++removed;
  }
  return removed;
}

}  // namespace ingot::store

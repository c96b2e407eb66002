#include "adapters/volumes.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "adapters/volume_quota.h"
#include "base/json.h"
#include "base/subprocess.h"

namespace ingot::adapters {

using platform::EnvironmentId;
using platform::InstanceId;

namespace {

constexpr Milliseconds kLongestCopy{6 * 3'600'000};
constexpr std::string_view kRolloutPrefix = "before-r";
constexpr std::string_view kRestorePrefix = "before-restore-";
constexpr std::string_view kTurningPrefix = "interrupted-";  // the copy, or what was before it
constexpr size_t kSmallFile = 1 << 16;

bool Exists(const fs::path& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

fs::path SnapshotIn(const fs::path& volume, const std::string& snapshot) {
  return volume / "snapshots" / snapshot;
}

// What is whole under its temporary name is whole under `to` as well, or not there.
Result<void> MoveDurably(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) < 0) {
    if (errno == EEXIST || errno == ENOTEMPTY)
      return Error(Code::kExists, to.filename().string() + " is there already");
    return ErrnoError(errno, "rename " + from.string());
  }
  return SyncDirectory(to.parent_path());
}

Result<void> SyncFileSystem(const fs::path& directory) {
  Fd fd = TRY(OpenFile(directory, O_RDONLY | O_DIRECTORY));
  if (::syncfs(fd.get()) < 0) return ErrnoError(errno, "make " + directory.string() + " durable");
  return {};
}

Result<WallTime> TimeOf(const fs::path& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) < 0) return ErrnoError(errno, "look at " + path.string());
  return WallTime(Milliseconds(st.st_ctim.tv_sec * 1000 + st.st_ctim.tv_nsec / 1'000'000));
}

struct Settings {
  WallTime created{};
  uint64_t size_bytes = 0;

  Result<void> Save(const fs::path& volume) const {
    return WriteFileAtomic(
        volume / "volume.json",
        RenderJson(JsonObject{{"version", 1}, {"created", RenderTime(created)}, {"size_bytes", size_bytes}}),
        0600);
  }
  static Result<Settings> Load(const fs::path& volume) {
    const fs::path file = volume / "volume.json";
    const Json json = TRY(ParseJson(TRY(ReadFile(file, kSmallFile))));
    if (!json.is_object()) return Error(Code::kCorrupt, file.string() + " does not describe a volume");
    const JsonObject& object = json.get_object();
    if (TRY(GetInt(object, "version")) != 1)
      return Error(Code::kUnsupported, file.string() + " was written by another version of Ingot");
    Settings out;
    out.created = TRY(ParseTime(TRY(GetString(object, "created"))));
    out.size_bytes = static_cast<uint64_t>(TRY(GetInt(object, "size_bytes")));
    return out;
  }
};

// An empty directory for data, limited where the file system can.
Result<void> MakeData(const fs::path& data, uint64_t size_bytes) {
  TRY(RemoveTree(data));
  TRY(MakeDirectories(data, 0750));
  auto limited = LimitDirectory(data, size_bytes);
  if (!limited && limited.error().code() != Code::kUnsupported) return limited;
  return {};
}

Result<std::string> AttachedTo(const fs::path& volume) {
  auto text = ReadFile(volume / "attached", kSmallFile);
  if (text) return text;
  if (text.error().code() == Code::kNotFound) return std::string();
  return text;
}

Result<void> TakeBack(const fs::path& volume) {
  if (::unlink((volume / "attached").c_str()) < 0 && errno != ENOENT)
    return ErrnoError(errno, "take back " + volume.filename().string());
  return SyncDirectory(volume);
}

std::string ShortOf(const std::string& file_name) {
  auto id = InstanceId::ParseFileName(file_name);
  return id ? id->Short() : file_name;
}

std::string NowCompact() {
  std::string out;
  for (const char c : RenderTime(SystemClock().Now()))
    if (c != '-' && c != ':' && c != '.') out += c;
  return out;
}

// Folders that are ours: a file system of its own for volumes has others (lost+found).
Result<std::vector<fs::path>> Environments(const fs::path& directory) {
  std::vector<fs::path> out;
  for (const std::string& project : TRY(ListDirectory(directory))) {
    if (!EnvironmentId::Parse(project + "/local")) continue;
    for (const std::string& environment : TRY(ListDirectory(directory / project)))
      if (EnvironmentId::Parse(project + "/" + environment)) out.push_back(directory / project / environment);
  }
  return out;
}

// The volumes of an environment; none when it has no folder.
Result<std::vector<fs::path>> VolumesBelow(const fs::path& environment) {
  std::vector<fs::path> out;
  auto names = ListDirectory(environment);
  if (!names && names.error().code() == Code::kNotFound) return out;
  if (!names) return std::move(names).error();
  for (const std::string& name : *names)
    if (Volumes::CheckName(name)) out.push_back(environment / name);
  return out;
}

Result<void> SweepDotted(const fs::path& directory) {
  auto names = ListDirectory(directory);
  if (!names) return names.error().code() == Code::kNotFound ? Result<void>() : std::move(names).error();
  for (const std::string& name : *names)
    if (name.starts_with('.')) TRY(RemoveTree(directory / name));
  return {};
}

}  // namespace

class Volumes::Turn {
 public:
  // `wait` false: kConflict at once while somebody else has it.
  static Result<Turn> Take(const Volumes& volumes, const fs::path& volume, bool wait) {
    auto busy = volumes.busy_.lock();
    while (busy->contains(volume)) {
      if (!wait)
        return Error(Code::kConflict,
                     "volume " + volume.filename().string() +
                         " is being copied or attached just now; try again when that is done");
      busy.Wait(volumes.freed_);
    }
    busy->insert(volume);
    return Turn(volumes, volume);
  }
  Turn(Turn&& other) noexcept
      : volumes_(std::exchange(other.volumes_, nullptr)), volume_(std::move(other.volume_)) {}
  Turn& operator=(Turn&&) = delete;
  ~Turn() {
    if (volumes_ == nullptr) return;
    volumes_->busy_.lock()->erase(volume_);
    volumes_->freed_.notify_all();
  }

 private:
  Turn(const Volumes& volumes, fs::path volume) : volumes_(&volumes), volume_(std::move(volume)) {}
  const Volumes* volumes_;
  fs::path volume_;
};

Result<void> Volumes::CheckName(const std::string& name) {
  const size_t dash = name.rfind('-');
  const bool shaped = dash != std::string::npos && dash > 0 && dash + 1 < name.size() &&
                      name.find_first_not_of("0123456789", dash + 1) == std::string::npos &&
                      name.size() <= 60 && name[0] != '-' &&
                      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  if (shaped) return {};
  return Error(Code::kInvalid, "\"" + name.substr(0, 100) +
                                   "\" is no volume: expected the name of one with the number of its member, "
                                   "such as cache-0");
}

Result<void> Volumes::CheckSnapshotName(const std::string& name) {
  const bool shaped = !name.empty() && name.size() <= 100 && name[0] != '.' &&
                      std::all_of(name.begin(), name.end(), [](unsigned char c) {
                        return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
                      });
  if (shaped) return {};
  return Error(Code::kInvalid, "\"" + name.substr(0, 100) +
                                   "\" is no name of a snapshot: expected letters, digits, -, _ and .");
}

Result<std::unique_ptr<Volumes>> Volumes::Open(const fs::path& directory) {
  TRY(MakeDirectories(directory, 0700));
  std::unique_ptr<Volumes> volumes(new Volumes(directory));
  if (::chmod(directory.c_str(), 0700) < 0) return ErrnoError(errno, "close " + directory.string());
  for (const fs::path& environment : TRY(Environments(directory))) TRY(SweepDotted(environment));
  for (const fs::path& volume : TRY(volumes->All())) {
    TRY(SweepDotted(volume));
    TRY(SweepAtomicWrites(volume));
    TRY(SweepDotted(volume / "snapshots"));
  }
  return volumes;
}

fs::path Volumes::PathOf(const EnvironmentId& environment, const std::string& name) const {
  return directory_ / environment.project() / environment.environment() / name;
}

fs::path Volumes::DataOf(const EnvironmentId& environment, const std::string& name) const {
  return PathOf(environment, name) / "data";
}

Result<std::vector<fs::path>> Volumes::All() const {
  std::vector<fs::path> out;
  for (const fs::path& environment : TRY(Environments(directory_)))
    for (fs::path& volume : TRY(VolumesBelow(environment))) out.push_back(std::move(volume));
  return out;
}

Result<Volumes::Volume> Volumes::Look(const fs::path& volume) const {
  const Settings settings = TRY(Settings::Load(volume));
  Volume out;
  out.name = volume.filename().string();
  out.created = settings.created;
  out.size_bytes = settings.size_bytes;
  out.attached = TRY(AttachedTo(volume));
  if (SizesNotKept().empty()) out.used_bytes = TRY(UsedBy(volume / "data"));
  out.size_kept = out.used_bytes.has_value() && settings.size_bytes > 0;
  for (const std::string& name : TRY(ListDirectory(volume / "snapshots")))
    if (!name.starts_with('.')) out.snapshots.push_back({name, TRY(TimeOf(SnapshotIn(volume, name)))});
  std::stable_sort(out.snapshots.begin(), out.snapshots.end(),
                   [](const Snapshot& a, const Snapshot& b) { return a.created < b.created; });
  return out;
}

Result<std::vector<Volumes::Volume>> Volumes::List(const EnvironmentId& environment) const {
  std::vector<Volume> out;
  for (const fs::path& volume : TRY(VolumesBelow(PathOf(environment, "")))) out.push_back(TRY(Look(volume)));
  return out;
}

Result<Volumes::Volume> Volumes::Find(const EnvironmentId& environment, const std::string& name) const {
  TRY(CheckName(name));
  const fs::path volume = PathOf(environment, name);
  if (!Exists(volume))
    return Error(Code::kNotFound, environment.Render() + " has no volume " + name +
                                      "; `ingot volume ls` lists those that there are");
  return Look(volume);
}

Result<void> Volumes::Make(const fs::path& volume, uint64_t size_bytes) const {
  const fs::path made = volume.parent_path() / ("." + volume.filename().string() + ".new");
  TRY(RemoveTree(made));
  TRY(MakeDirectories(volume.parent_path(), 0700));
  TRY(MakeDirectories(made / "snapshots", 0700));
  Settings settings;
  settings.created = SystemClock().Now();
  settings.size_bytes = size_bytes;
  TRY(MakeData(made / "data", size_bytes));
  TRY(settings.Save(made));
  TRY(SyncDirectory(made));
  TRY(MoveDurably(made, volume));
  TRY(SyncDirectory(volume.parent_path().parent_path()));
  return SyncDirectory(directory_);
}

Result<void> Volumes::Create(const EnvironmentId& environment, const std::string& name, uint64_t size_bytes) {
  TRY(CheckName(name));
  const fs::path volume = PathOf(environment, name);
  const Turn turn = TRY(Turn::Take(*this, volume, /*wait=*/false));
  if (Exists(volume)) return Error(Code::kExists, "volume " + name + " is there already");
  return Make(volume, size_bytes);
}

Result<void> Volumes::Attach(const platform::FleetSpec& fleet, const InstanceId& instance) {
  if (!fleet.member && !fleet.volumes.empty())
    return Error(Code::kInternal, instance.Render() + " has volumes and is no member");
  for (const platform::VolumeMount& mount : fleet.volumes) {
    const fs::path volume = PathOf(fleet.id.environment(), platform::VolumeName(mount.name, *fleet.member));
    TRY(AttachOne(volume, mount, fleet.snapshot, instance));
  }
  return {};
}

Result<void> Volumes::AttachOne(const fs::path& volume, const platform::VolumeMount& mount,
                                const platform::VolumeSnapshot& snapshot, const InstanceId& instance) {
  const Turn turn = TRY(Turn::Take(*this, volume, /*wait=*/true));
  const bool is_new = !Exists(volume);
  if (is_new) TRY(Make(volume, mount.size_bytes));
  const std::string holder = TRY(AttachedTo(volume));
  if (!holder.empty() && holder != instance.FileName())
    return Error(Code::kConflict, "volume " + volume.filename().string() + " is attached to " +
                                      ShortOf(holder) + ", and to one instance at a time");
  TRY(WriteFileAtomic(volume / "attached", instance.FileName(), 0600));
  Settings settings = TRY(Settings::Load(volume));
  if (settings.size_bytes != mount.size_bytes) {
    if (SizesNotKept().empty()) TRY(ChangeLimit(volume / "data", mount.size_bytes));
    settings.size_bytes = mount.size_bytes;
    TRY(settings.Save(volume));
  }
  const bool copies = !is_new && std::find(snapshot.volumes.begin(), snapshot.volumes.end(), mount.name) !=
                                     snapshot.volumes.end();
  if (!copies || Exists(SnapshotIn(volume, snapshot.name))) return {};
  TRY(CopySnapshot(volume, snapshot.name));
  return Prune(volume);
}

Result<void> Volumes::Detach(const InstanceId& instance) {
  for (const fs::path& volume : TRY(VolumesBelow(PathOf(instance.fleet().environment(), ""))))
    if (TRY(AttachedTo(volume)) == instance.FileName()) TRY(TakeBack(volume));
  return {};
}

Result<void> Volumes::KeepOnly(const std::vector<std::string>& file_names) {
  for (const fs::path& volume : TRY(All())) {
    const std::string holder = TRY(AttachedTo(volume));
    if (!holder.empty() && std::find(file_names.begin(), file_names.end(), holder) == file_names.end())
      TRY(TakeBack(volume));
  }
  return {};
}

Result<void> Volumes::RefuseAttached(const fs::path& volume, const std::string& doing) const {
  const std::string holder = TRY(AttachedTo(volume));
  if (holder.empty()) return {};
  return Error(Code::kConflict, "volume " + volume.filename().string() + " is in use by " + ShortOf(holder) +
                                    ", so it cannot be " + doing +
                                    "; scale its service down until it has no such member");
}

// Everything of it: owners, times, links, extended attributes. `to` is new or an empty directory.
Result<Volumes::Copied> Volumes::CopyData(const fs::path& from, const fs::path& to) const {
  if (interrupted_) return Error(Code::kCancelled, "nothing is copied any more: the daemon ends");
  const auto copy = [&](const char* reflink) {
    Command command;
    command.argv = {"cp", "-a", "-T", reflink, "--", from.string(), to.string()};
    command.die_with_parent = true;
    command.cancelled = &interrupted_;
    return RunChecked(std::move(command), kLongestCopy);
  };
  Copied out{true};
  if (!copy("--reflink=always")) {
    // The file system cannot share blocks, which is found at the first file with any. What was copied until
    // then is copied over.
    out.shared = false;
    if (auto copied = copy("--reflink=auto"); !copied) {
      if (copied.error().code() == Code::kCancelled) return std::move(copied).error();
      const bool full = copied.error().message().find("No space left") != std::string::npos ||
                        copied.error().message().find("quota exceeded") != std::string::npos;
      return Error(full ? Code::kNoSpace : Code::kFailed,
                   "copying " + from.string() + ": " + copied.error().message());
    }
  }
  TRY(SyncFileSystem(to));
  return out;
}

Result<Volumes::Copied> Volumes::CopySnapshot(const fs::path& volume, const std::string& snapshot) const {
  const fs::path made = volume / "snapshots" / ("." + snapshot);
  TRY(RemoveTree(made));
  auto copied = CopyData(volume / "data", made);
  if (!copied) {
    static_cast<void>(RemoveTree(made).has_value());
    return std::move(copied).error();
  }
  TRY(MoveDurably(made, SnapshotIn(volume, snapshot)));
  return copied;
}

Result<Volumes::Copied> Volumes::MakeSnapshot(const EnvironmentId& environment, const std::string& name,
                                              const std::string& snapshot) {
  TRY(CheckSnapshotName(snapshot));
  const fs::path volume = PathOf(environment, name);
  const Turn turn = TRY(Turn::Take(*this, volume, /*wait=*/false));
  TRY(Find(environment, name));
  TRY(RefuseAttached(volume, "copied whole"));
  if (Exists(SnapshotIn(volume, snapshot)))
    return Error(Code::kExists, "volume " + name + " has a snapshot " + snapshot + " already");
  return CopySnapshot(volume, snapshot);
}

Result<std::string> Volumes::Restore(const EnvironmentId& environment, const std::string& name,
                                     const std::string& snapshot, Copied& copied) {
  TRY(CheckSnapshotName(snapshot));
  const fs::path volume = PathOf(environment, name);
  const Turn turn = TRY(Turn::Take(*this, volume, /*wait=*/false));
  TRY(Find(environment, name));
  TRY(RefuseAttached(volume, "restored"));
  const fs::path from = SnapshotIn(volume, snapshot);
  if (!Exists(from)) return Error(Code::kNotFound, "volume " + name + " has no snapshot " + snapshot);
  const std::string before = std::string(kRestorePrefix) + NowCompact();
  const fs::path made = volume / "snapshots" / ("." + before);
  TRY(MakeData(made, TRY(Settings::Load(volume)).size_bytes));
  auto done = CopyData(from, made);
  if (!done) {
    static_cast<void>(RemoveTree(made).has_value());
    return std::move(done).error();
  }
  copied = *done;
  // In one step the data are the snapshot's, and what they were has the name that the copy had: at no moment
  // is either of them without one. A kill in between leaves a snapshot whose name claims nothing.
  const fs::path turning = SnapshotIn(volume, std::string(kTurningPrefix) + before);
  TRY(MoveDurably(made, turning));
  if (::renameat2(AT_FDCWD, turning.c_str(), AT_FDCWD, (volume / "data").c_str(), RENAME_EXCHANGE) < 0)
    return ErrnoError(errno, "exchange the data of " + name);
  TRY(SyncDirectory(volume / "snapshots"));
  TRY(SyncDirectory(volume));
  TRY(MoveDurably(turning, SnapshotIn(volume, before)));
  return before;
}

Result<void> Volumes::Remove(const EnvironmentId& environment, const std::string& name) {
  const fs::path volume = PathOf(environment, name);
  const Turn turn = TRY(Turn::Take(*this, volume, /*wait=*/false));
  TRY(Find(environment, name));
  TRY(RefuseAttached(volume, "removed"));
  const fs::path gone = volume.parent_path() / ("." + name + ".gone");
  TRY(RemoveTree(gone));
  TRY(MoveDurably(volume, gone));
  return RemoveTree(gone);
}

Result<void> Volumes::RemoveSnapshot(const EnvironmentId& environment, const std::string& name,
                                     const std::string& snapshot) {
  TRY(CheckSnapshotName(snapshot));
  const fs::path volume = PathOf(environment, name);
  const Turn turn = TRY(Turn::Take(*this, volume, /*wait=*/false));
  TRY(Find(environment, name));
  const fs::path path = SnapshotIn(volume, snapshot);
  if (!Exists(path)) return Error(Code::kNotFound, "volume " + name + " has no snapshot " + snapshot);
  const fs::path gone = volume / "snapshots" / ("." + snapshot);
  TRY(RemoveTree(gone));
  TRY(MoveDurably(path, gone));
  return RemoveTree(gone);
}

// Of those that rollouts have made the newest stay; what somebody made by hand stays until he removes it.
Result<void> Volumes::Prune(const fs::path& volume) const {
  std::vector<Snapshot> made = TRY(Look(volume)).snapshots;
  std::erase_if(made, [](const Snapshot& one) {
    return !one.name.starts_with(kRolloutPrefix) || one.name.starts_with(kRestorePrefix);
  });
  while (made.size() > kRolloutSnapshotsKept) {
    TRY(RemoveTree(SnapshotIn(volume, made.front().name)));
    made.erase(made.begin());
  }
  return {};
}

std::string Volumes::SizesNotKept() const {
  return QuotaMissing(directory_);
}

}  // namespace ingot::adapters

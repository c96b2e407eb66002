// Volumes: directories that outlive the instances that have them (docs/formats/runtime.md, "Volumes").
//
//   DIRECTORY/PROJECT/ENVIRONMENT/cache-0/data/            what an instance sees
//                                        /snapshots/NAME/  copies
//                                        /attached         the file name of the instance that has it
//                                        /volume.json      its limit, when it was made
//
// A volume is with one instance at a time: `attached` is written before anything is mounted and removed after
// nothing is left of the instance. Whatever is copied is copied under a name that begins with a dot, made
// durable, and renamed: a process killed in between leaves only such names, which Open removes.
//
// Any thread; one process (the daemon, which holds the root's lock).
#pragma once

#include <atomic>
#include <condition_variable>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/sync.h"
#include "platform/fleet.h"

namespace ingot::adapters {

class Volumes {
 public:
  // Snapshots that rollouts make and that are kept, per volume; older ones are removed with the next.
  static constexpr size_t kRolloutSnapshotsKept = 3;

  struct Snapshot {
    std::string name;
    WallTime created{};
  };
  struct Volume {
    std::string name;  // "cache-0"
    WallTime created{};
    uint64_t size_bytes = 0;             // the most it may hold; 0: no limit
    bool size_kept = false;              // the file system enforces it
    std::optional<uint64_t> used_bytes;  // where the file system counts it
    std::string attached;                // the instance that has it, its file name; empty: none
    std::vector<Snapshot> snapshots;     // oldest first
  };
  // How a copy was made.
  struct Copied {
    bool shared = false;  // its blocks are those of the original (reflink): it took no room
  };

  // Makes `directory` (0700, since programs in it may be set-user-id) and sweeps what a killed process left.
  static Result<std::unique_ptr<Volumes>> Open(const fs::path& directory);

  Result<std::vector<Volume>> List(const platform::EnvironmentId& environment) const;
  // kNotFound.
  Result<Volume> Find(const platform::EnvironmentId& environment, const std::string& name) const;

  // An empty one. kExists.
  Result<void> Create(const platform::EnvironmentId& environment, const std::string& name,
                      uint64_t size_bytes);

  // Gives every volume of the fleet's member to the instance, made where it is missing, copied first where
  // the fleet says so. Again for the same instance: the same. kConflict names the instance that has one of
  // them. Waits while one is being copied.
  Result<void> Attach(const platform::FleetSpec& fleet, const platform::InstanceId& instance);
  // Where the data of one is.
  fs::path DataOf(const platform::EnvironmentId& environment, const std::string& name) const;
  // Takes back whatever the instance has. Having none is success.
  Result<void> Detach(const platform::InstanceId& instance);
  // Takes back what any instance has that is not in `file_names`.
  Result<void> KeepOnly(const std::vector<std::string>& file_names);

  // kConflict when an instance has it, which is named: what it writes meanwhile would be copied by halves.
  // kExists, kNotFound, kNoSpace.
  Result<Copied> MakeSnapshot(const platform::EnvironmentId& environment, const std::string& name,
                              const std::string& snapshot);
  // The data become those of the snapshot; what they were is kept as the snapshot whose name is returned.
  Result<std::string> Restore(const platform::EnvironmentId& environment, const std::string& name,
                              const std::string& snapshot, Copied& copied);
  // With everything, snapshots too.
  Result<void> Remove(const platform::EnvironmentId& environment, const std::string& name);
  Result<void> RemoveSnapshot(const platform::EnvironmentId& environment, const std::string& name,
                              const std::string& snapshot);

  // Ends copies that are under way, with kCancelled, and lets none begin: the process is about to end.
  void Interrupt() { interrupted_ = true; }

  // Why sizes are no limits here, for people; empty: they are.
  std::string SizesNotKept() const;

  // kInvalid, with what is expected.
  static Result<void> CheckName(const std::string& name);
  static Result<void> CheckSnapshotName(const std::string& name);

 private:
  explicit Volumes(fs::path directory) : directory_(std::move(directory)) {}

  // Of one volume: nobody else does anything to it meanwhile.
  class Turn;
  Result<Volume> Look(const fs::path& volume) const;
  Result<void> Make(const fs::path& volume, uint64_t size_bytes) const;
  Result<void> AttachOne(const fs::path& volume, const platform::VolumeMount& mount,
                         const platform::VolumeSnapshot& snapshot, const platform::InstanceId& instance);
  Result<Copied> CopyData(const fs::path& from, const fs::path& to) const;
  Result<Copied> CopySnapshot(const fs::path& volume, const std::string& snapshot) const;
  Result<void> Prune(const fs::path& volume) const;
  Result<std::vector<fs::path>> All() const;
  Result<void> RefuseAttached(const fs::path& volume, const std::string& doing) const;
  fs::path PathOf(const platform::EnvironmentId& environment, const std::string& name) const;

  fs::path directory_;
  std::atomic<bool> interrupted_{false};
  mutable Sync<std::set<fs::path>> busy_;
  mutable std::condition_variable freed_;
};

}  // namespace ingot::adapters

// Mounts without the mount(8) program: sealed layers, overlays above them, and small file systems in memory.
//
// A mount is made detached (a descriptor, seen by nobody) and attached when it is complete, so that a process
// killed in between leaves nothing. What the kernel offers is tried, never guessed from its version: EROFS
// from a file (Linux 6.12) before a loop device, overlay layers one by one with data-only lowers (6.5) before
// one option string.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"
#include "platform/runtime.h"

namespace ingot::adapters {

// What a mount forbids.
struct MountFlags {
  bool read_only = false;
  bool no_exec = false;
  bool no_suid = true;
  bool no_dev = true;
};

// A user namespace with the mapping of `ids`, held by its descriptor alone (no process stays in it).
Result<Fd> MakeUserNamespace(const platform::IdRange& ids);

// kAny takes the first that works; the others are for doctor and tests.
enum class LayerWay { kAny, kFile, kLoop };

// A sealed layer (an EROFS file) as a detached read-only mount; with `user_namespace` ≥ 0 its owners are
// shifted by that namespace's mapping. kUnsupported names what the kernel lacks and what to do, kCorrupt a
// file that is not EROFS.
Result<Fd> MountSealedLayer(const fs::path& layer, int user_namespace = -1, LayerWay way = LayerWay::kAny);

// An empty tmpfs as a detached mount, at most `size_bytes`, its root with `mode`.
Result<Fd> MountTmpfs(uint64_t size_bytes, mode_t mode, const MountFlags& flags = {});
// A new sysfs of the calling thread's network namespace as a detached read-only mount.
Result<Fd> MountSysfs();
// A directory as a detached mount of its own, its owners shifted by the mapping of `user_namespace` (≥ 0).
// kUnsupported where its file system cannot shift them.
Result<Fd> CloneMount(const fs::path& directory, int user_namespace, const MountFlags& flags);
// Changes what a detached mount forbids.
Result<void> Restrict(int mount, const MountFlags& flags);

enum class OverlayWay {
  kAny,
  kLayers,  // lowerdir+ and datadir+ (Linux 6.5)
  kString,  // one lowerdir option, the pool as an ordinary lowest layer
};

// Where layers that are mounted nowhere are attached while overlays are made of them. Before Linux 6.15 an
// overlay takes only layers that are attached in the calling thread's mount namespace, and a mount that has
// been detached once can never be attached again: so they stay until this goes.
class Staging {
 public:
  // An existing directory of the calling thread's own mount namespace.
  explicit Staging(fs::path directory) : directory_(std::move(directory)) {}
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  // On the thread that attached them.
  ~Staging();
  // Attaches those of `mounts` (descriptors, kept open by the caller) that it has not attached yet. True when
  // one has been.
  bool Attach(const std::vector<int>& mounts);

 private:
  fs::path directory_;
  std::set<int> attached_;
};

struct Overlay {
  std::vector<int> layers;        // directories or detached mounts, lowest first
  fs::path objects;               // the pool; empty: none
  std::optional<fs::path> upper;  // unset: read-only
  fs::path work;                  // with `upper`, an empty directory on its file system
  Staging* staging = nullptr;     // not owned; without it, layers must be attached before Linux 6.15
  OverlayWay way = OverlayWay::kAny;
};
// The overlay as a detached mount. Where the pool is an ordinary layer, the topmost layer has to hide the
// pool's folders: see HidePool.
Result<Fd> MountOverlay(const Overlay& overlay);

// True where this kernel takes data-only lowers, so that the pool's folders are never seen.
bool HasDataOnlyLayers();
// Writes whiteouts "00" to "ff" into an open directory.
Result<void> HidePool(int directory);

// Attaches a detached mount at an existing directory or file of the calling thread's mount namespace.
Result<void> AttachMount(int mount, const fs::path& target);
// Detaches everything mounted at `path`, however often. Nothing mounted, or no such path, is success.
Result<void> Unmount(const fs::path& path);
// True when something is mounted exactly at `path`.
Result<bool> IsMountPoint(const fs::path& path);

// Runs `work` on a thread of its own that has left the process's file system context (CLONE_FS), so that it
// may enter namespaces and change directory; returns its outcome.
Result<void> OnThread(const std::function<Result<void>()>& work);

}  // namespace ingot::adapters

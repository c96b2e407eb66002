// Mounts without the mount(8) program: sealed layers, overlays above them, and the one mount namespace of a
// root directory in which the mounts of its instances live.
//
// What the kernel offers is tried, never guessed from its version: EROFS from a file (Linux 6.12) before a
// loop device, overlay layers one by one with data-only lowers (6.5) before one option string.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"
#include "platform/runtime.h"

namespace ingot::adapters {

// What a mount may be asked to be, besides what it holds.
struct MountFlags {
  bool read_only = false;
  bool no_exec = false;
  bool no_suid = true;
  bool no_dev = true;
};

// A user namespace with the mapping of `ids`, held by its descriptor alone (no process stays in it).
Result<Fd> MakeUserNamespace(const platform::IdRange& ids);

// A sealed layer (an EROFS file) as a detached read-only mount; with `user_namespace` ≥ 0 its owners are
// shifted by that namespace's mapping. kUnsupported names what the kernel lacks, kCorrupt a file that is not
// EROFS.
Result<Fd> MountSealedLayer(const fs::path& layer, int user_namespace = -1);

// An empty tmpfs as a detached mount, at most `size_bytes`, its root with `mode`.
Result<Fd> MountTmpfs(uint64_t size_bytes, mode_t mode, const MountFlags& flags = {});

// A new sysfs of the calling thread's network namespace as a detached read-only mount.
Result<Fd> MountSysfs();

struct Overlay {
  // Directories or detached mounts (by descriptor), lowest first.
  std::vector<int> layers;
  fs::path objects;               // the data-only lowest; may be empty
  std::optional<fs::path> upper;  // with `work` beside it, on one file system; unset: read-only
  fs::path work;
};
// The overlay as a detached mount. On kernels before 6.5 the topmost layer has to hide the pool's folders:
// see HidePool.
Result<Fd> MountOverlay(const Overlay& overlay);

// True when this kernel needs HidePool (the pool is an ordinary lowest layer).
Result<bool> NeedsHiddenPool();
// Writes the whiteouts "00" to "ff" into the root of an open tmpfs.
Result<void> HidePool(int directory);

// Attaches a detached mount at an existing directory or file of the calling thread's mount namespace.
Result<void> AttachMount(int mount, const fs::path& target);
// Detaches everything mounted at `path`, however often. Nothing mounted, or no such path, is success.
Result<void> Unmount(const fs::path& path);
// True when something is mounted exactly at `path`.
Result<bool> IsMountPoint(const fs::path& path);

// Runs `work` on a thread of its own that has left the process's file system context (CLONE_FS), so that it
// may enter namespaces; returns its outcome.
Result<void> OnThread(const std::function<Result<void>()>& work);

}  // namespace ingot::adapters

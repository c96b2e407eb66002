// The namespaces of one root directory that outlive every process of ours: pinned by bind mounts below run/.
//
//   run/pin/mnt   the mount namespace in which crun, conmon and the mounts of all instances live
//   run/ns/…      network namespaces (adapters/linux_network.h): a shared tmpfs, seen in both mount
//   namespaces
#pragma once

#include <functional>
#include <memory>

#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

// In the calling thread's own mount namespace: on hybrid hosts, puts an empty tmpfs in place of the second
// cgroup tree. crun 1.8 refuses to run beside it, and when it is only unmounted writes into the folder below
// it, on the host.
inline constexpr const char* kSecondCgroupTree = "/sys/fs/cgroup/unified";
Result<void> HideSecondCgroupTree();

// In the calling thread's own mount namespace: makes the mount of /dev/null read-only. It can be read and
// written as before, but not given away: crun changes the owner of the standard streams to the instance's
// user, and the stream that conmon hands it is the host's own /dev/null.
Result<void> ProtectNull();

class PinnedMounts {
 public:
  // Finds the pinned mount namespace below `run_dir`, or makes it. In it every mount of the host is there and
  // follows the host's (slave), and on hybrid hosts the second cgroup tree is hidden. Safe
  // for several threads and processes. kPermission when not root.
  static Result<std::unique_ptr<PinnedMounts>> Open(const fs::path& run_dir);
  // Unpins it and run/ns; what processes still use lives on until they end. Not there is success.
  static Result<void> Teardown(const fs::path& run_dir);

  // Only run/ns: the shared tmpfs for pinned network namespaces. Open calls it.
  static Result<fs::path> OpenNamespaceDirectory(const fs::path& run_dir);

  // To enter with setns(2); lives as long as this object.
  int descriptor() const { return fd_.get(); }
  // Runs `work` on a thread inside it.
  Result<void> Run(const std::function<Result<void>()>& work) const;

 private:
  explicit PinnedMounts(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace ingot::adapters

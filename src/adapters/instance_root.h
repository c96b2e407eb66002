// The root file system that a process sees: an image's sealed layers, and above them a small layer of its own
// with what the image lacks (mount points) and what differs per instance (/etc/hosts).
//
// So nothing has to be written into, or bound over, the image: one mount per instance, read-only as a whole,
// and a build step's upper directory stays free of mount points.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "adapters/root_user.h"
#include "base/fd.h"
#include "platform/runtime.h"

namespace ingot::adapters {

struct RootOptions {
  std::vector<std::string> directories;  // absolute paths inside that must exist, to mount on
  std::vector<std::string> mount_files;  // files that must exist, to bind over
  std::vector<std::pair<std::string, std::string>> files;  // path inside → contents, instead of the image's
  std::optional<fs::path> upper;                           // build steps; with `work`
  fs::path work;
  fs::path staging;  // see Staging
};

struct InstanceRoot {
  Fd mount;  // detached
  RootUser user;
};

// Mounts `root` for a process of `user` (Process::user), owners shifted by `ids`. On a thread of its own (it
// changes directory) in the mount namespace where it will be attached.
Result<InstanceRoot> MakeRoot(const platform::RootFs& root, const std::optional<platform::IdRange>& ids,
                              const std::string& user, const RootOptions& options);

}  // namespace ingot::adapters

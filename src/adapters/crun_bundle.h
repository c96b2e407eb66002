// The bundle of an instance: what crun is given. Its root and everything else that is mounted for it, and
// config.json. The layout, below the bundle: rootfs, secrets, sys, kept/N, volumes/N (mounts), config.json.
#pragma once

#include "adapters/crun_config.h"
#include "base/file.h"
#include "platform/runtime.h"

namespace ingot::adapters {

// kInvalid: nothing can be started from it, and why.
Result<void> CheckForBundle(const platform::InstanceSpec& spec);

// On a thread of the mount namespace that keeps the mounts, which enters the instance's network namespace and
// has a umask of 0 from then on. `config` comes with what is the host's: the process with its capabilities
// checked, cgroup, filter; the rest is of `spec`. config.json comes last: without it the bundle is not
// prepared.
Result<void> MakeBundle(const platform::InstanceSpec& spec, const fs::path& bundle, CrunConfig config);

// Takes the mounts away, in the same namespace; what was not mounted is fine. The files stay.
Result<void> UnmountBundle(const fs::path& bundle);

// Where scratch number `index` is mounted that is to be copied out.
fs::path KeptIn(const fs::path& bundle, size_t index);

}  // namespace ingot::adapters

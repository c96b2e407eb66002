// The default seccomp profile: which system calls a process inside may make.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace ingot::adapters {

// `linux.seccomp` of an OCI runtime configuration: an allow-list as strict as Docker's default, everything
// else fails with EPERM (clone3, which a filter cannot look into, with ENOSYS, so that libraries fall back to
// clone). A capability
// ("SYS_CHROOT") brings the calls it is for.
Json SeccompProfile(const std::vector<std::string>& capabilities);

}  // namespace ingot::adapters

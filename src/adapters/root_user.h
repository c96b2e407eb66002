// Who runs inside: users and groups by name, as the root's own /etc/passwd and /etc/group say.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace ingot::adapters {

struct RootUser {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
  std::string home = "/";
  bool operator==(const RootUser&) const = default;
};

// `text` is "", "user", "uid", "user:group", "uid:gid" (Dockerfile USER). A number need not be in the files;
// a name that is not there is kNotFound. Without a group: the user's own, with the supplementary ones that
// name it.
Result<RootUser> LookUpUser(std::string_view text, std::string_view passwd, std::string_view group);

// As above, with the two files of an open root directory, read without leaving it. A missing file is an empty
// one.
Result<RootUser> LookUpUser(std::string_view text, int root);

// A file below an open root directory, symbolic links taken as inside it (openat2 RESOLVE_IN_ROOT).
// kNotFound.
Result<Fd> OpenInRoot(int root, const std::string& path, int flags);

}  // namespace ingot::adapters

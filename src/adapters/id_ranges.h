// Host-wide allocation of user id ranges, so that no two instances on this host share a user, whichever root
// directory they belong to.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "platform/runtime.h"

namespace ingot::adapters {

class IdRanges {
 public:
  struct Options {
    fs::path directory = "/run/ingot-ids";  // one per host
    fs::path subuid = "/etc/subuid";        // ranges given to users are avoided
    fs::path subgid = "/etc/subgid";
    std::string root_key;
    fs::path root;  // an entry whose root directory is gone is free again
  };
  explicit IdRanges(Options options) : options_(std::move(options)) {}

  // The range of 65,536 ids of `name` (an instance's file name), the same one at each call until Release.
  // kNoSpace when none is left between 268435456 and 4294901760. Safe for several threads and processes.
  Result<platform::IdRange> Acquire(const std::string& name) const;
  // Not holding one is success.
  Result<void> Release(const std::string& name) const;
  // Releases every range of this root that is not in `names`.
  Result<void> KeepOnly(const std::vector<std::string>& names) const;

 private:
  Options options_;
};

}  // namespace ingot::adapters

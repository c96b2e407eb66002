// PullLog: when manifests were last pulled, kept in memory and written to the catalog once a minute: a pull
// costs no write. What a crash loses is at most a minute. Any thread.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/sync.h"
#include "oci/digest.h"
#include "store/catalog.h"

namespace ingot::registry {

class PullLog {
 public:
  // So many manifests between two writes; of further ones the pull is not recorded.
  static constexpr size_t kMost = 65'536;

  void Note(const std::string& repository, const oci::Digest& digest, WallTime now);
  // On an error they are kept for the next time.
  Result<void> Flush(store::Catalog& catalog);

 private:
  using Pulls = std::map<std::pair<std::string, oci::Digest>, WallTime>;
  Sync<Pulls> pulls_;
};

}  // namespace ingot::registry

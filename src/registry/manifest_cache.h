// ManifestCache: the bytes of manifests that are asked for again and again, by digest. A digest's bytes never
// change, so there is nothing to invalidate; whether a repository has the manifest is asked of the catalog
// each time. Any thread.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/sync.h"
#include "oci/digest.h"

namespace ingot::registry {

struct KeptManifest {
  std::string bytes;
  std::string media_type;  // as the document says; may be empty
};

class ManifestCache {
 public:
  explicit ManifestCache(size_t limit_bytes) : limit_bytes_(limit_bytes) {}
  // nullptr: not here. shared: answers on several threads use the same bytes.
  std::shared_ptr<const KeptManifest> Find(const oci::Digest& digest);
  // Drops what was not used for longest.
  void Put(const oci::Digest& digest, std::shared_ptr<const KeptManifest> manifest);

 private:
  struct Entry {
    oci::Digest digest;
    std::shared_ptr<const KeptManifest> manifest;
  };
  struct State {
    std::list<Entry> used;  // latest first
    std::unordered_map<oci::Digest, std::list<Entry>::iterator> places;
    size_t bytes = 0;
  };
  size_t limit_bytes_;
  Sync<State> state_;
};

}  // namespace ingot::registry

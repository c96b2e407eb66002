// BlobTrust: which blob files this process has found to be what their names promise. A file is hashed before
// its first byte is served, and again when it is another file than the one that was hashed; after that it is
// sent as it is. (A disk that changes bytes later is the scrub's matter.) Any thread.
#pragma once

#include <sys/stat.h>

#include <condition_variable>
#include <set>
#include <unordered_map>

#include "base/result.h"
#include "base/sync.h"
#include "oci/digest.h"

namespace ingot::registry {

class BlobTrust {
 public:
  // Whether Check will not have to read the file, unless it was exchanged.
  bool Knows(const oci::Digest& digest);
  // kCorrupt: the open file has other contents. One thread reads it, others that ask wait.
  Result<void> Check(const oci::Digest& digest, int fd);
  // This process has hashed it while it wrote it.
  void Trust(const oci::Digest& digest, const struct stat& file);

 private:
  struct Seen {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size_bytes = 0;
    struct timespec changed {};  // contents: a new name, which changes ctime, is the same file
    static Seen Of(const struct stat& file) { return {file.st_dev, file.st_ino, file.st_size, file.st_mtim}; }
    bool operator==(const Seen& other) const {
      return device == other.device && inode == other.inode && size_bytes == other.size_bytes &&
             changed.tv_sec == other.changed.tv_sec && changed.tv_nsec == other.changed.tv_nsec;
    }
  };
  struct State {
    std::unordered_map<oci::Digest, Seen> seen;
    std::set<oci::Digest> being_read;
  };
  Sync<State> state_;
  std::condition_variable ended_;
};

}  // namespace ingot::registry

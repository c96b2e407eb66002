// Turning folders into layers: an overlay's upper directory after a RUN, or any folder.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "store/object_pool.h"
#include "store/tree.h"

namespace ingot::store {

struct CaptureOptions {
  // Times later than this become this (SOURCE_DATE_EPOCH's meaning). Seconds since 1970.
  std::optional<int64_t> clamp_mtime_s;
  // Every time becomes this.
  std::optional<int64_t> fixed_mtime_s;
  // Every inode's owner becomes (uid, gid).
  std::optional<std::pair<uint32_t, uint32_t>> owner;
  // Only for CaptureUpper: what the overlay's lowers show together (ApplyOn of their trees). Asked at most
  // once, and only when the upper directory points into them: a file with new attributes but its old data
  // (chmod of a lower file), a renamed directory. Unset: such an upper directory is kUnsupported.
  std::function<Result<const Tree*>()> lower;
  // True: the folder's files are moved into the pool and the folder is left with empty directories and the
  // like, to be removed by the caller. False: copied, the folder is left as it was.
  bool move = true;
  // Paths (canonical, see tree.h) left out with all below them.
  std::vector<std::string> exclude;
};

struct Captured {
  Tree tree;
  std::vector<std::string> dropped;  // paths of what an image cannot hold: sockets, stray 0:0 devices
  uint64_t bytes = 0;                // of contents hashed
};

// The layer that an overlay's upper directory makes on its lowers: whiteouts (char 0:0 or attribute form),
// opaque directories, metacopy files, renamed directories (as copies of their contents), hard links;
// attributes kept but for trusted.overlay.* and the host's own labels (SELinux, IMA). The overlay must be
// unmounted. The folder's own mode and owner become the layer's root, so give it the lower root's when it is
// made. Not flushed. kNotFound, kIo, kNoSpace; kCorrupt when it points at what `lower` does not hold;
// kUnsupported when it points there and `lower` is unset.
Result<Captured> CaptureUpper(const fs::path& directory, ObjectPool& pool, const CaptureOptions& options);

// Any folder as a layer; char 0:0 devices and overlay attributes have no meaning there.
Result<Captured> CaptureDirectory(const fs::path& directory, ObjectPool& pool, const CaptureOptions& options);

}  // namespace ingot::store

// A sealed layer: one layer's Tree as an EROFS metadata image in the composefs format
// (docs/formats/sealed-layer.md).
//
// It holds no file contents: each regular file is a hole of the right size with the overlayfs attributes
// `trusted.overlay.metacopy` (the object's fs-verity digest) and `trusted.overlay.redirect` ("/ab/cdef…", its
// place in the pool). Mounted as EROFS it is a lower layer of an overlay whose data-only lower is the pool.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "store/tree.h"

namespace ingot::store {

struct SealedOptions {
  // Whiteouts of "00" to "ff" in the root, which hide the pool's own folders on kernels before 6.5, where the
  // pool is an ordinary lowest layer. Only for the topmost layer of a stack, and never stored: see
  // RenderWhiteoutTop.
  bool hide_pool = false;
};

// The canonical bytes: equal trees give equal bytes, on any host. A multiple of 4,096 bytes. kInvalid when
// the tree cannot be told in the format: a name over 255 bytes, a symbolic link over 4,095, attributes of one
// inode over 64 KiB (EROFS), the attribute "trusted.overlay.…" (it would be obeyed), a file of more than 2^48
// bytes, more than 2^24 names.
Result<std::string> RenderSealed(const Tree& tree, const SealedOptions& options = {});

// The inverse of RenderSealed. The bytes are not trusted: kCorrupt, with what is wrong and at which byte, for
// anything outside the format; never reads beyond them, and takes time and memory proportional to their
// number.
Result<Tree> ParseSealed(std::string_view bytes);

// A layer of nothing but the whiteouts of SealedOptions::hide_pool, to mount on top of stored layers before
// Linux 6.5. `root` is the topmost stored layer's root: this layer's stands for it.
Result<std::string> RenderWhiteoutTop(const Node& root);

}  // namespace ingot::store

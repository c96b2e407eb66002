// ADD unpacks archives: which files are one, and what is in them.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "build/selection.h"
#include "store/object_pool.h"

namespace ingot::build {

// Replaces each source that is a tar (plain, gzip, bzip2, xz, zstd; told by its bytes) by what it holds, with
// the archive's own modes, owners and times. Its contents must be in the pool. A compressed file that is no
// tar stays as it is, unless its name says tar: then kInvalid, as for a broken one.
Result<void> UnpackArchives(Selection& selection, store::ObjectPool& pool, int64_t mtime_s);

}  // namespace ingot::build

// Reads a layer tar, or any archive that ADD unpacks: tar (v7, ustar, PAX, GNU), plain or compressed with
// gzip, zstd, xz or bzip2, told by its first bytes.
//
// The bytes are not trusted. Nothing is ever unpacked into a filesystem: contents go into the pool and names
// into a Tree, so there is no path to escape by; names that try are refused all the same.
#pragma once

#include <cstdint>

#include "base/byte_stream.h"
#include "base/result.h"
#include "oci/digest.h"
#include "store/object_pool.h"
#include "store/tar_outline.h"
#include "store/tree.h"

namespace ingot::store {

struct TarLimits {
  uint64_t max_entries = 4'000'000;
  uint64_t max_bytes = uint64_t{64} << 30;        // of the uncompressed tar
  uint64_t max_ratio = 1'200;                     // uncompressed to compressed, looked at after the first
  uint64_t ratio_from_bytes = 64 << 20;           // so many uncompressed bytes
  uint64_t max_sparse_bytes = uint64_t{4} << 30;  // of sparse files, holes counted
};

struct TarOptions {
  TarLimits limits;
  // True: ".wh.name" and ".wh..wh..opq" are whiteouts (an OCI layer). False: they are ordinary names (ADD
  // archive).
  bool whiteouts = true;
  // True: "/etc/x" is "etc/x", as other runtimes read it and some builders of images write it.
  bool absolute_names = false;
};

struct ReadArchive {
  Tree tree;
  oci::Digest diff_id;  // SHA-256 of the uncompressed bytes, to the very end of the stream
  uint64_t uncompressed_bytes = 0;
  TarOutline outline;  // of those bytes
};

// kInvalid: not a tar, a broken header, an absolute name (unless allowed) or one with "..", a name below a
// symbolic link or file of the same archive, a hard link to what the archive does not hold; the message names
// the entry. kRefused: beyond a limit. kUnsupported: a multi-volume entry, a sparse one of PAX 0.0. Contents
// are put into the pool and not flushed.
Result<ReadArchive> ReadTar(const ByteSource& source, ObjectPool& pool, const TarOptions& options = {});

}  // namespace ingot::store

// A layer as the canonical, uncompressed OCI layer tar (image-spec, layer.md). A pure function of the Tree
// and the contents its objects name, so the tar is never stored: it is written when somebody pulls or exports
// the layer.
//
// POSIX ustar headers; a PAX header exactly where ustar cannot tell a value (long names and targets, large
// sizes and ids, times before 1970 or with a fraction, attributes as SCHILY.xattr.*). Whiteouts as
// ".wh.name", opaque directories as ".wh..wh..opq". docs/formats/layer-tar.md.
#pragma once

#include <cstdint>

#include "base/byte_stream.h"
#include "base/result.h"
#include "oci/digest.h"
#include "store/object_pool.h"
#include "store/tar_outline.h"
#include "store/tree.h"

namespace ingot::store {

// The exact number of bytes WriteTar will write. Reads no object.
uint64_t TarSize(const Tree& tree);

// Writes the tar to `sink` in pieces of at most 1 MiB, reading objects ahead on a second thread. kNotFound or
// kCorrupt (size) when an object is not what the tree says; the sink's own error as it is. After an error
// part of the tar has been written.
// kChecked: each object is hashed before its first byte is passed on; kCorrupt when it is damaged. For those
// who serve the bytes to others.
enum class ObjectReads { kTrusted, kChecked };
Result<void> WriteTar(const Tree& tree, const ObjectPool& pool, const ByteSink& sink,
                      ObjectReads reads = ObjectReads::kTrusted);

// SHA-256 and size of the tar: the layer's diff_id, and as it is stored uncompressed also its blob digest.
struct TarDigest {
  oci::Digest digest;
  uint64_t size_bytes = 0;
};
Result<TarDigest> DigestTar(const Tree& tree, const ObjectPool& pool);

// The outline of the tar. Reads no object.
TarOutline OutlineTar(const Tree& tree);

}  // namespace ingot::store

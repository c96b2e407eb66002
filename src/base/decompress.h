// Decompression of streams: gzip by GzipStream, the others by libarchive's filters, which only decompress.cc
// knows.
#pragma once

#include "base/byte_stream.h"
#include "base/result.h"

namespace ingot {

enum class Compression { kNone, kGzip, kZstd, kXz, kBzip2 };

// What the first bytes of a stream (10 are enough) say; kNone when they are none of these.
Compression CompressionOf(std::string_view head);

// The decompressed stream of `source`, told by its first bytes; a stream that is not compressed comes through
// as it is. Members and frames one after another are one stream. Errors: the source's own as it is; kInvalid
// when the compressed bytes are damaged or cut off. The result may be moved but not used by two threads at
// once.
ByteSource Decompress(ByteSource source);

}  // namespace ingot

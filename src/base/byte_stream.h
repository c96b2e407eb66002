// Byte streams as plain callables, so that a file, a socket, a decompressor or a test string can stand at
// either end.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "base/result.h"

namespace ingot {

// Takes the next bytes of a stream, all of them. The view is valid only during the call. An Error ends the
// stream.
using ByteSink = std::function<Result<void>(std::string_view)>;

// Fills at most `size` (> 0) bytes and returns how many; 0 is the end of the stream. May return fewer than
// asked.
using ByteSource = std::function<Result<size_t>(char* buffer, size_t size)>;

// A source over `bytes`, which must outlive it.
ByteSource SourceOf(std::string_view bytes);
// A source that reads the descriptor from its current offset; not owned.
ByteSource SourceOf(int fd);

}  // namespace ingot

#include "base/byte_stream.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ingot {

ByteSource SourceOf(std::string_view bytes) {
  return [bytes](char* buffer, size_t size) mutable -> Result<size_t> {
    const size_t n = std::min(size, bytes.size());
    std::memcpy(buffer, bytes.data(), n);
    bytes.remove_prefix(n);
    return n;
  };
}

ByteSource SourceOf(int fd) {
  return [fd](char* buffer, size_t size) -> Result<size_t> {
    while (true) {
      const ssize_t n = ::read(fd, buffer, size);
      if (n >= 0) return static_cast<size_t>(n);
      if (errno != EINTR) return ErrnoError(errno, "read a stream");
    }
  };
}

}  // namespace ingot

// A tar (pax), compressed by zstd, written and read entry by entry through libarchive. Reading checks nothing
// but that it is one: whoever reads decides what a path may be.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/byte_stream.h"

namespace ingot::backup {

struct TarEntry {
  enum class Kind { kFile, kDirectory, kSymlink, kHardLink };
  std::string path;
  Kind kind = Kind::kFile;
  uint32_t mode = 0;  // permission bits, with set-id and sticky
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime_seconds = 0;
  uint32_t mtime_nanoseconds = 0;
  uint64_t size_bytes = 0;                    // kFile
  std::string target;                         // kSymlink: as it is; kHardLink: the path of an earlier entry
  std::map<std::string, std::string> xattrs;  // by whole name: "user.x"
  bool operator==(const TarEntry&) const = default;
};

class TarArchiveWriter {
 public:
  // The sink's errors are passed on.
  static Result<std::unique_ptr<TarArchiveWriter>> Open(ByteSink sink);
  ~TarArchiveWriter();
  // Begins an entry; a kFile is followed by exactly size_bytes of Data.
  Result<void> Add(const TarEntry& entry);
  Result<void> Data(std::string_view bytes);
  // The end of the archive. Without it, it is cut off.
  Result<void> Finish();

 private:
  struct Impl;
  explicit TarArchiveWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class TarArchiveReader {
 public:
  static Result<std::unique_ptr<TarArchiveReader>> Open(ByteSource source);
  ~TarArchiveReader();
  // Unset: the end. What was not read of the entry before is passed over. kInvalid: damaged, cut off, or an
  // entry of another kind (a device, a socket), which is named.
  Result<std::optional<TarEntry>> Next();
  // Of the entry; 0: its end. kInvalid: fewer bytes than it said.
  Result<size_t> Read(char* buffer, size_t size);

 private:
  struct Impl;
  explicit TarArchiveReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::backup

// The files of a folder, or of a tar that is never unpacked, by name: what image layouts and archives are
// read from. Names in a tar are keys and nothing more, so there is no path to escape by.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_stream.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot::registry {

// A part of an open file. Several may be read at once.
struct FilePart {
  std::shared_ptr<const Fd> fd;  // shared by all parts of an archive
  uint64_t offset = 0;
  uint64_t size_bytes = 0;

  // From `skip` bytes after its beginning.
  ByteSource Source(uint64_t skip = 0) const;
};

// Any thread.
class ArchiveFiles {
 public:
  virtual ~ArchiveFiles() = default;
  // For people.
  virtual std::string name() const = 0;
  // kNotFound; kInvalid when it is no regular file.
  virtual Result<FilePart> Open(const std::string& file) const = 0;
  // Whole; kInvalid when it is larger.
  Result<std::string> Read(const std::string& file, size_t limit_bytes) const;
};

std::unique_ptr<ArchiveFiles> OpenFolder(const fs::path& folder);
// A tar, plain or compressed in any way that base/decompress.h knows; "-" is standard input. What is not a
// plain file is written, decompressed, to one without a name in `spool` first. kInvalid: not a tar, damaged,
// a name that leads out of it; kRefused: more entries or bytes than any honest one has.
Result<std::unique_ptr<ArchiveFiles>> OpenTar(const fs::path& file, const fs::path& spool);

// A file without a name in `folder` (made if missing), for reading and writing.
Result<Fd> OpenNameless(const fs::path& folder);

}  // namespace ingot::registry

// Reads a backup, of which nothing is believed.
#pragma once

#include <functional>

#include "backup/manifest.h"
#include "base/byte_stream.h"
#include "base/file.h"

namespace ingot::backup {

struct ReadOptions {
  // An existing, empty folder that gets everything, as it is to be below a root; empty: it is only read and
  // checked. After an error its contents are worth nothing.
  fs::path into;
  // Called with the manifest before anything else is read.
  std::function<Result<void>(const Manifest&)> begin;
  // How many bytes of files have been read, of how many the manifest says.
  std::function<void(uint64_t done, uint64_t all)> progress;
};

// Every digest is checked when it returns; everything written is durable. kInvalid: no backup, an entry that
// none has (check.h), in another order, twice, more or fewer than the manifest says. kCorrupt: a digest is
// another. kUnsupported: of a newer format.
Result<Manifest> ReadBackup(ByteSource source, const ReadOptions& options);

}  // namespace ingot::backup

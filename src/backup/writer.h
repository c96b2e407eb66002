// Writes a backup: manifest first, then its parts.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backup/manifest.h"
#include "backup/tree.h"
#include "base/byte_stream.h"

namespace ingot::backup {

struct SourcePart {
  std::string name;  // of PartNames(), in their order
  std::vector<SourceEntry> entries;
};

// How many bytes of files have been read, of how many.
using Progress = std::function<void(uint64_t done, uint64_t all)>;

// Everything is read twice: for the digests of the manifest, and to be written. `manifest.parts` are filled
// in. kConflict, naming it: a file changed, or went, meanwhile; what the sink has got then is no backup. The
// sink's own error.
Result<Manifest> WriteBackup(Manifest manifest, const std::vector<SourcePart>& parts, const ByteSink& sink,
                             const Progress& progress);

}  // namespace ingot::backup

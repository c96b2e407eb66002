// What a backup of a root consists of, gathered while its daemon may run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/layout.h"
#include "backup/writer.h"
#include "base/json.h"

namespace ingot::app {

struct BackupWanted {
  bool images = false;
  bool volumes = false;
  bool key = false;
};

struct BackupParts {
  std::vector<backup::SourcePart> parts;
  std::vector<std::string> warnings;
  // What the parts name goes when these do: copies of what changes, and the locks that keep the rest.
  std::optional<FileLock> alone;
  std::optional<FileLock> no_collection;
  std::optional<TempDirectory> copies;
};

// kConflict: another backup, or a collection that does not end, is under way. kNotFound, kRefused: the key is
// wanted and not this process's to read. kNoSpace: volumes are copied first.
Result<BackupParts> CollectParts(const Layout& layout, const BackupWanted& wanted);

// For people and for --json.
std::string RenderParts(const backup::Manifest& manifest);
Json ManifestToJson(const backup::Manifest& manifest);

}  // namespace ingot::app

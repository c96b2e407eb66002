// Files on their way into a backup.
#pragma once

#include <string>
#include <vector>

#include "backup/tar_archive.h"
#include "base/file.h"

namespace ingot::backup {

struct SourceEntry {
  TarEntry entry;
  fs::path file;  // kFile: where its bytes are
};

// What a folder may hold: plain files alone, which get one mode and no owner, or whatever a program has made.
enum class Contents { kPlain, kAny };

// Appends what is at `path` (a file, or a folder with all that is below it; folders themselves only for
// kAny), named `as` in the archive. Never follows a symbolic link nor leaves the file system. Sockets and
// pipes hold nothing and are left out. kInvalid naming it: for kPlain a symbolic link; else a device. A file
// that is gone again is left out.
Result<void> AddTree(const fs::path& path, const std::string& as, Contents contents,
                     std::vector<SourceEntry>& out);

}  // namespace ingot::backup

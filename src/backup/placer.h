// Makes the files of a backup below a folder, and nothing outside of it.
#pragma once

#include <string>
#include <vector>

#include "backup/tar_archive.h"
#include "base/fd.h"
#include "base/file.h"

namespace ingot::backup {

class Placer {
 public:
  static Result<Placer> Open(const fs::path& into);

  // Begins an entry that CheckEntry has passed, at `place` below the folder. Folders above it are made
  // (0700). Nothing is followed on the way: no symbolic link, no mount. kInvalid: the place is taken, or a
  // link's target is no earlier file.
  Result<void> Begin(const TarEntry& entry, const std::string& place, const std::string& target_place);
  Result<void> Data(std::string_view bytes);
  // Owner, mode, times and attributes of what was begun.
  Result<void> End();
  // Those of folders, which had to wait; all is durable when it returns.
  Result<void> Finish();

 private:
  struct Waiting {
    TarEntry entry;
    std::string place;
  };
  explicit Placer(Fd folder) : folder_(std::move(folder)) {}
  Result<Fd> OpenBelow(const std::string& place, int flags) const;
  Result<Fd> ParentOf(const std::string& place, std::string& name) const;
  static Result<void> Attributes(int fd, const TarEntry& entry, bool owned);

  Fd folder_;
  Fd file_;
  TarEntry entry_;
  bool owned_ = false;
  std::vector<Waiting> folders_;
};

}  // namespace ingot::backup

// What an entry of a backup may be. A backup may come from anywhere: nothing of it is believed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backup/tar_archive.h"

namespace ingot::backup {

// The parts that there are, in the order of an archive.
const std::vector<std::string>& PartNames();
// The first component of a path.
std::string_view PartOf(std::string_view path);

// kInvalid, naming it: a path that leads elsewhere, that is none of its part's, or a kind, link, size, mode
// or attribute that an entry of its part never has.
Result<void> CheckEntry(const TarEntry& entry);

// The path below a root that an entry of this path belongs to: "state/state.db" is "state.db".
std::string PlaceOf(std::string_view path);

// Attributes that are copied with the files of volumes: users', capabilities, access lists.
bool IsKeptXattr(std::string_view name);

}  // namespace ingot::backup

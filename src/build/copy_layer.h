// The layer that a COPY, ADD or WORKDIR makes: computed from names and inodes alone, without a mount.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "build/selection.h"
#include "store/tree.h"

namespace ingot::build {

// What the layers below show at a canonical path, or nothing. No link is followed.
using FindBelow = std::function<Result<std::optional<store::Node>>(const std::string& path)>;
// Reads a small regular file that the layers below show (/etc/passwd); links are followed. kNotFound.
using ReadBelow = std::function<Result<std::string>(const std::string& path)>;

using Owner = std::pair<uint32_t, uint32_t>;

// "0", "app", "app:www", "10:20" → ids. A name is looked up in the image's /etc/passwd and /etc/group. A user
// without a group has its own primary group (a number: the group of that number). kInvalid when a name is not
// there.
Result<Owner> ResolveOwner(std::string_view user_and_group, const ReadBelow& read);

struct CopyTarget {
  std::string destination;  // absolute and clean: "/srv/app"
  bool directory = false;   // it was written with a trailing "/", or is "."
  std::optional<Owner> owner;
  std::optional<uint32_t> mode;
  int64_t mtime_s = 0;  // of folders that are made
};

// Where each thing goes follows Docker: a folder's contents into the destination, a file into it or, when it
// is no folder, as it. Links of the layers below are followed on the way. Folders that are there keep what
// they are unless owner or mode says otherwise, or the selection comes from an image; missing ones are made
// 0755, root. kInvalid: a file where a folder is, several sources and a destination that is no folder.
Result<store::Tree> MakeCopyLayer(const Selection& selection, const CopyTarget& target,
                                  const FindBelow& find);

// WORKDIR: the missing folders of `path`, owned by `owner`; an empty tree when nothing is missing.
Result<store::Tree> MakeDirectoryLayer(std::string_view path, const Owner& owner, int64_t mtime_s,
                                       const FindBelow& find);

}  // namespace ingot::build

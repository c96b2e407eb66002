// Paths through symbolic links, within a root that nothing leads out of: the context, a layer, an image.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::build {

// The target of the symbolic link at a canonical path; nullopt when something else (or nothing) is there.
using ReadLink = std::function<Result<std::optional<std::string>>(const std::string& path)>;

// "a/./b/../c", "/a" → canonical ("a/c", "a"); ".." stays within the root. Not looking at links.
std::string CleanPath(std::string_view path);

// `path` with the links on its way replaced; those of the last component only if `follow_last`. Absolute
// targets and ".." are relative to the root. What does not exist is kept as written. kInvalid after 40 links.
Result<std::string> ResolveLinks(std::string_view path, bool follow_last, const ReadLink& read_link);

}  // namespace ingot::build

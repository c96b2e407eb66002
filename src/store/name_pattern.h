// Patterns of repositories and tags, as policies write them: "*" stands for any characters but "/", "**" for
// any at all, everything else for itself.
#pragma once

#include <string_view>

namespace ingot::store {

// Linear in the name for each "*" of the pattern: no pattern makes it slow.
bool MatchesName(std::string_view pattern, std::string_view name);

// Whether a tag says which version it is: "1.0", "v1.2.3", "2024.06", "1.2.3-rc1", not "v1" or "latest",
// which move by custom.
bool IsVersionTag(std::string_view tag);

}  // namespace ingot::store

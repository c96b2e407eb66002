// Whether a tag says which version it is: "1.0", "v1.2.3", "2024.06", "1.2.3-rc1", not "v1" or "latest",
// which move by custom.
#pragma once

#include <string_view>

namespace ingot::store {

bool IsVersionTag(std::string_view tag);

}  // namespace ingot::store

// What a registry's answer says about a failure (distribution-spec, "Error Codes"), for people.
#pragma once

#include <string>
#include <string_view>

namespace ingot::registry {

// "MANIFEST_UNKNOWN: manifest unknown"; "" when the body says nothing that can be shown. At most 200 letters,
// nothing that a terminal would obey.
std::string DescribeRemoteError(std::string_view body);

}  // namespace ingot::registry

// The grammar of names in requests (distribution-spec 1.1, "Pulling manifests"). Whatever does not match
// reaches neither the catalog nor the file system.
#pragma once

#include <string_view>

namespace ingot::registry {

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*, at most 255 bytes.
bool IsRepositoryName(std::string_view text);
// [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
bool IsTagName(std::string_view text);
// What Uploads gives: 32 lower-case hexadecimal digits.
bool IsUploadId(std::string_view text);

}  // namespace ingot::registry

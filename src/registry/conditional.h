// Conditional requests (RFC 9110 section 13.1.2): what is named by its digest is as old as time.
#pragma once

#include <string>
#include <string_view>

#include "oci/digest.h"
#include "registry/message.h"

namespace ingot::registry {

// "\"sha256:…\""
std::string EntityTag(const oci::Digest& digest);
// Whether an If-None-Match names this digest, or everything; then the answer is 304.
bool IsKnown(std::string_view if_none_match, const oci::Digest& digest);

// That answer.
Response NotModified(const oci::Digest& digest);

}  // namespace ingot::registry

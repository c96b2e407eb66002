// Base64 (RFC 4648 section 4), with padding.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::oci {

std::string RenderBase64(std::string_view bytes);
// kInvalid for any other letter, length or padding, and for bits that a canonical encoder leaves zero.
Result<std::string> ParseBase64(std::string_view text);

}  // namespace ingot::oci

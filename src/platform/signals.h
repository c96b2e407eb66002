// Signal names.
#pragma once

#include <string_view>

#include "base/result.h"

namespace ingot::platform {

// "SIGTERM", "TERM" or "15" → 15; also "SIGRTMIN+3". kInvalid for anything else.
Result<int> ParseSignal(std::string_view text);

}  // namespace ingot::platform

// What is typed and not shown.
#pragma once

#include <string>

#include "base/result.h"

namespace ingot::app {

// Standard input to its end, byte for byte. On a terminal: a line, asked for with `prompt`, not shown,
// without its end. kInvalid: more than `limit_bytes`, or a terminal that gave no line.
Result<std::string> ReadHidden(const std::string& prompt, size_t limit_bytes);

}  // namespace ingot::app

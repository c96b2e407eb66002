// The patterns of ${V#p} and ${V/p/r}: `*` any text, `?` any character, `\` the next one literally; neither
// wildcard matches a newline. Brackets are ordinary characters, as in BuildKit.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::build {

enum class PatternSide { kPrefix, kSuffix };

// `value` without the shortest (greedy: longest) prefix or suffix that matches; unchanged when none does.
// kInvalid: a `\` before anything but * ? \ } /, or value and pattern too long to match in reasonable time.
Result<std::string> TrimPattern(std::string_view value, std::string_view pattern, PatternSide side,
                                bool greedy);

// `value` with the first (all: every) leftmost longest match replaced. kInvalid as above, and for a result
// above `limit_bytes`.
Result<std::string> ReplacePattern(std::string_view value, std::string_view pattern,
                                   std::string_view replacement, bool all, size_t limit_bytes);

}  // namespace ingot::build

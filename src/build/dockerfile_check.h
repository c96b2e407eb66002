// Values of instructions that have a form of their own. They are checked after variables are put in, and
// before it where none are in the way. Internal to the front end; messages have no file position.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ingot::build {

// A duration as Go writes it: "1m30s", "1.5h", "500ms", "0". kInvalid when negative, malformed, or below 1 ms
// and not zero.
Result<std::chrono::nanoseconds> ParseGoDuration(std::string_view text);
// "80", "80/udp", "8000-8010" → {"80/tcp", …}. kInvalid for anything else; a host port ("8080:80") is named.
Result<std::vector<std::string>> ParseExposedPort(std::string_view text);
// One to four octal digits (a fifth, leading 0 allowed). "" is fine.
Result<void> CheckChmod(std::string_view mode);
// "SIGTERM", "term", "15", "SIGRTMIN+3".
Result<void> CheckSignal(std::string_view signal);
// kUnsupported for a URL or a git address.
Result<void> CheckAddSource(std::string_view source);
// No byte that cannot be in a path, an argument or a variable.
Result<void> CheckNoNul(std::string_view text);

}  // namespace ingot::build

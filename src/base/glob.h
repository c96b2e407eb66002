// Patterns over names with slashes, as host.yaml writes them.
#pragma once

#include <string_view>

namespace ingot {

// Whether `pattern` means the whole of `text`. `*`: any characters without a slash, none included. `**`: any
// characters, slashes included; `**/` in front of a segment also means no segment at all. `?`: one character
// other than a slash. Everything else stands for itself: there is no escape, since names have no such
// characters. Time: at most the product of both lengths; no recursion.
bool GlobMatches(std::string_view pattern, std::string_view text);

}  // namespace ingot

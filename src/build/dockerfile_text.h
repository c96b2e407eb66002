// Characters as Go's libraries see them, since Dockerfile semantics are defined by what BuildKit (in Go)
// does.
#pragma once

#include <string>
#include <string_view>

namespace ingot::build {

struct Rune {
  char32_t value;  // U+FFFD for a byte that is not valid UTF-8
  size_t width;    // bytes, at least 1
};

// The character at `position`, which must be inside `text`.
Rune DecodeRune(std::string_view text, size_t position);

bool IsSpace(char32_t rune);   // Go's unicode.IsSpace
bool IsBlank(char byte);       // [\t\v\f\r ], what separates words on a line
bool IsLetter(char32_t rune);  // ASCII letters exactly; beyond ASCII all but spaces, punctuation and symbols
                               // of the common blocks, which is near unicode.IsLetter

std::string_view TrimSpace(std::string_view text);
std::string_view TrimLeftSpace(std::string_view text);
std::string Lower(std::string_view text);                // ASCII
std::string Upper(std::string_view text);                // ASCII
bool EqualFold(std::string_view a, std::string_view b);  // ASCII

// In double quotes with escapes, as Go's strconv.Quote.
std::string Quote(std::string_view text);
// The same, cut short at 120 bytes: for messages.
std::string QuoteShort(std::string_view text);

}  // namespace ingot::build

#include "build/dockerfile_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace ingot::build {
namespace {

constexpr char32_t kInvalidRune = 0xFFFD;

bool InRange(char32_t rune, char32_t first, char32_t last) {
  return rune >= first && rune <= last;
}

// What strconv.Quote escapes beyond ASCII: controls, separators other than U+0020, formatting characters,
// surrogates, private use and non-characters. Unassigned code points are taken as printable: that needs
// Unicode's tables.
bool IsPrintable(char32_t rune) {
  if (rune < 0x80) return rune >= 0x20 && rune != 0x7F;
  if (InRange(rune, 0x80, 0xA0) || rune == 0xAD || IsSpace(rune)) return false;
  if (InRange(rune, 0x200B, 0x200F) || InRange(rune, 0x202A, 0x202E) || InRange(rune, 0x2060, 0x206F))
    return false;
  if (InRange(rune, 0xE000, 0xF8FF) || rune == 0xFEFF || InRange(rune, 0xFFF0, 0xFFFB)) return false;
  return (rune & 0xFFFE) != 0xFFFE && rune < 0xE0000;
}

}  // namespace

Rune DecodeRune(std::string_view text, size_t position) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[position + i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const size_t width = first >= 0xF0 && first <= 0xF4 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || position + width > text.size()) return {kInvalidRune, 1};
  char32_t rune = first & (0xFF >> (width + 1));
  for (size_t i = 1; i < width; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {kInvalidRune, 1};
    rune = rune << 6 | (byte(i) & 0x3F);
  }
  const bool overlong = (width == 3 && rune < 0x800) || (width == 4 && rune < 0x10000);
  if (overlong || rune > 0x10FFFF || InRange(rune, 0xD800, 0xDFFF)) return {kInvalidRune, 1};
  return {rune, width};
}

bool IsSpace(char32_t rune) {
  switch (rune) {
    case '\t':
    case '\n':
    case '\v':
    case '\f':
    case '\r':
    case ' ':
    case 0x85:
    case 0xA0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202F:
    case 0x205F:
    case 0x3000:
      return true;
    default:
      return InRange(rune, 0x2000, 0x200A);
  }
}

bool IsBlank(char byte) {
  return byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f' || byte == '\r';
}

bool IsLetter(char32_t rune) {
  if (rune < 0x80) return InRange(rune | 0x20, 'a', 'z');
  if (rune < 0xC0) return rune == 0xAA || rune == 0xB5 || rune == 0xBA;
  if (rune == 0xD7 || rune == 0xF7 || rune == kInvalidRune || IsSpace(rune)) return false;
  if (InRange(rune, 0x2000, 0x206F) || InRange(rune, 0x20A0, 0x20CF)) return false;  // punctuation, currency
  if (InRange(rune, 0x2190, 0x2BFF) || InRange(rune, 0x3000, 0x3004)) return false;  // arrows … symbols
  if (InRange(rune, 0x3007, 0x3020) || InRange(rune, 0xFF00, 0xFF20))
    return false;  // CJK and full-width marks
  return !InRange(rune, 0xE000, 0xF8FF) && !InRange(rune, 0x1F000, 0x1FAFF) &&
         rune < 0xE0000;  // private, emoji
}

std::string_view TrimLeftSpace(std::string_view text) {
  while (!text.empty()) {
    const Rune rune = DecodeRune(text, 0);
    if (!IsSpace(rune.value)) break;
    text.remove_prefix(rune.width);
  }
  return text;
}

std::string_view TrimSpace(std::string_view text) {
  text = TrimLeftSpace(text);
  while (!text.empty()) {
    // Every space is one, two or three bytes long.
    size_t width = 0;
    for (size_t candidate = 1; candidate <= std::min<size_t>(3, text.size()) && width == 0; ++candidate) {
      const Rune rune = DecodeRune(text, text.size() - candidate);
      if (rune.width == candidate && IsSpace(rune.value)) width = candidate;
    }
    if (width == 0) break;
    text.remove_suffix(width);
  }
  return text;
}

std::string Lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return result;
}

std::string Upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return result;
}

bool EqualFold(std::string_view a, std::string_view b) {
  return a.size() == b.size() && Lower(a) == Lower(b);
}

std::string Quote(std::string_view text) {
  static constexpr std::string_view kNamed = "\a\b\f\n\r\t\v\"\\";
  static constexpr std::string_view kLetters = "abfnrtv\"\\";
  std::string result = "\"";
  for (size_t i = 0; i < text.size();) {
    const Rune rune = DecodeRune(text, i);
    const size_t named = kNamed.find(text[i]);
    if (named != std::string_view::npos) {
      result += '\\';
      result += kLetters[named];
    } else if (rune.width == 1 && rune.value == kInvalidRune) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[i]));
    } else if (IsPrintable(rune.value)) {
      result += text.substr(i, rune.width);
    } else if (rune.value < 0x80) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned>(rune.value));
    } else if (rune.value < 0x10000) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned>(rune.value));
    } else {
      result += fmt::format("\\U{:08x}", static_cast<unsigned>(rune.value));
    }
    i += rune.width;
  }
  return result + '"';
}

std::string QuoteShort(std::string_view text) {
  constexpr size_t kLimit = 120;
  if (text.size() <= kLimit) return Quote(text);
  size_t end = 0;
  while (end < kLimit) end += DecodeRune(text, end).width;
  return Quote(std::string(text.substr(0, end)) + "…");
}

}  // namespace ingot::build

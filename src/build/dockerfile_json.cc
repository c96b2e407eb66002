#include "build/dockerfile_json.h"

#include <optional>

#include "base/json.h"
#include "build/dockerfile_text.h"

namespace ingot::build {
namespace {

void AppendUtf8(char32_t rune, std::string* out) {
  const auto put = [&](char32_t byte) { *out += static_cast<char>(byte); };
  if (rune < 0x80) {
    put(rune);
  } else if (rune < 0x800) {
    put(0xC0 | rune >> 6);
    put(0x80 | (rune & 0x3F));
  } else if (rune < 0x10000) {
    put(0xE0 | rune >> 12);
    put(0x80 | (rune >> 6 & 0x3F));
    put(0x80 | (rune & 0x3F));
  } else {
    put(0xF0 | rune >> 18);
    put(0x80 | (rune >> 12 & 0x3F));
    put(0x80 | (rune >> 6 & 0x3F));
    put(0x80 | (rune & 0x3F));
  }
}

class StepReader {
 public:
  explicit StepReader(std::string_view text) : text_(text) {}

  bool Take(char c) {
    if (position_ == text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }
  void SkipBlanks() {
    while (position_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[position_]) != std::string_view::npos) {
      ++position_;
    }
  }
  bool AtEnd() const { return position_ == text_.size(); }

  // A string from its opening quote on; nullopt when it is malformed.
  std::optional<std::string> String() {
    if (!Take('"')) return std::nullopt;
    std::string result;
    while (!AtEnd()) {
      const unsigned char c = static_cast<unsigned char>(text_[position_]);
      if (Take('"')) return result;
      if (c < 0x20) return std::nullopt;
      if (c == '\\') {
        ++position_;
        if (!Escape(&result)) return std::nullopt;
      } else {
        const Rune rune = DecodeRune(text_, position_);
        AppendUtf8(rune.value, &result);
        position_ += rune.width;
      }
    }
    return std::nullopt;
  }

 private:
  bool Escape(std::string* out) {
    static constexpr std::string_view kLetters = "\"\\/bfnrt";
    static constexpr std::string_view kMeaning = "\"\\/\b\f\n\r\t";
    if (AtEnd()) return false;
    const size_t letter = kLetters.find(text_[position_]);
    if (letter != std::string_view::npos) {
      *out += kMeaning[letter];
      ++position_;
      return true;
    }
    const std::optional<char32_t> unit = Unit();
    if (!unit) return false;
    char32_t rune = *unit;
    if (rune >= 0xD800 && rune <= 0xDFFF) {
      const size_t before = position_;
      std::optional<char32_t> low;
      if (rune < 0xDC00 && Take('\\')) low = Unit();
      if (low && *low >= 0xDC00 && *low <= 0xDFFF) {
        rune = 0x10000 + ((rune - 0xD800) << 10) + (*low - 0xDC00);
      } else {
        position_ = before;  // alone: what follows is read again on its own
        rune = 0xFFFD;
      }
    }
    AppendUtf8(rune, out);
    return true;
  }

  // "uXXXX".
  std::optional<char32_t> Unit() {
    if (!Take('u') || text_.size() - position_ < 4) return std::nullopt;
    char32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = text_[position_++];
      const char lower = static_cast<char>(c | 0x20);
      if (c >= '0' && c <= '9') {
        value = value << 4 | static_cast<char32_t>(c - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        value = value << 4 | static_cast<char32_t>(lower - 'a' + 10);
      } else {
        return std::nullopt;
      }
    }
    return value;
  }

  const std::string_view text_;
  size_t position_ = 0;
};

std::optional<std::vector<std::string>> Strings(std::string_view text) {
  StepReader reader(text);
  std::vector<std::string> strings;
  if (!reader.Take('[')) return std::nullopt;
  reader.SkipBlanks();
  bool more = !reader.Take(']');
  while (more) {
    reader.SkipBlanks();
    std::optional<std::string> next = reader.String();
    if (!next) return std::nullopt;
    strings.push_back(std::move(*next));
    reader.SkipBlanks();
    more = reader.Take(',');
    if (!more && !reader.Take(']')) return std::nullopt;
  }
  reader.SkipBlanks();
  if (!reader.AtEnd()) return std::nullopt;
  return strings;
}

}  // namespace

StringArray ParseStringArray(std::string_view text, std::vector<std::string>* strings) {
  text = TrimLeftSpace(text);
  if (!text.starts_with('[')) return StringArray::kNotJson;
  std::optional<std::vector<std::string>> parsed = Strings(text);
  if (parsed) {
    *strings = std::move(*parsed);
    return StringArray::kStrings;
  }
  return ParseJson(text) ? StringArray::kNotStrings : StringArray::kNotJson;
}

}  // namespace ingot::build

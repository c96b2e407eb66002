#include "build/word_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "build/dockerfile_text.h"

namespace ingot::build {
namespace {

constexpr size_t kMaxSteps = size_t{1} << 22;  // characters of the value × parts of the pattern
constexpr uint32_t kNone = UINT32_MAX;

struct Part {
  enum Kind { kLiteral, kAnyCharacter, kAnyText } kind;
  std::string_view literal;
};

Result<std::vector<Part>> ParsePattern(std::string_view pattern) {
  std::vector<Part> parts;
  for (size_t i = 0; i < pattern.size();) {
    size_t width = DecodeRune(pattern, i).width;
    if (pattern[i] == '*') {
      // Two in a row match what one does.
      if (parts.empty() || parts.back().kind != Part::kAnyText) parts.push_back({Part::kAnyText, {}});
    } else if (pattern[i] == '?') {
      parts.push_back({Part::kAnyCharacter, {}});
    } else {
      if (pattern[i] == '\\') {
        ++i;
        if (i == pattern.size() || std::string_view("*?\\}/").find(pattern[i]) == std::string_view::npos) {
          return Error(Code::kInvalid,
                       fmt::format("in the pattern {} a backslash must be followed by one of * ? \\ }} /",
                                   QuoteShort(pattern)));
        }
        width = 1;
      }
      parts.push_back({Part::kLiteral, pattern.substr(i, width)});
    }
    i += width;
  }
  return parts;
}

// The value cut into characters, and for each start the end of the match there (kNone: no match). All starts
// at once, part by part from the right, so that the time is value × pattern whatever the pattern.
class Matches {
 public:
  static Result<Matches> Find(std::string_view value, std::string_view pattern, bool at_end_only,
                              bool longest) {
    const std::vector<Part> parts = TRY(ParsePattern(pattern));
    Matches matches;
    for (size_t i = 0; i < value.size(); i += DecodeRune(value, i).width) {
      matches.offsets_.push_back(static_cast<uint32_t>(i));
    }
    matches.offsets_.push_back(static_cast<uint32_t>(value.size()));
    if (matches.offsets_.size() * (parts.size() + 1) > kMaxSteps) {
      return Error(Code::kInvalid, fmt::format("the pattern {} is too long for a value of {} bytes",
                                               QuoteShort(pattern), value.size()));
    }
    const size_t count = matches.offsets_.size();
    matches.ends_.resize(count);
    for (size_t i = 0; i < count; ++i) {
      matches.ends_[i] = at_end_only && i + 1 != count ? kNone : static_cast<uint32_t>(i);
    }
    for (size_t part = parts.size(); part-- > 0;) matches.Prepend(value, parts[part], longest);
    return matches;
  }

  size_t size() const { return ends_.size(); }  // number of characters + 1
  std::optional<size_t> End(size_t start) const {
    return ends_[start] == kNone ? std::nullopt : std::optional<size_t>(ends_[start]);
  }
  size_t Offset(size_t index) const { return offsets_[index]; }

 private:
  // From the ends of matches of the rest of the pattern to those of `part` and the rest.
  void Prepend(std::string_view value, const Part& part, bool longest) {
    const size_t last = ends_.size() - 1;
    std::vector<uint32_t> ends(ends_.size(), kNone);
    if (part.kind == Part::kAnyText) ends[last] = ends_[last];
    for (size_t i = last; i-- > 0;) {
      const std::string_view character = value.substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
      if (part.kind == Part::kLiteral) {
        ends[i] = character == part.literal ? ends_[i + 1] : kNone;
      } else if (part.kind == Part::kAnyCharacter) {
        ends[i] = character != "\n" ? ends_[i + 1] : kNone;
      } else {
        const uint32_t here = ends_[i];
        const uint32_t further = character != "\n" ? ends[i + 1] : kNone;
        const bool both = here != kNone && further != kNone;
        ends[i] =
            both ? (longest ? std::max(here, further) : std::min(here, further)) : std::min(here, further);
      }
    }
    ends_ = std::move(ends);
  }

  std::vector<uint32_t> offsets_;
  std::vector<uint32_t> ends_;
};

}  // namespace

Result<std::string> TrimPattern(std::string_view value, std::string_view pattern, PatternSide side,
                                bool greedy) {
  if (side == PatternSide::kPrefix) {
    const Matches matches = TRY(Matches::Find(value, pattern, /*at_end_only=*/false, /*longest=*/greedy));
    const std::optional<size_t> end = matches.End(0);
    return std::string(value.substr(end ? matches.Offset(*end) : 0));
  }
  const Matches matches = TRY(Matches::Find(value, pattern, /*at_end_only=*/true, /*longest=*/true));
  std::optional<size_t> start;
  for (size_t i = 0; i < matches.size(); ++i) {
    if (!matches.End(i)) continue;
    start = i;
    if (greedy) break;
  }
  return std::string(value.substr(0, start ? matches.Offset(*start) : value.size()));
}

Result<std::string> ReplacePattern(std::string_view value, std::string_view pattern,
                                   std::string_view replacement, bool all, size_t limit_bytes) {
  const Matches matches = TRY(Matches::Find(value, pattern, /*at_end_only=*/false, /*longest=*/true));
  std::string result;
  size_t copied = 0;  // characters of the value that are dealt with
  std::optional<size_t> last_end;
  for (size_t i = 0; i < matches.size();) {
    const std::optional<size_t> end = matches.End(i);
    // An empty match directly behind a match does not count, as in every regular expression library.
    if (!end || (*end == i && last_end == i)) {
      ++i;
      continue;
    }
    result += value.substr(matches.Offset(copied), matches.Offset(i) - matches.Offset(copied));
    result += replacement;
    if (result.size() > limit_bytes) return Error(Code::kInvalid, "the result of a replacement is too large");
    copied = *end;
    last_end = *end;
    i = std::max(*end, i + (*end == i ? 1 : 0));
    if (!all) break;
  }
  return result + std::string(value.substr(matches.Offset(copied)));
}

}  // namespace ingot::build

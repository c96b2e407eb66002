#include "build/dockerignore_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "build/dockerfile_text.h"

namespace ingot::build {
namespace {

constexpr size_t kMaxPatternBytes = 4096;

// "[a-z]" or "[^a-z]", `position` behind the '['. Moves it behind the ']' and says whether `rune` is in the
// class; nullopt when it is malformed.
std::optional<bool> MatchClass(std::string_view pattern, size_t* position, char32_t rune) {
  const auto at = [&](char c) { return *position < pattern.size() && pattern[*position] == c; };
  const auto next = [&]() -> std::optional<char32_t> {
    if (at('-') || at(']')) return std::nullopt;
    if (at('\\')) ++*position;
    if (*position >= pattern.size()) return std::nullopt;
    const Rune decoded = DecodeRune(pattern, *position);
    *position += decoded.width;
    return decoded.value;
  };
  const bool negated = at('^');
  if (negated) ++*position;
  bool found = false;
  for (bool first = true; first || !at(']'); first = false) {
    const std::optional<char32_t> low = next();
    if (!low) return std::nullopt;
    std::optional<char32_t> high = low;
    if (at('-')) {
      ++*position;
      high = next();
      if (!high) return std::nullopt;
    }
    found = found || (rune >= *low && rune <= *high);
  }
  ++*position;
  return found != negated;
}

Error Malformed(std::string_view pattern, std::string_view why) {
  return Error(Code::kInvalid, fmt::format("{} is not a valid pattern: {}", QuoteShort(pattern), why));
}

}  // namespace

Result<PathPattern> PathPattern::Compile(std::string_view pattern, Dialect dialect) {
  if (pattern.size() > kMaxPatternBytes) return Malformed(pattern, "it is longer than 4096 bytes");
  PathPattern result;
  result.source_ = pattern;
  const auto add = [&](Kind kind, size_t begin = 0, size_t width = 0) {
    result.steps_.push_back({kind, static_cast<uint16_t>(begin), static_cast<uint8_t>(width)});
    if (kind != Kind::kLiteral) result.plain_ = false;
  };
  for (size_t i = 0; i < pattern.size();) {
    const char c = pattern[i];
    if (c == '*' && dialect == Dialect::kIgnoreFile && pattern.substr(i, 2) == "**") {
      const bool leading = i == 0;
      i += 2;
      const bool slash = i < pattern.size() && pattern[i] == '/';
      if (slash) ++i;
      // A leading `**name` matches every path that ends in "name", unless further wildcards follow.
      const bool anywhere = leading && !slash && pattern.find_first_of("*?[]\\", i) == std::string_view::npos;
      if (i == pattern.size() || anywhere) {
        add(Kind::kAnything);
      } else {
        add(Kind::kEnterPath);
        add(Kind::kInsidePath);
      }
    } else if (c == '*') {
      if (result.steps_.empty() || result.steps_.back().kind != Kind::kName) add(Kind::kName);
      ++i;
    } else if (c == '?') {
      add(Kind::kOne);
      ++i;
    } else if (c == '[') {
      ++i;
      add(Kind::kClass, i);
      if (!MatchClass(pattern, &i, 0)) return Malformed(pattern, "a '[' without its ']', or an empty range");
    } else {
      if (c == '\\') {
        result.plain_ = false;
        if (++i == pattern.size()) return Malformed(pattern, "there is nothing behind the last '\\'");
      }
      const size_t width = DecodeRune(pattern, i).width;
      add(Kind::kLiteral, i, width);
      i += width;
    }
  }
  return result;
}

bool PathPattern::Takes(const Step& step, std::string_view character, char32_t rune) const {
  switch (step.kind) {
    case Kind::kLiteral:
      return character == std::string_view(source_).substr(step.begin, step.width);
    case Kind::kOne:
    case Kind::kName:
      return rune != '/';
    case Kind::kClass: {
      size_t position = step.begin;
      return MatchClass(source_, &position, rune).value_or(false);
    }
    case Kind::kInsidePath:
    case Kind::kAnything:
      return true;
    case Kind::kEnterPath:
      break;
  }
  return false;
}

// What can be skipped leads only forward, so one pass is enough.
void PathPattern::FollowEmpty(std::vector<char>* reachable) const {
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (!(*reachable)[i]) continue;
    if (steps_[i].kind == Kind::kName || steps_[i].kind == Kind::kAnything) (*reachable)[i + 1] = 1;
    if (steps_[i].kind == Kind::kEnterPath) (*reachable)[i + 1] = (*reachable)[i + 2] = 1;
  }
}

std::vector<char> PathPattern::Reach(std::string_view text) const {
  std::vector<char> now(steps_.size() + 1, 0);
  std::vector<char> next(steps_.size() + 1, 0);
  now[0] = 1;
  FollowEmpty(&now);
  for (size_t at = 0; at < text.size();) {
    const Rune rune = DecodeRune(text, at);
    const std::string_view character = text.substr(at, rune.width);
    at += rune.width;
    std::fill(next.begin(), next.end(), 0);
    bool any = false;
    for (size_t i = 0; i < steps_.size(); ++i) {
      const Step& step = steps_[i];
      if (!now[i] || !Takes(step, character, rune.value)) continue;
      any = true;
      const bool stays =
          step.kind == Kind::kName || step.kind == Kind::kAnything || step.kind == Kind::kInsidePath;
      if (stays) next[i] = 1;
      if (!stays || (step.kind == Kind::kInsidePath && rune.value == '/')) next[i + 1] = 1;
    }
    if (!any) return {};
    std::swap(now, next);
    FollowEmpty(&now);
  }
  return now;
}

bool PathPattern::Matches(std::string_view path) const {
  if (plain_) return path == source_;
  const std::vector<char> reachable = Reach(path);
  return !reachable.empty() && reachable.back() != 0;
}

bool PathPattern::CouldMatchBelow(std::string_view prefix) const {
  if (plain_) return source_.starts_with(prefix);
  const std::vector<char> reachable = Reach(prefix);
  return std::find(reachable.begin(), reachable.end(), 1) != reachable.end();
}

}  // namespace ingot::build

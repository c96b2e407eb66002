#include "store/name_pattern.h"

#include <vector>

namespace ingot::store {
namespace {

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// Takes a number from the front.
bool TakeNumber(std::string_view& text) {
  size_t digits = 0;
  while (digits < text.size() && IsDigit(text[digits])) ++digits;
  text.remove_prefix(digits);
  return digits > 0;
}

}  // namespace

bool MatchesName(std::string_view pattern, std::string_view name) {
  // reached[i]: what was read of the pattern matches the first i characters of the name.
  std::vector<bool> reached(name.size() + 1, false);
  reached[0] = true;
  while (!pattern.empty()) {
    const bool star = pattern.front() == '*';
    const bool any = pattern.starts_with("**");
    std::vector<bool> next(name.size() + 1, false);
    if (star) {
      bool open = false;
      for (size_t i = 0; i <= name.size(); ++i) {
        if (i > 0 && !any && name[i - 1] == '/') open = false;
        open = open || reached[i];
        next[i] = open;
      }
    } else {
      for (size_t i = 0; i < name.size(); ++i) next[i + 1] = reached[i] && name[i] == pattern.front();
    }
    reached = std::move(next);
    pattern.remove_prefix(any ? 2 : 1);
  }
  return reached[name.size()];
}

bool IsVersionTag(std::string_view tag) {
  if (tag.starts_with('v')) tag.remove_prefix(1);
  if (!TakeNumber(tag)) return false;
  size_t parts = 1;
  while (tag.starts_with('.')) {
    std::string_view rest = tag.substr(1);
    if (!TakeNumber(rest)) break;
    tag = rest;
    ++parts;
  }
  if (parts < 2) return false;
  return tag.empty() || tag.front() == '-' || tag.front() == '_' || tag.front() == '.';
}

}  // namespace ingot::store

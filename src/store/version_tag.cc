#include "store/version_tag.h"

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

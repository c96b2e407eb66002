#include "registry/names.h"

#include <algorithm>

namespace ingot::registry {
namespace {

constexpr size_t kLongestName = 255;
constexpr size_t kLongestTag = 128;

bool IsLowerOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
bool IsNameComponent(std::string_view text) {
  if (text.empty() || !IsLowerOrDigit(text.front()) || !IsLowerOrDigit(text.back())) return false;
  for (size_t i = 0; i < text.size();) {
    if (IsLowerOrDigit(text[i])) {
      ++i;
      continue;
    }
    const size_t end = std::min(text.find_first_not_of(text[i], i), text.size());
    const size_t length = end - i;
    const bool separator =
        text[i] == '-' || (text[i] == '.' && length == 1) || (text[i] == '_' && length <= 2);
    if (!separator || !IsLowerOrDigit(text[end])) return false;
    i = end;
  }
  return true;
}

}  // namespace

bool IsRepositoryName(std::string_view text) {
  if (text.size() > kLongestName) return false;
  while (true) {
    const size_t slash = text.find('/');
    if (!IsNameComponent(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

bool IsTagName(std::string_view text) {
  const auto word = [](char c) { return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (text.empty() || text.size() > kLongestTag || !word(text.front())) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) { return word(c) || c == '.' || c == '-'; });
}

bool IsUploadId(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace ingot::registry

#include "base/glob.h"

#include <vector>

namespace ingot {

bool GlobMatches(std::string_view pattern, std::string_view text) {
  // reach[i]: the pattern so far means the first i characters of the text.
  std::vector<char> reach(text.size() + 1, 0);
  std::vector<char> next(text.size() + 1, 0);
  reach[0] = 1;
  for (size_t p = 0; p < pattern.size(); ++p) {
    const bool any = pattern.substr(p).starts_with("**");
    if (any || pattern[p] == '*') {
      for (size_t i = 0; i <= text.size(); ++i)
        next[i] =
            static_cast<char>(reach[i] != 0 || (i > 0 && next[i - 1] != 0 && (any || text[i - 1] != '/')));
      if (any) ++p;
      // "**/" at the beginning of a segment: either nothing, or something that ends with a slash.
      const bool segment = p < 2 || pattern[p - 2] == '/';
      if (any && segment && p + 1 < pattern.size() && pattern[p + 1] == '/') {
        ++p;
        for (size_t i = text.size(); i > 0; --i)
          next[i] = static_cast<char>(reach[i] != 0 || (next[i - 1] != 0 && text[i - 1] == '/'));
        next[0] = reach[0];
      }
    } else {
      next[0] = 0;
      for (size_t i = 1; i <= text.size(); ++i) {
        const bool same = pattern[p] == '?' ? text[i - 1] != '/' : text[i - 1] == pattern[p];
        next[i] = static_cast<char>(reach[i - 1] != 0 && same);
      }
    }
    reach.swap(next);
  }
  return reach[text.size()] != 0;
}

}  // namespace ingot

#include "definition/promql.h"

#include <algorithm>
#include <string>

namespace ingot::definition {

namespace {

// The place of the quote that ends a string which begins at `begin`; npos: none does.
size_t EndOfString(std::string_view query, size_t begin) {
  const char quote = query[begin];
  for (size_t i = begin + 1; i < query.size(); ++i) {
    if (query[i] == quote) return i;
    if (quote == '`') continue;  // nothing is escaped between these, and lines may end
    if (query[i] == '\n') return std::string_view::npos;
    if (query[i] == '\\') ++i;
  }
  return std::string_view::npos;
}

char Closing(char c) {
  return c == '(' ? ')' : c == '[' ? ']' : c == '{' ? '}' : '\0';
}

}  // namespace

Result<void> CheckPromql(std::string_view query) {
  const auto bad = [](const std::string& what) {
    return Error(Code::kInvalid, "no Prometheus takes this query: " + what);
  };
  std::string open;  // what closes them, the innermost last
  bool empty = true;
  for (size_t i = 0; i < query.size(); ++i) {
    const char c = query[i];
    if (c == '#') {  // a comment, to the end of the line
      i = std::min(query.find('\n', i), query.size());
      continue;
    }
    empty = empty && (c == ' ' || c == '\t' || c == '\n' || c == '\r');
    if (c == '"' || c == '\'' || c == '`') {
      const size_t end = EndOfString(query, i);
      if (end == std::string_view::npos)
        return bad("the string that begins at character " + std::to_string(i + 1) + " has no end");
      i = end;
    } else if (Closing(c) != '\0') {
      open += Closing(c);
    } else if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c)
        return bad(std::string("the \"") + c + "\" at character " + std::to_string(i + 1) +
                   " closes nothing");
      open.pop_back();
    }
  }
  if (empty) return bad("it is empty");
  if (!open.empty()) return bad(std::string("a \"") + open.back() + "\" is missing at its end");
  return {};
}

}  // namespace ingot::definition

// SQL as tokens: enough to know where a statement ends and what it does. PostgreSQL as with
// standard_conforming_strings on (its "Lexical Structure": E'', U&'', $tag$, nested comments); SQLite with
// its [name] and `name`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "migrate/script.h"

namespace ingot::migrate {

struct Token {
  enum class Kind { kWord, kIdentifier, kString, kNumber, kSymbol, kComment };
  Kind kind = Kind::kWord;
  std::string text;  // a word in lower case, an identifier and a comment as written; of a string nothing
  int line = 0;      // from 1
  size_t begin = 0;  // bytes of the text
  size_t end = 0;
  bool Is(std::string_view word) const {
    return (kind == Kind::kWord || kind == Kind::kSymbol) && text == word;
  }
};

// kInvalid with "line N: …" for a string, identifier or comment without an end, and for a byte 0. The input
// may be hostile; the work is linear in it.
Result<std::vector<Token>> Lex(std::string_view sql, Engine engine);

}  // namespace ingot::migrate

// A script's text as statements that are run one by one.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "migrate/lexer.h"

namespace ingot::migrate {

struct Statement {
  int line = 0;                   // of its first word, from 1
  std::string text;               // as written, without the ; that ends it
  std::vector<Token> tokens;      // without comments
  bool alone = false;             // cannot run in a transaction
  bool setting = false;           // of the session: said again when a script is gone on with
  std::set<std::string> allowed;  // by `-- ingot: allow WORD` inside, above, or behind it on its last line

  // Its first words are these, in lower case.
  bool Begins(std::initializer_list<std::string_view> words) const;
  bool Has(std::string_view word) const;
};

struct ParsedScript {
  std::vector<Statement> statements;
  // `-- ingot: no-transaction`: each statement has a transaction of its own, with its progress.
  bool no_transaction = false;
};

// kInvalid with "line N: …": what Lex finds, and what has no place in a script: COPY, commands of psql, BEGIN
// and COMMIT (a script runs in a transaction of Ingot's), databases and tablespaces.
Result<ParsedScript> ParseScript(std::string_view text, Engine engine);

}  // namespace ingot::migrate

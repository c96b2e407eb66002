// What is dangerous to run while requests are served: long locks, rewrites of a table, and what a revision
// that still serves may need. A finding is an error until a comment in the script accepts it.
#pragma once

#include <string>
#include <vector>

#include "migrate/statement.h"

namespace ingot::migrate {

struct Finding {
  int line = 0;
  std::string rule;  // the WORD of `-- ingot: allow WORD`
  std::string why;   // what it does, and what to write instead
  bool operator==(const Finding&) const = default;
};

// In the order of lines. Tables that the script itself creates are empty, and nobody uses them: for those
// only `drop` and `rename` of an expand script can be found. The rules stand in docs/formats/migrations.md.
std::vector<Finding> Lint(const ParsedScript& script, Stage stage, Engine engine);

// "api/migrations/012_x.sql:14: drop: …; or accept it with `-- ingot: allow drop`"
std::string Render(const std::string& file, const Finding& finding);

}  // namespace ingot::migrate

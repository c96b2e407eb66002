// ingot.yaml → Definition. Pure: bytes in, value out.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "definition/definition.h"

namespace ingot::definition {

// What ${…} in a definition may name.
struct Variables {
  std::map<std::string, std::string> environment;  // ${NAME}, ${NAME:-default}
  std::optional<std::string> git_sha;              // ${git.sha}; unset: not in a git work tree
};

// One mistake. `message` says what is wrong, what was expected and, for a name that is nearly right, which
// one was probably meant.
struct Problem {
  std::string file;
  int line = 0;  // from 1; 0 when it belongs to the file as a whole
  int column = 0;
  std::string message;
  bool operator==(const Problem&) const = default;
  // "ingot.yaml:12:5: unknown key \"replica\"; did you mean \"replicas\"?"
  std::string Render() const;
};

inline constexpr size_t kMaxProblems = 20;
inline constexpr size_t kMaxDefinitionBytes = size_t{1} << 20;

struct Parsed {
  std::optional<Definition> definition;  // set exactly when there is no problem
  std::vector<Problem> problems;         // in the order of the file, at most kMaxProblems
};

// Parses and checks everything that can be checked without the world outside the file. Bounded work for any
// input: at most kMaxDefinitionBytes, 32 levels, 50,000 nodes after aliases. Never throws.
Parsed ParseAll(std::string_view bytes, std::string_view file_name, const Variables& variables);

// The same, for callers that only need to say why not: kInvalid with one rendered problem per line.
Result<Definition> Parse(std::string_view bytes, std::string_view file_name, const Variables& variables);

}  // namespace ingot::definition

// ingot.yaml → Definition. Pure: bytes in, value out.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "definition/definition.h"
#include "definition/problem.h"
#include "definition/variables.h"

namespace ingot::definition {

struct Parsed {
  std::optional<Definition> definition;  // set exactly when there is no problem
  std::vector<Problem> problems;         // in the order of the file, at most kMaxProblems
  std::string project;                   // its name, also beside problems elsewhere; empty: it cannot be read
  std::map<std::string, std::string> hosts;  // of environments that have one, likewise
};

// Parses and checks everything that can be checked without the world outside the file. Bounded work for any
// input: at most 1 MiB, 32 levels, 50,000 values after aliases. Never throws.
Parsed ParseAll(std::string_view bytes, std::string_view file_name, const Variables& variables);

// The same, for callers that only need to say why not: kInvalid with one rendered problem per line.
Result<Definition> Parse(std::string_view bytes, std::string_view file_name, const Variables& variables);

}  // namespace ingot::definition

// Mistakes in a file that people write, as `ingot validate` shows them.
#pragma once

#include <optional>
#include <vector>

#include "app/invocation.h"
#include "definition/problem.h"

namespace ingot::app {

// With --json the whole answer; else each on stderr. The exit code, or unset when there is more to say: the
// file is valid, and text is wanted.
std::optional<int> ShowProblems(const Invocation& invocation,
                                const std::vector<definition::Problem>& problems);

}  // namespace ingot::app

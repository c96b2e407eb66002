#include "app/problems.h"

#include <cstdio>

#include "app/terminal.h"

namespace ingot::app {

std::optional<int> ShowProblems(const Invocation& invocation,
                                const std::vector<definition::Problem>& problems) {
  const bool valid = problems.empty();
  if (invocation.json) {
    JsonArray list;
    for (const definition::Problem& problem : problems)
      list.push_back(JsonObject{{"file", problem.file},
                                {"line", problem.line},
                                {"column", problem.column},
                                {"message", problem.message}});
    PrintJson(JsonObject{{"valid", valid}, {"problems", std::move(list)}});
    return valid ? kDone : kUsage;
  }
  for (const definition::Problem& problem : problems)
    std::fprintf(stderr, "%s %s\n", Paint(Colour::kRed, "error:").c_str(), problem.Render().c_str());
  if (problems.size() == definition::kMaxProblems)
    std::fprintf(stderr, "these are the first %zu; there may be more\n", problems.size());
  if (!valid) return kUsage;
  return std::nullopt;
}

}  // namespace ingot::app

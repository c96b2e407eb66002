// Mistakes in a definition, collected while it is read.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "definition/definition.h"

namespace ingot::definition {

// One mistake. `message` says what is wrong, what was expected and, for a name that is nearly right, which
// one was probably meant.
struct Problem {
  std::string file;
  int line = 0;  // from 1; 0 when it belongs to the file as a whole
  int column = 0;
  std::string message;
  bool operator==(const Problem&) const = default;
  // "ingot.yaml:12:5: services.web: unknown key \"replica\"; did you mean \"replicas\"?"
  std::string Render() const;
};

inline constexpr size_t kMaxProblems = 20;

class Problems {
 public:
  explicit Problems(std::string_view file) : file_(file) {}
  // Ignored when there are far more already than anybody will see.
  void Add(Position at, std::string message);
  bool empty() const { return found_.empty(); }
  // In the order of the file, without repetitions, at most kMaxProblems.
  std::vector<Problem> Take() &&;

 private:
  std::string file_;
  std::vector<Problem> found_;
};

// "; did you mean \"replicas\"?", or "" when no candidate is near.
std::string DidYouMean(std::string_view name, const std::vector<std::string>& candidates);
// In double quotes for a message: cut to a bearable length, control characters and quotes escaped.
std::string Quoted(std::string_view text);

}  // namespace ingot::definition

// Condition: what a measured number has to be, such as "< 0.01".
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::definition {

struct Condition {
  enum class Op { kLess, kLessOrEqual, kGreater, kGreaterOrEqual, kEqual, kNotEqual };
  Op op = Op::kLess;
  double value = 0;  // finite

  // One of < <= > >= == != and a number (JSON's, a plus sign and leading zeros allowed). kInvalid.
  static Result<Condition> Parse(std::string_view text);
  // The inverse: the shortest text that gives the same number, "< 0.01".
  std::string Render() const;
  // Never for a NaN, whatever is asked for.
  bool Holds(double measured) const;
  bool operator==(const Condition&) const = default;
};

// The shortest text that is the number again: "0.25", "1e+20", "NaN", "+Inf", "-Inf".
std::string RenderNumber(double value);

}  // namespace ingot::definition

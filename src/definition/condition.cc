#include "definition/condition.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "definition/problem.h"

namespace ingot::definition {

namespace {

using Op = Condition::Op;

// Those of two characters before the ones that they begin with.
constexpr std::array<std::pair<std::string_view, Op>, 6> kOps = {{{"<=", Op::kLessOrEqual},
                                                                  {">=", Op::kGreaterOrEqual},
                                                                  {"==", Op::kEqual},
                                                                  {"!=", Op::kNotEqual},
                                                                  {"<", Op::kLess},
                                                                  {">", Op::kGreater}}};

}  // namespace

std::string RenderNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::array<char, 40> text{};
  const auto [end, ec] = std::to_chars(text.data(), text.data() + text.size(), value);
  return std::string(text.data(), end);
}

Result<Condition> Condition::Parse(std::string_view text) {
  const std::string_view whole = text;
  Condition out;
  bool has_op = false;
  for (const auto& [word, op] : kOps) {
    if (!text.starts_with(word)) continue;
    out.op = op;
    has_op = true;
    text.remove_prefix(word.size());
    break;
  }
  while (text.starts_with(' ')) text.remove_prefix(1);
  if (text.starts_with('+')) text.remove_prefix(1);
  // No "inf" and no "nan": nothing is ever below or above them.
  const bool number = !text.empty() && text.find_first_not_of("0123456789.eE+-") == std::string_view::npos;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out.value);
  if (!has_op || !number || ec != std::errc() || end != text.data() + text.size() ||
      !std::isfinite(out.value))
    return Error(Code::kInvalid,
                 "expected <, <=, >, >=, == or != and a number, such as \"< 0.01\", not " + Quoted(whole));
  if (out.value == 0) out.value = 0;  // one zero, and so one text
  return out;
}

std::string Condition::Render() const {
  for (const auto& [word, known] : kOps)
    if (known == op) return std::string(word) + " " + RenderNumber(value);
  return "";
}

bool Condition::Holds(double measured) const {
  if (std::isnan(measured)) return false;
  switch (op) {
    case Op::kLess:
      return measured < value;
    case Op::kLessOrEqual:
      return measured <= value;
    case Op::kGreater:
      return measured > value;
    case Op::kGreaterOrEqual:
      return measured >= value;
    case Op::kEqual:
      return measured == value;
    case Op::kNotEqual:
      return measured != value;
  }
  return false;
}

}  // namespace ingot::definition

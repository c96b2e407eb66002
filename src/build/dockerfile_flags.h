// The --flags of an instruction. Internal to the front end.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ingot::build {

struct FlagRule {
  enum Kind { kText, kBool, kRefused } kind;
  std::string_view name;    // without "--"
  std::string_view remedy;  // kRefused: why, and what to do instead
};

class Flags {
 public:
  // kInvalid: an unknown flag (with the nearest known one), a flag given twice, a missing or wrong value.
  // kUnsupported: a refused one.
  static Result<Flags> Parse(std::string_view instruction, const std::vector<std::string>& flags,
                             std::initializer_list<FlagRule> rules);

  std::string Text(std::string_view name) const;  // "" when absent
  bool Bool(std::string_view name) const;         // false when absent

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace ingot::build

#include "build/dockerfile_flags.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/units.h"
#include "build/dockerfile_text.h"

namespace ingot::build {
namespace {

Error UnknownFlag(std::string_view instruction, std::string_view name,
                  std::initializer_list<FlagRule> rules) {
  std::vector<std::string> known;
  std::string list;
  for (const FlagRule& rule : rules) {
    if (rule.kind == FlagRule::kRefused) continue;
    known.emplace_back(rule.name);
    list += fmt::format("{}--{}", list.empty() ? "" : ", ", rule.name);
  }
  const std::string shown = std::string(name.substr(0, 100));
  if (known.empty())
    return Error(Code::kInvalid, fmt::format("{} takes no flags, but --{} is given", instruction, shown));
  const std::string nearest = Nearest(shown, known);
  if (!nearest.empty()) {
    return Error(Code::kInvalid,
                 fmt::format("{} has no flag --{}; did you mean --{}?", instruction, shown, nearest));
  }
  return Error(Code::kInvalid, fmt::format("{} has no flag --{}; it has {}", instruction, shown, list));
}

Result<std::string> FlagValue(const FlagRule& rule, bool has_value, std::string_view value) {
  if (rule.kind == FlagRule::kBool) {
    const std::string lower = Lower(value);
    if (!has_value || lower == "true") return std::string("true");
    if (lower == "false") return std::string("false");
    return Error(Code::kInvalid, fmt::format("--{} is true or false, not {}", rule.name, QuoteShort(value)));
  }
  if (!has_value)
    return Error(Code::kInvalid, fmt::format("--{} needs a value: --{}=…", rule.name, rule.name));
  return std::string(value);
}

}  // namespace

Result<Flags> Flags::Parse(std::string_view instruction, const std::vector<std::string>& flags,
                           std::initializer_list<FlagRule> rules) {
  Flags result;
  for (const std::string& flag : flags) {
    const size_t equals = flag.find('=');
    const std::string_view name =
        std::string_view(flag).substr(2, equals == std::string::npos ? equals : equals - 2);
    const auto rule =
        std::find_if(rules.begin(), rules.end(), [&](const FlagRule& r) { return r.name == name; });
    if (rule == rules.end()) return UnknownFlag(instruction, name, rules);
    if (rule->kind == FlagRule::kRefused) {
      return Error(Code::kUnsupported,
                   fmt::format("{} --{} is not supported: {}", instruction, name, rule->remedy));
    }
    const bool has_value = equals != std::string::npos;
    std::string value =
        TRY(FlagValue(*rule, has_value, has_value ? std::string_view(flag).substr(equals + 1) : ""));
    if (!result.values_.emplace(name, std::move(value)).second) {
      return Error(Code::kInvalid, fmt::format("{} --{} is given twice", instruction, name));
    }
  }
  return result;
}

std::string Flags::Text(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string() : found->second;
}

bool Flags::Bool(std::string_view name) const {
  return Text(name) == "true";
}

}  // namespace ingot::build

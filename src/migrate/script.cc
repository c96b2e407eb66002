#include "migrate/script.h"

#include <algorithm>
#include <charconv>

namespace ingot::migrate {

namespace {

constexpr size_t kMostDigits = 18;
constexpr std::string_view kSuffix = ".sql";

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

}  // namespace

std::string_view StageName(Stage stage) {
  return stage == Stage::kExpand ? "expand" : "contract";
}

Result<Stage> ParseStage(std::string_view name) {
  if (name == "expand") return Stage::kExpand;
  if (name == "contract") return Stage::kContract;
  return Error(Code::kInvalid, "expected expand or contract, not \"" + std::string(name) + "\"");
}

Result<Script> ParseScriptName(std::string_view file_name) {
  const auto bad = [&](const std::string& why) {
    return Error(Code::kInvalid, std::string(file_name) + ": " + why +
                                     "; expected NNN_name.sql, NNN_name.expand.sql or NNN_name.contract.sql");
  };
  std::string_view rest = file_name;
  if (!rest.ends_with(kSuffix)) return bad("not the name of a script");
  rest.remove_suffix(kSuffix.size());
  Script script;
  const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  if (digits == 0 || digits > kMostDigits) return bad("it begins with no version of 1 to 18 digits");
  std::from_chars(rest.data(), rest.data() + digits, script.version);
  if (script.version == 0) return bad("versions begin at 1");
  rest.remove_prefix(digits);
  if (!rest.starts_with('_')) return bad("no _ after its version");
  rest.remove_prefix(1);
  if (const size_t dot = rest.find('.'); dot != std::string_view::npos) {
    auto stage = ParseStage(rest.substr(dot + 1));
    if (!stage) return bad("\"" + std::string(rest.substr(dot)) + "\" is no stage");
    script.stage = *stage;
    rest = rest.substr(0, dot);
  }
  if (rest.empty() || rest.size() > 200 || !std::all_of(rest.begin(), rest.end(), IsNameByte))
    return bad("a name is made of letters, digits, _ and -");
  script.name = std::string(rest);
  return script;
}

std::string Render(const Script& script) {
  std::string version = std::to_string(script.version);
  if (version.size() < 3) version.insert(0, 3 - version.size(), '0');
  return version + "_" + script.name + (script.stage == Stage::kContract ? ".contract" : "");
}

Result<void> SortScripts(std::vector<Script>& scripts) {
  std::sort(scripts.begin(), scripts.end(),
            [](const Script& a, const Script& b) { return a.version < b.version; });
  const auto twice = std::adjacent_find(scripts.begin(), scripts.end(), [](const Script& a, const Script& b) {
    return a.version == b.version;
  });
  if (twice == scripts.end()) return {};
  return Error(Code::kInvalid, twice->file + " and " + (twice + 1)->file + " have the same version " +
                                   std::to_string(twice->version) + "; give the newer one the next number");
}

}  // namespace ingot::migrate

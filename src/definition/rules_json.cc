// ResolvedRules as JSON, and back. The document comes over the API, so nothing in it is believed.
#include <algorithm>

#include "definition/cron.h"
#include "definition/reading.h"
#include "definition/rules.h"
#include "definition/scalars.h"

namespace ingot::definition {

namespace {

JsonArray ListOfTexts(const std::vector<std::string>& texts) {
  JsonArray out;
  for (const std::string& text : texts) out.emplace_back(text);
  return out;
}

Result<ResolvedRole> ReadRole(const Reading& json) {
  ResolvedRole role;
  role.may = TRY(json.Texts("may", [](std::string_view text) { return IsName(text); }));
  role.members = TRY(json.Texts("members", IsMember));
  if (role.members.empty()) return json.Bad("members", "at least one");
  if (!std::is_sorted(role.may.begin(), role.may.end())) return json.Bad("may", "a sorted list");
  return role;
}

Result<WallTime> ReadMoment(const Reading& json, std::string_view key) {
  const auto time = ParseTime(TRY(json.Text(key)));
  if (!time) return json.Bad(key, "a time");
  return *time;
}

Result<ResolvedFreeze> ReadFreeze(const Reading& json) {
  ResolvedFreeze freeze;
  freeze.reason = TRY(json.Text("reason"));
  if (json.Has("at")) {
    freeze.at = TRY(json.Text("at", [](std::string_view text) { return CheckCron(text).has_value(); }));
    freeze.hold = TRY(json.Ms("for_ms"));
    return freeze;
  }
  freeze.from = TRY(ReadMoment(json, "from"));
  freeze.until = TRY(ReadMoment(json, "until"));
  return freeze;
}

}  // namespace

Json ToJson(const ResolvedRules& rules) {
  JsonObject roles;
  for (const auto& [name, role] : rules.roles)
    roles[name] = JsonObject{{"may", ListOfTexts(role.may)}, {"members", ListOfTexts(role.members)}};
  JsonArray freezes;
  for (const ResolvedFreeze& freeze : rules.freezes) {
    JsonObject item{{"reason", freeze.reason}};
    if (freeze.at.empty()) {
      item["from"] = RenderTime(freeze.from);
      item["until"] = RenderTime(freeze.until);
    } else {
      item["at"] = freeze.at;
      item["for_ms"] = freeze.hold.count();
    }
    freezes.push_back(std::move(item));
  }
  JsonObject out{{"roles", std::move(roles)}, {"freezes", std::move(freezes)}};
  if (!rules.approval.empty())
    out["approval"] = JsonObject{{"role", rules.approval}, {"within_ms", rules.approval_within.count()}};
  return out;
}

Result<ResolvedRules> RulesFromJson(const Json& document) {
  const Reading json = TRY(Reading::Of(document, "rules"));
  ResolvedRules rules;
  rules.roles = TRY(json.MapOf<ResolvedRole>("roles", IsName, ReadRole));
  rules.freezes = TRY(json.List<ResolvedFreeze>("freezes", ReadFreeze));
  if (rules.freezes.size() > kMostFreezes) return json.Bad("freezes", "a shorter list");
  if (json.Has("approval")) {
    const Reading approval = TRY(json.Object("approval"));
    rules.approval = TRY(approval.Text("role", IsName));
    rules.approval_within = TRY(approval.Ms("within_ms"));
    const auto role = rules.roles.find(rules.approval);
    if (role == rules.roles.end() || !role->second.May("approve"))
      return approval.Bad("role", "a role that may approve");
  }
  return rules;
}

}  // namespace ingot::definition

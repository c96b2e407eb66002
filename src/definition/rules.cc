#include "definition/rules.h"

#include <algorithm>

#include "definition/cron.h"

namespace ingot::definition {

std::optional<Frozen> FrozenAt(const std::vector<ResolvedFreeze>& freezes, WallTime now) {
  std::optional<Frozen> out;
  const auto add = [&](const ResolvedFreeze& freeze, WallTime until) {
    if (!out || out->until < until) out = Frozen{freeze.reason, until};
  };
  for (const ResolvedFreeze& freeze : freezes) {
    if (freeze.at.empty()) {
      if (freeze.from <= now && now < freeze.until) add(freeze, freeze.until);
      continue;
    }
    const auto times = CronTimes::Parse(freeze.at);
    if (!times) continue;  // Parse has refused it
    if (const auto begun = times->Last(now - freeze.hold, now); begun) add(freeze, *begun + freeze.hold);
  }
  return out;
}

bool IsMemberOf(const User& user, const ResolvedRole& role) {
  return std::any_of(role.members.begin(), role.members.end(), [&](const std::string& member) {
    constexpr std::string_view kGroup = "group:";
    if (!member.starts_with(kGroup)) return member == user.name;
    return std::find(user.groups.begin(), user.groups.end(), member.substr(kGroup.size())) !=
           user.groups.end();
  });
}

}  // namespace ingot::definition

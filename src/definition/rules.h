// ResolvedRules: who may do what in one environment, and when nothing may be done. No part of a revision's
// identity: an instance cannot see them.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"

namespace ingot::definition {

struct ResolvedRole {
  std::vector<std::string> may;      // sorted: "approve", "deploy", …
  std::vector<std::string> members;  // "alice", "group:ops"; never empty
  bool May(const std::string& act) const { return std::binary_search(may.begin(), may.end(), act); }
  bool operator==(const ResolvedRole&) const = default;
};

// Once, [from, until), or for `hold` from each time of `at`.
struct ResolvedFreeze {
  WallTime from{};
  WallTime until{};
  std::string at;  // five cron fields, UTC; empty: once
  Milliseconds hold{0};
  std::string reason;
  bool operator==(const ResolvedFreeze&) const = default;
};

inline constexpr size_t kMostFreezes = 100;

struct ResolvedRules {
  std::map<std::string, ResolvedRole> roles;  // that count in the environment
  std::string approval;                       // the role that a release waits for; empty: none
  Milliseconds approval_within{0};
  std::vector<ResolvedFreeze> freezes;
  bool Empty() const { return roles.empty() && approval.empty() && freezes.empty(); }
  bool operator==(const ResolvedRules&) const = default;
};

// The window that is on at `now`.
struct Frozen {
  std::string reason;
  WallTime until{};
  bool operator==(const Frozen&) const = default;
};
// Of several the one that ends last; unset: nothing is frozen.
std::optional<Frozen> FrozenAt(const std::vector<ResolvedFreeze>& freezes, WallTime now);

// A user of the host, and the names of the groups he is in.
struct User {
  std::string name;
  std::vector<std::string> groups;
  bool root = false;  // may do everything
};
bool IsMemberOf(const User& user, const ResolvedRole& role);

// docs/formats/resolved.md, "rules". Inverses; the input may be hostile. kInvalid naming the member.
Json ToJson(const ResolvedRules& rules);
Result<ResolvedRules> RulesFromJson(const Json& json);

}  // namespace ingot::definition

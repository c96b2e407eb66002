#include "definition/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::definition {
namespace {

WallTime InUtc(const char* text) {
  return *ParseTime(text);
}

TEST(Rules, AFreezeOfDatesHasItsFirstInstantAndNotItsLast) {
  const std::vector<ResolvedFreeze> freezes{{InUtc("2026-12-24T00:00:00.000Z"),
                                             InUtc("2027-01-02T00:00:00.000Z"), "", Milliseconds(0),
                                             "holidays"}};
  EXPECT_FALSE(FrozenAt(freezes, InUtc("2026-12-23T23:59:59.999Z")));
  EXPECT_EQ(FrozenAt(freezes, InUtc("2026-12-24T00:00:00.000Z"))->until, InUtc("2027-01-02T00:00:00.000Z"));
  EXPECT_EQ(FrozenAt(freezes, InUtc("2027-01-01T23:59:59.999Z"))->reason, "holidays");
  EXPECT_FALSE(FrozenAt(freezes, InUtc("2027-01-02T00:00:00.000Z")));
}

TEST(Rules, AFreezeThatRecursIsOnForItsTimeFromEachBegin) {
  // Friday 16:00 until Monday 06:00.
  const std::vector<ResolvedFreeze> freezes{{{}, {}, "0 16 * * 5", std::chrono::hours(62), "weekend"}};
  EXPECT_FALSE(FrozenAt(freezes, InUtc("2026-11-27T15:59:59.999Z")));
  EXPECT_TRUE(FrozenAt(freezes, InUtc("2026-11-27T16:00:00.000Z")));
  EXPECT_EQ(FrozenAt(freezes, InUtc("2026-11-29T12:00:00.000Z"))->until, InUtc("2026-11-30T06:00:00.000Z"));
  EXPECT_FALSE(FrozenAt(freezes, InUtc("2026-11-30T06:00:00.000Z")));
}

TEST(Rules, OfSeveralFreezesTheLastToEndCounts) {
  const std::vector<ResolvedFreeze> freezes{
      {InUtc("2026-11-27T00:00:00.000Z"), InUtc("2026-11-28T00:00:00.000Z"), "", Milliseconds(0), "sale"},
      {{}, {}, "0 16 * * 5", std::chrono::hours(62), "weekend"}};
  EXPECT_EQ(FrozenAt(freezes, InUtc("2026-11-27T12:00:00.000Z"))->reason, "sale");
  EXPECT_EQ(FrozenAt(freezes, InUtc("2026-11-27T17:00:00.000Z"))->reason, "weekend");
}

TEST(Rules, MembersAreUsersAndGroups) {
  const ResolvedRole role{{"approve"}, {"alice", "group:ops"}};
  EXPECT_TRUE(IsMemberOf({"alice", {}, false}, role));
  EXPECT_TRUE(IsMemberOf({"bob", {"staff", "ops"}, false}, role));
  EXPECT_FALSE(IsMemberOf({"ops", {"alice"}, false}, role));
  EXPECT_FALSE(IsMemberOf({"group:ops", {}, false}, {{"approve"}, {"group:ops"}}));
}

TEST(Rules, AreWhatTheirJsonSays) {
  ResolvedRules rules;
  rules.roles["ops"] = {{"approve", "rollback"}, {"alice", "group:ops"}};
  rules.approval = "ops";
  rules.approval_within = std::chrono::hours(24);
  rules.freezes = {
      {InUtc("2026-12-24T00:00:00.000Z"), InUtc("2027-01-02T00:00:00.000Z"), "", Milliseconds(0), "holidays"},
      {{}, {}, "0 16 * * 5", std::chrono::hours(62), "weekend"}};
  EXPECT_EQ(*RulesFromJson(ToJson(rules)), rules);
  EXPECT_EQ(*RulesFromJson(ToJson(ResolvedRules{})), ResolvedRules{});
}

TEST(Rules, OfSomebodyElseAreNotBelieved) {
  for (const char* text : {
           R"([])",
           R"({"roles": {}})",
           R"({"roles": {}, "freezes": [], "approval": {"role": "ops", "within_ms": 1}})",
           R"({"roles": {"ops": {"may": ["approve"], "members": []}}, "freezes": []})",
           R"({"roles": {"ops": {"may": ["b", "a"], "members": ["x"]}}, "freezes": []})",
           R"({"roles": {"ops": {"may": [], "members": ["group:"]}}, "freezes": []})",
           R"({"roles": {"../x": {"may": [], "members": ["x"]}}, "freezes": []})",
           R"({"roles": {}, "freezes": [{"reason": "x", "at": "61 * * * *", "for_ms": 1}]})",
           R"({"roles": {}, "freezes": [{"reason": "x", "from": "today", "until": "tomorrow"}]})",
       })
    EXPECT_EQ(RulesFromJson(*ParseJson(text)).error().code(), Code::kInvalid) << text;
}

}  // namespace
}  // namespace ingot::definition

#include "store/retention.h"

#include <gmock/gmock.h>

namespace ingot::store {
namespace {

using std::chrono::hours;

constexpr WallTime kNow{std::chrono::seconds(1'700'000'000)};

RetentionCandidate Aged(int number, hours age, std::vector<std::string> tags = {}) {
  return {oci::Digest::Of(std::to_string(number)), std::move(tags), kNow - age};
}

std::vector<bool> Kept(const RetentionRule& rule, const std::vector<RetentionCandidate>& candidates) {
  std::vector<bool> kept;
  for (const RetentionVerdict& verdict : JudgeRetention(rule, candidates, kNow)) kept.push_back(verdict.keep);
  return kept;
}

TEST(RetentionTest, TheNewestStayWhateverTheirOrder) {
  RetentionRule rule;
  rule.origin = "rule";
  rule.keep = 2;
  const auto verdicts = JudgeRetention(rule, {Aged(1, hours(3)), Aged(2, hours(1)), Aged(3, hours(2))}, kNow);
  EXPECT_EQ(verdicts[0].reason, "rule: not among the 2 newest");
  EXPECT_FALSE(verdicts[0].keep);
  EXPECT_TRUE(verdicts[1].keep);
  EXPECT_EQ(verdicts[2].reason, "rule keeps the 2 newest");
  rule.keep = 0;
  EXPECT_THAT(Kept(rule, {Aged(1, hours(0))}), testing::ElementsAre(false));
}

TEST(RetentionTest, AnyOfARulesReasonsKeeps) {
  RetentionRule rule;
  rule.origin = "rule";
  rule.keep = 1;
  rule.keep_for = hours(10);
  rule.keep_tags = {"release-*"};
  rule.keep_pulled = hours(5);
  RetentionCandidate pulled = Aged(4, hours(40));
  pulled.pulled = kNow - hours(4);
  RetentionCandidate pulled_long_ago = Aged(5, hours(40));
  pulled_long_ago.pulled = kNow - hours(5);
  RetentionCandidate held = Aged(6, hours(99));
  held.held = "production holds it";
  const auto verdicts =
      JudgeRetention(rule,
                     {Aged(1, hours(20)), Aged(2, hours(9)), Aged(3, hours(30), {"release-1"}), pulled,
                      pulled_long_ago, held, Aged(7, hours(1)), Aged(8, hours(10))},
                     kNow);
  const std::vector<bool> expected{false, true, true, true, false, true, true, false};
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(verdicts[i].keep, expected[i]) << i;
  EXPECT_EQ(verdicts[5].reason, "production holds it");
  EXPECT_EQ(verdicts[0].reason,
            "rule: not among the 1 newest, older than 10h, no tag that is kept, not pulled within 5h");
}

TEST(RetentionTest, ARuleThatSaysNothingKeepsAll) {
  EXPECT_THAT(Kept(RetentionRule(), {Aged(1, hours(1000))}), testing::ElementsAre(true));
}

TEST(RetentionTest, TheFirstRuleThatMatchesIsARepositorysRule) {
  std::vector<RetentionRule> rules(3);
  for (RetentionRule& rule : rules) rule.keep = 1;
  rules[0].repositories = "team/*";
  rules[1].repositories = "**";
  EXPECT_EQ(RuleFor(rules, "team/web"), &rules[0]);
  EXPECT_EQ(RuleFor(rules, "team/a/b"), &rules[1]);
  rules[0].keep.reset();  // keeps all
  EXPECT_EQ(RuleFor(rules, "team/web"), nullptr);
  rules.resize(1);
  EXPECT_EQ(RuleFor(rules, "other"), nullptr);
}

}  // namespace
}  // namespace ingot::store

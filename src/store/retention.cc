#include "store/retention.h"

#include <algorithm>
#include <numeric>

#include "base/glob.h"
#include "base/units.h"

namespace ingot::store {
namespace {

// Why it stays, or "".
std::string KeptBy(const RetentionRule& rule, const RetentionCandidate& candidate, size_t newer,
                   WallTime now) {
  if (!candidate.held.empty()) return candidate.held;
  if (rule.KeepsAll()) return rule.origin + " keeps all";
  if (rule.keep && newer < *rule.keep)
    return rule.origin + " keeps the " + std::to_string(*rule.keep) + " newest";
  // What is from the future is young.
  if (rule.keep_for && now - candidate.created < *rule.keep_for)
    return rule.origin + " keeps for " + RenderDuration(*rule.keep_for);
  for (const std::string& pattern : rule.keep_tags)
    for (const std::string& tag : candidate.tags)
      if (GlobMatches(pattern, tag)) return rule.origin + " keeps tags like " + pattern;
  if (rule.keep_pulled && candidate.pulled && now - *candidate.pulled < *rule.keep_pulled)
    return rule.origin + " keeps what was pulled within " + RenderDuration(*rule.keep_pulled);
  return "";
}

std::string WhyItGoes(const RetentionRule& rule) {
  std::string why;
  const auto add = [&](const std::string& text) { why += (why.empty() ? "" : ", ") + text; };
  if (rule.keep) add("not among the " + std::to_string(*rule.keep) + " newest");
  if (rule.keep_for) add("older than " + RenderDuration(*rule.keep_for));
  if (!rule.keep_tags.empty()) add("no tag that is kept");
  if (rule.keep_pulled) add("not pulled within " + RenderDuration(*rule.keep_pulled));
  return rule.origin + ": " + why;
}

}  // namespace

const RetentionRule* RuleFor(const std::vector<RetentionRule>& rules, std::string_view repository) {
  for (const RetentionRule& rule : rules)
    if (GlobMatches(rule.repositories, repository)) return rule.KeepsAll() ? nullptr : &rule;
  return nullptr;
}

std::vector<RetentionVerdict> JudgeRetention(const RetentionRule& rule,
                                             const std::vector<RetentionCandidate>& candidates,
                                             WallTime now) {
  std::vector<size_t> newest_first(candidates.size());
  std::iota(newest_first.begin(), newest_first.end(), size_t{0});
  std::sort(newest_first.begin(), newest_first.end(), [&](size_t a, size_t b) {
    if (candidates[a].created != candidates[b].created) return candidates[a].created > candidates[b].created;
    return candidates[a].digest < candidates[b].digest;
  });
  std::vector<RetentionVerdict> verdicts(candidates.size());
  for (size_t newer = 0; newer < newest_first.size(); ++newer) {
    const RetentionCandidate& candidate = candidates[newest_first[newer]];
    RetentionVerdict& verdict = verdicts[newest_first[newer]];
    verdict.reason = KeptBy(rule, candidate, newer, now);
    verdict.keep = !verdict.reason.empty();
    if (!verdict.keep) verdict.reason = WhyItGoes(rule);
  }
  return verdicts;
}

}  // namespace ingot::store

#include "store/named_retention.h"

#include <map>

namespace ingot::store {
namespace {

// What a project says goes before what the host says.
Result<std::vector<RetentionRule>> RulesOf(const CatalogRows& rows, const std::vector<RetentionRule>& host) {
  std::vector<RetentionRule> rules;
  for (const ProjectRetention& project : TRY(rows.ListProjectRetention())) {
    RetentionRule rule;
    rule.repositories = project.project + "/*";
    rule.keep = project.keep;
    rule.keep_for = project.keep_for;
    rule.origin = "policy.retention of " + project.project;
    rules.push_back(std::move(rule));
  }
  rules.insert(rules.end(), host.begin(), host.end());
  return rules;
}

}  // namespace

Result<std::vector<NamedVerdict>> JudgeNamedImages(const CatalogRows& rows,
                                                   const std::vector<RetentionRule>& host, WallTime now) {
  std::vector<NamedVerdict> judged;
  const std::vector<RetentionRule> rules = TRY(RulesOf(rows, host));
  if (rules.empty()) return judged;
  std::map<std::string, std::vector<RetentionCandidate>> repositories;
  for (const NamedImage& image : TRY(rows.ListNamedImages()))
    repositories[image.repository].push_back({image.digest, {}, image.named});
  for (auto& [repository, candidates] : repositories) {
    const RetentionRule* rule = RuleFor(rules, repository);
    if (rule == nullptr) continue;
    std::map<oci::Digest, RetentionCandidate*> places;
    for (RetentionCandidate& candidate : candidates) places.emplace(candidate.digest, &candidate);
    for (const Tag& tag : TRY(rows.ListTags(repository)))
      if (const auto place = places.find(tag.digest); place != places.end())
        place->second->tags.push_back(tag.tag);
    for (const Pull& pull : TRY(rows.ListPulls(repository)))
      if (const auto place = places.find(pull.digest); place != places.end())
        place->second->pulled = pull.pulled;
    auto verdicts = JudgeRetention(*rule, candidates, now);
    for (size_t i = 0; i < verdicts.size(); ++i)
      judged.push_back({repository, candidates[i].digest, verdicts[i].keep, std::move(verdicts[i].reason)});
  }
  return judged;
}

}  // namespace ingot::store

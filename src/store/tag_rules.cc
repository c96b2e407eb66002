#include "store/tag_rules.h"

#include <algorithm>
#include <optional>

#include "base/glob.h"
#include "store/version_tag.h"

namespace ingot::store {
namespace {

// What an immutable tag is: as it was fixed, or as it was set before it became immutable.
Result<std::optional<oci::Digest>> FixedAs(const CatalogRows& rows, const Tag& tag) {
  if (const auto fixed = TRY(rows.FindFixedTag(tag.repository, tag.tag))) return std::optional(fixed->digest);
  if (const auto local = TRY(rows.FindTag(tag.repository, tag.tag))) return std::optional(local->digest);
  if (const auto pushed = TRY(rows.FindRepositoryTag(tag.repository, tag.tag)))
    return std::optional(pushed->digest);
  return std::optional<oci::Digest>();
}

}  // namespace

bool TagRules::Immutable(std::string_view repository, std::string_view tag) const {
  for (const TagRule& rule : rules_) {
    if (!GlobMatches(rule.repositories, repository)) continue;
    return (rule.versions && IsVersionTag(tag)) ||
           std::any_of(rule.tags.begin(), rule.tags.end(),
                       [&](const std::string& pattern) { return GlobMatches(pattern, tag); });
  }
  return IsVersionTag(tag);
}

Result<void> AdmitTag(CatalogRows& rows, const TagRules& rules, const Tag& tag) {
  const std::string name = tag.repository + ":" + tag.tag;
  if (TRY(rows.IsChannel(tag.repository, tag.tag)))
    return Error(Code::kRefused, name + " is a channel, which only `ingot promote IMAGE --to " + tag.tag +
                                     "` moves; use another tag");
  if (!rules.Immutable(tag.repository, tag.tag)) return {};
  const auto fixed = TRY(FixedAs(rows, tag));
  if (fixed && *fixed != tag.digest)
    return Error(Code::kRefused,
                 name + " is immutable and was set to " + fixed->Render() + " first, not to " +
                     tag.digest.Render() +
                     "; use a new tag (a deleted one stays taken; immutable_tags in host.yaml "
                     "says which are)");
  return rows.PutFixedTag({tag.repository, tag.tag, tag.digest, tag.updated});
}

}  // namespace ingot::store

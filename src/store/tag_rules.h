// TagRules: which tags never move. Without a rule of the host they are versions (version_tag.h), in every
// repository.
//
// An immutable tag is fixed when it is set first: setting it to the same again is fine, to something else is
// refused, also after it was deleted. A channel is moved by promotion alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/catalog.h"

namespace ingot::store {

struct TagRule {
  std::string repositories;       // a glob (base/glob.h)
  bool versions = true;           // versions are immutable
  std::vector<std::string> tags;  // and tags that match one of these patterns
};

class TagRules {
 public:
  TagRules() = default;
  // The first rule whose pattern matches a repository is its rule.
  explicit TagRules(std::vector<TagRule> rules) : rules_(std::move(rules)) {}
  bool Immutable(std::string_view repository, std::string_view tag) const;

 private:
  std::vector<TagRule> rules_;
};

// In the transaction that will set the tag, so that of two at once one is refused: records what an immutable
// one is. kRefused with the reason when the tag may not be set to this digest; then the transaction must not
// commit.
Result<void> AdmitTag(CatalogRows& rows, const TagRules& rules, const Tag& tag);

}  // namespace ingot::store

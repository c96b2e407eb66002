// Store's tags and channels.
#include "store/store.h"
#include "store/store_state.h"

namespace ingot::store {

Result<void> Store::SetTag(std::string_view repository, std::string_view tag, const oci::Digest& digest) {
  return state_->catalog->Write([&](CatalogRows& rows) -> Result<void> {
    TRY(RequireImage(rows, digest));
    const Tag row{std::string(repository), std::string(tag), digest, state_->clock->Now()};
    TRY(AdmitTag(rows, state_->tag_rules, row));
    TRY(rows.PutNamedImage({row.repository, digest, row.updated}));
    return rows.PutTag(row);
  });
}

Result<uint64_t> Store::MoveChannel(const Promotion& promotion,
                                    const std::function<Result<void>(const CatalogRows&)>& gate) {
  uint64_t id = 0;
  TRY(state_->catalog->Write([&](CatalogRows& rows) -> Result<void> {
    TRY(RequireImage(rows, promotion.digest));
    if (gate) TRY(gate(rows));
    Promotion row = promotion;
    row.time = state_->clock->Now();
    row.previous.reset();
    if (const auto held = TRY(rows.FindTag(row.repository, row.channel))) row.previous = held->digest;
    TRY(rows.PutNamedImage({row.repository, row.digest, row.time}));
    TRY(rows.PutTag({row.repository, row.channel, row.digest, row.time}));
    id = TRY(rows.AppendPromotion(row));
    return {};
  }));
  return id;
}

void Store::SetTagRules(TagRules rules) {
  state_->tag_rules = std::move(rules);
}
const TagRules& Store::tag_rules() const {
  return state_->tag_rules;
}

Result<oci::Digest> Store::GetTag(std::string_view repository, std::string_view tag) {
  std::optional<Tag> found;
  TRY(state_->catalog->Read([&](const CatalogRows& rows) -> Result<void> {
    found = TRY(rows.FindTag(repository, tag));
    return {};
  }));
  if (!found) return NotInStore("image", std::string(repository) + ":" + std::string(tag));
  return found->digest;
}

Result<std::vector<Tag>> Store::ListTags() {
  std::vector<Tag> tags;
  TRY(state_->catalog->Read([&](const CatalogRows& rows) -> Result<void> {
    tags = TRY(rows.ListTags());
    return {};
  }));
  return tags;
}

Result<bool> Store::RemoveTag(std::string_view repository, std::string_view tag) {
  bool removed = false;
  TRY(state_->catalog->Write([&](CatalogRows& rows) -> Result<void> {
    if (TRY(rows.IsChannel(repository, tag)))
      return Error(Code::kRefused, std::string(repository) + ":" + std::string(tag) +
                                       " is a channel, which only promotion moves");
    removed = TRY(rows.RemoveTag(repository, tag));
    return {};
  }));
  return removed;
}

}  // namespace ingot::store

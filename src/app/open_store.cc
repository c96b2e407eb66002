#include "app/open_store.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "adapters/sqlite_catalog.h"
#include "app/host_config.h"
#include "base/units.h"
#include "registry/pushed_image.h"

namespace ingot::app {

namespace {

// The host's rules, as the store takes them.
void ApplyHost(const definition::Host& host, OpenedStore& opened) {
  using Kind = definition::ImmutableTags::Kind;
  std::vector<store::TagRule> tags;
  for (const definition::RepositoryRule& rule : host.registry.repositories) {
    store::TagRule tag{rule.match, rule.immutable_tags.kind == Kind::kVersions, rule.immutable_tags.matching};
    if (rule.immutable_tags.kind == Kind::kAll) tag.tags = {"**"};
    tags.push_back(std::move(tag));
    store::RetentionRule retention;
    retention.repositories = rule.match;
    retention.origin = "host.yaml: " + rule.match;
    if (rule.retention) {
      if (rule.retention->keep) retention.keep = static_cast<uint64_t>(*rule.retention->keep);
      retention.keep_for = rule.retention->keep_for;
      retention.keep_tags = rule.retention->keep_tags;
      retention.keep_pulled = rule.retention->keep_pulled;
    }
    opened.retention.push_back(std::move(retention));
  }
  opened.store->SetTagRules(store::TagRules(std::move(tags)));
  opened.store->budget().SetLimit(host.disk_limit_bytes);
}

Result<void> RefuseHalfRestored(const Layout& layout) {
  std::error_code failed;
  const bool there = fs::exists(layout.restoring(), failed);
  if (failed) return ErrnoError(failed.value(), "look at " + layout.restoring().string());
  if (!there) return {};
  return Error(Code::kRefused,
               "a restore to " + layout.root.string() +
                   " is under way or was cut off; `ingot restore` with the same file ends it");
}

}  // namespace

Result<OpenedStore> OpenStore(const Layout& layout) {
  if (auto made = MakeDirectories(layout.root, 0711); !made) {
    if (::geteuid() != 0)
      return Error(Code::kPermission, "the store " + layout.root.string() +
                                          " may not be written by this user; run as root, or choose --root");
    return std::move(made).error();
  }
  TRY(RefuseHalfRestored(layout));
  OpenedStore opened;
  opened.clock = std::make_unique<SystemClock>();
  opened.catalog = TRY(adapters::SqliteCatalog::Open(layout.store_db()));
  opened.store =
      TRY(store::Store::Open(store::StorePaths::Below(layout.root), *opened.catalog, *opened.clock));
  Invocation invocation;
  invocation.host_config = layout.host_config;
  ApplyHost(TRY(LoadHost(invocation)), opened);
  return opened;
}

Result<OpenedStore> OpenExistingStore(const Layout& layout) {
  TRY(RefuseHalfRestored(layout));
  std::error_code failed;
  if (!fs::exists(layout.store_db(), failed) && !failed)
    return Error(Code::kNotFound, "there is no store in " + layout.root.string() +
                                      "; `ingot build` makes one, --root or INGOT_ROOT names another place");
  return OpenStore(layout);
}

Result<oci::Digest> FindImage(store::Store& store, const std::string& name) {
  if (auto digest = oci::Digest::Parse(name)) {
    TRY(store.GetImage(*digest));
    return *digest;
  }
  const std::vector<store::Tag> tags = TRY(store.ListTags());
  std::set<oci::Digest> found;
  std::vector<std::string> names;
  const size_t slash = name.rfind('/');
  const size_t colon = name.find(':', slash == std::string::npos ? 0 : slash);
  const std::string repository = name.substr(0, colon);
  const std::string tag = colon == std::string::npos ? "latest" : name.substr(colon + 1);
  for (const store::Tag& row : tags) {
    names.push_back(row.repository);
    const bool whole = row.repository == repository;
    const bool last = row.repository.ends_with("/" + repository);
    if ((whole || last) && row.tag == tag) found.insert(row.digest);
  }
  const bool digits = name.size() >= 6 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (found.empty() && digits) {
    for (const store::ImageRow& row : TRY(store.ListImages()))
      if (row.digest.hex().starts_with(name)) found.insert(row.digest);
  }
  if (found.size() == 1) return *found.begin();
  if (found.size() > 1)
    return Error(Code::kInvalid, "\"" + name + "\" names " + std::to_string(found.size()) +
                                     " images; write the repository in full or more digits of the digest");
  const std::string near = Nearest(name, names);
  return Error(Code::kNotFound,
               "there is no image \"" + name + "\" in the store" +
                   (near.empty() ? "; `ingot images ls` lists them" : "; did you mean " + near + "?"));
}

Result<FoundImage> FindAnyImage(store::Store& store, const std::string& name) {
  const size_t slash = name.rfind('/');
  const size_t colon = name.find(':', slash == std::string::npos ? 0 : slash);
  FoundImage found;
  const bool by_digest = oci::Digest::Parse(name).has_value();
  auto known = FindImage(store, name);
  if (known) {
    found.digest = *known;
    for (const store::Tag& tag : TRY(store.ListTags())) {
      const std::string repository = name.substr(0, colon);
      const bool named = tag.repository == repository || tag.repository.ends_with("/" + repository);
      if (by_digest || tag.digest != found.digest || !named) continue;
      found.repository = tag.repository;
      found.tag = tag.tag;
    }
    return found;
  }
  if (known.error().code() != Code::kNotFound) return std::move(known).error();
  auto reference = oci::Reference::Parse(name);
  if (!reference) return std::move(known).error();
  const auto pushed = TRY(registry::FindPushed(store, reference->Normalized()));
  if (!pushed) return std::move(known).error();
  found.digest = pushed->digest;
  found.repository = pushed->repository;
  found.tag = reference->Normalized().tag;
  found.pushed = true;
  return found;
}

}  // namespace ingot::app

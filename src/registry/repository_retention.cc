#include "registry/repository_retention.h"

#include <algorithm>
#include <functional>
#include <map>

#include "oci/manifest.h"
#include "registry/pushed_manifest.h"
#include "store/live_claims.h"

namespace ingot::registry {
namespace {

// After so many changes by others in between it is decided within the transaction.
constexpr int kTriesBeside = 8;

// What one look at a repository saw.
struct RepositoryView {
  std::vector<store::RepositoryManifest> manifests;
  std::vector<store::RepositoryBlob> blobs;
  std::map<oci::Digest, std::vector<store::Tag>> tags;
  std::map<oci::Digest, WallTime> pulls;
  std::map<oci::Digest, std::string> held;  // pinned, a channel, leased
};

struct RepositoryDecision {
  std::vector<RemovedManifest> manifests;
  std::vector<oci::Digest> blobs;
};

class RepositoryCleaning {
 public:
  RepositoryCleaning(store::Store& store, const RepositoryRetention& retention, const Clock& clock,
                     RetentionOutcome& outcome)
      : store_(store), retention_(retention), clock_(clock), outcome_(outcome) {}

  Result<void> Clean(const std::string& repository, const store::RetentionRule& rule) {
    for (int tries = 0;; ++tries) {
      int64_t generation = 0;
      RepositoryView view;
      TRY(store_.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
        generation = TRY(rows.Generation());
        view = TRY(Look(rows, repository));
        return {};
      }));
      RepositoryDecision decision = TRY(Decide(repository, rule, view));
      if (retention_.dry_run) return Record(std::move(decision));
      if (decision.manifests.empty() && decision.blobs.empty()) return {};
      bool stale = false;
      TRY(store_.catalog().Write([&](store::CatalogRows& rows) -> Result<void> {
        if (TRY(rows.Generation()) != generation) {
          stale = tries < kTriesBeside;
          if (stale) return {};
          decision = TRY(Decide(repository, rule, TRY(Look(rows, repository))));
        }
        CutToBatch(decision);
        return Remove(rows, repository, decision);
      }));
      if (stale) continue;
      // Blobs that nothing ever named go in a last turn, when no manifest is left that goes.
      const bool last = decision.manifests.empty();
      TRY(Record(std::move(decision)));
      if (last) return {};
      tries = 0;
    }
  }

 private:
  Result<RepositoryView> Look(const store::CatalogRows& rows, const std::string& repository) {
    RepositoryView view;
    view.manifests = TRY(rows.ListRepositoryManifests(repository));
    view.blobs = TRY(rows.ListRepositoryBlobs(repository));
    for (store::Tag& tag : TRY(rows.ListRepositoryTags(repository)))
      view.tags[tag.digest].push_back(std::move(tag));
    for (const store::Pull& pull : TRY(rows.ListPulls(repository))) view.pulls[pull.digest] = pull.pulled;
    for (const store::PinRow& pin : TRY(rows.ListPins()))
      for (const oci::Digest& image : pin.images) view.held.emplace(image, pin.owner + " runs it or may");
    for (const store::Tag& tag : TRY(rows.ListTags()))
      view.held.emplace(tag.digest, "it is " + tag.repository + ":" + tag.tag);
    const auto claimed = TRY(store::ReadLiveClaims(store_, rows, clock_));
    for (const store::RepositoryManifest& manifest : view.manifests) {
      if (claimed.blobs.contains(store::ClaimBytes(manifest.digest)))
        view.held.emplace(manifest.digest, "it is leased");
      if (manifest.subject && TRY(rows.FindImage(*manifest.subject)))
        view.held.emplace(manifest.digest, "it refers to an image of the store");
    }
    return view;
  }

  // Contents never change, so each manifest is read once. One that cannot be read is an Error: what it names
  // is unknown.
  Result<const PushedManifest*> Read(const store::RepositoryManifest& row) {
    const auto known = parsed_.find(row.digest);
    if (known != parsed_.end()) return &known->second;
    const std::string bytes = TRY(store_.GetBlob(row.digest, oci::kMaxManifestBytes));
    PushedManifest manifest = TRY(PushedManifest::Parse(bytes, row.digest, row.media_type));
    return &parsed_.emplace(row.digest, std::move(manifest)).first->second;
  }

  Result<RepositoryDecision> Decide(const std::string& repository, const store::RetentionRule& rule,
                                    const RepositoryView& view) {
    std::map<oci::Digest, size_t> places;
    std::vector<const PushedManifest*> contents;
    for (const store::RepositoryManifest& row : view.manifests) {
      places.emplace(row.digest, contents.size());
      contents.push_back(TRY(Read(row)));
    }
    // Parts of an index and what refers to another manifest here stay or go with it; rules are for the rest.
    std::vector<bool> dependent(contents.size(), false);
    for (size_t i = 0; i < contents.size(); ++i) {
      for (const oci::Digest& child : contents[i]->manifests)
        if (const auto place = places.find(child); place != places.end() && place->second != i)
          dependent[place->second] = true;
      if (contents[i]->subject && places.contains(*contents[i]->subject)) dependent[i] = true;
    }
    std::vector<store::RetentionCandidate> candidates;
    std::vector<size_t> of_candidate;
    for (size_t i = 0; i < contents.size(); ++i) {
      // A tag of its own makes it somebody's.
      if (dependent[i] && !view.tags.contains(view.manifests[i].digest)) continue;
      candidates.push_back(CandidateOf(view, view.manifests[i]));
      of_candidate.push_back(i);
    }
    const auto verdicts = store::JudgeRetention(rule, candidates, clock_.Now());
    std::vector<bool> kept(contents.size(), false);
    std::vector<std::string> reasons(contents.size(), "what it belongs to goes");
    for (size_t c = 0; c < verdicts.size(); ++c) {
      kept[of_candidate[c]] = verdicts[c].keep;
      reasons[of_candidate[c]] = verdicts[c].reason;
    }
    for (size_t i = 0; i < contents.size(); ++i)
      if (view.held.contains(view.manifests[i].digest)) kept[i] = true;
    KeepWhatBelongs(contents, places, kept);
    return Collected(repository, view, contents, kept, reasons);
  }

  static store::RetentionCandidate CandidateOf(const RepositoryView& view,
                                               const store::RepositoryManifest& row) {
    store::RetentionCandidate candidate;
    candidate.digest = row.digest;
    candidate.created = row.created;
    if (const auto tags = view.tags.find(row.digest); tags != view.tags.end()) {
      for (const store::Tag& tag : tags->second) {
        candidate.tags.push_back(tag.tag);
        candidate.created = std::max(candidate.created, tag.updated);
      }
    }
    if (const auto pulled = view.pulls.find(row.digest); pulled != view.pulls.end())
      candidate.pulled = pulled->second;
    if (const auto held = view.held.find(row.digest); held != view.held.end()) candidate.held = held->second;
    return candidate;
  }

  // Children of what is kept, and what refers to it; and so on.
  static void KeepWhatBelongs(const std::vector<const PushedManifest*>& contents,
                              const std::map<oci::Digest, size_t>& places, std::vector<bool>& kept) {
    std::multimap<size_t, size_t> referrers;
    for (size_t i = 0; i < contents.size(); ++i)
      if (contents[i]->subject)
        if (const auto place = places.find(*contents[i]->subject); place != places.end())
          referrers.emplace(place->second, i);
    std::vector<size_t> todo;
    for (size_t i = 0; i < kept.size(); ++i)
      if (kept[i]) todo.push_back(i);
    const auto keep = [&](size_t i) {
      if (kept[i]) return;
      kept[i] = true;
      todo.push_back(i);
    };
    while (!todo.empty()) {
      const size_t i = todo.back();
      todo.pop_back();
      for (const oci::Digest& child : contents[i]->manifests)
        if (const auto place = places.find(child); place != places.end()) keep(place->second);
      const auto [begin, end] = referrers.equal_range(i);
      for (auto referrer = begin; referrer != end; ++referrer) keep(referrer->second);
    }
  }

  RepositoryDecision Collected(const std::string& repository, const RepositoryView& view,
                               const std::vector<const PushedManifest*>& contents,
                               const std::vector<bool>& kept, const std::vector<std::string>& reasons) const {
    RepositoryDecision decision;
    std::set<oci::Digest> named_by_kept;
    std::map<oci::Digest, size_t> named_by_gone;  // blob → place in decision.manifests
    for (size_t i = 0; i < contents.size(); ++i)
      if (kept[i]) named_by_kept.insert(contents[i]->blobs.begin(), contents[i]->blobs.end());
    for (size_t i = 0; i < contents.size(); ++i) {
      if (kept[i]) continue;
      const store::RepositoryManifest& row = view.manifests[i];
      RemovedManifest gone{repository, row.digest, {}, row.size_bytes, reasons[i]};
      if (const auto tags = view.tags.find(row.digest); tags != view.tags.end())
        for (const store::Tag& tag : tags->second) gone.tags.push_back(tag.tag);
      for (const oci::Digest& blob : contents[i]->blobs)
        if (!named_by_kept.contains(blob)) named_by_gone.emplace(blob, decision.manifests.size());
      decision.manifests.push_back(std::move(gone));
    }
    const WallTime young = clock_.Now() - retention_.push_grace;
    for (const store::RepositoryBlob& blob : view.blobs) {
      const auto gone = named_by_gone.find(blob.digest);
      const bool orphan =
          gone == named_by_gone.end() && !named_by_kept.contains(blob.digest) && blob.created < young;
      if (gone != named_by_gone.end()) decision.manifests[gone->second].bytes += blob.size_bytes;
      if (gone != named_by_gone.end() || orphan) decision.blobs.push_back(blob.digest);
    }
    return decision;
  }

  // What refers to something and indexes first: an interrupted cleaning leaves nothing that names what is not
  // there. Blobs are left for the last batch, when no manifest that is going names them.
  void CutToBatch(RepositoryDecision& decision) const {
    const size_t batch = std::max<size_t>(retention_.batch, 1);
    if (decision.manifests.size() > batch) {
      std::stable_partition(
          decision.manifests.begin(), decision.manifests.end(), [&](const RemovedManifest& manifest) {
            const auto parsed = parsed_.find(manifest.digest);
            return parsed != parsed_.end() && (parsed->second.subject || !parsed->second.manifests.empty());
          });
      decision.manifests.resize(batch);
    }
    // Those of the manifests in this batch go with it; of others they would be missing.
    std::set<oci::Digest> with;
    for (const RemovedManifest& manifest : decision.manifests)
      if (const auto parsed = parsed_.find(manifest.digest); parsed != parsed_.end())
        with.insert(parsed->second.blobs.begin(), parsed->second.blobs.end());
    if (!decision.manifests.empty())
      std::erase_if(decision.blobs, [&](const oci::Digest& blob) { return !with.contains(blob); });
  }

  Result<void> Remove(store::CatalogRows& rows, const std::string& repository,
                      RepositoryDecision& decision) const {
    for (const RemovedManifest& manifest : decision.manifests) {
      TRY(rows.RemoveRepositoryManifest(repository, manifest.digest));
      TRY(rows.RemovePull(repository, manifest.digest));
    }
    // A blob that a manifest beyond this batch names, too, waits for it.
    std::set<oci::Digest> named;
    for (const store::RepositoryManifest& row : TRY(rows.ListRepositoryManifests(repository)))
      if (const auto parsed = parsed_.find(row.digest); parsed != parsed_.end())
        named.insert(parsed->second.blobs.begin(), parsed->second.blobs.end());
    std::erase_if(decision.blobs, [&](const oci::Digest& blob) { return named.contains(blob); });
    for (const oci::Digest& blob : decision.blobs) TRY(rows.RemoveRepositoryBlob(repository, blob));
    return {};
  }

  Result<void> Record(RepositoryDecision decision) {
    outcome_.blobs += decision.blobs.size();
    for (RemovedManifest& manifest : decision.manifests) {
      went_[manifest.digest].insert(manifest.repository);
      outcome_.removed.push_back(std::move(manifest));
    }
    if (!retention_.dry_run) return {};
    const std::string repository =
        outcome_.removed.empty() ? std::string() : outcome_.removed.back().repository;
    for (const oci::Digest& blob : decision.blobs) went_[blob].insert(repository);
    return store_.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
      for (const auto& [digest, repositories] : went_)
        if (TRY(rows.ListRepositoriesWith(digest)).size() <= repositories.size())
          outcome_.gone.insert(digest);
      return {};
    });
  }

  store::Store& store_;
  const RepositoryRetention& retention_;
  const Clock& clock_;
  RetentionOutcome& outcome_;
  std::map<oci::Digest, PushedManifest> parsed_;
  std::map<oci::Digest, std::set<std::string>> went_;
};

}  // namespace

Result<RetentionOutcome> ApplyRetention(store::Store& store, const RepositoryRetention& retention,
                                        const Clock& clock) {
  RetentionOutcome outcome;
  if (retention.rules.empty()) return outcome;
  std::vector<std::string> repositories;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    repositories = TRY(rows.ListRepositories());
    return {};
  }));
  RepositoryCleaning cleaning(store, retention, clock, outcome);
  for (const std::string& repository : repositories) {
    const store::RetentionRule* rule = store::RuleFor(retention.rules, repository);
    if (rule == nullptr) continue;
    auto cleaned = cleaning.Clean(repository, *rule);
    if (!cleaned) return std::move(cleaned).error().While("cleaning repository " + repository);
  }
  return outcome;
}

}  // namespace ingot::registry

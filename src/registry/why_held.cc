#include "registry/why_held.h"

#include <algorithm>
#include <functional>
#include <set>

#include "oci/manifest.h"
#include "registry/pushed_manifest.h"
#include "store/lease.h"
#include "store/live_claims.h"
#include "store/named_retention.h"

namespace ingot::registry {
namespace {

using store::CatalogRows;

// Of many entries of the build cache these are named; the rest is a number.
constexpr size_t kMostNamed = 5;

class Search {
 public:
  Search(store::Store& store, const CatalogRows& rows, const WhyOptions& options, const Clock& clock)
      : store_(store), rows_(rows), options_(options), clock_(clock) {}

  Result<void> Begin() {
    claimed_ = TRY(store::ReadLiveClaims(store_, rows_, clock_));
    images_ = TRY(rows_.ListImages());
    layers_ = TRY(rows_.ListLayers());
    cache_ = TRY(rows_.ListCache());
    judged_ = TRY(store::JudgeNamedImages(rows_, options_.rules, clock_.Now()));
    return {};
  }

  Result<Held> OfDigest(const oci::Digest& digest) {
    Held held;
    if (TRY(rows_.FindImage(digest))) {
      held.what.emplace_back("image");
      for (Holder& holder : TRY(OfImage(digest))) held.by.push_back(std::move(holder));
    }
    for (const std::string& repository : TRY(rows_.ListRepositoriesWith(digest))) {
      const bool manifest = TRY(rows_.FindRepositoryManifest(repository, digest)).has_value();
      held.what.emplace_back(manifest ? "manifest" : "blob");
      auto by = TRY(manifest ? OfManifest(repository, digest, {}) : OfBlob(repository, digest));
      held.by.insert(held.by.end(), std::make_move_iterator(by.begin()), std::make_move_iterator(by.end()));
    }
    for (const store::ImageRow& image : images_) {
      const auto parsed = TRY(ManifestOf(image.digest));
      const bool config = parsed.config.digest == digest;
      const bool layer = std::any_of(parsed.layers.begin(), parsed.layers.end(),
                                     [&](const auto& item) { return item.digest == digest; });
      if (!config && !layer) continue;
      held.what.emplace_back("blob");
      std::vector<Holder> roots = TRY(OfImage(image.digest));
      held.by.push_back({"image", NameOf(image.digest), config ? "its configuration" : "one of its layers",
                         std::move(roots)});
    }
    for (const store::Layer& layer : layers_) {
      if (layer.diff_id != digest) continue;
      held.what.emplace_back("layer");
      for (Holder& holder : TRY(OfLayer(layer.id))) held.by.push_back(std::move(holder));
    }
    if (claimed_.blobs.contains(store::ClaimBytes(digest))) held.by.push_back(TRY(LeaseHolder()));
    if (held.what.empty() && TRY(store_.HasBlob(digest))) held.what.emplace_back("blob");
    if (held.what.empty()) return Error(Code::kNotFound, "there is no " + digest.Render() + " in the store");
    Tidy(held);
    return held;
  }

  Result<Held> OfObject(const store::ObjectId& id) {
    Held held;
    for (const store::Layer& layer : layers_) {
      if (layer.id == id) {
        held.what.emplace_back("layer");
        for (Holder& holder : TRY(OfLayer(id))) held.by.push_back(std::move(holder));
        break;
      }
    }
    if (TRY(store_.objects().Has(id))) {
      held.what.emplace_back("object");
      std::set<store::LayerId> once;
      for (const store::Layer& layer : layers_) {
        if (!once.insert(layer.id).second) continue;
        const store::Tree tree = TRY(store_.ReadLayer(layer.id));
        std::string path;
        tree.Walk([&](const std::string& name, const store::Node& node, bool) {
          if (path.empty() && node.object == id) path = "/" + name;
        });
        if (!path.empty()) {
          std::vector<Holder> roots = TRY(OfLayer(layer.id));
          held.by.push_back({"layer", layer.id.Render(), "as " + path, std::move(roots)});
        }
      }
    }
    if (held.what.empty()) return Error(Code::kNotFound, "there is no " + id.Render() + " in the store");
    Tidy(held);
    return held;
  }

 private:
  static void Tidy(Held& held) {
    std::sort(held.what.begin(), held.what.end());
    held.what.erase(std::unique(held.what.begin(), held.what.end()), held.what.end());
    std::vector<Holder> once;
    for (Holder& holder : held.by)
      if (std::find(once.begin(), once.end(), holder) == once.end()) once.push_back(std::move(holder));
    held.by = std::move(once);
  }

  Result<oci::Manifest> ManifestOf(const oci::Digest& image) {
    return oci::Manifest::Parse(TRY(store_.GetBlob(image, oci::kMaxManifestBytes)));
  }

  std::string NameOf(const oci::Digest& image) const { return image.Render(); }

  Result<Holder> LeaseHolder() {
    std::string purposes;
    for (const store::LeaseRow& lease : TRY(rows_.ListLeases()))
      if (store::LivenessOf(lease) != store::Liveness::kDead)
        purposes +=
            (purposes.empty() ? "" : ", ") + lease.purpose + " (pid " + std::to_string(lease.pid) + ")";
    return Holder{"lease", purposes, "running work relies on it", {}};
  }

  void AddCache(std::vector<Holder>& by, const std::function<bool(const store::CacheRefs&)>& refers) const {
    size_t count = 0;
    for (const store::CacheEntry& entry : cache_) {
      if (entry.last_used < clock_.Now() - options_.keep_cache || !refers(entry.refs)) continue;
      if (++count <= kMostNamed)
        by.push_back({"build cache", entry.key, "last used " + RenderTime(entry.last_used), {}});
    }
    if (count > kMostNamed)
      by.push_back({"build cache", std::to_string(count - kMostNamed) + " more entries", "", {}});
  }

  Result<std::vector<Holder>> OfImage(const oci::Digest& digest) {
    std::vector<Holder> by;
    for (const store::Tag& tag : TRY(rows_.ListTags())) {
      if (tag.digest != digest) continue;
      const bool channel = TRY(rows_.IsChannel(tag.repository, tag.tag));
      by.push_back({channel ? "channel" : "tag", tag.repository + ":" + tag.tag, "", {}});
    }
    for (const store::PinRow& pin : TRY(rows_.ListPins()))
      if (pin.images.contains(digest))
        by.push_back({"revision", pin.owner, "runs there, is warm or may be rolled back to", {}});
    if (claimed_.blobs.contains(store::ClaimBytes(digest))) by.push_back(TRY(LeaseHolder()));
    AddCache(by, [&](const store::CacheRefs& refs) {
      return std::find(refs.images.begin(), refs.images.end(), digest) != refs.images.end();
    });
    for (const store::NamedVerdict& verdict : judged_)
      if (verdict.keep && verdict.digest == digest)
        by.push_back({"retention", verdict.repository, verdict.reason, {}});
    return by;
  }

  Result<std::vector<Holder>> OfLayer(const store::LayerId& id) {
    std::vector<Holder> by;
    for (const store::ImageRow& image : images_) {
      const bool has = std::any_of(image.layers.begin(), image.layers.end(),
                                   [&](const auto& layer) { return layer.id == id; });
      if (has) {
        std::vector<Holder> roots = TRY(OfImage(image.digest));
        by.push_back({"image", NameOf(image.digest), "", std::move(roots)});
      }
    }
    if (claimed_.layers.contains(id)) by.push_back(TRY(LeaseHolder()));
    AddCache(by, [&](const store::CacheRefs& refs) {
      return std::find(refs.layers.begin(), refs.layers.end(), id) != refs.layers.end();
    });
    return by;
  }

  // `seen`: on the way here, since whoever pushes decides what refers to what.
  Result<std::vector<Holder>> OfManifest(const std::string& repository, const oci::Digest& digest,
                                         std::set<oci::Digest> seen) {
    std::vector<Holder> by;
    if (!seen.insert(digest).second) return by;
    for (const store::Tag& tag : TRY(rows_.ListRepositoryTags(repository)))
      if (tag.digest == digest) by.push_back({"registry tag", repository + ":" + tag.tag, "", {}});
    for (const store::RepositoryManifest& row : TRY(rows_.ListRepositoryManifests(repository))) {
      if (row.digest == digest) {
        if (row.subject) TRY(AddSubject(repository, *row.subject, seen, by));
        continue;
      }
      const std::string bytes = TRY(store_.GetBlob(row.digest, oci::kMaxManifestBytes));
      const auto parsed = TRY(PushedManifest::Parse(bytes, row.digest, row.media_type));
      const bool parent =
          std::find(parsed.manifests.begin(), parsed.manifests.end(), digest) != parsed.manifests.end();
      if (parent) {
        std::vector<Holder> roots = TRY(OfManifest(repository, row.digest, seen));
        by.push_back({"index", repository + "@" + row.digest.Render(), "names it", std::move(roots)});
      }
    }
    if (claimed_.blobs.contains(store::ClaimBytes(digest))) by.push_back(TRY(LeaseHolder()));
    if (const store::RetentionRule* rule = store::RuleFor(options_.rules, repository); rule == nullptr)
      by.push_back({"registry", repository, "no rule of retention: it is kept until it is deleted", {}});
    return by;
  }

  Result<void> AddSubject(const std::string& repository, const oci::Digest& subject,
                          const std::set<oci::Digest>& seen, std::vector<Holder>& by) {
    if (TRY(rows_.FindRepositoryManifest(repository, subject))) {
      std::vector<Holder> roots = TRY(OfManifest(repository, subject, seen));
      by.push_back(
          {"subject", repository + "@" + subject.Render(), "it signs or describes that", std::move(roots)});
    } else if (TRY(rows_.FindImage(subject))) {
      std::vector<Holder> roots = TRY(OfImage(subject));
      by.push_back({"subject", subject.Render(), "it signs or describes that image", std::move(roots)});
    }
    return {};
  }

  Result<std::vector<Holder>> OfBlob(const std::string& repository, const oci::Digest& digest) {
    std::vector<Holder> by;
    for (const store::RepositoryManifest& row : TRY(rows_.ListRepositoryManifests(repository))) {
      const std::string bytes = TRY(store_.GetBlob(row.digest, oci::kMaxManifestBytes));
      const auto parsed = TRY(PushedManifest::Parse(bytes, row.digest, row.media_type));
      if (std::find(parsed.blobs.begin(), parsed.blobs.end(), digest) != parsed.blobs.end()) {
        std::vector<Holder> roots = TRY(OfManifest(repository, row.digest, {}));
        by.push_back({"manifest", repository + "@" + row.digest.Render(), "names it", std::move(roots)});
      }
    }
    if (by.empty()) by.push_back({"registry", repository, "pushed, and no manifest names it yet", {}});
    return by;
  }

  store::Store& store_;
  const CatalogRows& rows_;
  const WhyOptions& options_;
  const Clock& clock_;
  store::Claimed claimed_;
  std::vector<store::ImageRow> images_;
  std::vector<store::Layer> layers_;
  std::vector<store::CacheEntry> cache_;
  std::vector<store::NamedVerdict> judged_;
};

}  // namespace

Result<Held> WhyHeld(store::Store& store, const std::string& name, const WhyOptions& options,
                     const Clock& clock) {
  Held held;
  TRY(store.catalog().Read([&](const CatalogRows& rows) -> Result<void> {
    Search search(store, rows, options, clock);
    TRY(search.Begin());
    if (const auto object = store::ObjectId::Parse(name)) {
      held = TRY(search.OfObject(*object));
    } else {
      held = TRY(search.OfDigest(TRY(oci::Digest::Parse(name))));
    }
    return {};
  }));
  return held;
}

}  // namespace ingot::registry

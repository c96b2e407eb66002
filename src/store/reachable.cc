#include "store/reachable.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "store/named_retention.h"

namespace ingot::store {

Result<NeededRows> NeededRows::Find(const CatalogRows& rows, const Claimed& claimed, WallTime cache_since,
                                    const std::vector<RetentionRule>& rules, WallTime now) {
  NeededRows needed;
  for (NamedVerdict& verdict : TRY(JudgeNamedImages(rows, rules, now))) {
    if (verdict.keep) {
      needed.images.insert(verdict.digest);
    } else {
      needed.reasons.emplace(verdict.digest, std::move(verdict.reason));
    }
  }
  std::map<oci::Digest, ImageRow> images;
  for (ImageRow& image : TRY(rows.ListImages())) images.emplace(image.digest, std::move(image));

  for (const Tag& tag : TRY(rows.ListTags())) needed.images.insert(tag.digest);
  for (const PinRow& pin : TRY(rows.ListPins())) needed.images.insert(pin.images.begin(), pin.images.end());
  for (const auto& [digest, image] : images)
    if (claimed.blobs.contains(ClaimBytes(digest))) needed.images.insert(digest);
  needed.layers = claimed.layers;

  const std::vector<CacheEntry> cache = TRY(rows.ListCache());
  for (const CacheEntry& entry : cache) {
    if (entry.last_used < cache_since) continue;
    needed.cache.insert(entry.key);
    for (const oci::Digest& image : entry.refs.images)
      if (images.contains(image)) needed.images.insert(image);
    needed.layers.insert(entry.refs.layers.begin(), entry.refs.layers.end());
  }
  for (const oci::Digest& digest : needed.images) {
    const auto image = images.find(digest);
    if (image == images.end()) continue;
    for (const ImageRow::LayerRef& layer : image->second.layers) needed.layers.insert(layer.id);
  }
  for (const CacheEntry& entry : cache) {
    const bool free = std::all_of(entry.refs.images.begin(), entry.refs.images.end(),
                                  [&](const auto& image) { return needed.images.contains(image); }) &&
                      std::all_of(entry.refs.layers.begin(), entry.refs.layers.end(),
                                  [&](const auto& layer) { return needed.layers.contains(layer); });
    const bool refers = !entry.refs.images.empty() || !entry.refs.layers.empty();
    if (free && refers) needed.cache.insert(entry.key);
  }
  return needed;
}

Result<void> NeededFiles::AddLayer(const LayerId& id) {
  if (layers_.contains(id)) return {};
  auto tree = store_.ReadLayer(id);
  if (!tree) {
    return Error(tree.error().code(),
                 "A layer that is needed cannot be read, so which objects it needs is "
                 "unknown and nothing is collected; see \"ingot verify\": " +
                     tree.error().message());
  }
  tree->Walk([&](const std::string&, const Node& node, bool first) {
    if (first && !node.object.empty()) objects_.insert(node.object);
  });
  layers_.insert(id);
  return {};
}

Result<void> NeededFiles::AddImage(const oci::Digest& digest) {
  if (images_.contains(digest)) return {};
  auto bytes = store_.GetBlob(digest, oci::kMaxManifestBytes);
  if (!bytes) {
    return Error(bytes.error().code(),
                 "A manifest that is needed cannot be read, so which blobs it needs is "
                 "unknown and nothing is collected; see \"ingot verify\": " +
                     bytes.error().message());
  }
  const oci::Manifest manifest = TRY(oci::Manifest::Parse(*bytes));
  blobs_.insert(ClaimBytes(digest));
  blobs_.insert(ClaimBytes(manifest.config.digest));
  for (const oci::Descriptor& layer : manifest.layers) blobs_.insert(ClaimBytes(layer.digest));
  images_.insert(digest);
  return {};
}

Result<void> NeededFiles::AddRepositories(const RepositoryRows& rows, const std::set<oci::Digest>& without) {
  for (const oci::Digest& digest : TRY(rows.ListRepositoryDigests()))
    if (!without.contains(digest)) blobs_.insert(ClaimBytes(digest));
  return {};
}

Result<void> NeededFiles::AddClaims(const std::vector<ClaimReader::Found>& claims) {
  for (const ClaimReader::Found& claim : claims) {
    switch (claim.kind) {
      case ClaimKind::kObject:
        objects_.insert(ObjectId(claim.name));
        break;
      case ClaimKind::kBlob:
        claimed_.blobs.insert(claim.name);
        break;
      case ClaimKind::kLayer:
        claimed_.layers.insert(ObjectId(claim.name));
        break;
      default:
        return Error(Code::kUnsupported,
                     "A running process of another version of Ingot claims what this one does not know; "
                     "collect when it has ended.");
    }
  }
  return {};
}

}  // namespace ingot::store

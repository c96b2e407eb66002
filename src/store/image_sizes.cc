#include "store/image_sizes.h"

#include <set>
#include <unordered_map>
#include <vector>

#include "store/disk_budget.h"

namespace ingot::store {
namespace {

// Who needs a thing: nobody yet, one image (its number), or several.
class Owner {
 public:
  void Add(int image) {
    if (image_ == kNobody || image_ == image) {
      image_ = image;
    } else {
      image_ = kShared;
    }
  }
  void Share() { image_ = kShared; }
  void Add(const Owner& other) {
    if (other.image_ == kShared) Share();
    if (other.image_ >= 0) Add(other.image_);
  }
  // Its number, or -1.
  int only() const { return image_ >= 0 ? image_ : -1; }

 private:
  static constexpr int kNobody = -1;
  static constexpr int kShared = -2;
  int image_ = kNobody;
};

struct Rows {
  std::vector<ImageRow> images;
  std::map<LayerId, uint64_t> layers;  // with the bytes of their contents
  std::vector<oci::Digest> in_repositories;
};

Result<Rows> ReadRows(Store& store) {
  Rows found;
  TRY(store.catalog().Read([&](const CatalogRows& rows) -> Result<void> {
    found.images = TRY(rows.ListImages());
    for (const Layer& layer : TRY(rows.ListLayers())) found.layers[layer.id] = layer.object_bytes;
    found.in_repositories = TRY(rows.ListRepositoryDigests());
    return {};
  }));
  return found;
}

// The blobs that are files: a layer that was built here has none.
Result<std::map<oci::Digest, Owner>> OwnersOfBlobs(Store& store, const Rows& rows) {
  std::map<oci::Digest, Owner> owners;
  for (size_t i = 0; i < rows.images.size(); ++i) {
    const int image = static_cast<int>(i);
    const std::string bytes = TRY(store.GetBlob(rows.images[i].digest, oci::kMaxManifestBytes));
    const oci::Manifest manifest = TRY(oci::Manifest::Parse(bytes));
    owners[rows.images[i].digest].Add(image);
    owners[manifest.config.digest].Add(image);
    for (const oci::Descriptor& layer : manifest.layers) owners[layer.digest].Add(image);
  }
  for (const oci::Digest& digest : rows.in_repositories)
    if (const auto owner = owners.find(digest); owner != owners.end()) owner->second.Share();
  return owners;
}

}  // namespace

Result<std::map<oci::Digest, ImageSize>> MeasureImages(Store& store) {
  const Rows rows = TRY(ReadRows(store));
  std::vector<ImageSize> sizes(rows.images.size());
  std::map<LayerId, Owner> layers;
  for (size_t i = 0; i < rows.images.size(); ++i) {
    std::set<LayerId> once;
    for (const ImageRow::LayerRef& layer : rows.images[i].layers)
      if (once.insert(layer.id).second) sizes[i].content_bytes += rows.layers.at(layer.id);
    for (const LayerId& layer : once) layers[layer].Add(static_cast<int>(i));
  }
  std::unordered_map<ObjectId, Owner> objects;
  for (const auto& [id, bytes] : rows.layers) {
    Owner& owner = layers[id];
    if (owner.only() < 0) owner.Share();  // several images, or the build cache alone
    const Tree tree = TRY(store.ReadLayer(id));
    tree.Walk([&](const std::string&, const Node& node, bool first) {
      if (first && !node.object.empty()) objects[node.object].Add(owner);
    });
    if (owner.only() >= 0)
      sizes[static_cast<size_t>(owner.only())].unique_bytes += BlocksOf(store.LayerPath(id));
  }
  for (const auto& [id, owner] : objects)
    if (owner.only() >= 0)
      sizes[static_cast<size_t>(owner.only())].unique_bytes += BlocksOf(store.objects().PathOf(id));
  for (const auto& [digest, owner] : TRY(OwnersOfBlobs(store, rows)))
    if (owner.only() >= 0)
      sizes[static_cast<size_t>(owner.only())].unique_bytes += BlocksOf(store.BlobPath(digest));
  std::map<oci::Digest, ImageSize> out;
  for (size_t i = 0; i < sizes.size(); ++i) out.emplace(rows.images[i].digest, sizes[i]);
  return out;
}

}  // namespace ingot::store

#include "store/image_diff.h"

#include <algorithm>

namespace ingot::store {
namespace {

uint64_t SizeOf(const Tree& tree, std::string_view path) {
  const Node* node = tree.Find(path);
  return node != nullptr && node->type == NodeType::kRegular ? node->size_bytes : 0;
}

}  // namespace

Result<ImageDiff> DiffImages(Store& store, const oci::Digest& before, const oci::Digest& after) {
  const Image old_image = TRY(store.GetImage(before));
  const Image new_image = TRY(store.GetImage(after));
  ImageDiff diff;
  const size_t common = std::min(old_image.layers.size(), new_image.layers.size());
  while (diff.shared_layers < common &&
         old_image.layers[diff.shared_layers].id == new_image.layers[diff.shared_layers].id) {
    ++diff.shared_layers;
  }
  oci::ImageConfig old_config = old_image.config;
  oci::ImageConfig new_config = new_image.config;
  // What is in the layers is told file by file.
  old_config.diff_ids.clear();
  new_config.diff_ids.clear();
  diff.config_changed = old_config != new_config;
  if (diff.shared_layers == old_image.layers.size() && diff.shared_layers == new_image.layers.size())
    return diff;

  const Tree old_tree = TRY(store.MergeLayers(old_image.layers));
  const Tree new_tree = TRY(store.MergeLayers(new_image.layers));
  for (TreeChange& change : Diff(old_tree, new_tree)) {
    const uint64_t old_bytes = SizeOf(old_tree, change.path);
    const uint64_t new_bytes = SizeOf(new_tree, change.path);
    diff.files.push_back({change.kind, std::move(change.path), old_bytes, new_bytes});
  }
  return diff;
}

}  // namespace ingot::store

#include "store/imported_layers.h"

namespace ingot::store {

TarOptions ImportedTarOptions() {
  TarOptions options;
  options.absolute_names = true;
  options.limits.max_ratio = 100;
  options.limits.ratio_from_bytes = uint64_t{1} << 30;
  return options;
}

Result<void> ImportedLayers::Add(ReadArchive archive, const oci::Descriptor& descriptor,
                                 const oci::Digest& diff_id, const std::function<Result<void>()>& keep_blob) {
  if (archive.diff_id != diff_id) {
    return Error(Code::kInvalid, "The layer " + descriptor.digest.Render() + " unpacks to " +
                                     archive.diff_id.Render() + "; the configuration says " +
                                     diff_id.Render() + ".");
  }
  for (; in_merged_ < layers_.size(); ++in_merged_)
    merged_ = ApplyOn(merged_, TRY(store_.ReadLayer(layers_[in_merged_].id)));
  FillImplied(archive.tree, merged_);
  merged_ = ApplyOn(merged_, archive.tree);
  ++in_merged_;

  Layer layer = TRY(store_.SealLayer(archive.tree, lease_));
  const bool reproduced = layer.diff_id == diff_id;
  // The manifest is kept verbatim, so the blob it names must be had: as it came, or made when it is read.
  if (!reproduced || descriptor.digest != diff_id) TRY(keep_blob());
  if (!reproduced) {
    layer =
        TRY(store_.SealForeignLayer(archive.tree, diff_id, archive.uncompressed_bytes, descriptor, lease_));
  }
  layers_.push_back(std::move(layer));
  return {};
}

void ImportedLayers::AddSealed(Layer layer) {
  layers_.push_back(std::move(layer));
}

}  // namespace ingot::store

#include "store/imported_layers.h"

#include <utility>

#include "store/tar_writer.h"

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
  for (; in_merged_ < layers_.size(); ++in_merged_) {
    if (!top_) top_ = TRY(store_.ReadLayer(layers_[in_merged_].id));
    merged_ = ApplyOn(std::move(merged_), *std::exchange(top_, {}));
  }
  FillImplied(archive.tree, merged_);

  const bool reproduced = OutlineTar(archive.tree) == archive.outline;
  // The manifest is kept verbatim, so the blob it names must be had: as it came, or made when it is read.
  if (!reproduced || descriptor.digest != diff_id) TRY(keep_blob());
  layers_.push_back(
      reproduced ? TRY(store_.SealLayer(archive.tree, lease_, TarDigest{diff_id, archive.uncompressed_bytes}))
                 : TRY(store_.SealForeignLayer(archive.tree, diff_id, archive.uncompressed_bytes, descriptor,
                                               lease_)));
  top_ = std::move(archive.tree);
  return {};
}

void ImportedLayers::AddSealed(Layer layer) {
  layers_.push_back(std::move(layer));
}

}  // namespace ingot::store

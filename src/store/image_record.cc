// Store's images: manifest and configuration as blobs, a row that ties them to sealed layers.
#include "oci/descriptor.h"
#include "store/store.h"
#include "store/store_state.h"

namespace ingot::store {
namespace {

// The layer's blob as an OCI manifest names it.
oci::Descriptor DescriptorOf(const Layer& layer) {
  oci::Descriptor descriptor;
  if (!layer.blob) {
    descriptor.media_type = oci::kLayerTarType;
    descriptor.digest = layer.diff_id;
    descriptor.size_bytes = layer.tar_bytes;
    return descriptor;
  }
  // Only what identifies the bytes: annotations and places are somebody else's.
  descriptor.digest = layer.blob->digest;
  descriptor.size_bytes = layer.blob->size_bytes;
  switch (oci::LayerCompressionOf(layer.blob->media_type).value_or(oci::LayerCompression::kNone)) {
    case oci::LayerCompression::kNone:
      descriptor.media_type = oci::kLayerTarType;
      break;
    case oci::LayerCompression::kGzip:
      descriptor.media_type = oci::kLayerGzipType;
      break;
    case oci::LayerCompression::kZstd:
      descriptor.media_type = oci::kLayerZstdType;
      break;
  }
  return descriptor;
}

Result<void> RequireLayers(const CatalogRows& rows, const std::vector<Layer>& layers) {
  for (const Layer& layer : layers) {
    bool found = false;
    for (const Layer& row : TRY(rows.FindLayers(layer.id))) found = found || row.diff_id == layer.diff_id;
    if (!found) return NotInStore("layer", layer.id.Render());
  }
  return {};
}

// The row of layer (id, diff_id), with the blob that this image's manifest names for it.
Result<Layer> LayerOf(const CatalogRows& rows, const ImageRow::LayerRef& ref,
                      const oci::Descriptor& descriptor) {
  for (Layer& layer : TRY(rows.FindLayers(ref.id))) {
    if (layer.diff_id != ref.diff_id) continue;
    if (layer.blob) layer.blob = descriptor;
    return std::move(layer);
  }
  return Error(Code::kCorrupt, "store.db has an image with the layer " + ref.id.Render() +
                                   " but not that layer. Restore it from a backup.");
}

}  // namespace

Result<oci::Digest> Store::PutImage(const NewImage& image, Lease& lease) {
  if (image.layers.empty()) {
    return Error(Code::kInvalid, "An image needs at least one layer; an empty one holds the root folder.");
  }
  oci::ImageConfig config = image.config;
  if (config.architecture.empty() || config.os.empty())
    return Error(Code::kInvalid, "An image configuration needs an architecture and an os.");
  config.diff_ids.clear();
  oci::Manifest manifest;
  for (const Layer& layer : image.layers) {
    config.diff_ids.push_back(layer.diff_id);
    manifest.layers.push_back(DescriptorOf(layer));
  }
  const std::string config_bytes = config.Render();
  manifest.config.media_type = oci::kConfigType;
  manifest.config.digest = oci::Digest::Of(config_bytes);
  manifest.config.size_bytes = config_bytes.size();
  manifest.annotations = image.annotations;
  return PutForeignImage(manifest.Render(), config_bytes, image.layers, image.provenance, lease);
}

Result<oci::Digest> Store::PutForeignImage(std::string_view manifest_bytes, std::string_view config_bytes,
                                           const std::vector<Layer>& layers, std::string_view provenance,
                                           Lease& lease) {
  TRY(CheckLease(lease));
  const oci::Manifest manifest = TRY(oci::Manifest::Parse(manifest_bytes));
  const oci::ImageConfig config = TRY(oci::ImageConfig::Parse(config_bytes));
  if (manifest.config.digest != oci::Digest::Of(config_bytes))
    return Error(Code::kInvalid, "The configuration is not the one that the manifest names.");
  if (manifest.layers.size() != layers.size() || config.diff_ids.size() != layers.size()) {
    return Error(Code::kInvalid, "The manifest has " + std::to_string(manifest.layers.size()) +
                                     " layers, its configuration " + std::to_string(config.diff_ids.size()) +
                                     ", and " + std::to_string(layers.size()) + " were given.");
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    if (config.diff_ids[i] != layers[i].diff_id) {
      return Error(Code::kInvalid, "Layer " + std::to_string(i) + " has the diff_id " +
                                       layers[i].diff_id.Render() + ", and the configuration says " +
                                       config.diff_ids[i].Render() + ".");
    }
  }

  ImageRow row;
  row.digest = oci::Digest::Of(manifest_bytes);
  row.created = state_->clock->Now();
  row.provenance = provenance;
  std::vector<ObjectId::Bytes> names;
  for (const Layer& layer : layers) {
    row.layers.push_back({layer.id, layer.diff_id});
    names.push_back(layer.id.bytes());
  }
  TRY(state_->claims->Claim(ClaimKind::kLayer, names, []() -> Result<void> { return {}; }));
  // Blobs that the manifest names must not go between this check and the row.
  std::vector<ObjectId::Bytes> blobs;
  for (const oci::Descriptor& layer : manifest.layers) blobs.push_back(ClaimBytes(layer.digest));
  TRY(state_->claims->Claim(ClaimKind::kBlob, blobs, [&]() -> Result<void> {
    for (size_t i = 0; i < layers.size(); ++i) {
      const oci::Digest& digest = manifest.layers[i].digest;
      const bool made_when_read = !layers[i].blob && digest == layers[i].diff_id;
      if (!made_when_read && !TRY(HasBlob(digest))) return NotInStore("blob", digest.Render());
    }
    return {};
  }));
  const auto put = [&](std::string_view bytes) -> Result<void> {
    const oci::Digest digest = oci::Digest::Of(bytes);
    return state_->PutFile(ClaimKind::kBlob, ClaimBytes(digest), BlobPath(digest), bytes);
  };
  TRY(put(config_bytes));
  TRY(put(manifest_bytes));
  TRY(SyncDirectory(BlobPath(row.digest).parent_path()));
  TRY(state_->catalog->Write([&](CatalogRows& rows) -> Result<void> {
    TRY(RequireLayers(rows, layers));
    return rows.PutImage(row);
  }));
  return row.digest;
}

Result<Image> Store::GetImage(const oci::Digest& digest) {
  Image image;
  image.digest = digest;
  TRY(state_->catalog->Read([&](const CatalogRows& rows) -> Result<void> {
    const auto row = TRY(rows.FindImage(digest));
    if (!row) return NotInStore("image", digest.Render());
    image.created = row->created;
    image.golden = row->golden;
    image.test_record = row->test_record;
    image.provenance = row->provenance;
    image.manifest = TRY(oci::Manifest::Parse(TRY(GetBlob(digest, oci::kMaxManifestBytes))));
    if (image.manifest.layers.size() != row->layers.size()) {
      return Error(Code::kCorrupt, "store.db and the manifest " + digest.Render() +
                                       " disagree about its layers. Restore store.db from a backup.");
    }
    for (size_t i = 0; i < row->layers.size(); ++i)
      image.layers.push_back(TRY(LayerOf(rows, row->layers[i], image.manifest.layers[i])));
    return {};
  }));
  image.config = TRY(oci::ImageConfig::Parse(TRY(GetBlob(image.manifest.config.digest))));
  return image;
}

Result<std::vector<ImageRow>> Store::ListImages() {
  std::vector<ImageRow> images;
  TRY(state_->catalog->Read([&](const CatalogRows& rows) -> Result<void> {
    images = TRY(rows.ListImages());
    return {};
  }));
  return images;
}

Result<void> Store::MarkGolden(const oci::Digest& digest, std::string_view test_record) {
  return state_->catalog->Write([&](CatalogRows& rows) -> Result<void> {
    if (!TRY(rows.MarkGolden(digest, test_record))) return NotInStore("image", digest.Render());
    return {};
  });
}

}  // namespace ingot::store

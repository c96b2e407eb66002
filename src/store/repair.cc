#include "store/repair.h"

#include "store/file_check.h"
#include "store/made_blob.h"
#include "store/sealed_layer.h"
#include "store/tar_reader.h"

namespace ingot::store {
namespace {

class Repair {
 public:
  Repair(Store& store, const LostThing& lost, Lease& lease) : store_(store), lost_(lost), lease_(lease) {}

  Result<bool> Run() {
    TRY(store_.catalog().Read([&](const CatalogRows& rows) -> Result<void> {
      layers_ = TRY(rows.ListLayers());
      return {};
    }));
    switch (lost_.thing) {
      case ThingKind::kObject:
        return RepairObject();
      case ThingKind::kLayer:
        return RepairLayer();
      case ThingKind::kBlob:
        return RepairBlob();
      case ThingKind::kImage:
        break;
    }
    return false;
  }

 private:
  // Its blob as it came, or its tar that somebody pushed or mounted: read whole, its contents are in the pool
  // again. Nothing: there is no good copy.
  std::optional<ReadArchive> ReadBlobOf(const Layer& layer) {
    std::vector<oci::Digest> candidates;
    if (layer.blob) candidates.push_back(layer.blob->digest);
    candidates.push_back(layer.diff_id);
    for (const oci::Digest& digest : candidates) {
      FileCheck check;
      if (!check.Blob(store_.BlobPath(digest), digest)) continue;
      const auto fd = store_.OpenBlob(digest);
      if (!fd) continue;
      TarOptions options;
      options.absolute_names = true;
      auto archive = ReadTar(SourceOf(fd->get()), store_.objects(), options);
      if (archive && archive->diff_id == layer.diff_id) return std::move(*archive);
    }
    return std::nullopt;
  }

  Result<bool> RepairObject() {
    const ObjectId wanted = TRY(ObjectId::Parse(lost_.name));
    for (const Layer& layer : layers_) {
      const auto tree = store_.ReadLayer(layer.id);
      bool has = !tree;  // a layer that cannot be read may have it
      if (tree) {
        tree->Walk([&](const std::string&, const Node& node, bool) { has = has || node.object == wanted; });
      }
      if (!has || !ReadBlobOf(layer)) continue;
      TRY(store_.objects().Flush());
      if (TRY(store_.objects().Has(wanted))) {
        TRY(store_.objects().Verify(wanted));
        return true;
      }
    }
    return false;
  }

  Result<bool> RepairLayer() {
    const LayerId wanted = TRY(ObjectId::Parse(lost_.name));
    for (const Layer& layer : layers_) {
      if (layer.id != wanted) continue;
      const auto archive = ReadBlobOf(layer);
      if (!archive) continue;
      // As it was sealed: whatever else the archive could mean gives another id.
      const auto sealed = RenderSealed(archive->tree);
      if (!sealed || ObjectId::Of(*sealed) != wanted) continue;
      TRY(layer.blob
              ? store_.SealForeignLayer(archive->tree, layer.diff_id, layer.tar_bytes, *layer.blob, lease_)
              : store_.SealLayer(archive->tree, lease_));
      return TRY(store_.ReadLayer(wanted)).names().size() > 0;
    }
    return false;
  }

  // The tar of a layer that was made here.
  Result<bool> RepairBlob() {
    const oci::Digest wanted = TRY(oci::Digest::Parse(lost_.name));
    for (const Layer& layer : layers_) {
      if (layer.diff_id != wanted || layer.blob) continue;
      if (PutMadeBlob(store_, layer.id, wanted, layer.tar_bytes, lease_)) return true;
    }
    return false;
  }

  Store& store_;
  const LostThing& lost_;
  Lease& lease_;
  std::vector<Layer> layers_;
};

}  // namespace

Result<bool> RepairFromStore(Store& store, const LostThing& lost) {
  Lease lease = TRY(store.TakeLease("repair"));
  return Repair(store, lost, lease).Run();
}

}  // namespace ingot::store

// Store's sealed layers: layers/<64 hex>.erofs.
#include <cerrno>
#include <future>

#include "store/sealed_layer.h"
#include "store/store.h"
#include "store/store_state.h"
#include "store/tar_writer.h"

namespace ingot::store {
namespace {

// Below this, hashing the tar at once is faster than starting a thread for it.
constexpr uint64_t kWorthAThread = 256 << 10;

std::vector<ObjectId> ObjectsOf(const Tree& tree) {
  std::vector<ObjectId> ids;
  tree.Walk([&](const std::string&, const Node& node, bool first) {
    if (first && !node.object.empty()) ids.push_back(node.object);
  });
  return ids;
}

std::optional<Layer> Pick(const std::vector<Layer>& layers, bool canonical, const oci::Digest* diff_id) {
  for (const Layer& layer : layers) {
    if (diff_id != nullptr && layer.diff_id != *diff_id) continue;
    if (canonical && layer.blob) continue;
    return layer;
  }
  return std::nullopt;
}

}  // namespace

fs::path Store::LayerPath(const LayerId& id) const {
  return state_->paths.layers / (id.Render() + std::string(kLayerSuffix));
}

namespace {

// Claims what the tree names, and looks whether all of it is there: part of it may come from a layer that was
// read without a lease.
Result<void> RequireObjects(const Tree& tree, ObjectPool& pool, Claims& claims) {
  const std::vector<ObjectId> ids = ObjectsOf(tree);
  std::vector<ObjectId::Bytes> names;
  names.reserve(ids.size());
  for (const ObjectId& id : ids) names.push_back(id.bytes());
  return claims.Claim(ClaimKind::kObject, names, [&]() -> Result<void> {
    for (const ObjectId& id : ids)
      if (!TRY(pool.Has(id))) return NotInStore("object", id.Render());
    return {};
  });
}

}  // namespace

Result<Layer> Store::SealLayer(const Tree& tree, Lease& lease, const std::optional<TarDigest>& given) {
  TRY(CheckLease(lease));
  const std::string sealed = TRY(RenderSealed(tree));
  const LayerId id = ObjectId::Of(sealed);
  TRY(RequireObjects(tree, state_->pool, *state_->claims));

  TRY(state_->pool.Flush());
  std::future<Result<TarDigest>> digest;
  const uint64_t object_bytes = tree.ContentBytes();
  std::optional<Layer> known;
  TRY(state_->claims->Claim(ClaimKind::kLayer, {id.bytes()}, []() -> Result<void> { return {}; }));
  TRY(state_->catalog->Read([&](const CatalogRows& rows) -> Result<void> {
    known = Pick(TRY(rows.FindLayers(id)), true, nullptr);
    return {};
  }));
  if (!known && !given) {
    const auto policy = object_bytes < kWorthAThread ? std::launch::deferred : std::launch::async;
    digest = std::async(policy, [&]() { return DigestTar(tree, state_->pool); });
  }
  TRY(state_->PutFile(ClaimKind::kLayer, id.bytes(), LayerPath(id), sealed));
  TRY(SyncDirectory(state_->paths.layers));
  if (known) return *known;

  const TarDigest tar = given ? *given : TRY(digest.get());
  Layer layer{id, tar.digest, tar.size_bytes, object_bytes, std::nullopt, state_->clock->Now()};
  TRY(state_->catalog->Write([&](CatalogRows& rows) -> Result<void> { return rows.PutLayer(layer); }));
  return layer;
}

Result<Layer> Store::SealForeignLayer(const Tree& tree, const oci::Digest& diff_id, uint64_t tar_bytes,
                                      const oci::Descriptor& blob, Lease& lease) {
  TRY(CheckLease(lease));
  const std::string sealed = TRY(RenderSealed(tree));
  const LayerId id = ObjectId::Of(sealed);
  TRY(RequireObjects(tree, state_->pool, *state_->claims));
  TRY(state_->claims->Claim(ClaimKind::kBlob, {ClaimBytes(blob.digest)}, [&]() -> Result<void> {
    if (!TRY(HasBlob(blob.digest))) return NotInStore("blob", blob.digest.Render());
    return {};
  }));
  TRY(state_->pool.Flush());
  TRY(state_->PutFile(ClaimKind::kLayer, id.bytes(), LayerPath(id), sealed));
  TRY(SyncDirectory(state_->paths.layers));
  Layer layer{id, diff_id, tar_bytes, tree.ContentBytes(), blob, state_->clock->Now()};
  TRY(state_->catalog->Write([&](CatalogRows& rows) -> Result<void> { return rows.PutLayer(layer); }));
  return layer;
}

Result<Layer> Store::FindLayer(const oci::Digest& diff_id) {
  std::optional<Layer> found;
  TRY(state_->catalog->Read([&](const CatalogRows& rows) -> Result<void> {
    const std::vector<Layer> layers = TRY(rows.FindLayers(diff_id));
    found = Pick(layers, true, nullptr);
    if (!found) found = Pick(layers, false, nullptr);
    return {};
  }));
  if (!found) return NotInStore("layer with the diff_id", diff_id.Render());
  return *found;
}

Result<Layer> Store::FindLayer(const LayerId& id) {
  std::optional<Layer> found;
  TRY(state_->catalog->Read([&](const CatalogRows& rows) -> Result<void> {
    const std::vector<Layer> layers = TRY(rows.FindLayers(id));
    found = Pick(layers, true, nullptr);
    if (!found) found = Pick(layers, false, nullptr);
    return {};
  }));
  if (!found) return NotInStore("layer", id.Render());
  return *found;
}

Result<Tree> Store::ReadLayer(const LayerId& id) const {
  const fs::path path = LayerPath(id);
  auto bytes = ReadFile(path);
  if (!bytes) {
    if (bytes.error().code() == Code::kNotFound) return NotInStore("layer", id.Render());
    return std::move(bytes).error();
  }
  if (ObjectId::Of(*bytes) != id) {
    return Error(Code::kCorrupt, "The sealed layer " + path.string() +
                                     " is damaged: its contents are not what its name promises. `ingot build "
                                     "--no-cache` makes it again.");
  }
  auto tree = ParseSealed(*bytes);
  if (!tree) return std::move(tree).error().While("reading the sealed layer " + path.string());
  return tree;
}

Result<Tree> Store::MergeLayers(const std::vector<Layer>& layers) const {
  Tree merged;
  bool first = true;
  for (const Layer& layer : layers) {
    const Tree tree = TRY(ReadLayer(layer.id));
    merged = ApplyOn(first ? Tree() : merged, tree);
    first = false;
  }
  return merged;
}

}  // namespace ingot::store

#include "store/memory_catalog.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <shared_mutex>

#include "store/memory_tables.h"

namespace ingot::store {
namespace {

Error Dangling(const std::string& what) {
  return Error(Code::kExists, "catalog: " + what);
}

class MemoryRows final : public MemoryLifecycleRows {
 public:
  using MemoryLifecycleRows::MemoryLifecycleRows;

  Result<void> PutLayer(const Layer& layer) override {
    if (t_.layers.emplace(std::pair(layer.id, layer.diff_id), layer).second) dirty_ = true;
    return {};
  }
  Result<std::vector<Layer>> FindLayers(const LayerId& id) const override {
    std::vector<Layer> found;
    for (const auto& [key, layer] : t_.layers)
      if (layer.id == id) found.push_back(layer);
    return found;
  }
  Result<std::vector<Layer>> FindLayers(const oci::Digest& diff_id) const override {
    std::vector<Layer> found;
    for (const auto& [key, layer] : t_.layers)
      if (layer.diff_id == diff_id) found.push_back(layer);
    std::stable_sort(found.begin(), found.end(),
                     [](const Layer& a, const Layer& b) { return a.created < b.created; });
    return found;
  }
  Result<std::vector<Layer>> ListLayers() const override { return ListRows(t_.layers); }
  Result<bool> RemoveLayer(const LayerId& id) override {
    for (const auto& [digest, image] : t_.images)
      for (const ImageRow::LayerRef& layer : image.layers)
        if (layer.id == id) return Dangling("an image has the layer " + id.Render());
    return Changed(std::erase_if(t_.layers, [&](const auto& item) { return item.first.first == id; }) > 0);
  }

  Result<void> PutImage(const ImageRow& image) override {
    const auto [row, fresh] = t_.images.emplace(image.digest, image);
    if (!fresh) {
      if (!image.provenance.empty()) row->second.provenance = image.provenance;
      dirty_ = true;
      return {};
    }
    dirty_ = true;
    for (const ImageRow::LayerRef& layer : image.layers)
      if (!t_.layers.contains({layer.id, layer.diff_id})) return Dangling("no layer " + layer.id.Render());
    return {};
  }
  Result<std::optional<ImageRow>> FindImage(const oci::Digest& digest) const override {
    return FindRow(t_.images, digest);
  }
  Result<std::vector<ImageRow>> ListImages() const override { return ListRows(t_.images); }
  Result<bool> MarkGolden(const oci::Digest& digest, std::string_view test_record) override {
    const auto found = t_.images.find(digest);
    if (found == t_.images.end()) return false;
    found->second.golden = true;
    found->second.test_record = test_record;
    return Changed(true);
  }
  Result<bool> RemoveImage(const oci::Digest& digest) override {
    for (const auto& [key, tag] : t_.tags)
      if (tag.digest == digest) return Dangling("a tag names " + digest.Render());
    for (const auto& [owner, pin] : t_.pins)
      if (pin.images.contains(digest)) return Dangling("a pin names " + digest.Render());
    std::erase_if(t_.named_images, [&](const auto& item) { return item.first.second == digest; });
    return Changed(t_.images.erase(digest) > 0);
  }

  Result<void> PutTag(const Tag& tag) override {
    if (!t_.images.contains(tag.digest)) return Dangling("no image " + tag.digest.Render());
    t_.tags[{tag.repository, tag.tag}] = tag;
    dirty_ = true;
    return {};
  }
  Result<std::optional<Tag>> FindTag(std::string_view repository, std::string_view tag) const override {
    return FindRow(t_.tags, std::pair(std::string(repository), std::string(tag)));
  }
  Result<std::vector<Tag>> ListTags() const override { return ListRows(t_.tags); }
  Result<std::vector<Tag>> ListTags(std::string_view repository) const override {
    std::vector<Tag> found;
    for (const auto& [key, tag] : t_.tags)
      if (tag.repository == repository) found.push_back(tag);
    return found;
  }
  Result<bool> RemoveTag(std::string_view repository, std::string_view tag) override {
    return Changed(t_.tags.erase({std::string(repository), std::string(tag)}) > 0);
  }

  Result<void> PutCache(const CacheEntry& entry) override {
    t_.cache[entry.key] = entry;
    dirty_ = true;
    return {};
  }
  Result<std::optional<CacheEntry>> FindCache(std::string_view key) const override {
    return FindRow(t_.cache, std::string(key));
  }
  Result<std::vector<CacheEntry>> ListCache() const override { return ListRows(t_.cache); }
  Result<bool> RemoveCache(std::string_view key) override {
    return Changed(t_.cache.erase(std::string(key)) > 0);
  }

  Result<void> PutLease(const LeaseRow& lease) override {
    t_.leases[lease.id] = lease;
    return {};
  }
  Result<std::vector<LeaseRow>> ListLeases() const override { return ListRows(t_.leases); }
  Result<bool> RemoveLease(std::string_view id) override { return t_.leases.erase(std::string(id)) > 0; }

  Result<void> SetPin(const PinRow& pin) override {
    for (const oci::Digest& image : pin.images)
      if (!t_.images.contains(image)) return Dangling("no image " + image.Render());
    dirty_ = true;
    if (pin.images.empty()) {
      t_.pins.erase(pin.owner);
    } else {
      t_.pins[pin.owner] = pin;
    }
    return {};
  }
  Result<std::vector<PinRow>> ListPins() const override { return ListRows(t_.pins); }
  Result<int64_t> Generation() const override { return t_.generation + (dirty_ ? 1 : 0); }
};

}  // namespace

struct MemoryCatalog::State {
  std::shared_mutex mutex;
  MemoryTables tables;
};

MemoryCatalog::MemoryCatalog() : state_(std::make_unique<State>()) {}
MemoryCatalog::~MemoryCatalog() = default;

Result<void> MemoryCatalog::Read(const std::function<Result<void>(const CatalogRows&)>& read) {
  const std::shared_lock lock(state_->mutex);
  return read(MemoryRows(state_->tables));
}

Result<void> MemoryCatalog::Write(const std::function<Result<void>(CatalogRows&)>& write, Durability) {
  const std::unique_lock lock(state_->mutex);
  MemoryTables changed = state_->tables;
  MemoryRows rows(changed);
  TRY(write(rows));
  changed.generation = TRY(rows.Generation());
  state_->tables = std::move(changed);
  return {};
}

}  // namespace ingot::store

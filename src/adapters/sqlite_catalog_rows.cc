#include "adapters/sqlite_catalog_rows.h"

#include "adapters/sqlite_values.h"
#include "base/json.h"

namespace ingot::adapters {

using store::CacheEntry;
using store::ImageRow;
using store::Layer;
using store::LayerId;
using store::LeaseRow;
using store::PinRow;
using store::Tag;

namespace {

template <typename T>
std::string RenderList(const std::vector<T>& items) {
  std::string text;
  for (const T& item : items) text += (text.empty() ? "" : ",") + item.Render();
  return text;
}

template <typename T>
Result<std::vector<T>> ParseList(std::string_view text) {
  std::vector<T> items;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    items.push_back(TRY(Stored(T::Parse(text.substr(0, comma)))));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return items;
}

std::optional<std::string> RenderBlob(const Layer& layer) {
  if (!layer.blob) return std::nullopt;
  return RenderJson(oci::RenderDescriptor(*layer.blob));
}

constexpr std::string_view kLayerColumns =
    "SELECT id, diff_id, tar_bytes, object_bytes, blob, created FROM layers ";

}  // namespace

Result<void> SqliteRows::Finish() {
  if (dirty_) TRY(db_.Run("UPDATE meta SET generation = generation + 1"));
  dirty_ = false;
  return {};
}

Result<int64_t> SqliteRows::Generation() const {
  Statement* query = TRY(db_.Cached("SELECT generation FROM meta"));
  if (!TRY(query->Step())) return Error(Code::kCorrupt, "store.db has no generation row.");
  const int64_t generation = query->Int(0);
  query->Reset();
  return generation + (dirty_ ? 1 : 0);
}

// Layers

Result<void> SqliteRows::PutLayer(const Layer& layer) {
  TRY(
      Changed("INSERT INTO layers(id, diff_id, tar_bytes, object_bytes, blob, created) VALUES(?,?,?,?,?,?) "
              "ON CONFLICT DO NOTHING",
              layer.id.Render(), layer.diff_id.Render(), layer.tar_bytes, layer.object_bytes,
              RenderBlob(layer), MsOf(layer.created)));
  return {};
}

Result<std::vector<Layer>> SqliteRows::Layers(Statement& query) const {
  std::vector<Layer> layers;
  while (TRY(query.Step())) {
    Layer layer;
    layer.id = TRY(Stored(LayerId::Parse(query.Text(0))));
    layer.diff_id = TRY(Stored(oci::Digest::Parse(query.Text(1))));
    layer.tar_bytes = static_cast<uint64_t>(query.Int(2));
    layer.object_bytes = static_cast<uint64_t>(query.Int(3));
    if (!query.IsNull(4)) {
      const Json json = TRY(Stored(ParseJson(query.Text(4))));
      layer.blob = TRY(Stored(oci::ParseDescriptor(json, "blob")));
    }
    layer.created = TimeOf(query.Int(5));
    layers.push_back(std::move(layer));
  }
  return layers;
}

Result<std::vector<Layer>> SqliteRows::FindLayers(const LayerId& id) const {
  Statement* query = TRY(db_.Cached(std::string(kLayerColumns) + "WHERE id = ? ORDER BY diff_id"));
  query->Bind(1, id.Render());
  return Layers(*query);
}

Result<std::vector<Layer>> SqliteRows::FindLayers(const oci::Digest& diff_id) const {
  Statement* query = TRY(db_.Cached(std::string(kLayerColumns) + "WHERE diff_id = ? ORDER BY created, id"));
  query->Bind(1, diff_id.Render());
  return Layers(*query);
}

Result<std::vector<Layer>> SqliteRows::ListLayers() const {
  return Layers(*TRY(db_.Cached(std::string(kLayerColumns) + "ORDER BY id, diff_id")));
}

Result<bool> SqliteRows::RemoveLayer(const LayerId& id) {
  return Changed("DELETE FROM layers WHERE id = ?", id.Render());
}

// Images

Result<void> SqliteRows::PutImage(const ImageRow& image) {
  const std::string digest = image.digest.Render();
  const bool exists = TRY(FindImage(image.digest)).has_value();
  TRY(
      Changed("INSERT INTO images(digest, created, golden, test_record, provenance) VALUES(?,?,?,?,?) "
              "ON CONFLICT(digest) DO UPDATE SET provenance = excluded.provenance "
              "WHERE excluded.provenance <> '' AND excluded.provenance <> provenance",
              digest, MsOf(image.created), image.golden, image.test_record, image.provenance));
  if (exists) return {};  // the layers are part of what the digest says
  int position = 0;
  for (const ImageRow::LayerRef& layer : image.layers) {
    TRY(Changed("INSERT INTO image_layers(image, position, layer, diff_id) VALUES(?,?,?,?)", digest,
                position++, layer.id.Render(), layer.diff_id.Render()));
  }
  return {};
}

Result<std::vector<ImageRow::LayerRef>> SqliteRows::LayersOf(const oci::Digest& image) const {
  std::vector<ImageRow::LayerRef> layers;
  Statement* query =
      TRY(db_.Cached("SELECT layer, diff_id FROM image_layers WHERE image = ? ORDER BY position"));
  query->Bind(1, image.Render());
  while (TRY(query->Step())) {
    layers.push_back(
        {TRY(Stored(LayerId::Parse(query->Text(0)))), TRY(Stored(oci::Digest::Parse(query->Text(1))))});
  }
  return layers;
}

namespace {

Result<ImageRow> ImageOf(const Statement& query) {
  ImageRow image;
  image.digest = TRY(Stored(oci::Digest::Parse(query.Text(0))));
  image.created = TimeOf(query.Int(1));
  image.golden = query.Int(2) != 0;
  image.test_record = query.Text(3);
  image.provenance = query.Text(4);
  return image;
}

}  // namespace

Result<std::optional<ImageRow>> SqliteRows::FindImage(const oci::Digest& digest) const {
  Statement* query =
      TRY(db_.Cached("SELECT digest, created, golden, test_record, provenance FROM images WHERE digest = ?"));
  query->Bind(1, digest.Render());
  if (!TRY(query->Step())) return std::optional<ImageRow>();
  auto image = std::make_optional(TRY(ImageOf(*query)));
  query->Reset();
  image->layers = TRY(LayersOf(digest));
  return image;
}

Result<std::vector<ImageRow>> SqliteRows::ListImages() const {
  std::vector<ImageRow> images;
  Statement* query =
      TRY(db_.Cached("SELECT digest, created, golden, test_record, provenance FROM images ORDER BY digest"));
  while (TRY(query->Step())) images.push_back(TRY(ImageOf(*query)));
  for (ImageRow& image : images) image.layers = TRY(LayersOf(image.digest));
  return images;
}

Result<bool> SqliteRows::MarkGolden(const oci::Digest& digest, std::string_view test_record) {
  return Changed("UPDATE images SET golden = 1, test_record = ? WHERE digest = ?", test_record,
                 digest.Render());
}

Result<bool> SqliteRows::RemoveImage(const oci::Digest& digest) {
  return Changed("DELETE FROM images WHERE digest = ?", digest.Render());
}

// Tags

Result<void> SqliteRows::PutTag(const Tag& tag) {
  TRY(
      Changed("INSERT INTO tags(repository, tag, digest, updated) VALUES(?,?,?,?) "
              "ON CONFLICT DO UPDATE SET digest = excluded.digest, updated = excluded.updated",
              tag.repository, tag.tag, tag.digest.Render(), MsOf(tag.updated)));
  return {};
}

namespace {

Result<Tag> TagOf(const Statement& query) {
  oci::Digest digest = TRY(Stored(oci::Digest::Parse(query.Text(2))));
  return Tag{query.Text(0), query.Text(1), std::move(digest), TimeOf(query.Int(3))};
}

}  // namespace

Result<std::optional<Tag>> SqliteRows::FindTag(std::string_view repository, std::string_view tag) const {
  Statement* query =
      TRY(db_.Cached("SELECT repository, tag, digest, updated FROM tags WHERE repository = ? AND tag = ?"));
  query->BindAll(repository, tag);
  if (!TRY(query->Step())) return std::optional<Tag>();
  auto found = std::make_optional(TRY(TagOf(*query)));
  query->Reset();
  return found;
}

Result<std::vector<Tag>> SqliteRows::ListTags() const {
  std::vector<Tag> tags;
  Statement* query =
      TRY(db_.Cached("SELECT repository, tag, digest, updated FROM tags ORDER BY repository, tag"));
  while (TRY(query->Step())) tags.push_back(TRY(TagOf(*query)));
  return tags;
}

Result<std::vector<Tag>> SqliteRows::ListTags(std::string_view repository) const {
  std::vector<Tag> tags;
  Statement* query =
      TRY(db_.Cached("SELECT repository, tag, digest, updated FROM tags WHERE repository = ? ORDER BY tag"));
  query->BindAll(repository);
  while (TRY(query->Step())) tags.push_back(TRY(TagOf(*query)));
  return tags;
}

Result<bool> SqliteRows::RemoveTag(std::string_view repository, std::string_view tag) {
  return Changed("DELETE FROM tags WHERE repository = ? AND tag = ?", repository, tag);
}

// Cache

Result<void> SqliteRows::PutCache(const CacheEntry& entry) {
  TRY(Changed("INSERT OR REPLACE INTO cache(key, value, layers, images, last_used) VALUES(?,?,?,?,?)",
              entry.key, entry.value, RenderList(entry.refs.layers), RenderList(entry.refs.images),
              MsOf(entry.last_used)));
  return {};
}

namespace {

Result<CacheEntry> CacheOf(const Statement& query) {
  CacheEntry entry;
  entry.key = query.Text(0);
  entry.value = query.Text(1);
  entry.refs.layers = TRY(ParseList<LayerId>(query.Text(2)));
  entry.refs.images = TRY(ParseList<oci::Digest>(query.Text(3)));
  entry.last_used = TimeOf(query.Int(4));
  return entry;
}

}  // namespace

Result<std::optional<CacheEntry>> SqliteRows::FindCache(std::string_view key) const {
  Statement* query = TRY(db_.Cached("SELECT key, value, layers, images, last_used FROM cache WHERE key = ?"));
  query->Bind(1, key);
  if (!TRY(query->Step())) return std::optional<CacheEntry>();
  auto entry = std::make_optional(TRY(CacheOf(*query)));
  query->Reset();
  return entry;
}

Result<std::vector<CacheEntry>> SqliteRows::ListCache() const {
  std::vector<CacheEntry> entries;
  Statement* query = TRY(db_.Cached("SELECT key, value, layers, images, last_used FROM cache ORDER BY key"));
  while (TRY(query->Step())) entries.push_back(TRY(CacheOf(*query)));
  return entries;
}

Result<bool> SqliteRows::RemoveCache(std::string_view key) {
  return Changed("DELETE FROM cache WHERE key = ?", key);
}

// Leases: no part of the generation, since they are read anew each time anyway.

Result<void> SqliteRows::PutLease(const LeaseRow& lease) {
  return db_.Run(
      "INSERT OR REPLACE INTO leases(id, purpose, boot_id, pid_namespace, pid, pid_start, expires, claims) "
      "VALUES(?,?,?,?,?,?,?,?)",
      lease.id, lease.purpose, lease.boot_id, lease.pid_namespace, static_cast<int64_t>(lease.pid),
      lease.pid_start, MsOf(lease.expires), lease.claims);
}

Result<std::vector<LeaseRow>> SqliteRows::ListLeases() const {
  std::vector<LeaseRow> leases;
  Statement* query =
      TRY(db_.Cached("SELECT id, purpose, boot_id, pid_namespace, pid, pid_start, expires, claims "
                     "FROM leases ORDER BY id"));
  while (TRY(query->Step())) {
    LeaseRow lease;
    lease.id = query->Text(0);
    lease.purpose = query->Text(1);
    lease.boot_id = query->Text(2);
    lease.pid_namespace = static_cast<uint64_t>(query->Int(3));
    lease.pid = static_cast<pid_t>(query->Int(4));
    lease.pid_start = static_cast<uint64_t>(query->Int(5));
    lease.expires = TimeOf(query->Int(6));
    lease.claims = query->Text(7);
    leases.push_back(std::move(lease));
  }
  return leases;
}

Result<bool> SqliteRows::RemoveLease(std::string_view id) {
  TRY(db_.Run("DELETE FROM leases WHERE id = ?", id));
  return db_.Changes() > 0;
}

// Pins

Result<void> SqliteRows::SetPin(const PinRow& pin) {
  TRY(Changed("DELETE FROM pins WHERE owner = ?", pin.owner));
  for (const oci::Digest& image : pin.images)
    TRY(Changed("INSERT INTO pins(owner, digest) VALUES(?,?)", pin.owner, image.Render()));
  return {};
}

Result<std::vector<PinRow>> SqliteRows::ListPins() const {
  std::vector<PinRow> pins;
  Statement* query = TRY(db_.Cached("SELECT owner, digest FROM pins ORDER BY owner, digest"));
  while (TRY(query->Step())) {
    std::string owner = query->Text(0);
    if (pins.empty() || pins.back().owner != owner) pins.push_back({std::move(owner), {}});
    pins.back().images.insert(TRY(Stored(oci::Digest::Parse(query->Text(1)))));
  }
  return pins;
}

}  // namespace ingot::adapters

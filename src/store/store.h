// Store: golden images as content-addressed files, safe for several threads and several processes at once.
//
// Start here: a builder opens a Store, takes a Lease, puts file contents into objects(), seals trees into
// layers, puts an image of layers, and gives it a name (SetTag, Pin) before the lease ends. A reader finds an
// image by digest and mounts its layers. Nothing is ever changed in place; collector.h removes what nothing
// names any more, verify.h recomputes every digest.
//
// Durability of each Put…: objects flushed, the file synced, renamed, its folder synced, then the row. So
// what a row names exists, whole (docs/formats/store.md).
//
// Besides what is said below, every function can return kIo, kNoSpace, kPermission, kConflict (the catalog
// was locked for ten seconds) and kCorrupt. kNoSpace also when the host's disk_limit would be exceeded.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"
#include "oci/digest.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "store/catalog.h"
#include "store/disk_budget.h"
#include "store/incoming_blob.h"
#include "store/lease.h"
#include "store/object_pool.h"
#include "store/tag_rules.h"
#include "store/tar_writer.h"
#include "store/tree.h"

namespace ingot::store {

struct StorePaths {
  fs::path objects;
  fs::path layers;
  fs::path blobs;
  fs::path claims;
  // objects/, layers/, blobs/ and claims/ below one root.
  static StorePaths Below(const fs::path& root);
};

// What PutImage needs. The manifest and configuration are rendered canonically, so equal images get equal
// digests anywhere.
struct NewImage {
  oci::ImageConfig config;  // its diff_ids are set from `layers`
  std::vector<Layer> layers;
  oci::Annotations annotations;
  std::string provenance;  // JSON about how it was made; not part of the digest
};

struct Image {
  oci::Digest digest;
  oci::Manifest manifest;
  oci::ImageConfig config;
  std::vector<Layer> layers;  // lowest first
  WallTime created{};         // when this store got it
  bool golden = false;
  std::string test_record;
  std::string provenance;
};

class Store {
 public:
  // Makes the folders if missing. `catalog` and `clock` must outlive the Store.
  static Result<std::unique_ptr<Store>> Open(const StorePaths& paths, Catalog& catalog, const Clock& clock);
  ~Store();

  // The file contents. Put into it only while holding a lease of this Store: otherwise kInternal.
  ObjectPool& objects();
  // What may yet be written; without a limit of the host everything.
  DiskBudget& budget();
  Catalog& catalog();
  const StorePaths& paths() const;

  // The row is committed when it returns. `purpose` is for people.
  Result<Lease> TakeLease(std::string_view purpose);

  // Layers. SealLayer flushes objects(), renders, stores and computes the diff_id; a tree that is known costs
  // only the rendering. `tar`: the digest of its canonical tar (tar_writer.h), of who knows it; else all
  // objects are read for it. kInvalid: RenderSealed's; kNotFound: an object of the tree is missing.
  Result<Layer> SealLayer(const Tree& tree, Lease& lease, const std::optional<TarDigest>& tar = {});
  // The same for a tar from elsewhere that was read into `tree` and is not its canonical tar (OutlineTar
  // tells): its diff_id is given, and the blob, already put, is kept with it.
  Result<Layer> SealForeignLayer(const Tree& tree, const oci::Digest& diff_id, uint64_t tar_bytes,
                                 const oci::Descriptor& blob, Lease& lease);
  // kNotFound.
  Result<Layer> FindLayer(const oci::Digest& diff_id);
  Result<Layer> FindLayer(const LayerId& id);
  fs::path LayerPath(const LayerId& id) const;
  // kNotFound; kCorrupt when the file is not what its name promises.
  Result<Tree> ReadLayer(const LayerId& id) const;
  // What the layers show together, lowest first.
  Result<Tree> MergeLayers(const std::vector<Layer>& layers) const;

  // Blobs. PutBlob is idempotent.
  Result<oci::Digest> PutBlob(std::string_view bytes, Lease& lease);
  // A blob of this digest and size that is about to arrive (incoming_blob.h). SHA-256 only.
  Result<IncomingBlob> ReceiveBlob(const oci::Digest& digest, uint64_t size_bytes, Lease& lease);
  // Everything `source` gives, which must have this digest (kInvalid otherwise; nothing is kept) and at most
  // `limit_bytes`. SHA-256 only.
  Result<void> PutBlobStream(const oci::Digest& digest, const ByteSource& source, uint64_t limit_bytes,
                             Lease& lease);
  // The same for bytes whose digest, by either algorithm, is given: kInvalid when it is another.
  Result<void> PutBlobAs(const oci::Digest& digest, std::string_view bytes, Lease& lease);
  // A file that the caller has written, synced and found to have this digest becomes the blob by renaming it;
  // it must be on the same filesystem.
  Result<void> AdoptBlob(const oci::Digest& digest, const fs::path& file, Lease& lease);
  // Whether it is there; if so it is kept for the lease's life.
  Result<bool> KeepBlob(const oci::Digest& digest, Lease& lease);
  // For reading: kNotFound. Its contents are not checked.
  Result<Fd> OpenBlob(const oci::Digest& digest) const;
  // Checked against the digest: kCorrupt, kNotFound. kInvalid beyond `limit_bytes`.
  Result<std::string> GetBlob(const oci::Digest& digest, size_t limit_bytes = size_t{64} << 20) const;
  Result<bool> HasBlob(const oci::Digest& digest) const;
  fs::path BlobPath(const oci::Digest& digest) const;

  // Images. kInvalid: no layer. kNotFound: a layer that this store does not have.
  Result<oci::Digest> PutImage(const NewImage& image, Lease& lease);
  // An image from elsewhere: manifest and config verbatim. kInvalid when they do not belong together or to
  // the layers.
  Result<oci::Digest> PutForeignImage(std::string_view manifest, std::string_view config,
                                      const std::vector<Layer>& layers, std::string_view provenance,
                                      Lease& lease);
  // kNotFound.
  Result<Image> GetImage(const oci::Digest& digest);
  Result<std::vector<ImageRow>> ListImages();
  // `test_record` is JSON. kNotFound. The only way to become golden; there is none back.
  Result<void> MarkGolden(const oci::Digest& digest, std::string_view test_record);

  // Tags. SetTag: kNotFound when there is no such image; kRefused when the tag is immutable and something
  // else, or a channel (tag_rules.h). GetTag: kNotFound. RemoveTag: kRefused for a channel.
  Result<void> SetTag(std::string_view repository, std::string_view tag, const oci::Digest& digest);
  Result<oci::Digest> GetTag(std::string_view repository, std::string_view tag);
  Result<std::vector<Tag>> ListTags();
  Result<bool> RemoveTag(std::string_view repository, std::string_view tag);
  // Which tags are immutable. To be set before other threads use the Store.
  void SetTagRules(TagRules rules);
  const TagRules& tag_rules() const;
  // In one transaction: `gate` looks whether it may be (its Error is passed on), the channel's tag is set and
  // the promotion recorded, with what the channel held and the time. Gives its number. kNotFound.
  Result<uint64_t> MoveChannel(const Promotion& promotion,
                               const std::function<Result<void>(const CatalogRows&)>& gate);

  // Cache: small JSON values by key, with what they refer to. CacheGet gives nothing when there is no entry
  // or something it refers to is gone. With a lease, what it refers to is kept for the lease's life; without,
  // it may be collected at any time.
  Result<std::optional<CacheEntry>> CacheGet(std::string_view key, Lease* lease = nullptr);
  // kNotFound when `refs` name what does not exist.
  Result<void> CachePut(std::string_view key, std::string_view value, const CacheRefs& refs);

  // Replaces what `owner` ("shop/local") keeps alive; empty: nothing. kNotFound when an image does not exist
  // (then nothing has changed).
  Result<void> Pin(std::string_view owner, const std::set<oci::Digest>& images);

 private:
  Result<void> CheckLease(const Lease& lease) const;
  struct State;
  explicit Store(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ingot::store

#include "store/collector.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "base/low_priority.h"
#include "base/pace.h"
#include "base/units.h"
#include "store/claims.h"
#include "store/lease.h"
#include "store/reachable.h"
#include "store/store_state.h"

namespace ingot::store {
namespace {

// A claims file without a lease row is that of a process between the two; after this long it is litter.
constexpr int64_t kLitterSeconds = 3600;

struct File {
  enum class Kind { kObject, kLayer, kBlob } kind;
  ObjectId name;
  fs::path path;
};

class Collection {
 public:
  Collection(Store& store, const CollectOptions& options, const Clock& clock)
      : store_(store),
        options_(options),
        clock_(clock),
        claims_(store.paths().claims),
        needed_(store),
        pace_(options.rests) {}

  Result<Collected> Run() {
    TRY(AtLowPriority([&] { return FindTemporary(); }));
    TRY(options_.dry_run ? store_.catalog().Read([&](const CatalogRows& rows) { return Plan(rows); })
                         : RemoveRows());
    TRY(RemoveTemporary());
    // Outside any transaction: this reads every sealed layer.
    TRY(AtLowPriority([&]() -> Result<void> {
      TRY(MarkRows(true));
      return ListFiles();
    }));
    if (options_.dry_run) TRY(AttributeBytes());
    TRY(Sweep());
    // Removed files are not given back one by one: the count is made anew.
    if (!options_.dry_run && store_.budget().limit_bytes()) TRY(store_.budget().Measure());
    return collected_;
  }

 private:
  // One transaction with all importers locked out until after its commit: who claims something then looks for
  // its row sees what this has removed.
  Result<void> Exclusive(const std::function<Result<void>(CatalogRows&)>& write) {
    Fd lock;
    return store_.catalog().Write([&](CatalogRows& rows) -> Result<void> {
      lock = TRY(claims_.LockOut());
      return write(rows);
    });
  }

  // Leases, then claims: a session that begins after this finds what it claims still there or not yet.
  Result<void> ReadClaims(const CatalogRows& rows, std::vector<LeaseRow>& dead) {
    std::set<std::string> sessions;
    const WallTime now = clock_.Now();
    for (LeaseRow& lease : TRY(rows.ListLeases())) {
      const Liveness liveness = LivenessOf(lease);
      if (liveness == Liveness::kAlive || (liveness == Liveness::kUnknown && now < lease.expires)) {
        sessions.insert(lease.claims);
      } else {
        dead.push_back(std::move(lease));
      }
    }
    TRY(claims_.Update(sessions));
    TRY(needed_.AddClaims(claims_.added()));
    live_ = std::move(sessions);
    return {};
  }

  Result<void> Plan(const CatalogRows& rows) {
    const Fd lock = TRY(claims_.LockOut());
    std::vector<LeaseRow> dead;
    TRY(ReadClaims(rows, dead));
    collected_.leases = dead.size();
    rows_ = TRY(NeededRows::Find(rows, needed_.claimed(), clock_.Now() - options_.keep_cache, options_.rules,
                                 clock_.Now()));
    for (const CacheEntry& entry : TRY(rows.ListCache()))
      collected_.cache_entries += !rows_.cache.contains(entry.key);
    for (const ImageRow& image : TRY(rows.ListImages())) {
      if (rows_.images.contains(image.digest)) {
        images_.push_back(image.digest);
      } else {
        ++collected_.images;
        going_.push_back(image);
      }
    }
    for (const Layer& layer : TRY(rows.ListLayers()))
      if (rows_.layers.contains(layer.id)) layers_.push_back(layer.id);
    TRY(NameGoing(rows));
    for (const ImageRow& image : going_) Explain(image);
    return needed_.AddRepositories(rows, options_.without);
  }

  // Names of images that go, which go with them; and their order: newest first.
  Result<void> NameGoing(const CatalogRows& rows) {
    names_.clear();
    for (const NamedImage& image : TRY(rows.ListNamedImages()))
      names_[image.digest].push_back(image.repository);
    std::stable_sort(going_.begin(), going_.end(),
                     [](const ImageRow& a, const ImageRow& b) { return a.created > b.created; });
    return {};
  }
  void Explain(const ImageRow& image) {
    RemovedImage removed{image.digest, names_[image.digest], 0, rows_.reasons[image.digest]};
    if (removed.reason.empty())
      removed.reason = "no tag, channel, revision, running work or build step used within " +
                       RenderDuration(options_.keep_cache) + " names it";
    collected_.removed.push_back(std::move(removed));
  }

  // Of a dry run: what each image would free.
  Result<void> AttributeBytes() {
    std::map<ObjectId, const File*> objects;
    std::map<ObjectId, const File*> layers;
    std::map<ObjectId, const File*> blobs;
    for (const File& file : garbage_) {
      auto& files = file.kind == File::Kind::kObject  ? objects
                    : file.kind == File::Kind::kLayer ? layers
                                                      : blobs;
      files.emplace(file.name, &file);
    }
    for (size_t i = 0; i < going_.size(); ++i) {
      uint64_t& bytes = collected_.removed[i].bytes;
      const auto take = [&](std::map<ObjectId, const File*>& files, const ObjectId& name) -> Result<bool> {
        const auto found = files.find(name);
        if (found == files.end()) return false;
        bytes += TRY(BytesOf(found->second->path));
        files.erase(found);
        return true;
      };
      TRY(take(blobs, ObjectId(ClaimBytes(going_[i].digest))));
      // What cannot be read any more is not counted with an image, only in the sum.
      if (auto image = store_.GetImage(going_[i].digest)) {
        TRY(take(blobs, ObjectId(ClaimBytes(image->manifest.config.digest))));
        for (const oci::Descriptor& layer : image->manifest.layers)
          TRY(take(blobs, ObjectId(ClaimBytes(layer.digest))));
      }
      for (const ImageRow::LayerRef& layer : going_[i].layers) {
        if (!TRY(take(layers, layer.id))) continue;
        auto tree = store_.ReadLayer(layer.id);
        if (!tree) continue;
        std::vector<ObjectId> named;
        tree->Walk([&](const std::string&, const Node& node, bool first) {
          if (first && !node.object.empty()) named.push_back(node.object);
        });
        for (const ObjectId& object : named) TRY(take(objects, object));
      }
    }
    return {};
  }

  // First the rows, then the files: a crash in between leaves files without a row. What goes is found beside
  // others; it is removed in batches, each of which looks again when anything has changed meanwhile.
  Result<void> RemoveRows() {
    // Claims are not read here: a lease that a view still has may have ended, and its file with it.
    TRY(store_.catalog().Read([&](const CatalogRows& rows) { return FindGoing(rows); }));
    bool more = true;
    while (more) {
      pace_.Rest();
      TRY(Exclusive([&](CatalogRows& rows) -> Result<void> {
        more = TRY(RemoveSomeRows(rows));
        return {};
      }));
    }
    // Whatever comes after this is seen by the batches of files.
    return store_.catalog().Read([&](const CatalogRows& rows) { return ListRows(rows); });
  }

  Result<void> FindGoing(const CatalogRows& rows) {
    rows_ = TRY(NeededRows::Find(rows, needed_.claimed(), clock_.Now() - options_.keep_cache, options_.rules,
                                 clock_.Now()));
    going_cache_.clear();
    going_.clear();
    going_layers_.clear();
    for (const CacheEntry& entry : TRY(rows.ListCache()))
      if (!rows_.cache.contains(entry.key)) going_cache_.push_back(entry.key);
    for (const ImageRow& image : TRY(rows.ListImages()))
      if (!rows_.images.contains(image.digest)) going_.push_back(image);
    for (const Layer& layer : TRY(rows.ListLayers()))
      if (!rows_.layers.contains(layer.id)) going_layers_.push_back(layer.id);
    TRY(NameGoing(rows));
    // They are taken from the end.
    std::reverse(going_.begin(), going_.end());
    generation_ = TRY(rows.Generation());
    return {};
  }

  // Those that refer to others go first, so that nothing dangles in between. True: there may be more.
  Result<bool> RemoveSomeRows(CatalogRows& rows) {
    std::vector<LeaseRow> dead;
    TRY(ReadClaims(rows, dead));
    for (const LeaseRow& lease : dead) TRY(rows.RemoveLease(lease.id));
    collected_.leases += dead.size();
    if (TRY(rows.Generation()) != generation_ || !claims_.added().empty()) TRY(FindGoing(rows));
    size_t left = std::max<size_t>(options_.batch / 4, 1);
    for (; left > 0 && !going_cache_.empty(); --left) {
      collected_.cache_entries += TRY(rows.RemoveCache(going_cache_.back()));
      going_cache_.pop_back();
    }
    for (; left > 0 && !going_.empty(); --left) {
      Explain(going_.back());
      collected_.images += TRY(rows.RemoveImage(going_.back().digest));
      going_.pop_back();
    }
    for (; left > 0 && !going_layers_.empty(); --left) {
      TRY(rows.RemoveLayer(going_layers_.back()));
      going_layers_.pop_back();
    }
    generation_ = TRY(rows.Generation());
    return left == 0;
  }

  // Every row that there is must keep its files, also one that came after RemoveRows and that nothing names
  // yet.
  Result<void> ListRows(const CatalogRows& rows) {
    images_.clear();
    layers_.clear();
    for (const ImageRow& image : TRY(rows.ListImages())) images_.push_back(image.digest);
    for (const Layer& layer : TRY(rows.ListLayers())) layers_.push_back(layer.id);
    TRY(needed_.AddRepositories(rows, {}));
    generation_ = TRY(rows.Generation());
    return {};
  }

  // With rests in between, or none: while others are locked out.
  Result<void> MarkRows(bool slowly) {
    for (const oci::Digest& image : images_) {
      TRY(needed_.AddImage(image));
      if (slowly) pace_.Rest();
    }
    for (const LayerId& layer : layers_) {
      TRY(needed_.AddLayer(layer));
      if (slowly) pace_.Rest();
    }
    return {};
  }

  bool Needed(const File& file) const {
    switch (file.kind) {
      case File::Kind::kObject:
        return needed_.HasObject(file.name);
      case File::Kind::kLayer:
        return needed_.HasLayer(file.name);
      case File::Kind::kBlob:
        return needed_.HasBlob(file.name.bytes());
    }
    return true;
  }

  Collected::Count& CountOf(const File& file) {
    switch (file.kind) {
      case File::Kind::kObject:
        return collected_.objects;
      case File::Kind::kLayer:
        return collected_.layers;
      case File::Kind::kBlob:
        break;
    }
    return collected_.blobs;
  }

  Result<void> ListFiles() {
    const auto add = [&](File file) -> Result<void> {
      pace_.Rest();
      if (!Needed(file)) {
        garbage_.push_back(std::move(file));
        return {};
      }
      ++collected_.kept.files;
      collected_.kept.bytes += TRY(BytesOf(file.path));
      return {};
    };
    // Layers and blobs first: should this be interrupted, no sealed layer stays whose objects have gone.
    for (const std::string& name : TRY(ListDirectory(store_.paths().layers))) {
      if (!name.ends_with(kLayerSuffix)) continue;
      const auto id = ObjectId::Parse(name.substr(0, name.size() - kLayerSuffix.size()));
      if (id) TRY(add({File::Kind::kLayer, *id, store_.LayerPath(*id)}));
    }
    for (const std::string algorithm : {"sha256", "sha512"}) {
      for (const std::string& name : TRY(ListDirectory(store_.paths().blobs / algorithm))) {
        const auto digest = oci::Digest::Parse(algorithm + ":" + name);
        if (digest) TRY(add({File::Kind::kBlob, ObjectId(ClaimBytes(*digest)), store_.BlobPath(*digest)}));
      }
    }
    for (const ObjectId& id : TRY(store_.objects().List()))
      TRY(add({File::Kind::kObject, id, store_.objects().PathOf(id)}));
    return {};
  }

  Result<void> Sweep() {
    const size_t batch = std::max<size_t>(options_.batch, 1);
    for (size_t begin = 0; begin < garbage_.size(); begin += batch) {
      const size_t end = std::min(begin + batch, garbage_.size());
      if (options_.dry_run) {
        for (size_t i = begin; i < end; ++i) TRY(Count(garbage_[i]));
        continue;
      }
      TRY(Refresh());
      pace_.Rest();
      TRY(Exclusive([&](CatalogRows& rows) { return SweepBatch(rows, begin, end); }));
    }
    return {};
  }

  // What has come is looked into before anybody is locked out, so that little is left to look at then.
  Result<void> Refresh() {
    bool changed = false;
    TRY(store_.catalog().Read([&](const CatalogRows& rows) -> Result<void> {
      changed = TRY(rows.Generation()) != generation_;
      return changed ? ListRows(rows) : Result<void>();
    }));
    return changed ? AtLowPriority([&] { return MarkRows(true); }) : Result<void>();
  }

  Result<void> SweepBatch(const CatalogRows& rows, size_t begin, size_t end) {
    std::vector<LeaseRow> dead;
    TRY(ReadClaims(rows, dead));
    if (TRY(rows.Generation()) != generation_) {
      TRY(ListRows(rows));
      TRY(MarkRows(false));
    }
    for (size_t i = begin; i < end; ++i) {
      const File& file = garbage_[i];
      if (Needed(file)) {
        ++collected_.kept.files;
        collected_.kept.bytes += TRY(BytesOf(file.path));
        continue;
      }
      TRY(Count(file));
      if (::unlink(file.path.c_str()) != 0 && errno != ENOENT)
        return ErrnoError(errno, "remove " + file.path.string());
    }
    return {};
  }

  Result<void> Count(const File& file) {
    const uint64_t bytes = TRY(BytesOf(file.path));
    ++CountOf(file).files;
    CountOf(file).bytes += bytes;
    return {};
  }

  // 0 when it has gone.
  static Result<uint64_t> BytesOf(const fs::path& path) {
    struct stat st {};
    if (::lstat(path.c_str(), &st) == 0) return static_cast<uint64_t>(st.st_blocks) * 512;
    if (errno == ENOENT) return uint64_t{0};
    return ErrnoError(errno, "look at " + path.string());
  }

  // Listed before the leases are read: then each that belongs to a live session has its lease read too.
  Result<void> FindTemporary() {
    for (const fs::path& directory :
         {store_.paths().layers, store_.paths().blobs / "sha256", store_.paths().blobs / "sha512"}) {
      for (const std::string& name : TRY(ListDirectory(directory))) {
        const std::string_view session = SessionOfTemporary(name);
        if (!session.empty()) temporary_.emplace_back(std::string(session), directory / name);
      }
    }
    const int64_t now =
        std::chrono::duration_cast<std::chrono::seconds>(clock_.Now().time_since_epoch()).count();
    for (const std::string& name : TRY(ListDirectory(store_.paths().claims))) {
      struct stat st {};
      const fs::path path = store_.paths().claims / name;
      if (name.size() == 32 && ::lstat(path.c_str(), &st) == 0 && now - st.st_mtime > kLitterSeconds)
        temporary_.emplace_back(name, path);
    }
    return {};
  }

  Result<void> RemoveTemporary() {
    for (const auto& [session, path] : temporary_) {
      if (live_.contains(session)) continue;
      const uint64_t bytes = TRY(BytesOf(path));
      if (!options_.dry_run && ::unlink(path.c_str()) != 0 && errno != ENOENT)
        return ErrnoError(errno, "remove " + path.string());
      ++collected_.temporary.files;
      collected_.temporary.bytes += bytes;
    }
    if (!options_.dry_run) collected_.temporary.files += TRY(store_.objects().SweepStaging());
    return {};
  }

  Store& store_;
  const CollectOptions& options_;
  const Clock& clock_;
  ClaimReader claims_;
  NeededFiles needed_;
  Pace pace_;
  NeededRows rows_;
  std::vector<ImageRow> going_;
  std::vector<std::string> going_cache_;
  std::vector<LayerId> going_layers_;
  std::map<oci::Digest, std::vector<std::string>> names_;
  std::set<std::string> live_;  // sessions
  int64_t generation_ = -1;
  std::vector<oci::Digest> images_;
  std::vector<LayerId> layers_;
  std::vector<std::pair<std::string, fs::path>> temporary_;  // session, path
  std::vector<File> garbage_;
  Collected collected_;
};

}  // namespace

Result<Collected> Collect(Store& store, const CollectOptions& options, const Clock& clock) {
  auto lock = FileLock::Take(store.paths().claims / "collector.lock", false);
  if (!lock) {
    if (lock.error().code() != Code::kConflict) return std::move(lock).error();
    return Error(Code::kConflict, "Another garbage collection runs on this store; wait until it has ended.");
  }
  return Collection(store, options, clock).Run();
}

}  // namespace ingot::store

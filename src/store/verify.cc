#include "store/verify.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

#include "base/sha256.h"
#include "base/sha512.h"
#include "base/sync.h"
#include "store/sealed_layer.h"
#include "store/store_state.h"

namespace ingot::store {
namespace {

constexpr auto kProgressEvery = std::chrono::milliseconds(50);

struct Thing {
  ThingKind kind;
  std::string name;
  fs::path path;
  uint64_t bytes = 0;  // as far as it is known
  ObjectId object;     // kObject
  oci::Digest digest;  // kBlob
};

ProblemKind KindOf(Code code) {
  switch (code) {
    case Code::kNotFound:
      return ProblemKind::kMissing;
    case Code::kCorrupt:
    case Code::kInvalid:
      return ProblemKind::kDamaged;
    default:
      return ProblemKind::kUnreadable;
  }
}

template <typename Hash>
Result<std::string> HexOfFile(const fs::path& path) {
  const Fd fd = TRY(OpenFile(path, O_RDONLY | O_NOFOLLOW));
  const ByteSource source = SourceOf(fd.get());
  Hash hash;
  std::string buffer(1 << 20, '\0');
  while (const size_t n = TRY(source(buffer.data(), buffer.size())))
    hash.Update(std::string_view(buffer.data(), n));
  const auto bytes = hash.Finish();
  return Hex(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Result<oci::Digest> DigestOfFile(const fs::path& path, std::string_view algorithm) {
  if (algorithm == "sha512") return oci::Digest::FromSha512Hex(TRY(HexOfFile<Sha512>(path)));
  return oci::Digest::FromSha256Hex(TRY(HexOfFile<Sha256>(path)));
}

class Verification {
 public:
  Verification(Store& store, const VerifyOptions& options) : store_(store), options_(options) {}

  Result<VerifyReport> Run() {
    TRY(store_.catalog().Read([&](const CatalogRows& rows) { return ReadRows(rows); }));
    for (const ImageRow& row : images_) ReadImage(row);
    ReadLayers();
    CheckThings();
    std::sort(report_.problems.begin(), report_.problems.end(), [](const Problem& a, const Problem& b) {
      return std::tie(a.thing, a.name) < std::tie(b.thing, b.name);
    });
    report_.images = images_.size();
    return std::move(report_);
  }

 private:
  Result<void> ReadRows(const CatalogRows& rows) {
    if (options_.images.empty()) {
      images_ = TRY(rows.ListImages());
      for (const oci::Digest& digest : TRY(rows.ListRepositoryDigests())) AddBlob(digest, 0, std::nullopt);
    } else {
      for (const oci::Digest& digest : options_.images) {
        auto row = TRY(rows.FindImage(digest));
        if (!row) return NotInStore("image", digest.Render());
        images_.push_back(*std::move(row));
      }
    }
    for (const ImageRow& image : images_) {
      for (const ImageRow::LayerRef& ref : image.layers) {
        layer_images_[ref.id].insert(image.digest);
        for (const Layer& layer : TRY(rows.FindLayers(ref.id)))
          if (layer.diff_id == ref.diff_id) layer_rows_[{ref.id, ref.diff_id}] = layer;
      }
    }
    return {};
  }

  void Report(ProblemKind kind, ThingKind thing, std::string name, fs::path path, std::string message,
              std::set<oci::Digest> images) {
    report_.problems.push_back(
        {kind, thing, std::move(name), std::move(path), std::move(message), std::move(images)});
  }

  // Without an image: what was pushed to the registry.
  void AddBlob(const oci::Digest& digest, uint64_t bytes, const std::optional<oci::Digest>& image) {
    auto [users, fresh] = blob_images_.try_emplace(digest);
    if (image) users->second.insert(*image);
    if (!fresh) return;
    things_.push_back({ThingKind::kBlob, digest.Render(), store_.BlobPath(digest), bytes, {}, digest});
    ++report_.blobs;
  }

  // The manifest says which blobs there must be; a manifest that cannot be used is found as a blob.
  void ReadImage(const ImageRow& row) {
    AddBlob(row.digest, 0, row.digest);
    const auto bytes = store_.GetBlob(row.digest, oci::kMaxManifestBytes);
    if (!bytes) return;
    const auto damaged = [&](const std::string& message) {
      Report(ProblemKind::kDamaged, ThingKind::kImage, row.digest.Render(), store_.BlobPath(row.digest),
             message, {row.digest});
    };
    const auto manifest = oci::Manifest::Parse(*bytes);
    if (!manifest) return damaged(manifest.error().Render());
    AddBlob(manifest->config.digest, manifest->config.size_bytes, row.digest);
    if (manifest->layers.size() != row.layers.size())
      return damaged("store.db and the manifest disagree about the layers");
    if (const auto config_bytes = store_.GetBlob(manifest->config.digest)) {
      const auto config = oci::ImageConfig::Parse(*config_bytes);
      if (!config) return damaged(config.error().Render());
      bool same = config->diff_ids.size() == row.layers.size();
      for (size_t i = 0; same && i < row.layers.size(); ++i)
        same = config->diff_ids[i] == row.layers[i].diff_id;
      if (!same) return damaged("store.db and the configuration disagree about the diff_ids");
    }
    for (size_t i = 0; i < row.layers.size(); ++i) {
      const auto layer = layer_rows_.find({row.layers[i].id, row.layers[i].diff_id});
      if (layer == layer_rows_.end()) {
        damaged("store.db has no row for the layer " + row.layers[i].id.Render());
        continue;
      }
      // A tar that is made when it is read needs no blob.
      const oci::Descriptor& blob = manifest->layers[i];
      if (layer->second.blob || blob.digest != row.layers[i].diff_id)
        AddBlob(blob.digest, blob.size_bytes, row.digest);
    }
  }

  void ReadLayers() {
    report_.layers = layer_images_.size();
    for (const auto& [id, images] : layer_images_) {
      const fs::path path = store_.LayerPath(id);
      const auto tree = store_.ReadLayer(id);
      if (!tree) {
        Report(KindOf(tree.error().code()), ThingKind::kLayer, id.Render(), path, tree.error().Render(),
               images);
        continue;
      }
      struct stat st {};
      if (::stat(path.c_str(), &st) == 0) done_bytes_ += static_cast<uint64_t>(st.st_size);
      tree->Walk([&, &id = id](const std::string&, const Node& node, bool first) {
        if (!first || node.object.empty()) return;
        auto [users, fresh] = object_layers_.try_emplace(node.object);
        if (users->second.empty() || users->second.back() != id) users->second.push_back(id);
        if (fresh) things_.push_back({ThingKind::kObject, {}, {}, node.size_bytes, node.object, {}});
      });
    }
    report_.objects = object_layers_.size();
  }

  Result<uint64_t> Check(const Thing& thing) const {
    if (thing.kind == ThingKind::kBlob) {
      const oci::Digest found = TRY(DigestOfFile(thing.path, thing.digest.algorithm()));
      if (found != thing.digest)
        return Error(Code::kCorrupt, "its contents have the digest " + found.Render());
      struct stat st {};
      if (::stat(thing.path.c_str(), &st) != 0) return ErrnoError(errno, "look at " + thing.path.string());
      return static_cast<uint64_t>(st.st_size);
    }
    const Fd fd = TRY(OpenFile(store_.objects().PathOf(thing.object), O_RDONLY | O_NOFOLLOW));
    const ObjectId::Measured measured = TRY(ObjectId::OfFile(fd.get()));
    if (measured.id != thing.object)
      return Error(Code::kCorrupt, "its contents have the digest " + measured.id.Render());
    if (measured.size_bytes != thing.bytes) {
      return Error(Code::kCorrupt, "a layer says that it has " + std::to_string(thing.bytes) +
                                       " bytes; it has " + std::to_string(measured.size_bytes));
    }
    return measured.size_bytes;
  }

  void CheckThings() {
    // The large ones first, so that no core is left with one of them at the end.
    std::sort(things_.begin(), things_.end(),
              [](const Thing& a, const Thing& b) { return a.bytes > b.bytes; });
    uint64_t total = done_bytes_;
    for (const Thing& thing : things_) total += thing.bytes;
    std::atomic<size_t> next{0};
    std::atomic<uint64_t> done{done_bytes_};
    Sync<std::vector<std::pair<size_t, Error>>> failed;
    Sync<std::chrono::steady_clock::time_point> shown(std::chrono::steady_clock::now());
    const auto work = [&] {
      for (size_t i = next++; i < things_.size(); i = next++) {
        auto bytes = Check(things_[i]);
        if (bytes) {
          done += *bytes;
        } else {
          failed.lock()->emplace_back(i, std::move(bytes).error());
        }
        if (!options_.progress || i % 16 != 0) continue;
        auto last = shown.lock();
        const auto now = std::chrono::steady_clock::now();
        if (now - *last < kProgressEvery) continue;
        *last = now;
        options_.progress(done, total);
      }
    };
    const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
    const size_t wanted = options_.threads != 0 ? options_.threads : cores;
    std::vector<std::thread> threads;
    for (size_t i = 1; i < std::min(wanted, things_.size()); ++i) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    if (options_.progress) options_.progress(done, total);
    report_.bytes = done;
    for (const auto& [i, error] : *failed.lock()) ReportThing(things_[i], error);
  }

  void ReportThing(const Thing& thing, const Error& error) {
    if (thing.kind == ThingKind::kBlob) {
      Report(KindOf(error.code()), thing.kind, thing.name, thing.path, error.Render(),
             blob_images_[thing.digest]);
      return;
    }
    std::set<oci::Digest> images;
    for (const LayerId& layer : object_layers_[thing.object])
      images.insert(layer_images_[layer].begin(), layer_images_[layer].end());
    Report(KindOf(error.code()), thing.kind, thing.object.Render(), store_.objects().PathOf(thing.object),
           error.Render(), std::move(images));
  }

  Store& store_;
  const VerifyOptions& options_;
  VerifyReport report_;
  std::vector<ImageRow> images_;
  std::map<std::pair<LayerId, oci::Digest>, Layer> layer_rows_;
  std::map<LayerId, std::set<oci::Digest>> layer_images_;
  std::map<oci::Digest, std::set<oci::Digest>> blob_images_;
  std::unordered_map<ObjectId, std::vector<LayerId>> object_layers_;
  std::vector<Thing> things_;
  uint64_t done_bytes_ = 0;
};

}  // namespace

Result<VerifyReport> Verify(Store& store, const VerifyOptions& options) {
  return Verification(store, options).Run();
}

std::string_view ProblemKindName(ProblemKind kind) {
  switch (kind) {
    case ProblemKind::kMissing:
      return "missing";
    case ProblemKind::kDamaged:
      return "damaged";
    case ProblemKind::kUnreadable:
      break;
  }
  return "unreadable";
}

std::string_view ThingKindName(ThingKind kind) {
  switch (kind) {
    case ThingKind::kObject:
      return "object";
    case ThingKind::kLayer:
      return "layer";
    case ThingKind::kBlob:
      return "blob";
    case ThingKind::kImage:
      break;
  }
  return "image";
}

}  // namespace ingot::store

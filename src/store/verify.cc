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

#include "base/sync.h"
#include "store/file_check.h"
#include "store/sealed_layer.h"
#include "store/store_state.h"

namespace ingot::store {
namespace {

constexpr auto kProgressEvery = std::chrono::milliseconds(50);
// So many small files are opened and asked for before the first of them is read: the disk has several things
// to do at once.
constexpr size_t kFilesAhead = 16;
constexpr uint64_t kLargeFile = uint64_t{1} << 20;

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

  struct Checked {
    std::atomic<size_t> next{0};
    std::atomic<uint64_t> done{0};
    uint64_t total = 0;
    Sync<std::vector<std::pair<size_t, Error>>> failed;
    Sync<std::chrono::steady_clock::time_point> shown{std::chrono::steady_clock::now()};
  };

  void CheckThings() {
    // The large ones first, so that no core is left with one of them at the end; the small ones in the order
    // of their folders.
    std::stable_sort(things_.begin(), things_.end(), [](const Thing& a, const Thing& b) {
      const bool large_a = a.bytes >= kLargeFile;
      const bool large_b = b.bytes >= kLargeFile;
      if (large_a != large_b) return large_a;
      if (large_a) return a.bytes > b.bytes;
      return std::tie(a.kind, a.object) < std::tie(b.kind, b.object);
    });
    Checked checked;
    checked.done = done_bytes_;
    checked.total = done_bytes_;
    for (const Thing& thing : things_) checked.total += thing.bytes;
    const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
    const size_t wanted = options_.threads != 0 ? options_.threads : cores;
    std::vector<std::thread> threads;
    for (size_t i = 1; i < std::min(wanted, things_.size()); ++i)
      threads.emplace_back([&] { CheckSome(checked); });
    CheckSome(checked);
    for (std::thread& thread : threads) thread.join();
    if (options_.progress) options_.progress(checked.done, checked.total);
    report_.bytes = checked.done;
    for (const auto& [i, error] : *checked.failed.lock()) ReportThing(things_[i], error);
  }

  // On one thread: takes what nobody has taken, until nothing is left.
  void CheckSome(Checked& checked) const {
    FileCheck check;
    while (true) {
      const size_t begin = checked.next.fetch_add(1);
      if (begin >= things_.size()) return;
      size_t end = begin + 1;
      if (things_[begin].bytes < kLargeFile) {
        // Another thread's step in between only makes the run shorter.
        size_t expected = begin + 1;
        const size_t last = std::min(begin + kFilesAhead, things_.size());
        if (checked.next.compare_exchange_strong(expected, last)) end = last;
      }
      CheckRun(check, checked, begin, end);
      ShowProgress(checked);
    }
  }

  void CheckRun(FileCheck& check, Checked& checked, size_t begin, size_t end) const {
    std::vector<Result<Fd>> opened;
    opened.reserve(end - begin);
    for (size_t i = begin; i < end; ++i) {
      const Thing& thing = things_[i];
      opened.push_back(
          check.Open(thing.kind == ThingKind::kObject ? store_.objects().PathOf(thing.object) : thing.path));
      // Only a hint.
      if (opened.back()) static_cast<void>(::posix_fadvise(opened.back()->get(), 0, 0, POSIX_FADV_WILLNEED));
    }
    for (size_t i = begin; i < end; ++i) {
      const Thing& thing = things_[i];
      Result<Fd>& fd = opened[i - begin];
      Result<uint64_t> bytes = uint64_t{0};
      if (!fd) {
        bytes = fd.error();
      } else if (thing.kind == ThingKind::kBlob) {
        bytes = check.Blob(fd->get(), thing.digest);
      } else {
        bytes = check.Object(fd->get(), thing.object, thing.bytes);
      }
      if (bytes) {
        checked.done += *bytes;
        fd->reset();
      } else {
        checked.failed.lock()->emplace_back(i, std::move(bytes).error());
      }
    }
  }

  void ShowProgress(Checked& checked) const {
    if (!options_.progress) return;
    auto last = checked.shown.lock();
    const auto now = std::chrono::steady_clock::now();
    if (now - *last < kProgressEvery) return;
    *last = now;
    options_.progress(checked.done, checked.total);
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

size_t VerifyReport::Count(ProblemKind kind) const {
  return static_cast<size_t>(std::count_if(problems.begin(), problems.end(),
                                           [kind](const Problem& problem) { return problem.kind == kind; }));
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

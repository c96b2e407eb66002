#include "registry/image_pull.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <thread>

#include "base/json.h"
#include "base/sha256.h"
#include "base/units.h"
#include "oci/image_config.h"
#include "oci/index.h"
#include "oci/manifest.h"
#include "registry/checked_blob.h"
#include "registry/image_copy.h"
#include "registry/remote_image.h"
#include "store/imported_layers.h"
#include "store/incoming_blob.h"
#include "store/tar_reader.h"

namespace ingot::registry {
namespace {

constexpr int kMaxIndexes = 4;  // in each other
constexpr size_t kMaxConfig = 8 << 20;
constexpr uint64_t kWorthWritingOut = 16 << 20;
constexpr size_t kMaxLayers = 200;  // overlayfs takes some more; Docker makes at most 127

std::string PulledKey(const oci::Digest& digest) {
  return Sha256Hex("pulled/1\n" + digest.Render() + "\n" + ShowPlatform(oci::HostPlatform()));
}

// A layer is sealed by what it holds and by what the layers below say about folders that it only implies.
std::string PulledLayerKey(const oci::Digest& blob, const std::vector<oci::Digest>& diff_ids, size_t count) {
  std::string text = "pulled-layer/1\n" + blob.Render();
  for (size_t i = 0; i < count; ++i) text += "\n" + diff_ids[i].Render();
  return Sha256Hex(text);
}

// A layer that is on its way.
struct ComingLayer {
  std::optional<store::Layer> sealed;  // known before
  bool here = false;                   // its blob is in the store
  std::optional<store::IncomingBlob> blob;
  std::optional<store::ReadArchive> archive;
  std::optional<store::Tree> tree;  // in place of both
};

// The layer as it was sealed on the same layers below, with the blob that the manifest names; or one that was
// made in a store, and says by itself what all of it is.
Result<std::optional<store::Layer>> FindSealed(store::Store& store, store::Lease& lease,
                                               const oci::Descriptor& descriptor,
                                               const std::vector<oci::Digest>& diff_ids, size_t i) {
  const auto entry = TRY(store.CacheGet(PulledLayerKey(descriptor.digest, diff_ids, i), &lease));
  std::optional<store::Layer> found;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    if (entry && !entry->refs.layers.empty())
      for (store::Layer& layer : TRY(rows.FindLayers(entry->refs.layers.front())))
        if (layer.diff_id == diff_ids[i]) found = std::move(layer);
    if (found || descriptor.digest != diff_ids[i]) return {};
    for (store::Layer& layer : TRY(rows.FindLayers(diff_ids[i])))
      if (!layer.blob) found = std::move(layer);
    return {};
  }));
  if (!found) return std::optional<store::Layer>();
  const bool made_when_read = !found->blob && descriptor.digest == found->diff_id;
  if (!made_when_read && !TRY(store.HasBlob(descriptor.digest))) return std::optional<store::Layer>();
  return found;
}

class ImagePull {
 public:
  ImagePull(ImageSource& source, const std::optional<oci::Digest>& wanted, store::Store& store,
            store::Lease& lease, const PullOptions& options)
      : source_(source), wanted_(wanted), store_(store), lease_(lease), options_(options) {}

  Result<PulledImage> Pull() {
    if (wanted_) {
      if (const auto known = TRY(FindPulled(store_, *wanted_, &lease_))) {
        pulled_.digest = *wanted_;
        pulled_.manifest = *known;
        pulled_.known = true;
        return pulled_;
      }
    }
    RemoteManifest remote = TRY(source_.GetManifest(std::nullopt, &cancelled_));
    pulled_.digest = remote.digest;
    if (const auto known = TRY(FindPulled(store_, remote.digest, &lease_))) {
      pulled_.manifest = *known;
      pulled_.known = true;
      return pulled_;
    }
    remote = TRY(ForThisMachine(std::move(remote)));
    manifest_ = TRY(oci::Manifest::Parse(remote.bytes));
    TRY(CheckManifest());
    const std::string config_bytes = TRY(GetConfig());
    config_ = TRY(oci::ImageConfig::Parse(config_bytes));
    TRY(CheckConfig());
    TRY(FindKnownLayers());
    TRY(CheckSpace());
    TRY(FetchLayers());
    store::ImportedLayers sealed(store_, lease_);
    for (size_t i = 0; i < layers_.size(); ++i) TRY(Seal(i, sealed));
    const std::string provenance =
        RenderJson(JsonObject{{"pulled", source_.name()}, {"digest", pulled_.digest.Render()}});
    pulled_.manifest =
        TRY(store_.PutForeignImage(remote.bytes, config_bytes, sealed.layers(), provenance, lease_));
    pulled_.layers = layers_.size();
    TRY(store_.CachePut(PulledKey(pulled_.digest), R"({"step":"pull"})", {{}, {pulled_.manifest}}));
    return pulled_;
  }

 private:
  static Error Foreign(Code code, std::string_view what) { return Error(code, std::string(what)); }

  // An index leads to the manifest for this machine.
  Result<RemoteManifest> ForThisMachine(RemoteManifest remote) {
    for (int depth = 0; oci::IsIndexType(remote.media_type); ++depth) {
      if (depth == kMaxIndexes) return Foreign(Code::kInvalid, "its indexes are nested too deeply");
      const oci::Index index = TRY(oci::Index::Parse(remote.bytes));
      const oci::Platform host = oci::HostPlatform();
      const oci::Descriptor* found = index.Select(host);
      if (found == nullptr) {
        std::string has;
        for (const oci::Descriptor& entry : index.manifests) {
          if (!entry.platform || entry.platform->os == "unknown") continue;
          has += (has.empty() ? "" : ", ") + ShowPlatform(*entry.platform);
        }
        return Foreign(Code::kNotFound, "there is no image for " + ShowPlatform(host) + "; it has " +
                                            (has.empty() ? "none" : has.substr(0, 500)));
      }
      const uint64_t size = found->size_bytes;
      const oci::Digest inner = found->digest;
      remote = TRY(source_.GetManifest(inner, &cancelled_));
      if (remote.bytes.size() != size)
        return Foreign(Code::kInvalid,
                       "the manifest " + remote.digest.Render() + " has another size than its index says");
    }
    return remote;
  }

  Result<std::string> GetConfig() {
    const oci::Descriptor& config = manifest_.config;
    if (config.size_bytes > kMaxConfig) {
      return Foreign(Code::kInvalid, "The blob " + config.digest.Render() + " has " +
                                         std::to_string(config.size_bytes) + " bytes; at most " +
                                         std::to_string(kMaxConfig) + " are accepted for a " +
                                         config.media_type + ".");
    }
    std::string bytes;
    CheckedBlob checked(source_, config, &cancelled_);
    TRY(checked.Read(0, [&](std::string_view piece) -> Result<void> {
      bytes += piece;
      return {};
    }));
    return bytes;
  }

  // Better now than in the middle. What the layers unpack to nobody knows yet: at least as much again, but
  // much of it may be in the pool.
  Result<void> CheckSpace() {
    uint64_t free_bytes = options_.free_bytes.value_or(0);
    if (!options_.free_bytes) {
      struct statvfs st {};
      if (::statvfs(store_.paths().blobs.c_str(), &st) != 0)
        return ErrnoError(errno, "look how much of " + store_.paths().blobs.string() + " is free");
      free_bytes = uint64_t{st.f_bavail} * st.f_frsize;
    }
    if (needed_bytes_ <= free_bytes) return {};
    return Foreign(Code::kNoSpace, "its layers have " + RenderSize(needed_bytes_) + ", and only " +
                                       RenderSize(free_bytes) + " are free in " +
                                       store_.paths().blobs.parent_path().string() +
                                       "; `ingot gc` removes what nothing needs any more");
  }

  Result<void> CheckManifest() {
    const std::string& type = manifest_.config.media_type;
    if (type != oci::kConfigType && type != oci::kDockerConfigType)
      return Foreign(Code::kUnsupported, "it is no image but an artifact (" + type.substr(0, 100) + ")");
    if (manifest_.layers.empty()) return Foreign(Code::kUnsupported, "it has no layer");
    if (manifest_.layers.size() > kMaxLayers)
      return Foreign(Code::kUnsupported, "it has " + std::to_string(manifest_.layers.size()) +
                                             " layers; at most " + std::to_string(kMaxLayers) +
                                             " can be mounted");
    for (const oci::Descriptor& layer : manifest_.layers) {
      if (!oci::LayerCompressionOf(layer.media_type))
        return Foreign(Code::kUnsupported, "the layer " + layer.digest.Render() + " is a " +
                                               layer.media_type.substr(0, 100) +
                                               ", which cannot be unpacked");
      if (layer.digest.algorithm() != "sha256")
        return Foreign(Code::kUnsupported, "only SHA-256 digests are kept, not " + layer.digest.Render());
    }
    return {};
  }

  Result<void> CheckConfig() {
    if (config_.diff_ids.size() != manifest_.layers.size()) {
      return Foreign(Code::kInvalid, "its manifest has " + std::to_string(manifest_.layers.size()) +
                                         " layers, its configuration " +
                                         std::to_string(config_.diff_ids.size()));
    }
    const oci::Platform host = oci::HostPlatform();
    if (config_.os == host.os && config_.architecture == host.architecture) return {};
    return Foreign(Code::kUnsupported, "it is for " + config_.os.substr(0, 50) + "/" +
                                           config_.architecture.substr(0, 50) + "; this machine is " +
                                           ShowPlatform(host));
  }

  Result<void> FindKnownLayers() {
    layers_.resize(manifest_.layers.size());
    for (size_t i = 0; i < layers_.size(); ++i) {
      const oci::Descriptor& descriptor = manifest_.layers[i];
      layers_[i].sealed = TRY(FindSealed(store_, lease_, descriptor, config_.diff_ids, i));
      if (layers_[i].sealed) {
        ++progress_.layers_known;
        continue;
      }
      if (descriptor.digest == config_.diff_ids[i])
        layers_[i].tree = TRY(source_.GetTree(config_.diff_ids[i]));
      if (layers_[i].tree) continue;
      layers_[i].here = TRY(IsHere(descriptor));
      if (!layers_[i].here) needed_bytes_ += descriptor.size_bytes;
      progress_.total_bytes += descriptor.size_bytes;
      missing_.push_back(i);
    }
    progress_.layers_total = missing_.size();
    return {};
  }

  // What was pushed to the store's own registry, or pulled with another image, need not come again; a damaged
  // one has to.
  Result<bool> IsHere(const oci::Descriptor& descriptor) {
    if (!TRY(store_.KeepBlob(descriptor.digest, lease_))) return false;
    const Fd fd = TRY(store_.OpenBlob(descriptor.digest));
    const ByteSource source = SourceOf(fd.get());
    Sha256 hash;
    std::string buffer(1 << 20, '\0');
    while (const size_t n = TRY(source(buffer.data(), buffer.size())))
      hash.Update(std::string_view(buffer.data(), n));
    return oci::Digest::FromSha256Hex(Hex(hash.Finish())) == descriptor.digest;
  }

  // The first error stops them all.
  Result<void> FetchLayers() {
    Tell([](PullProgress&) {});
    std::atomic<size_t> next{0};
    std::mutex mutex;
    std::optional<Error> failure;
    const auto work = [&] {
      for (size_t n = next++; n < missing_.size() && !cancelled_.load(); n = next++) {
        auto fetched = Fetch(missing_[n]);
        if (fetched) continue;
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::move(fetched).error();
        cancelled_.store(true);
      }
    };
    std::vector<std::thread> threads;
    const size_t jobs = std::min<size_t>(static_cast<size_t>(std::max(1, options_.jobs)), missing_.size());
    for (size_t i = 1; i < jobs; ++i) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    if (failure) return *failure;
    return {};
  }

  Result<void> Fetch(size_t i) {
    const oci::Descriptor& descriptor = manifest_.layers[i];
    ComingLayer& layer = layers_[i];
    Fd fd;
    if (layer.here) {
      fd = TRY(store_.OpenBlob(descriptor.digest));
      Tell([&](PullProgress& progress) { progress.done_bytes += descriptor.size_bytes; });
    } else {
      layer.blob.emplace(TRY(store_.ReceiveBlob(descriptor.digest, descriptor.size_bytes, lease_)));
      TRY(source_.GetBlob(
          descriptor, 0,
          [&](std::string_view piece) -> Result<void> {
            if (cancelled_.load()) return Error(Code::kCancelled, "another layer failed");
            TRY(layer.blob->Write(piece));
            Tell([&](PullProgress& progress) { progress.done_bytes += piece.size(); });
            return {};
          },
          &cancelled_));
      TRY(layer.blob->Check());
      fd = TRY(layer.blob->Open());
    }
    auto archive = store::ReadTar(
        [&](char* buffer, size_t size) -> Result<size_t> {
          if (cancelled_.load()) return Error(Code::kCancelled, "another layer failed");
          return SourceOf(fd.get())(buffer, size);
        },
        store_.objects(), store::ImportedTarOptions());
    if (!archive) return std::move(archive).error().While("reading the layer " + descriptor.digest.Render());
    if (archive->diff_id != config_.diff_ids[i]) {
      return Foreign(Code::kInvalid, "the layer " + descriptor.digest.Render() + " unpacks to " +
                                         archive->diff_id.Render() + "; the configuration says " +
                                         config_.diff_ids[i].Render());
    }
    const bool large = archive->uncompressed_bytes >= kWorthWritingOut;
    layer.archive = std::move(*archive);
    bool more = false;
    Tell([&](PullProgress& progress) { more = ++progress.layers_done < progress.layers_total; });
    // Meanwhile the others go on; else the disk would do nothing until all of them are there.
    if (large && more) store_.objects().WriteOut();
    return {};
  }

  Result<void> Seal(size_t i, store::ImportedLayers& sealed) {
    ComingLayer& layer = layers_[i];
    const oci::Descriptor& descriptor = manifest_.layers[i];
    if (layer.sealed) {
      sealed.AddSealed(std::move(*layer.sealed));
      return {};
    }
    if (layer.tree) {
      store::Layer made = TRY(store_.SealLayer(*layer.tree, lease_));
      if (made.diff_id != config_.diff_ids[i])
        return Foreign(Code::kInvalid, "the layer that came as files is " + made.diff_id.Render() +
                                           "; the configuration says " + config_.diff_ids[i].Render());
      sealed.AddSealed(std::move(made));
      return {};
    }
    if (!layer.here) pulled_.transferred_bytes += descriptor.size_bytes;
    TRY(sealed.Add(std::move(*layer.archive), descriptor, config_.diff_ids[i],
                   [&]() -> Result<void> { return layer.here ? Result<void>() : layer.blob->Publish(); }));
    layer.blob.reset();
    return store_.CachePut(PulledLayerKey(descriptor.digest, config_.diff_ids, i), R"({"step":"layer"})",
                           {{sealed.layers().back().id}, {}});
  }

  template <typename Change>
  void Tell(const Change& change) {
    const std::lock_guard lock(progress_mutex_);
    change(progress_);
    if (options_.progress) options_.progress(progress_);
  }

  ImageSource& source_;
  const std::optional<oci::Digest>& wanted_;
  store::Store& store_;
  store::Lease& lease_;
  const PullOptions& options_;
  PulledImage pulled_;
  oci::Manifest manifest_;
  oci::ImageConfig config_;
  std::vector<ComingLayer> layers_;
  std::vector<size_t> missing_;
  uint64_t needed_bytes_ = 0;
  std::atomic<bool> cancelled_{false};
  std::mutex progress_mutex_;
  PullProgress progress_;
};

}  // namespace

Result<std::vector<size_t>> LackingLayers(store::Store& store, store::Lease& lease,
                                          const oci::Manifest& manifest, const oci::ImageConfig& config) {
  if (config.diff_ids.size() != manifest.layers.size())
    return Error(Code::kInvalid, "the manifest has " + std::to_string(manifest.layers.size()) +
                                     " layers, its configuration " + std::to_string(config.diff_ids.size()));
  std::vector<size_t> lacking;
  for (size_t i = 0; i < manifest.layers.size(); ++i) {
    if (TRY(FindSealed(store, lease, manifest.layers[i], config.diff_ids, i))) continue;
    if (!TRY(store.KeepBlob(manifest.layers[i].digest, lease))) lacking.push_back(i);
  }
  return lacking;
}

Result<std::optional<oci::Digest>> FindPulled(store::Store& store, const oci::Digest& digest,
                                              store::Lease* lease) {
  const auto entry = TRY(store.CacheGet(PulledKey(digest), lease));
  if (!entry || entry->refs.images.empty()) return std::optional<oci::Digest>();
  return std::optional<oci::Digest>(entry->refs.images.front());
}

Result<PulledImage> PullImage(Client& client, store::Store& store, const oci::Reference& reference,
                              store::Lease& lease, const PullOptions& options) {
  RemoteSource source(client, reference);
  return PullImage(source, reference.digest, store, lease, options);
}

Result<PulledImage> PullImage(ImageSource& source, const std::optional<oci::Digest>& wanted,
                              store::Store& store, store::Lease& lease, const PullOptions& options) {
  auto pulled = ImagePull(source, wanted, store, lease, options).Pull();
  if (!pulled) return std::move(pulled).error().While("pulling " + source.name());
  return pulled;
}

}  // namespace ingot::registry

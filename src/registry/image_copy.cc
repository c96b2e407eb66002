#include "registry/image_copy.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "oci/index.h"
#include "oci/manifest.h"
#include "registry/checked_blob.h"
#include "registry/pushed_manifest.h"

namespace ingot::registry {
namespace {

constexpr int kMaxCopyDepth = 4;            // of indexes in indexes, of referrers of referrers
constexpr size_t kMaxCopyManifests = 2000;  // of one image, with all platforms and referrers
constexpr size_t kMaxCopyBlobs = 20'000;

class ImageCopy {
 public:
  ImageCopy(ImageSource& source, ImageTarget& target, const CopyOptions& options)
      : source_(source), target_(target), options_(options) {}

  Result<CopiedImage> Copy() {
    RemoteManifest chosen = TRY(source_.GetManifest(std::nullopt, &cancelled_));
    if (options_.platform) chosen = TRY(ForPlatform(std::move(chosen)));
    copied_.digest = chosen.digest;
    TRY(Collect(std::move(chosen), true, 0));
    TRY(CopyBlobs());
    for (const Planned& planned : manifests_) {
      const bool is_chosen = planned.manifest.digest == copied_.digest;
      if (is_chosen || !planned.present) TRY(target_.PutManifest(planned.manifest, is_chosen));
    }
    TRY(target_.Finish());
    copied_.manifests = manifests_.size();
    return copied_;
  }

 private:
  struct Planned {
    RemoteManifest manifest;
    bool present = false;
  };

  Result<RemoteManifest> ForPlatform(RemoteManifest manifest) {
    for (int depth = 0; oci::IsIndexType(manifest.media_type); ++depth) {
      if (depth == kMaxCopyDepth) return Error(Code::kInvalid, "its indexes are nested too deeply");
      const oci::Index index = TRY(oci::Index::Parse(manifest.bytes));
      const oci::Descriptor* found = index.Select(*options_.platform);
      if (found == nullptr)
        return Error(Code::kNotFound, "there is no image for " + ShowPlatform(*options_.platform));
      manifest = TRY(Fetch(*found));
    }
    return manifest;
  }

  Result<RemoteManifest> Fetch(const oci::Descriptor& descriptor) {
    RemoteManifest manifest = TRY(source_.GetManifest(descriptor.digest, &cancelled_));
    if (manifest.bytes.size() != descriptor.size_bytes) {
      return Error(Code::kInvalid,
                   "the manifest " + manifest.digest.Render() + " has another size than what names it says");
    }
    // What names it knows better than a server's header.
    if (oci::IsMediaType(descriptor.media_type)) manifest.media_type = descriptor.media_type;
    return manifest;
  }

  // What a manifest names comes before it, what refers to it behind.
  Result<void> Collect(RemoteManifest manifest, bool wanted, int depth) {
    if (!seen_.insert(manifest.digest).second) return {};
    if (depth > kMaxCopyDepth) return Error(Code::kInvalid, "its indexes are nested too deeply");
    if (seen_.size() > kMaxCopyManifests)
      return Error(Code::kRefused, "it has more than " + std::to_string(kMaxCopyManifests) + " manifests");
    Planned planned;
    planned.present = TRY(target_.HasManifest(manifest));
    if (oci::IsIndexType(manifest.media_type)) {
      const oci::Index index = TRY(oci::Index::Parse(manifest.bytes));
      for (const oci::Descriptor& child : index.manifests) TRY(Collect(TRY(Fetch(child)), true, depth + 1));
    } else if (!planned.present) {
      TRY(AddBlobs(manifest));
    }
    const oci::Digest digest = manifest.digest;
    planned.manifest = std::move(manifest);
    manifests_.push_back(std::move(planned));
    if (!wanted) ++copied_.referrers;
    if (!options_.referrers) return {};
    for (const oci::Descriptor& referrer : TRY(source_.ListReferrers(digest)))
      TRY(Collect(TRY(Fetch(referrer)), false, depth + 1));
    return {};
  }

  // Of artifacts, too, whose configuration and layers can be of any type.
  Result<void> AddBlobs(const RemoteManifest& manifest) {
    const Json json = TRY(ParseJson(manifest.bytes));
    if (!json.is_object()) return Error(Code::kInvalid, "the manifest is no JSON object");
    const JsonObject& document = json.get_object();
    // Checks the document as a registry does, and knows which blobs are kept elsewhere.
    const PushedManifest parsed =
        TRY(PushedManifest::Parse(manifest.bytes, manifest.digest, manifest.media_type));
    const std::set<oci::Digest> needed(parsed.blobs.begin(), parsed.blobs.end());
    if (!parsed.manifests.empty())
      return Error(Code::kInvalid, manifest.digest.Render() + " is neither a manifest nor an index");
    const auto add = [&](const Json& value, const std::string& where) -> Result<void> {
      oci::Descriptor blob = TRY(oci::ParseDescriptor(value, where));
      if (!needed.contains(blob.digest)) return {};
      const uint64_t size_bytes = blob.size_bytes;
      const auto known = blobs_.try_emplace(blob.digest, std::move(blob)).first;
      if (known->second.size_bytes != size_bytes)
        return Error(Code::kInvalid, "two sizes are said of " + known->first.Render());
      if (blobs_.size() > kMaxCopyBlobs)
        return Error(Code::kRefused, "it has more than " + std::to_string(kMaxCopyBlobs) + " blobs");
      return {};
    };
    if (const Json* config = document.if_contains("config"); config != nullptr && !config->is_null())
      TRY(add(*config, "config"));
    const Json* layers = document.if_contains("layers");
    if (layers != nullptr && layers->is_array())
      for (const Json& layer : layers->get_array()) TRY(add(layer, "layers"));
    return {};
  }

  // The first error stops them all.
  Result<void> CopyBlobs() {
    std::vector<const oci::Descriptor*> blobs;
    for (const auto& [digest, blob] : blobs_) blobs.push_back(&blob);
    // The longest first: they decide when it ends.
    std::stable_sort(blobs.begin(), blobs.end(),
                     [](const auto* a, const auto* b) { return a->size_bytes > b->size_bytes; });
    std::vector<char> missing(blobs.size(), 1);
    TRY(InParallel(blobs.size(), [&](size_t i) -> Result<void> {
      missing[i] = TRY(target_.HasBlob(*blobs[i])) ? 0 : 1;
      return {};
    }));
    std::vector<const oci::Descriptor*> wanted;
    for (size_t i = 0; i < blobs.size(); ++i) {
      if (missing[i] == 0) {
        ++copied_.blobs_present;
        continue;
      }
      wanted.push_back(blobs[i]);
      progress_.total_bytes += blobs[i]->size_bytes;
    }
    progress_.blobs_total = wanted.size();
    Tell([](CopyProgress&) {});
    return InParallel(wanted.size(), [&](size_t i) { return CopyBlob(*wanted[i]); });
  }

  Result<void> CopyBlob(const oci::Descriptor& blob) {
    CheckedBlob checked(source_, blob, &cancelled_);
    uint64_t told = 0;  // a part that is sent again is no progress
    const BlobReader read = [&](uint64_t offset, const ByteSink& sink) {
      uint64_t at = offset;
      return checked.Read(offset, [&, at](std::string_view piece) mutable -> Result<void> {
        if (cancelled_.load()) return Error(Code::kCancelled, "another blob failed");
        TRY(sink(piece));
        at += piece.size();
        const uint64_t more = at > told ? at - told : 0;
        told += more;
        if (more > 0) Tell([&](CopyProgress& progress) { progress.done_bytes += more; });
        return {};
      });
    };
    const BlobOutcome outcome = TRY(target_.PutBlob(blob, read, &cancelled_));
    Tell([&](CopyProgress& progress) {
      ++progress.blobs_done;
      progress.done_bytes += blob.size_bytes - told;
      if (outcome == BlobOutcome::kMounted) {
        ++copied_.blobs_mounted;
      } else {
        ++copied_.blobs_copied;
        copied_.copied_bytes += blob.size_bytes;
      }
    });
    return {};
  }

  Result<void> InParallel(size_t count, const std::function<Result<void>(size_t)>& work) {
    std::atomic<size_t> next{0};
    std::mutex mutex;
    std::optional<Error> failure;
    const auto loop = [&] {
      for (size_t i = next++; i < count && !cancelled_.load(); i = next++) {
        auto done = work(i);
        if (done) continue;
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::move(done).error();
        cancelled_.store(true);
      }
    };
    const auto jobs = static_cast<size_t>(std::max(1, std::min(options_.jobs, target_.max_jobs())));
    std::vector<std::thread> threads;
    for (size_t i = 1; i < std::min(jobs, count); ++i) threads.emplace_back(loop);
    loop();
    for (std::thread& thread : threads) thread.join();
    if (failure) return *failure;
    return {};
  }

  template <typename Change>
  void Tell(const Change& change) {
    const std::lock_guard lock(progress_mutex_);
    change(progress_);
    if (options_.progress) options_.progress(progress_);
  }

  ImageSource& source_;
  ImageTarget& target_;
  const CopyOptions& options_;
  CopiedImage copied_;
  std::set<oci::Digest> seen_;
  std::vector<Planned> manifests_;  // in the order in which they are put
  std::map<oci::Digest, oci::Descriptor> blobs_;
  std::atomic<bool> cancelled_{false};
  std::mutex progress_mutex_;
  CopyProgress progress_;
};

}  // namespace

Result<CopiedImage> CopyImage(ImageSource& source, ImageTarget& target, const CopyOptions& options) {
  auto copied = ImageCopy(source, target, options).Copy();
  if (!copied) return std::move(copied).error().While("copying " + source.name());
  return copied;
}

Result<oci::Platform> ParsePlatform(std::string_view text) {
  oci::Platform platform;
  const size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    platform.os = text.substr(0, slash);
    std::string_view rest = text.substr(slash + 1);
    platform.architecture = rest.substr(0, rest.find('/'));
    if (platform.architecture.size() < rest.size())
      platform.variant = rest.substr(platform.architecture.size() + 1);
  }
  if (platform.os.empty() || platform.architecture.empty() || platform.variant.find('/') != std::string::npos)
    return Error(Code::kInvalid, "\"" + std::string(text) + "\" is no platform; write linux/amd64");
  return platform;
}

std::string ShowPlatform(const oci::Platform& platform) {
  return platform.os + "/" + platform.architecture + (platform.variant.empty() ? "" : "/" + platform.variant);
}

}  // namespace ingot::registry

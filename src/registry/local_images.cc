#include "registry/local_images.h"

#include <algorithm>
#include <utility>

#include "store/made_blob.h"
#include "store/tar_writer.h"

namespace ingot::registry {
namespace {

// Passes `part` of a stream on and ends it with kCancelled after its last byte.
class PartOfStream {
 public:
  PartOfStream(const ByteRange& part, const ByteSink& sink) : part_(part), sink_(sink) {}

  Result<void> Take(std::string_view bytes) {
    const uint64_t begin = std::exchange(at_, at_ + bytes.size());
    const uint64_t end = part_.offset + part_.size_bytes;
    if (at_ > part_.offset && begin < end) {
      const uint64_t skip = std::max(part_.offset, begin) - begin;
      const uint64_t count = std::min(at_, end) - begin - skip;
      TRY(sink_(bytes.substr(static_cast<size_t>(skip), static_cast<size_t>(count))));
    }
    if (at_ >= end) {
      complete_ = true;
      return Error(Code::kCancelled, "the part has been written");
    }
    return {};
  }
  bool complete() const { return complete_; }

 private:
  ByteRange part_;
  const ByteSink& sink_;
  uint64_t at_ = 0;
  bool complete_ = false;
};

}  // namespace

Result<std::optional<LocalImages::Blob>> LocalImages::FindBlob(std::string_view repository,
                                                               const oci::Digest& digest) {
  std::vector<store::Tag> tags;
  TRY(store_.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    tags = TRY(rows.ListTags(repository));
    return {};
  }));
  for (const store::Tag& tag : tags) {
    auto image = store_.GetImage(tag.digest);
    // Collected since: its tag has moved on.
    if (!image && image.error().code() == Code::kNotFound) continue;
    if (!image) return std::move(image).error();
    const oci::Descriptor& config = image->manifest.config;
    if (config.digest == digest)
      return std::optional<Blob>(Blob{digest, config.size_bytes, tag.digest, std::nullopt});
    for (size_t i = 0; i < image->layers.size(); ++i) {
      const oci::Descriptor& layer = image->manifest.layers[i];
      if (layer.digest != digest) continue;
      Blob blob{digest, layer.size_bytes, tag.digest, std::nullopt};
      if (!image->layers[i].blob && digest == image->layers[i].diff_id) blob.made_from = image->layers[i].id;
      return std::optional<Blob>(std::move(blob));
    }
  }
  return std::optional<Blob>();
}

MadeBody LocalImages::MakePart(const Blob& blob, const ByteRange& part) {
  MadeBody body;
  body.size_bytes = part.size_bytes;
  body.write = [this, blob, part](const ByteSink& sink) -> Result<void> {
    store::Lease lease = TRY(store_.TakeLease("registry: a layer is read"));
    TRY(lease.KeepImage(blob.image));
    const store::Tree tree = TRY(store_.ReadLayer(*blob.made_from));
    PartOfStream cut(part, sink);
    auto done = store::WriteTar(
        tree, store_.objects(), [&](std::string_view bytes) { return cut.Take(bytes); },
        store::ObjectReads::kChecked);
    if (!done && cut.complete()) return {};
    return done;
  };
  return body;
}

Result<void> LocalImages::Materialize(const Blob& blob, store::Lease& lease) {
  if (!blob.made_from) return {};
  TRY(lease.KeepImage(blob.image));
  return store::PutMadeBlob(store_, *blob.made_from, blob.digest, blob.size_bytes, lease);
}

}  // namespace ingot::registry

#include "registry/docker_archive_target.h"

#include "base/decompress.h"
#include "base/json.h"
#include "base/sha256.h"
#include "oci/manifest.h"
#include "registry/archive_files.h"
#include "store/pulled_stream.h"

namespace ingot::registry {
namespace {

constexpr uint64_t kMaxLayerTar = uint64_t{64} << 30;
constexpr uint64_t kMaxLayerRatio = 1'200;
constexpr uint64_t kLayerRatioFrom = 64 << 20;

}  // namespace

Result<BlobOutcome> DockerArchiveTarget::PutBlob(const oci::Descriptor& blob, const BlobReader& read,
                                                 const std::atomic<bool>*) {
  const auto compression = oci::LayerCompressionOf(blob.media_type);
  if (compression && *compression != oci::LayerCompression::kNone) {
    TRY(PutLayer(blob, read));
    return BlobOutcome::kCopied;
  }
  const std::string file = std::string(blob.digest.hex()) + (compression ? ".tar" : ".json");
  if (!writer_.Has(file))
    TRY(writer_.Add(file, blob.size_bytes, [&](const ByteSink& sink) { return read(0, sink); }));
  files_.emplace(blob.digest, file);
  return BlobOutcome::kCopied;
}

Result<void> DockerArchiveTarget::PutLayer(const oci::Descriptor& blob, const BlobReader& read) {
  Fd fd = TRY(OpenNameless(spool_));
  store::PulledStream compressed([&](const ByteSink& sink) { return read(0, sink); });
  const ByteSource source =
      Decompress([&](char* buffer, size_t size) { return compressed.Read(buffer, size); });
  Sha256 hash;
  uint64_t size = 0;
  std::string buffer(1 << 20, '\0');
  while (const size_t n = TRY(source(buffer.data(), buffer.size()))) {
    const std::string_view piece(buffer.data(), n);
    size += n;
    if (size > kMaxLayerTar || (size > kLayerRatioFrom && size / kMaxLayerRatio > blob.size_bytes))
      return Error(Code::kRefused,
                   "the layer " + blob.digest.Render() + " unpacks to more than any honest one");
    hash.Update(piece);
    TRY(WriteAll(fd.get(), piece));
  }
  // What stands behind the end of the compressed stream counts for the digest.
  std::string rest(4096, '\0');
  while (TRY(compressed.Read(rest.data(), rest.size())) > 0) {
  }
  const std::string file = Hex(hash.Finish()) + ".tar";
  files_.emplace(blob.digest, file);
  if (writer_.Has(file)) return {};
  auto kept = std::make_shared<const Fd>(std::move(fd));
  const ByteSource again = FilePart{std::move(kept), 0, size}.Source();
  return writer_.Add(file, size, [&](const ByteSink& sink) -> Result<void> {
    while (const size_t n = TRY(again(buffer.data(), buffer.size())))
      TRY(sink(std::string_view(buffer.data(), n)));
    return {};
  });
}

Result<void> DockerArchiveTarget::PutManifest(const RemoteManifest& manifest, bool chosen) {
  if (!chosen || oci::IsIndexType(manifest.media_type))
    return Error(Code::kUnsupported,
                 "a docker-archive holds one image for one machine, and nothing that refers to it; name a "
                 "--platform, or write an oci-archive");
  const oci::Manifest parsed = TRY(oci::Manifest::Parse(manifest.bytes));
  JsonArray layers;
  for (const oci::Descriptor& layer : parsed.layers) {
    const auto file = files_.find(layer.digest);
    if (file == files_.end())
      return Error(Code::kUnsupported, "the layer " + layer.digest.Render() + " is kept elsewhere");
    layers.emplace_back(file->second);
  }
  const auto config = files_.find(parsed.config.digest);
  if (config == files_.end() || !config->second.ends_with(".json"))
    return Error(Code::kUnsupported, "it is no image but an artifact, which a docker-archive cannot hold");
  JsonArray tags;
  if (!tag_.empty()) tags.emplace_back(tag_);
  const JsonObject image{
      {"Config", config->second}, {"RepoTags", std::move(tags)}, {"Layers", std::move(layers)}};
  return writer_.Add("manifest.json", RenderJson(JsonArray{image}));
}

}  // namespace ingot::registry

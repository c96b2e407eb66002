#include "registry/docker_archive.h"

#include <algorithm>

#include "base/decompress.h"
#include "base/json.h"
#include "base/sha256.h"
#include "oci/image_config.h"
#include "oci/manifest.h"

namespace ingot::registry {
namespace {

constexpr size_t kMaxArchiveConfig = 8 << 20;
constexpr size_t kMaxArchiveLayers = 1000;

Result<std::vector<std::string>> Strings(const JsonObject& object, std::string_view key) {
  std::vector<std::string> out;
  const Json* list = object.if_contains(key);
  if (list == nullptr || list->is_null()) return out;
  if (!list->is_array()) return Error(Code::kInvalid, std::string(key) + ": expected a list");
  for (const Json& item : list->get_array()) {
    if (!item.is_string()) return Error(Code::kInvalid, std::string(key) + ": expected strings");
    out.emplace_back(item.get_string());
  }
  return out;
}

Result<oci::Digest> DigestOf(const FilePart& part) {
  const ByteSource source = part.Source();
  Sha256 hash;
  std::string buffer(1 << 20, '\0');
  while (const size_t n = TRY(source(buffer.data(), buffer.size())))
    hash.Update(std::string_view(buffer.data(), n));
  return oci::Digest::FromSha256Hex(Hex(hash.Finish()));
}

Result<Compression> CompressionOf(const FilePart& part) {
  const ByteSource source = part.Source();
  char head[16] = {};
  const size_t n = TRY(source(head, sizeof head));
  return ingot::CompressionOf(std::string_view(head, n));
}

// As `docker load` and podman compare tags: "web" is "web:latest".
std::string WithTag(std::string_view name) {
  const size_t slash = name.rfind('/');
  const size_t colon = name.find(':', slash == std::string_view::npos ? 0 : slash);
  return std::string(name) + (colon == std::string_view::npos ? ":latest" : "");
}

}  // namespace

Result<std::unique_ptr<DockerArchiveSource>> DockerArchiveSource::Open(std::unique_ptr<ArchiveFiles> files,
                                                                       std::string_view name) {
  std::unique_ptr<DockerArchiveSource> source(new DockerArchiveSource(std::move(files)));
  if (auto chosen = source->Choose(name); !chosen)
    return std::move(chosen).error().While("reading " + source->files_->name());
  return source;
}

Result<void> DockerArchiveSource::Choose(std::string_view name) {
  auto bytes = files_->Read("manifest.json", oci::kMaxManifestBytes);
  if (!bytes && bytes.error().code() == Code::kNotFound)
    return Error(Code::kNotFound,
                 "it has neither oci-layout nor manifest.json, so it is no archive of images");
  if (!bytes) return std::move(bytes).error();
  const Json json = TRY(ParseJson(*bytes));
  if (!json.is_array()) return Error(Code::kInvalid, "manifest.json: expected a list");
  const JsonArray& images = json.get_array();
  if (name.empty() && images.size() != 1)
    return Error(images.empty() ? Code::kNotFound : Code::kInvalid,
                 "it holds " + std::to_string(images.size()) + " images; say which one by its tag");
  for (const Json& image : images) {
    if (!image.is_object()) return Error(Code::kInvalid, "manifest.json: expected objects");
    std::vector<std::string> tags = TRY(Strings(image.get_object(), "RepoTags"));
    const bool matches = std::any_of(tags.begin(), tags.end(),
                                     [&](const std::string& tag) { return WithTag(tag) == WithTag(name); });
    if (!name.empty() && !matches) continue;
    tags_ = std::move(tags);
    return MakeManifest(TRY(GetString(image.get_object(), "Config")),
                        TRY(Strings(image.get_object(), "Layers")));
  }
  return Error(Code::kNotFound, "it holds no image of the tag \"" + std::string(name) + "\"");
}

Result<void> DockerArchiveSource::MakeManifest(const std::string& config_file,
                                               const std::vector<std::string>& layer_files) {
  if (layer_files.size() > kMaxArchiveLayers)
    return Error(Code::kRefused, "it has more than " + std::to_string(kMaxArchiveLayers) + " layers");
  const std::string config_bytes = TRY(files_->Read(config_file, kMaxArchiveConfig));
  const oci::ImageConfig config = TRY(oci::ImageConfig::Parse(config_bytes));
  if (config.diff_ids.size() != layer_files.size()) {
    return Error(Code::kInvalid, "manifest.json has " + std::to_string(layer_files.size()) +
                                     " layers, the configuration " + std::to_string(config.diff_ids.size()));
  }
  oci::Manifest manifest;
  manifest.config.media_type = oci::kConfigType;
  manifest.config.digest = oci::Digest::Of(config_bytes);
  manifest.config.size_bytes = config_bytes.size();
  blobs_.emplace(manifest.config.digest, TRY(files_->Open(config_file)));
  for (size_t i = 0; i < layer_files.size(); ++i) {
    FilePart part = TRY(files_->Open(layer_files[i]));
    oci::Descriptor layer;
    layer.size_bytes = part.size_bytes;
    switch (TRY(CompressionOf(part))) {
      case Compression::kNone:
        // What it must be; it is found out while it is read.
        layer.media_type = oci::kLayerTarType;
        layer.digest = config.diff_ids[i];
        break;
      case Compression::kGzip:
        layer.media_type = oci::kLayerGzipType;
        layer.digest = TRY(DigestOf(part));
        break;
      case Compression::kZstd:
        layer.media_type = oci::kLayerZstdType;
        layer.digest = TRY(DigestOf(part));
        break;
      default:
        return Error(Code::kUnsupported, "the layer " + layer_files[i].substr(0, 200) +
                                             " is compressed in a way that no registry knows");
    }
    blobs_.insert_or_assign(layer.digest, std::move(part));
    manifest.layers.push_back(std::move(layer));
  }
  manifest_.bytes = manifest.Render();
  manifest_.digest = oci::Digest::Of(manifest_.bytes);
  manifest_.media_type = oci::kManifestType;
  return {};
}

Result<RemoteManifest> DockerArchiveSource::GetManifest(const std::optional<oci::Digest>& digest,
                                                        const std::atomic<bool>*) {
  if (digest && *digest != manifest_.digest)
    return Error(Code::kNotFound, files_->name() + " has no manifest " + digest->Render());
  return manifest_;
}

Result<void> DockerArchiveSource::GetBlob(const oci::Descriptor& blob, uint64_t offset, const ByteSink& sink,
                                          const std::atomic<bool>* cancelled) {
  const auto found = blobs_.find(blob.digest);
  if (found == blobs_.end())
    return Error(Code::kNotFound, files_->name() + " has no blob " + blob.digest.Render());
  const ByteSource source = found->second.Source(offset);
  std::string buffer(1 << 20, '\0');
  while (const size_t n = TRY(source(buffer.data(), buffer.size()))) {
    if (cancelled != nullptr && cancelled->load()) return Error(Code::kCancelled, "not needed any more");
    TRY(sink(std::string_view(buffer.data(), n)));
  }
  return {};
}

}  // namespace ingot::registry

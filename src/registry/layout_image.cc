#include "registry/layout_image.h"

#include "base/json.h"
#include "oci/manifest.h"
#include "registry/pushed_manifest.h"

namespace ingot::registry {
namespace {

constexpr const char* kRefNames[] = {"io.containerd.image.name", "org.opencontainers.image.ref.name"};
constexpr size_t kMaxIndexEntries = 10'000;

std::string BlobFile(const oci::Digest& digest) {
  return "blobs/" + std::string(digest.algorithm()) + "/" + std::string(digest.hex());
}

// "" when the entry has none of that kind.
std::string Annotation(const oci::Descriptor& entry, const char* key) {
  const auto found = entry.annotations.find(key);
  return found == entry.annotations.end() ? "" : found->second;
}

}  // namespace

Result<std::unique_ptr<LayoutSource>> LayoutSource::Open(std::unique_ptr<ArchiveFiles> files,
                                                         std::string_view name) {
  std::unique_ptr<LayoutSource> source(new LayoutSource(std::move(files)));
  const std::string where = source->files_->name();
  auto version = source->files_->Read("oci-layout", 4096);
  if (!version && version.error().code() == Code::kNotFound)
    return Error(Code::kNotFound, where + " is not an OCI layout: it has no file oci-layout");
  if (!version) return std::move(version).error();
  const Json json = TRY(ParseJson(*version));
  const JsonObject* object = json.if_object();
  const std::string said = object == nullptr ? "" : StringOr(*object, "imageLayoutVersion", "");
  if (said != "1.0.0")
    return Error(Code::kUnsupported,
                 where + ": imageLayoutVersion is \"" + said.substr(0, 50) + "\"; 1.0.0 is known");
  auto index = oci::Index::Parse(TRY(source->files_->Read("index.json", oci::kMaxManifestBytes)));
  if (!index) return std::move(index).error().While("reading index.json of " + where);
  source->index_ = std::move(*index);
  if (source->index_.manifests.size() > kMaxIndexEntries)
    return Error(Code::kRefused, where + " has more than " + std::to_string(kMaxIndexEntries) + " images");
  TRY(source->Choose(name));
  return source;
}

Result<void> LayoutSource::Choose(std::string_view name) {
  const oci::Descriptor* found = nullptr;
  size_t images = 0;
  std::string names;
  for (const oci::Descriptor& entry : index_.manifests) {
    bool matches = entry.digest.Render() == name;
    std::string shown;
    for (const char* key : kRefNames) {
      const std::string said = Annotation(entry, key);
      matches = matches || (!name.empty() && said == name);
      if (!said.empty()) shown = said;
    }
    // What refers to an image of the layout is no choice.
    const bool referrer = !entry.artifact_type.empty() && shown.empty();
    if (!referrer) {
      ++images;
      names += (names.empty() ? "" : ", ") + (shown.empty() ? entry.digest.Render() : shown);
    }
    if (matches || (name.empty() && !referrer && found == nullptr)) found = &entry;
  }
  if (name.empty() && images > 1)
    return Error(Code::kInvalid, files_->name() + " holds " + std::to_string(images) +
                                     " images; say which one: " + names.substr(0, 500));
  if (found == nullptr) {
    return Error(Code::kNotFound,
                 files_->name() + (name.empty() ? std::string(" holds no image")
                                                : " holds no image of the name \"" + std::string(name) +
                                                      "\"; it has " + names.substr(0, 500)));
  }
  chosen_ = *found;
  for (const char* key : kRefNames)
    if (ref_name_.empty()) ref_name_ = Annotation(chosen_, key);
  return {};
}

Result<RemoteManifest> LayoutSource::GetManifest(const std::optional<oci::Digest>& digest,
                                                 const std::atomic<bool>*) {
  RemoteManifest manifest;
  manifest.digest = digest.value_or(chosen_.digest);
  manifest.bytes = TRY(files_->Read(BlobFile(manifest.digest), oci::kMaxManifestBytes));
  if (const auto found = TRY(oci::Digest::Of(manifest.digest.algorithm(), manifest.bytes));
      found != manifest.digest) {
    return Error(Code::kInvalid, "the manifest " + manifest.digest.Render() +
                                     " has other contents: their digest is " + found.Render());
  }
  manifest.media_type = !digest || *digest == chosen_.digest ? chosen_.media_type : "";
  if (!oci::IsManifestType(manifest.media_type) && !oci::IsIndexType(manifest.media_type))
    manifest.media_type = MediaTypeOf(manifest.bytes);
  return manifest;
}

Result<void> LayoutSource::GetBlob(const oci::Descriptor& blob, uint64_t offset, const ByteSink& sink,
                                   const std::atomic<bool>* cancelled) {
  const FilePart part = TRY(files_->Open(BlobFile(blob.digest)));
  const ByteSource source = part.Source(offset);
  std::string buffer(1 << 20, '\0');
  while (const size_t n = TRY(source(buffer.data(), buffer.size()))) {
    if (cancelled != nullptr && cancelled->load()) return Error(Code::kCancelled, "not needed any more");
    TRY(sink(std::string_view(buffer.data(), n)));
  }
  return {};
}

Result<std::vector<oci::Descriptor>> LayoutSource::ListReferrers(const oci::Digest& subject) {
  std::vector<oci::Descriptor> referrers;
  for (const oci::Descriptor& entry : index_.manifests) {
    if (!oci::IsManifestType(entry.media_type) && !oci::IsIndexType(entry.media_type)) continue;
    const RemoteManifest manifest = TRY(GetManifest(entry.digest, nullptr));
    const auto parsed = PushedManifest::Parse(manifest.bytes, manifest.digest, entry.media_type);
    if (parsed && parsed->subject == subject) referrers.push_back(entry);
  }
  return referrers;
}

}  // namespace ingot::registry

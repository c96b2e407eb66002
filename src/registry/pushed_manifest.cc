#include "registry/pushed_manifest.h"

#include "base/json.h"
#include "oci/descriptor.h"

namespace ingot::registry {
namespace {

struct Pointer {
  std::string media_type;
  oci::Digest digest;
  bool elsewhere = false;  // need not be pushed
};

Result<Pointer> PointerOf(const Json& json, const std::string& where) {
  if (!json.is_object()) return Error(Code::kInvalid, where + ": expected a descriptor");
  const JsonObject& object = json.as_object();
  Pointer pointer;
  pointer.media_type = StringOr(object, "mediaType", "");
  auto digest = oci::Digest::Parse(StringOr(object, "digest", ""));
  if (!digest) return std::move(digest).error().While(where);
  if (pointer.media_type.empty() || IntOr(object, "size", -1) < 0)
    return Error(Code::kInvalid, where + ": a descriptor needs mediaType, digest and size");
  pointer.digest = *digest;
  const Json* urls = object.if_contains("urls");
  pointer.elsewhere = (urls != nullptr && urls->is_array() && !urls->as_array().empty()) ||
                      pointer.media_type.find(".layer.nondistributable.") != std::string::npos ||
                      pointer.media_type.starts_with("application/vnd.docker.image.rootfs.foreign.");
  return pointer;
}

Result<std::vector<Pointer>> PointersOf(const JsonObject& document, std::string_view key) {
  std::vector<Pointer> pointers;
  const Json* list = document.if_contains(key);
  if (list == nullptr || list->is_null()) return pointers;
  if (!list->is_array()) return Error(Code::kInvalid, std::string(key) + ": expected a list of descriptors");
  for (const Json& item : list->as_array())
    pointers.push_back(TRY(PointerOf(item, std::string(key) + "[" + std::to_string(pointers.size()) + "]")));
  return pointers;
}

// As a list of referrers shows it: mediaType, digest, size, artifactType, annotations.
std::string ReferrerDescriptor(const PushedManifest& manifest, const oci::Digest& digest, size_t size_bytes,
                               const JsonObject& document) {
  JsonObject descriptor = {
      {"mediaType", manifest.media_type}, {"digest", digest.Render()}, {"size", size_bytes}};
  if (!manifest.artifact_type.empty()) descriptor["artifactType"] = manifest.artifact_type;
  const Json* annotations = document.if_contains("annotations");
  if (annotations != nullptr && annotations->is_object()) descriptor["annotations"] = *annotations;
  return RenderJson(descriptor);
}

}  // namespace

Result<PushedManifest> PushedManifest::Parse(std::string_view bytes, const oci::Digest& digest,
                                             std::string_view content_type) {
  const Json json = TRY(ParseJson(bytes));
  if (!json.is_object()) return Error(Code::kInvalid, "a manifest is a JSON object");
  const JsonObject& document = json.as_object();
  if (IntOr(document, "schemaVersion", 2) != 2)
    return Error(Code::kInvalid, "schemaVersion: only 2 is known here");
  PushedManifest manifest;
  manifest.media_type = StringOr(document, "mediaType", "");
  if (manifest.media_type.empty()) {
    manifest.media_type = content_type;
  } else if (!content_type.empty() && manifest.media_type != content_type) {
    return Error(Code::kInvalid, "mediaType is " + manifest.media_type.substr(0, 200) +
                                     ", and the request's Content-Type says " + std::string(content_type));
  }
  if (!oci::IsMediaType(manifest.media_type))
    return Error(Code::kInvalid, "neither mediaType nor the request's Content-Type says what it is");
  manifest.artifact_type = StringOr(document, "artifactType", "");
  const Json* config = document.if_contains("config");
  if (config != nullptr && !config->is_null()) {
    const Pointer pointer = TRY(PointerOf(*config, "config"));
    if (!pointer.elsewhere) manifest.blobs.push_back(pointer.digest);
    if (manifest.artifact_type.empty()) manifest.artifact_type = pointer.media_type;
  } else if (oci::IsManifestType(manifest.media_type)) {
    return Error(Code::kInvalid, "config: missing");
  }
  for (const Pointer& layer : TRY(PointersOf(document, "layers")))
    if (!layer.elsewhere) manifest.blobs.push_back(layer.digest);
  for (const Pointer& child : TRY(PointersOf(document, "manifests")))
    if (!child.elsewhere) manifest.manifests.push_back(child.digest);
  const Json* subject = document.if_contains("subject");
  if (subject != nullptr && !subject->is_null()) {
    manifest.subject = TRY(PointerOf(*subject, "subject")).digest;
    manifest.descriptor = ReferrerDescriptor(manifest, digest, bytes.size(), document);
  }
  return manifest;
}

}  // namespace ingot::registry

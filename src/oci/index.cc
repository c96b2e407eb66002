#include "oci/index.h"

#include "oci/json_fields.h"
#include "oci/manifest.h"

namespace ingot::oci {

Result<Index> Index::Parse(std::string_view bytes) {
  const Json json = TRY(ParseDocument(bytes, kMaxManifestBytes, "an image index"));
  const Fields fields = TRY(Fields::Of(json, ""));
  if (TRY(fields.Integer("schemaVersion")) != 2) return Error(Code::kInvalid, "schemaVersion: expected 2");
  Index index;
  index.media_type = TRY(fields.Text("mediaType"));
  // See Manifest::Parse.
  if (fields.Find("config") != nullptr || fields.Find("layers") != nullptr)
    return Error(Code::kInvalid, "config, layers: an index has none; this is an image manifest");
  if (!index.media_type.empty() && !IsIndexType(index.media_type)) {
    return Error(Code::kInvalid,
                 "mediaType: expected " + std::string(kIndexType) + ", not \"" + index.media_type + "\"");
  }
  index.artifact_type = TRY(fields.Text("artifactType"));
  const JsonArray* manifests = TRY(fields.List("manifests"));
  if (manifests == nullptr)
    return Error(Code::kInvalid, "manifests: missing; expected a list of descriptors");
  for (size_t i = 0; i < manifests->size(); ++i) {
    index.manifests.push_back(TRY(ParseDescriptor((*manifests)[i], "manifests[" + std::to_string(i) + "]")));
  }
  if (const Json* subject = fields.Find("subject")) index.subject = TRY(ParseDescriptor(*subject, "subject"));
  index.annotations = TRY(fields.TextMap("annotations"));
  return index;
}

std::string Index::Render() const {
  JsonObject object;
  object["schemaVersion"] = 2;
  AddText(object, "mediaType", media_type);
  AddText(object, "artifactType", artifact_type);
  JsonArray& list = object["manifests"].emplace_array();
  for (const Descriptor& manifest : manifests) list.push_back(RenderDescriptor(manifest));
  if (subject) object["subject"] = RenderDescriptor(*subject);
  if (!annotations.empty()) object["annotations"] = RenderAnnotations(annotations);
  return RenderJson(object);
}

const Descriptor* Index::Select(const Platform& wanted) const {
  const Descriptor* any = nullptr;
  const Descriptor* near = nullptr;
  for (const Descriptor& manifest : manifests) {
    if (!manifest.platform) {
      if (any == nullptr) any = &manifest;
      continue;
    }
    const Platform& has = *manifest.platform;
    if (has.os != wanted.os || has.architecture != wanted.architecture) continue;
    if (has.variant == wanted.variant) return &manifest;
    if (near == nullptr && (has.variant.empty() || wanted.variant.empty())) near = &manifest;
  }
  return near != nullptr ? near : any;
}

Platform HostPlatform() {
#if defined(__x86_64__)
  return {"amd64", "linux", "", {}, ""};
#elif defined(__aarch64__)
  return {"arm64", "linux", "", {}, ""};
#else
#error "say how Go names this architecture"
#endif
}

}  // namespace ingot::oci

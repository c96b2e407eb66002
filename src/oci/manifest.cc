#include "oci/manifest.h"

#include "oci/json_fields.h"

namespace ingot::oci {

Result<Manifest> Manifest::Parse(std::string_view bytes) {
  const Json json = TRY(ParseDocument(bytes, kMaxManifestBytes, "an image manifest"));
  const Fields fields = TRY(Fields::Of(json, ""));
  const int64_t version = TRY(fields.Integer("schemaVersion"));
  if (version == 1) {
    return Error(Code::kUnsupported,
                 "schemaVersion: 1 is Docker's old image format; push the image again with a current tool");
  }
  if (version != 2) return Error(Code::kInvalid, "schemaVersion: expected 2");

  Manifest manifest;
  manifest.media_type = TRY(fields.Text("mediaType"));
  // The media type is optional in the specification; a document that also is an index would be taken for one
  // thing by some readers and for the other by others (CVE-2021-41190).
  if (fields.Find("manifests") != nullptr)
    return Error(Code::kInvalid, "manifests: an image manifest has none; this is an index");
  if (!manifest.media_type.empty() && !IsManifestType(manifest.media_type)) {
    return Error(Code::kInvalid, "mediaType: expected " + std::string(kManifestType) + ", not \"" +
                                     manifest.media_type + "\"");
  }
  manifest.artifact_type = TRY(fields.Text("artifactType"));
  if (!manifest.artifact_type.empty() && !IsMediaType(manifest.artifact_type))
    return Error(Code::kInvalid, "artifactType: expected a media type (RFC 6838)");
  const Json* config = fields.Find("config");
  if (config == nullptr) return Error(Code::kInvalid, "config: missing; expected a descriptor");
  manifest.config = TRY(ParseDescriptor(*config, "config"));
  const JsonArray* layers = TRY(fields.List("layers"));
  if (layers == nullptr) return Error(Code::kInvalid, "layers: missing; expected a list of descriptors");
  for (size_t i = 0; i < layers->size(); ++i) {
    manifest.layers.push_back(TRY(ParseDescriptor((*layers)[i], "layers[" + std::to_string(i) + "]")));
  }
  if (const Json* subject = fields.Find("subject"))
    manifest.subject = TRY(ParseDescriptor(*subject, "subject"));
  manifest.annotations = TRY(fields.TextMap("annotations"));
  return manifest;
}

std::string Manifest::Render() const {
  JsonObject object;
  object["schemaVersion"] = 2;
  AddText(object, "mediaType", media_type);
  AddText(object, "artifactType", artifact_type);
  object["config"] = RenderDescriptor(config);
  JsonArray& list = object["layers"].emplace_array();
  for (const Descriptor& layer : layers) list.push_back(RenderDescriptor(layer));
  if (subject) object["subject"] = RenderDescriptor(*subject);
  if (!annotations.empty()) object["annotations"] = RenderAnnotations(annotations);
  return RenderJson(object);
}

}  // namespace ingot::oci

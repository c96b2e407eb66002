#include "oci/descriptor.h"

#include <cctype>

#include "oci/base64.h"
#include "oci/json_fields.h"

namespace ingot::oci {
namespace {

// RFC 6838 "restricted-name".
bool IsRestrictedName(std::string_view name) {
  if (name.empty() || name.size() > 127 || !std::isalnum(static_cast<unsigned char>(name[0]))) return false;
  for (const char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) &&
        std::string_view("!#$&^_.+-").find(c) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

Result<Platform> ParsePlatform(const Json& json, std::string where) {
  const Fields fields = TRY(Fields::Of(json, std::move(where)));
  Platform platform;
  platform.architecture = TRY(fields.RequiredText("architecture"));
  platform.os = TRY(fields.RequiredText("os"));
  platform.os_version = TRY(fields.Text("os.version"));
  platform.os_features = TRY(fields.TextList("os.features"));
  platform.variant = TRY(fields.Text("variant"));
  return platform;
}

JsonObject RenderPlatform(const Platform& platform) {
  JsonObject object;
  object["architecture"] = platform.architecture;
  object["os"] = platform.os;
  AddText(object, "os.version", platform.os_version);
  AddList(object, "os.features", platform.os_features);
  AddText(object, "variant", platform.variant);
  return object;
}

}  // namespace

bool IsMediaType(std::string_view text) {
  const size_t slash = text.find('/');
  return slash != std::string_view::npos && IsRestrictedName(text.substr(0, slash)) &&
         IsRestrictedName(text.substr(slash + 1));
}

bool IsManifestType(std::string_view media_type) {
  return media_type == kManifestType || media_type == kDockerManifestType;
}

bool IsIndexType(std::string_view media_type) {
  return media_type == kIndexType || media_type == kDockerListType;
}

std::optional<LayerCompression> LayerCompressionOf(std::string_view media_type) {
  // The non-distributable ones (deprecated by the specification) hold the same bytes.
  constexpr std::string_view kOld = "application/vnd.oci.image.layer.nondistributable.v1.tar";
  if (media_type == kLayerTarType || media_type == kDockerLayerTarType || media_type == kOld)
    return LayerCompression::kNone;
  if (media_type == kLayerGzipType || media_type == kDockerLayerGzipType ||
      media_type == std::string(kOld) + "+gzip" ||
      media_type == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip") {
    return LayerCompression::kGzip;
  }
  if (media_type == kLayerZstdType || media_type == std::string(kOld) + "+zstd" ||
      media_type == "application/vnd.docker.image.rootfs.diff.tar.zstd") {
    return LayerCompression::kZstd;
  }
  return std::nullopt;
}

Result<Annotations> ParseAnnotations(const JsonObject& parent, std::string_view where) {
  const Json holder(parent);
  const Fields fields = TRY(Fields::Of(holder, std::string(where)));
  return fields.TextMap("annotations");
}

JsonObject RenderAnnotations(const Annotations& annotations) {
  JsonObject object;
  for (const auto& [key, value] : annotations) object[key] = value;
  return object;
}

Result<Descriptor> ParseDescriptor(const Json& json, std::string_view where) {
  const Fields fields = TRY(Fields::Of(json, std::string(where)));
  Descriptor descriptor;
  descriptor.media_type = TRY(fields.RequiredText("mediaType"));
  if (!IsMediaType(descriptor.media_type))
    return Error(Code::kInvalid, fields.Where("mediaType") + ": expected a media type (RFC 6838)");
  descriptor.digest = TRY(fields.RequiredDigest("digest"));
  descriptor.size_bytes = TRY(fields.RequiredSize("size"));
  descriptor.urls = TRY(fields.TextList("urls"));
  descriptor.annotations = TRY(fields.TextMap("annotations"));
  descriptor.artifact_type = TRY(fields.Text("artifactType"));
  if (!descriptor.artifact_type.empty() && !IsMediaType(descriptor.artifact_type))
    return Error(Code::kInvalid, fields.Where("artifactType") + ": expected a media type (RFC 6838)");
  if (const Json* platform = fields.Find("platform"))
    descriptor.platform = TRY(ParsePlatform(*platform, fields.Where("platform")));
  if (fields.Find("data") != nullptr) {
    auto data = ParseBase64(TRY(fields.Text("data")));
    if (!data) return Error(Code::kInvalid, fields.Where("data") + ": " + data.error().message());
    if (data->size() != descriptor.size_bytes ||
        (descriptor.digest.algorithm() == "sha256" && Digest::Of(*data) != descriptor.digest)) {
      return Error(Code::kInvalid, fields.Where("data") + ": is not the content that size and digest tell");
    }
    descriptor.data = *std::move(data);
  }
  return descriptor;
}

JsonObject RenderDescriptor(const Descriptor& descriptor) {
  JsonObject object;
  object["mediaType"] = descriptor.media_type;
  object["digest"] = descriptor.digest.Render();
  object["size"] = static_cast<int64_t>(descriptor.size_bytes);
  AddList(object, "urls", descriptor.urls);
  if (!descriptor.annotations.empty()) object["annotations"] = RenderAnnotations(descriptor.annotations);
  if (descriptor.data) object["data"] = RenderBase64(*descriptor.data);
  AddText(object, "artifactType", descriptor.artifact_type);
  if (descriptor.platform) object["platform"] = RenderPlatform(*descriptor.platform);
  return object;
}

}  // namespace ingot::oci

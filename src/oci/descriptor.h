// An OCI descriptor: what a document says about a blob it refers to (image-spec 1.1, descriptor.md).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "oci/digest.h"

namespace ingot::oci {

using Annotations = std::map<std::string, std::string>;

inline constexpr std::string_view kManifestType = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kIndexType = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kConfigType = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kLayerTarType = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kLayerGzipType = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kLayerZstdType = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kEmptyType = "application/vnd.oci.empty.v1+json";
inline constexpr std::string_view kDockerManifestType =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerListType =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerConfigType = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kDockerLayerGzipType = "application/vnd.docker.image.rootfs.diff.tar.gzip";
inline constexpr std::string_view kDockerLayerTarType = "application/vnd.docker.image.rootfs.diff.tar";

// RFC 6838 section 4.2: type "/" subtype.
bool IsMediaType(std::string_view text);
bool IsManifestType(std::string_view media_type);  // OCI or Docker schema 2
bool IsIndexType(std::string_view media_type);     // OCI index or Docker manifest list
enum class LayerCompression { kNone, kGzip, kZstd };
// nullopt: not the media type of a layer that can be unpacked.
std::optional<LayerCompression> LayerCompressionOf(std::string_view media_type);

// Which machine an image is for (image-index.md, "platform").
struct Platform {
  std::string architecture;  // as Go names it: "amd64"
  std::string os;            // "linux"
  std::string os_version;
  std::vector<std::string> os_features;
  std::string variant;  // "v8"
  bool operator==(const Platform&) const = default;
};

struct Descriptor {
  std::string media_type;
  Digest digest;
  uint64_t size_bytes = 0;  // at most 2^63 - 1
  std::vector<std::string> urls;
  Annotations annotations;
  std::optional<std::string> data;  // the content itself, decoded; its size and digest were checked
  std::string artifact_type;
  std::optional<Platform> platform;  // in an index
  bool operator==(const Descriptor&) const = default;
};

// `where` ("layers[2]") begins every message. kInvalid: a required member is missing, of a wrong type or
// breaks its grammar, `data` is not what size and digest say. Unknown members are ignored, as the
// specification demands.
Result<Descriptor> ParseDescriptor(const Json& json, std::string_view where);
// In the specification's order of members; absent what is empty.
JsonObject RenderDescriptor(const Descriptor& descriptor);

// The same for annotations, which appear in several documents. Missing or null: none.
Result<Annotations> ParseAnnotations(const JsonObject& parent, std::string_view where);
JsonObject RenderAnnotations(const Annotations& annotations);

}  // namespace ingot::oci

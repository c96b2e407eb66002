#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/sha256.h"
#include "oci/image_config.h"
#include "oci/index.h"
#include "oci/manifest.h"
#include "store/imported_layers.h"
#include "store/oci_layout.h"

namespace ingot::store {
namespace {

constexpr std::string_view kImportedName = "org.opencontainers.image.ref.name";
constexpr int kMaxNesting = 4;  // of indexes in indexes
constexpr size_t kMaxConfigBytes = 8 << 20;

// Passes bytes on and checks at the end that they were the descriptor's.
class CheckedSource {
 public:
  CheckedSource(ByteSource source, const oci::Descriptor& descriptor)
      : source_(std::move(source)), descriptor_(descriptor) {}

  Result<size_t> Read(char* buffer, size_t size) {
    const size_t n = TRY(source_(buffer, size));
    size_ += n;
    if (size_ > descriptor_.size_bytes) return Wrong("is longer than");
    hash_.Update(std::string_view(buffer, n));
    return n;
  }

  // Reads what is left and compares.
  Result<void> Finish() {
    std::string buffer(1 << 16, '\0');
    while (TRY(Read(buffer.data(), buffer.size())) > 0) {
    }
    if (size_ < descriptor_.size_bytes) return Wrong("is shorter than");
    const auto found = oci::Digest::FromSha256Hex(Hex(hash_.Finish()));
    if (found == descriptor_.digest) return {};
    return Error(Code::kInvalid, "The blob " + descriptor_.digest.Render() +
                                     " has other contents: their digest is " + found.Render() + ".");
  }

 private:
  Error Wrong(std::string_view how) const {
    return Error(Code::kInvalid, "The blob " + descriptor_.digest.Render() + " " + std::string(how) +
                                     " the " + std::to_string(descriptor_.size_bytes) +
                                     " bytes that its descriptor says.");
  }
  ByteSource source_;
  const oci::Descriptor& descriptor_;
  Sha256 hash_;
  uint64_t size_ = 0;
};

class LayoutReader {
 public:
  LayoutReader(Store& store, const fs::path& directory, Lease& lease)
      : store_(store), directory_(directory), lease_(lease), layers_(store, lease) {}

  Result<oci::Digest> Import(std::string_view name) {
    TRY(CheckVersion());
    const oci::Index index =
        TRY(oci::Index::Parse(TRY(ReadFile(directory_ / "index.json", oci::kMaxManifestBytes))));
    const oci::Descriptor chosen = TRY(Choose(index, name));
    const oci::Descriptor entry = TRY(Resolve(chosen, 0));
    const std::string manifest_bytes = TRY(ReadBlob(entry, oci::kMaxManifestBytes));
    const oci::Manifest manifest = TRY(oci::Manifest::Parse(manifest_bytes));
    const std::string config_bytes = TRY(ReadBlob(manifest.config, kMaxConfigBytes));
    const oci::ImageConfig config = TRY(oci::ImageConfig::Parse(config_bytes));
    if (config.diff_ids.size() != manifest.layers.size()) {
      return Error(Code::kInvalid, "The manifest " + entry.digest.Render() + " has " +
                                       std::to_string(manifest.layers.size()) +
                                       " layers, its configuration " +
                                       std::to_string(config.diff_ids.size()) + ".");
    }
    for (size_t i = 0; i < manifest.layers.size(); ++i)
      TRY(ImportLayer(manifest.layers[i], config.diff_ids[i]));
    return store_.PutForeignImage(manifest_bytes, config_bytes, layers_.layers(), "", lease_);
  }

 private:
  Result<void> CheckVersion() {
    const fs::path path = directory_ / "oci-layout";
    auto bytes = ReadFile(path, 4096);
    if (!bytes) {
      if (bytes.error().code() != Code::kNotFound) return std::move(bytes).error();
      return Error(Code::kNotFound,
                   directory_.string() + " is not an OCI layout: it has no file oci-layout.");
    }
    const Json json = TRY(ParseJson(*bytes));
    const JsonObject* object = json.if_object();
    const std::string version = object == nullptr ? "" : StringOr(*object, "imageLayoutVersion", "");
    if (version == "1.0.0") return {};
    return Error(Code::kUnsupported,
                 path.string() + ": imageLayoutVersion is \"" + version + "\"; 1.0.0 is known");
  }

  Result<oci::Descriptor> Choose(const oci::Index& index, std::string_view name) {
    if (name.empty()) {
      if (index.manifests.size() == 1) return index.manifests[0];
      return Error(index.manifests.empty() ? Code::kNotFound : Code::kInvalid,
                   directory_.string() + " holds " + std::to_string(index.manifests.size()) +
                       " images; say which one by its name or digest.");
    }
    for (const oci::Descriptor& entry : index.manifests) {
      const auto ref = entry.annotations.find(std::string(kImportedName));
      if (entry.digest.Render() == name || (ref != entry.annotations.end() && ref->second == name))
        return entry;
    }
    return Error(Code::kNotFound,
                 directory_.string() + " holds no image of the name \"" + std::string(name) + "\".");
  }

  // An index leads to the manifest for this machine.
  Result<oci::Descriptor> Resolve(const oci::Descriptor& entry, int depth) {
    if (!oci::IsIndexType(entry.media_type)) {
      if (oci::IsManifestType(entry.media_type)) return entry;
      return Error(Code::kUnsupported, "The entry " + entry.digest.Render() + " of " + directory_.string() +
                                           " is no image but a " + entry.media_type + ".");
    }
    if (depth == kMaxNesting) return Error(Code::kInvalid, "Indexes are nested too deeply.");
    const oci::Index index = TRY(oci::Index::Parse(TRY(ReadBlob(entry, oci::kMaxManifestBytes))));
    const oci::Platform host = oci::HostPlatform();
    const oci::Descriptor* found = index.Select(host);
    if (found == nullptr) {
      return Error(Code::kNotFound, "The index " + entry.digest.Render() + " has no image for " + host.os +
                                        "/" + host.architecture + ".");
    }
    return Resolve(*found, depth + 1);
  }

  Result<Fd> OpenBlob(const oci::Descriptor& descriptor) {
    if (descriptor.digest.algorithm() != "sha256")
      return Error(Code::kUnsupported, "Only SHA-256 digests are kept, not " + descriptor.digest.Render());
    const fs::path path = directory_ / "blobs" / "sha256" / descriptor.digest.hex();
    Fd fd = TRY(OpenFile(path, O_RDONLY | O_NONBLOCK));
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0) return ErrnoError(errno, "look at " + path.string());
    if (!S_ISREG(st.st_mode)) return Error(Code::kInvalid, path.string() + " is not a regular file.");
    return fd;
  }

  Result<std::string> ReadBlob(const oci::Descriptor& descriptor, size_t limit_bytes) {
    if (descriptor.size_bytes > limit_bytes) {
      return Error(Code::kInvalid, "The blob " + descriptor.digest.Render() + " has " +
                                       std::to_string(descriptor.size_bytes) + " bytes; at most " +
                                       std::to_string(limit_bytes) + " are accepted for a " +
                                       descriptor.media_type + ".");
    }
    const Fd fd = TRY(OpenBlob(descriptor));
    CheckedSource source(SourceOf(fd.get()), descriptor);
    std::string bytes(descriptor.size_bytes, '\0');
    size_t used = 0;
    while (used < bytes.size()) {
      const size_t n = TRY(source.Read(bytes.data() + used, bytes.size() - used));
      if (n == 0) break;
      used += n;
    }
    TRY(source.Finish());
    return bytes;
  }

  Result<void> ImportLayer(const oci::Descriptor& descriptor, const oci::Digest& diff_id) {
    if (!oci::LayerCompressionOf(descriptor.media_type)) {
      return Error(Code::kUnsupported, "The layer " + descriptor.digest.Render() + " is a " +
                                           descriptor.media_type + ", which cannot be unpacked.");
    }
    const Fd fd = TRY(OpenBlob(descriptor));
    CheckedSource source(SourceOf(fd.get()), descriptor);
    auto archive = ReadTar([&](char* buffer, size_t size) { return source.Read(buffer, size); },
                           store_.objects(), ImportedTarOptions());
    if (!archive) return std::move(archive).error().While("reading the layer " + descriptor.digest.Render());
    TRY(source.Finish());
    return layers_.Add(std::move(*archive), descriptor, diff_id, [&]() -> Result<void> {
      if (::lseek(fd.get(), 0, SEEK_SET) != 0) return ErrnoError(errno, "read the layer again");
      return store_.PutBlobStream(descriptor.digest, SourceOf(fd.get()), descriptor.size_bytes, lease_);
    });
  }

  Store& store_;
  const fs::path& directory_;
  Lease& lease_;
  ImportedLayers layers_;
};

}  // namespace

Result<oci::Digest> ImportLayout(Store& store, const fs::path& directory, std::string_view name,
                                 Lease& lease) {
  auto imported = LayoutReader(store, directory, lease).Import(name);
  if (!imported) return std::move(imported).error().While("importing from " + directory.string());
  return imported;
}

}  // namespace ingot::store

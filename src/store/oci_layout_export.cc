#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/sha256.h"
#include "oci/index.h"
#include "store/durable_file.h"
#include "store/oci_layout.h"
#include "store/store_state.h"
#include "store/tar_writer.h"

namespace ingot::store {
namespace {

constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";
constexpr std::string_view kLayoutFile = R"({"imageLayoutVersion":"1.0.0"})";

class LayoutWriter {
 public:
  LayoutWriter(Store& store, fs::path directory) : store_(store), directory_(std::move(directory)) {}

  // The folder must be empty, missing or a layout.
  Result<void> Prepare() {
    TRY(MakeDirectories(directory_));
    const bool empty = TRY(ListDirectory(directory_)).empty();
    const bool layout = ::access((directory_ / "oci-layout").c_str(), F_OK) == 0;
    if (!empty && !layout) {
      return Error(
          Code::kExists,
          directory_.string() + " holds something that is not an OCI layout; name an empty or a new folder.");
    }
    TRY(MakeDirectories(directory_ / "blobs" / "sha256"));
    if (!layout) TRY(WriteFileAtomic(directory_ / "oci-layout", kLayoutFile));
    return {};
  }

  // Writes what `write` gives to its sink as the blob `descriptor`, if it is that.
  Result<void> AddBlob(const oci::Descriptor& descriptor,
                       const std::function<Result<void>(const ByteSink&)>& write) {
    if (descriptor.digest.algorithm() != "sha256")
      return Error(Code::kUnsupported, "Only SHA-256 digests are kept, not " + descriptor.digest.Render());
    const fs::path path = directory_ / "blobs" / "sha256" / descriptor.digest.hex();
    struct stat st {};
    // Blobs get their name when they are whole.
    if (::stat(path.c_str(), &st) == 0 && static_cast<uint64_t>(st.st_size) == descriptor.size_bytes)
      return {};
    DurableFile file = TRY(DurableFile::Create(path.string() + ".tmp." + std::to_string(::getpid()), 0644));
    Sha256 hash;
    TRY(write([&](std::string_view bytes) -> Result<void> {
      hash.Update(bytes);
      return file.Write(bytes);
    }));
    const auto found = oci::Digest::FromSha256Hex(Hex(hash.Finish()));
    if (found != descriptor.digest) {
      return Error(Code::kCorrupt, "The blob " + descriptor.digest.Render() + " comes out as " +
                                       found.Render() +
                                       ": something it is made of is damaged. Run \"ingot verify\".");
    }
    return file.Publish(path);
  }

  Result<void> AddBytes(const oci::Descriptor& descriptor, std::string_view bytes) {
    return AddBlob(descriptor, [&](const ByteSink& sink) { return sink(bytes); });
  }

  Result<void> AddLayer(const oci::Descriptor& descriptor, const Layer& layer) {
    return AddBlob(descriptor, [&](const ByteSink& sink) -> Result<void> {
      if (descriptor.digest != layer.diff_id || TRY(store_.HasBlob(descriptor.digest)))
        return CopyBlob(descriptor.digest, sink);
      return WriteTar(TRY(store_.ReadLayer(layer.id)), store_.objects(), sink);
    });
  }

  Result<void> AddToIndex(const oci::Descriptor& manifest, std::string_view name) {
    TRY(SyncDirectory(directory_ / "blobs" / "sha256"));
    const fs::path path = directory_ / "index.json";
    oci::Index index;
    auto bytes = ReadFile(path, oci::kMaxManifestBytes);
    if (bytes) {
      index = TRY(oci::Index::Parse(*bytes));
    } else if (bytes.error().code() != Code::kNotFound) {
      return std::move(bytes).error();
    }
    std::erase_if(index.manifests, [&](const oci::Descriptor& entry) {
      const auto ref = entry.annotations.find(std::string(kRefName));
      const std::string_view entry_name = ref == entry.annotations.end() ? "" : std::string_view(ref->second);
      return entry_name == name && (!name.empty() || entry.digest == manifest.digest);
    });
    index.manifests.push_back(manifest);
    return WriteFileAtomic(path, index.Render());
  }

 private:
  Result<void> CopyBlob(const oci::Digest& digest, const ByteSink& sink) {
    const Fd fd = TRY(OpenFile(store_.BlobPath(digest), O_RDONLY));
    const ByteSource source = SourceOf(fd.get());
    std::string buffer(1 << 20, '\0');
    while (const size_t n = TRY(source(buffer.data(), buffer.size())))
      TRY(sink(std::string_view(buffer.data(), n)));
    return {};
  }

  Store& store_;
  fs::path directory_;
};

}  // namespace

Result<void> ExportLayout(Store& store, const oci::Digest& digest, const fs::path& directory,
                          std::string_view name) {
  const Image image = TRY(store.GetImage(digest));
  const std::string manifest = TRY(store.GetBlob(digest, oci::kMaxManifestBytes));
  LayoutWriter layout(store, directory);
  TRY(layout.Prepare());
  for (size_t i = 0; i < image.layers.size(); ++i)
    TRY(layout.AddLayer(image.manifest.layers[i], image.layers[i]));
  TRY(layout.AddBytes(image.manifest.config, TRY(store.GetBlob(image.manifest.config.digest))));

  oci::Descriptor entry;
  entry.media_type = image.manifest.media_type.empty() ? oci::kManifestType : image.manifest.media_type;
  entry.digest = digest;
  entry.size_bytes = manifest.size();
  if (!name.empty()) entry.annotations.emplace(kRefName, name);
  entry.platform = oci::Platform{image.config.architecture, image.config.os, image.config.os_version,
                                 image.config.os_features, image.config.variant};
  TRY(layout.AddBytes(entry, manifest));
  return layout.AddToIndex(entry, name);
}

}  // namespace ingot::store

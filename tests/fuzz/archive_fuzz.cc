// Any bytes as an archive of images (docker save, a layout's tar): no crash, nothing outside of it is read,
// and what is found in it can be read to its end.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "registry/archive_files.h"
#include "registry/docker_archive.h"
#include "registry/layout_image.h"

namespace {

void Read(ingot::registry::ImageSource& source) {
  const auto manifest = source.GetManifest(std::nullopt, nullptr);
  if (!manifest) return;
  if (ingot::oci::Digest::Of(manifest->bytes) != manifest->digest) std::abort();
  (void)source.ListReferrers(manifest->digest);
  ingot::oci::Descriptor blob;
  blob.digest = manifest->digest;
  uint64_t bytes = 0;
  (void)source.GetBlob(
      blob, 1,
      [&](std::string_view piece) -> ingot::Result<void> {
        bytes += piece.size();
        return {};
      },
      nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace registry = ingot::registry;
  const std::string folder = std::filesystem::temp_directory_path();
  const std::string path = folder + "/archive_fuzz." + std::to_string(::getpid());
  if (!ingot::WriteFileAtomic(path, std::string_view(reinterpret_cast<const char*>(data), size), 0600,
                              ingot::Durability::kNone))
    return 0;
  if (auto files = registry::OpenTar(path, folder)) {
    for (const char* name : {"manifest.json", "index.json", "oci-layout"}) {
      // What is there is there to its end.
      const auto part = (*files)->Open(name);
      if (part && part->size_bytes <= 1 << 20 && !(*files)->Read(name, 1 << 20)) std::abort();
    }
    if (auto source = registry::DockerArchiveSource::Open(std::move(*files), "")) Read(**source);
  }
  if (auto files = registry::OpenTar(path, folder))
    if (auto source = registry::LayoutSource::Open(std::move(*files), "")) Read(**source);
  ::unlink(path.c_str());
  return 0;
}

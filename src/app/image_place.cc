#include "app/image_place.h"

#include <sys/stat.h>
#include <unistd.h>

#include "registry/archive_files.h"
#include "registry/docker_archive.h"
#include "registry/docker_archive_target.h"
#include "registry/layout_image.h"
#include "registry/layout_target.h"
#include "registry/remote_image.h"

namespace ingot::app {

namespace {

constexpr struct {
  ImagePlace::Kind kind;
  std::string_view prefix;
} kPlaces[] = {
    {ImagePlace::Kind::kRegistry, "docker://"},
    {ImagePlace::Kind::kLayoutArchive, "oci-archive:"},
    {ImagePlace::Kind::kDockerArchive, "docker-archive:"},
    {ImagePlace::Kind::kLayout, "oci:"},
};

Result<OpenedSource> OpenFiles(std::unique_ptr<registry::ArchiveFiles> files, const std::string& name) {
  OpenedSource opened;
  const auto layout = files->Open("oci-layout");
  if (!layout && layout.error().code() != Code::kNotFound) return layout.error();
  if (layout) {
    auto source = TRY(registry::LayoutSource::Open(std::move(files), name));
    if (!source->ref_name().empty()) opened.names.push_back(source->ref_name());
    opened.source = std::move(source);
    return opened;
  }
  auto source = TRY(registry::DockerArchiveSource::Open(std::move(files), name));
  opened.names = source->tags();
  opened.source = std::move(source);
  return opened;
}

}  // namespace

Result<ImagePlace> ImagePlace::Parse(const std::string& text) {
  ImagePlace place;
  std::string rest = text;
  for (const auto& [kind, prefix] : kPlaces) {
    if (!text.starts_with(prefix)) continue;
    place.kind = kind;
    rest = text.substr(prefix.size());
    break;
  }
  if (place.kind == Kind::kRegistry) {
    auto reference = oci::Reference::Parse(rest);
    if (!reference) return std::move(reference).error().While("reading " + text);
    place.reference = reference->Normalized();
    return place;
  }
  const size_t colon = rest.find(':');
  place.path = rest.substr(0, colon);
  if (colon != std::string::npos) place.name = rest.substr(colon + 1);
  if (place.path.empty()) return Error(Code::kInvalid, "\"" + text + "\" names no file");
  return place;
}

std::string ImagePlace::Render() const {
  if (kind == Kind::kRegistry) return reference.Render();
  for (const auto& [known, prefix] : kPlaces)
    if (known == kind) return std::string(prefix) + path.string() + (name.empty() ? "" : ":" + name);
  return path.string();
}

Result<OpenedSource> OpenArchive(const fs::path& path, const std::string& name, const fs::path& spool) {
  struct stat st {};
  if (path != "-" && ::stat(path.c_str(), &st) != 0) return ErrnoError(errno, "read " + path.string());
  if (path != "-" && S_ISDIR(st.st_mode)) return OpenFiles(registry::OpenFolder(path), name);
  return OpenFiles(TRY(registry::OpenTar(path, spool)), name);
}

Result<OpenedSource> OpenSource(const ImagePlace& place, registry::Client& client, const fs::path& spool) {
  if (place.kind != ImagePlace::Kind::kRegistry) return OpenArchive(place.path, place.name, spool);
  OpenedSource opened;
  opened.source = std::make_unique<registry::RemoteSource>(client, place.reference);
  return opened;
}

Result<OpenedTarget> OpenedTarget::Open(const ImagePlace& place, registry::Client* client,
                                        const fs::path& spool, const std::optional<oci::Reference>& from) {
  OpenedTarget opened;
  if (place.kind == ImagePlace::Kind::kRegistry) {
    if (place.reference.digest)
      return Error(Code::kInvalid, place.Render() + ": an image is pushed under a tag, not under a digest");
    opened.target_ = std::make_unique<registry::RemoteTarget>(*client, place.reference, from);
    return opened;
  }
  if (place.kind == ImagePlace::Kind::kLayout) {
    opened.target_ = TRY(registry::LayoutTarget::Open(place.path, place.name));
    return opened;
  }
  ByteSink sink = [](std::string_view bytes) { return WriteAll(STDOUT_FILENO, bytes); };
  if (place.path != "-") {
    opened.path_ = place.path;
    auto file = store::DurableFile::Create(place.path.string() + ".tmp." + std::to_string(::getpid()), 0644);
    if (!file) return std::move(file).error();
    opened.file_ = std::make_unique<store::DurableFile>(std::move(*file));
    sink = [file = opened.file_.get()](std::string_view bytes) { return file->Write(bytes); };
  }
  if (place.kind == ImagePlace::Kind::kLayoutArchive) {
    opened.target_ = std::make_unique<registry::LayoutArchiveTarget>(std::move(sink), place.name);
  } else {
    opened.target_ = std::make_unique<registry::DockerArchiveTarget>(std::move(sink), place.name, spool);
  }
  return opened;
}

Result<void> OpenedTarget::Commit() {
  if (!file_) return {};
  TRY(file_->Publish(path_));
  return SyncDirectory(path_.has_parent_path() ? path_.parent_path() : fs::path("."));
}

}  // namespace ingot::app

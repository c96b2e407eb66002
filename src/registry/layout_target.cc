#include "registry/layout_target.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "oci/image_config.h"
#include "oci/manifest.h"
#include "registry/pushed_manifest.h"
#include "store/durable_file.h"

namespace ingot::registry {
namespace {

constexpr const char* kTargetRefName = "org.opencontainers.image.ref.name";
constexpr std::string_view kVersionFile = R"({"imageLayoutVersion":"1.0.0"})";

std::string BlobName(const oci::Digest& digest) {
  return "blobs/" + std::string(digest.algorithm()) + "/" + std::string(digest.hex());
}

// Adds what index.json says of a manifest: the chosen one under its name, and what refers to another one.
void AddEntry(oci::Index& index, const RemoteManifest& manifest, bool chosen, const std::string& name) {
  const auto parsed = PushedManifest::Parse(manifest.bytes, manifest.digest, manifest.media_type);
  const bool referrer = parsed && parsed->subject;
  if (!chosen && !referrer) return;
  oci::Descriptor entry;
  entry.media_type = manifest.media_type;
  entry.digest = manifest.digest;
  entry.size_bytes = manifest.bytes.size();
  if (!chosen) entry.artifact_type = parsed->artifact_type;
  if (chosen && !name.empty()) entry.annotations.emplace(kTargetRefName, name);
  std::erase_if(index.manifests, [&](const oci::Descriptor& old) {
    const auto ref = old.annotations.find(kTargetRefName);
    const std::string_view old_name = ref == old.annotations.end() ? "" : std::string_view(ref->second);
    const std::string_view new_name = chosen ? std::string_view(name) : "";
    return old_name == new_name && (!new_name.empty() || old.digest == entry.digest);
  });
  index.manifests.push_back(std::move(entry));
}

}  // namespace

Result<std::unique_ptr<LayoutTarget>> LayoutTarget::Open(const fs::path& folder, std::string name) {
  std::unique_ptr<LayoutTarget> target(new LayoutTarget(folder, std::move(name)));
  TRY(MakeDirectories(folder));
  const bool empty = TRY(ListDirectory(folder)).empty();
  const bool layout = ::access((folder / "oci-layout").c_str(), F_OK) == 0;
  if (!empty && !layout) {
    return Error(
        Code::kExists,
        folder.string() + " holds something that is not an OCI layout; name an empty or a new folder.");
  }
  TRY(MakeDirectories(folder / "blobs" / "sha256"));
  if (!layout) TRY(WriteFileAtomic(folder / "oci-layout", kVersionFile));
  auto bytes = ReadFile(folder / "index.json", oci::kMaxManifestBytes);
  if (bytes) {
    auto index = oci::Index::Parse(*bytes);
    if (!index) return std::move(index).error().While("reading index.json of " + folder.string());
    target->index_ = std::move(*index);
  } else if (bytes.error().code() != Code::kNotFound) {
    return std::move(bytes).error();
  }
  return target;
}

fs::path LayoutTarget::PathOf(const oci::Digest& digest) const {
  return folder_ / BlobName(digest);
}

// A manifest is there when it is; whether its blobs are is looked at one by one.
Result<bool> LayoutTarget::HasManifest(const RemoteManifest&) {
  return false;
}

Result<bool> LayoutTarget::HasBlob(const oci::Descriptor& blob) {
  // Blobs get their name when they are whole.
  struct stat st {};
  if (::stat(PathOf(blob.digest).c_str(), &st) != 0) {
    if (errno == ENOENT) return false;
    return ErrnoError(errno, "look at " + PathOf(blob.digest).string());
  }
  return static_cast<uint64_t>(st.st_size) == blob.size_bytes;
}

Result<void> LayoutTarget::Write(const oci::Digest& digest, const BlobReader& read) {
  const fs::path path = PathOf(digest);
  TRY(MakeDirectories(path.parent_path()));
  auto file = store::DurableFile::Create(path.string() + ".tmp." + std::to_string(::getpid()), 0644);
  if (!file) return std::move(file).error();
  TRY(read(0, [&](std::string_view bytes) { return file->Write(bytes); }));
  return file->Publish(path);
}

Result<BlobOutcome> LayoutTarget::PutBlob(const oci::Descriptor& blob, const BlobReader& read,
                                          const std::atomic<bool>*) {
  TRY(Write(blob.digest, read));
  return BlobOutcome::kCopied;
}

Result<void> LayoutTarget::PutManifest(const RemoteManifest& manifest, bool chosen) {
  TRY(Write(manifest.digest, [&](uint64_t, const ByteSink& sink) { return sink(manifest.bytes); }));
  AddEntry(index_, manifest, chosen, name_);
  return {};
}

Result<void> LayoutTarget::Finish() {
  for (const std::string& algorithm : TRY(ListDirectory(folder_ / "blobs")))
    TRY(SyncDirectory(folder_ / "blobs" / algorithm));
  return WriteFileAtomic(folder_ / "index.json", index_.Render());
}

Result<BlobOutcome> LayoutArchiveTarget::PutBlob(const oci::Descriptor& blob, const BlobReader& read,
                                                 const std::atomic<bool>*) {
  TRY(writer_.Add(BlobName(blob.digest), blob.size_bytes,
                  [&](const ByteSink& sink) { return read(0, sink); }));
  return BlobOutcome::kCopied;
}

Result<void> LayoutArchiveTarget::PutManifest(const RemoteManifest& manifest, bool chosen) {
  TRY(writer_.Add(BlobName(manifest.digest), manifest.bytes));
  AddEntry(index_, manifest, chosen, name_);
  return {};
}

Result<void> LayoutArchiveTarget::Finish() {
  TRY(writer_.Add("index.json", index_.Render()));
  TRY(writer_.Add("oci-layout", kVersionFile));
  return writer_.Finish();
}

}  // namespace ingot::registry

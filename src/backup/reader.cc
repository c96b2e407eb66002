#include "backup/reader.h"

#include <algorithm>
#include <optional>

#include "backup/check.h"
#include "backup/placer.h"

namespace ingot::backup {

namespace {

constexpr size_t kWritePiece = size_t{1} << 20;
// A hostile manifest's word for how much there is counts for nothing beyond it.
constexpr uint64_t kMostEntries = 200'000'000;

Result<Manifest> ReadManifest(TarArchiveReader& archive) {
  auto first = TRY(archive.Next());
  if (!first || first->path != kManifestName || first->kind != TarEntry::Kind::kFile ||
      first->size_bytes > kMostManifestBytes)
    return Error(Code::kInvalid, "it is no backup: its first entry is no manifest.json");
  std::string text(first->size_bytes, '\0');
  size_t read = 0;
  while (read < text.size()) {
    const size_t n = TRY(archive.Read(text.data() + read, text.size() - read));
    if (n == 0) return Error(Code::kInvalid, "the manifest of the backup is cut off");
    read += n;
  }
  auto manifest = ParseManifest(text);
  if (!manifest) return std::move(manifest).error().While("reading the backup's manifest");
  size_t last = 0;
  for (const Part& part : manifest->parts) {
    const auto& names = PartNames();
    const auto found = std::find(names.begin() + static_cast<long>(last), names.end(), part.name);
    if (found == names.end() || part.entries > kMostEntries)
      return Error(Code::kInvalid, "the backup's manifest has a part \"" + part.name.substr(0, 40) +
                                       "\" that no backup has, or twice, or in another order");
    last = static_cast<size_t>(found - names.begin()) + 1;
  }
  return manifest;
}

// The entries that the manifest says, in its order.
class Parts {
 public:
  Parts(TarArchiveReader& archive, const Manifest& manifest, const ReadOptions& options, Placer* placer)
      : archive_(archive), options_(options), placer_(placer), piece_(kWritePiece, '\0') {
    for (const Part& part : manifest.parts) all_ += part.bytes;
  }

  Result<void> Read(const Part& part) {
    PartDigest digest;
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < part.entries; ++i) {
      const auto entry = TRY(archive_.Next());
      if (!entry) return Error(Code::kInvalid, "the backup ends within its " + part.name);
      TRY(CheckEntry(*entry));
      if (PartOf(entry->path) != part.name)
        return Error(Code::kInvalid, "\"" + entry->path + "\" in the backup is none of its " + part.name);
      bytes += entry->size_bytes;
      if (bytes > part.bytes)
        return Error(Code::kInvalid, "the backup has more of its " + part.name + " than its manifest says");
      digest.Add(*entry);
      if (placer_ != nullptr) TRY(placer_->Begin(*entry, PlaceOf(entry->path), PlaceOf(entry->target)));
      if (entry->kind == TarEntry::Kind::kFile) TRY(Contents(*entry, digest));
      if (placer_ != nullptr) TRY(placer_->End());
    }
    if (digest.Finish(part.name) != part)
      return Error(Code::kCorrupt, "the " + part.name + " in the backup is not what its manifest promises");
    return {};
  }

 private:
  Result<void> Contents(const TarEntry& entry, PartDigest& digest) {
    uint64_t left = entry.size_bytes;
    while (left > 0) {
      const size_t n = TRY(archive_.Read(piece_.data(), std::min<uint64_t>(piece_.size(), left)));
      if (n == 0) return Error(Code::kInvalid, "\"" + entry.path + "\" in the backup is cut off");
      const std::string_view bytes(piece_.data(), n);
      digest.Data(bytes);
      if (placer_ != nullptr) TRY(placer_->Data(bytes));
      left -= n;
      done_ += n;
      if (options_.progress) options_.progress(done_, all_);
    }
    return {};
  }

  TarArchiveReader& archive_;
  const ReadOptions& options_;
  Placer* placer_;
  std::string piece_;
  uint64_t done_ = 0;
  uint64_t all_ = 0;
};

}  // namespace

Result<Manifest> ReadBackup(ByteSource source, const ReadOptions& options) {
  const auto archive = TRY(TarArchiveReader::Open(std::move(source)));
  Manifest manifest = TRY(ReadManifest(*archive));
  if (options.begin) TRY(options.begin(manifest));
  std::optional<Placer> placer;
  if (!options.into.empty()) placer.emplace(TRY(Placer::Open(options.into)));
  Parts parts(*archive, manifest, options, placer ? &*placer : nullptr);
  for (const Part& part : manifest.parts) TRY(parts.Read(part));
  if (TRY(archive->Next()))
    return Error(Code::kInvalid, "the backup has more entries than its manifest says");
  if (placer) TRY(placer->Finish());
  return manifest;
}

}  // namespace ingot::backup

#include "backup/writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"

namespace ingot::backup {

namespace {

constexpr size_t kReadPiece = size_t{1} << 20;

Error Changed(const fs::path& file) {
  return Error(Code::kConflict, file.string() + " changed while it was copied; run the backup again");
}

// The bytes of a file to each of the sinks, exactly as many as were announced.
class FileFeeder {
 public:
  FileFeeder(const Progress& progress, uint64_t all)
      : progress_(progress), all_(all), piece_(kReadPiece, '\0') {}

  Result<void> Feed(const SourceEntry& source, const ByteSink& sink) {
    const Fd fd(::open(source.file.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) {
      if (errno == ENOENT || errno == ELOOP) return Changed(source.file);
      return ErrnoError(errno, "open " + source.file.string());
    }
    uint64_t left = source.entry.size_bytes;
    // One more than there is to be: it may have grown.
    while (true) {
      const ssize_t n = ::read(fd.get(), piece_.data(), piece_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "read " + source.file.string());
      if (n == 0) break;
      if (static_cast<uint64_t>(n) > left) return Changed(source.file);
      left -= static_cast<uint64_t>(n);
      TRY(sink(std::string_view(piece_.data(), static_cast<size_t>(n))));
      done_ += static_cast<uint64_t>(n);
      if (progress_) progress_(done_, all_);
    }
    return left == 0 ? Result<void>() : Changed(source.file);
  }

 private:
  const Progress& progress_;
  uint64_t all_;
  uint64_t done_ = 0;
  std::string piece_;
};

}  // namespace

Result<Manifest> WriteBackup(Manifest manifest, const std::vector<SourcePart>& parts, const ByteSink& sink,
                             const Progress& progress) {
  uint64_t all = 0;
  for (const SourcePart& part : parts)
    for (const SourceEntry& source : part.entries) all += 2 * source.entry.size_bytes;
  FileFeeder feeder(progress, all);
  manifest.parts.clear();
  for (const SourcePart& part : parts) {
    PartDigest digest;
    for (const SourceEntry& source : part.entries) {
      digest.Add(source.entry);
      if (source.file.empty()) continue;
      TRY(feeder.Feed(source, [&](std::string_view bytes) -> Result<void> {
        digest.Data(bytes);
        return {};
      }));
    }
    manifest.parts.push_back(digest.Finish(part.name));
  }

  const auto archive = TRY(TarArchiveWriter::Open(sink));
  const std::string about = RenderManifest(manifest);
  TarEntry first;
  first.path = kManifestName;
  first.mode = 0600;
  first.mtime_seconds = std::chrono::floor<std::chrono::seconds>(manifest.created).time_since_epoch().count();
  first.size_bytes = about.size();
  TRY(archive->Add(first));
  TRY(archive->Data(about));
  for (size_t i = 0; i < parts.size(); ++i) {
    PartDigest digest;
    for (const SourceEntry& source : parts[i].entries) {
      digest.Add(source.entry);
      TRY(archive->Add(source.entry));
      if (source.file.empty()) continue;
      TRY(feeder.Feed(source, [&](std::string_view bytes) -> Result<void> {
        digest.Data(bytes);
        return archive->Data(bytes);
      }));
    }
    if (digest.Finish(parts[i].name) != manifest.parts[i])
      return Error(Code::kConflict, "something of the " + parts[i].name +
                                        " changed while it was copied; run the backup again");
  }
  TRY(archive->Finish());
  return manifest;
}

}  // namespace ingot::backup

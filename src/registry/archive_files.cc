#include "registry/archive_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/decompress.h"
#include "store/tar_header.h"

namespace ingot::registry {
namespace {

constexpr size_t kMaxTarEntries = 200'000;
constexpr uint64_t kMaxTarMeta = 1 << 20;  // of a PAX header or a long name
constexpr uint64_t kMaxSpooled = uint64_t{256} << 30;
constexpr uint64_t kMaxSpoolRatio = 300;  // nothing but zeros is compressed like that
constexpr uint64_t kRatioFrom = 64 << 20;
constexpr int kMaxTarLinks = 8;  // one after another

class FolderFiles final : public ArchiveFiles {
 public:
  explicit FolderFiles(fs::path folder) : folder_(std::move(folder)) {}
  std::string name() const override { return folder_.string(); }
  Result<FilePart> Open(const std::string& file) const override {
    const fs::path path = folder_ / file;
    Fd fd = TRY(OpenFile(path, O_RDONLY | O_NONBLOCK));
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0) return ErrnoError(errno, "look at " + path.string());
    if (!S_ISREG(st.st_mode)) return Error(Code::kInvalid, path.string() + " is not a regular file");
    return FilePart{std::make_shared<const Fd>(std::move(fd)), 0, static_cast<uint64_t>(st.st_size)};
  }

 private:
  const fs::path folder_;
};

// "./a//b" → "a/b"; kInvalid for a name that leads out.
Result<std::string> CleanName(std::string_view name) {
  std::string clean;
  while (!name.empty()) {
    const size_t slash = std::min(name.find('/'), name.size());
    const std::string_view part = name.substr(0, slash);
    name.remove_prefix(std::min(slash + 1, name.size()));
    if (part == "..") return Error(Code::kInvalid, "an entry's name leads out of the archive");
    if (part.empty() || part == ".") continue;
    clean += (clean.empty() ? "" : "/") + std::string(part);
  }
  return clean;
}

// What a symbolic link beside `name` leads to. "" when out of the archive.
std::string LinkTarget(const std::string& name, std::string_view link) {
  if (link.starts_with('/')) return "";
  return (fs::path(name).parent_path() / link).lexically_normal().string();
}

class TarFiles final : public ArchiveFiles {
 public:
  TarFiles(std::string name, Fd fd)
      : name_(std::move(name)), fd_(std::make_shared<const Fd>(std::move(fd))) {}
  std::string name() const override { return name_; }

  Result<FilePart> Open(const std::string& file) const override {
    std::string at = file;
    for (int links = 0; links <= kMaxTarLinks; ++links) {
      const auto entry = entries_.find(at);
      if (entry == entries_.end()) return Error(Code::kNotFound, name_ + " has no " + file.substr(0, 200));
      if (entry->second.link.empty()) return FilePart{fd_, entry->second.offset, entry->second.size_bytes};
      at = entry->second.link;
    }
    return Error(Code::kInvalid, name_ + ": links lead in circles at " + file.substr(0, 200));
  }

  // Finds out where everything is; contents are skipped.
  Result<void> Scan() {
    struct stat st {};
    if (::fstat(fd_->get(), &st) != 0) return ErrnoError(errno, "look at " + name_);
    const auto end = static_cast<uint64_t>(st.st_size);
    uint64_t at = 0;
    std::string long_name;
    std::string long_link;
    std::map<std::string, std::string> records;
    while (at + store::kTarBlock <= end) {
      const std::string block = TRY(ReadAt(at, store::kTarBlock));
      at += store::kTarBlock;
      if (block.find_first_not_of('\0') == std::string::npos) break;
      store::TarHeader header = TRY(store::ParseTarHeader(block));
      const auto size = static_cast<uint64_t>(std::max<int64_t>(header.size, 0));
      if (size > end - at) return Error(Code::kInvalid, "the archive ends in the middle of an entry");
      const uint64_t next = at + (size + store::kTarBlock - 1) / store::kTarBlock * store::kTarBlock;
      if (header.type == 'x' || header.type == 'g' || header.type == 'L' || header.type == 'K') {
        if (size > kMaxTarMeta) return Error(Code::kRefused, "an entry's name is longer than any honest one");
        std::string data = TRY(ReadAt(at, size));
        if (header.type == 'x') records = TRY(store::ParsePaxRecords(data));
        if (header.type == 'L') long_name = data.substr(0, data.find('\0'));
        if (header.type == 'K') long_link = data.substr(0, data.find('\0'));
        at = next;
        continue;
      }
      if (!long_name.empty()) header.name = std::exchange(long_name, "");
      if (!long_link.empty()) header.link = std::exchange(long_link, "");
      TRY(store::ApplyPaxRecords(std::exchange(records, {}), header));
      if (header.size != static_cast<int64_t>(size)) {  // a PAX record said more than the header could
        if (header.size < 0 || static_cast<uint64_t>(header.size) > end - at)
          return Error(Code::kInvalid, "the archive ends in the middle of an entry");
      }
      TRY(Add(header, at));
      const auto real = static_cast<uint64_t>(header.size);
      at += (real + store::kTarBlock - 1) / store::kTarBlock * store::kTarBlock;
    }
    if (entries_.empty()) return Error(Code::kInvalid, "there is no file in it, or it is no tar");
    return {};
  }

 private:
  struct Entry {
    uint64_t offset = 0;
    uint64_t size_bytes = 0;
    std::string link;  // instead of contents
  };

  Result<void> Add(const store::TarHeader& header, uint64_t at) {
    std::string name = TRY(CleanName(header.name));
    if (name.empty()) return {};
    Entry entry;
    switch (header.type) {
      case '0':
      case '\0':
      case '7':
        if (header.sparse || header.sparse_in_contents)
          return Error(Code::kUnsupported, "a sparse file is in it: " + name.substr(0, 200));
        entry = {at, static_cast<uint64_t>(header.size), ""};
        break;
      case '1':
        entry.link = TRY(CleanName(header.link));
        break;
      case '2':
        entry.link = LinkTarget(name, header.link);
        break;
      default:  // folders and what else there is: never asked for
        return {};
    }
    if (header.type != '0' && header.type != '\0' && header.type != '7' && entry.link.empty()) return {};
    entries_.insert_or_assign(std::move(name), std::move(entry));
    if (entries_.size() > kMaxTarEntries)
      return Error(Code::kRefused, "it has more than " + std::to_string(kMaxTarEntries) + " files");
    return {};
  }

  Result<std::string> ReadAt(uint64_t offset, uint64_t size) const {
    const ByteSource source = FilePart{fd_, offset, size}.Source();
    std::string bytes(size, '\0');
    for (size_t used = 0; used < bytes.size();) {
      const size_t n = TRY(source(bytes.data() + used, bytes.size() - used));
      if (n == 0) return Error(Code::kInvalid, "the archive ends in the middle of an entry");
      used += n;
    }
    return bytes;
  }

  const std::string name_;
  std::shared_ptr<const Fd> fd_;
  std::map<std::string, Entry> entries_;
};

Result<Fd> Spool(Fd from, const fs::path& folder) {
  Fd to = TRY(OpenNameless(folder));
  uint64_t in = 0;
  uint64_t out = 0;
  const ByteSource raw = SourceOf(from.get());
  const ByteSource source = Decompress([&](char* buffer, size_t size) -> Result<size_t> {
    const size_t n = TRY(raw(buffer, size));
    in += n;
    return n;
  });
  std::string buffer(1 << 20, '\0');
  while (const size_t n = TRY(source(buffer.data(), buffer.size()))) {
    out += n;
    if (out > kMaxSpooled || (out > kRatioFrom && out / kMaxSpoolRatio > in))
      return Error(Code::kRefused, "it unpacks to more than any honest archive");
    TRY(WriteAll(to.get(), std::string_view(buffer.data(), n)));
  }
  return to;
}

}  // namespace

ByteSource FilePart::Source(uint64_t skip) const {
  skip = std::min(skip, size_bytes);
  return [fd = fd, at = offset + skip, left = size_bytes - skip](char* buffer,
                                                                 size_t size) mutable -> Result<size_t> {
    while (left > 0) {
      const ssize_t n = ::pread(fd->get(), buffer, static_cast<size_t>(std::min<uint64_t>(size, left)),
                                static_cast<off_t>(at));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "read an archive");
      at += static_cast<uint64_t>(n);
      left -= static_cast<uint64_t>(n);
      return static_cast<size_t>(n);
    }
    return size_t{0};
  };
}

Result<std::string> ArchiveFiles::Read(const std::string& file, size_t limit_bytes) const {
  const FilePart part = TRY(Open(file));
  if (part.size_bytes > limit_bytes) {
    return Error(Code::kInvalid, name() + ": " + file + " has " + std::to_string(part.size_bytes) +
                                     " bytes; at most " + std::to_string(limit_bytes) + " are accepted");
  }
  const ByteSource source = part.Source();
  std::string bytes(part.size_bytes, '\0');
  for (size_t used = 0; used < bytes.size();) {
    const size_t n = TRY(source(bytes.data() + used, bytes.size() - used));
    if (n == 0) return Error(Code::kInvalid, name() + ": " + file + " is shorter than it was");
    used += n;
  }
  return bytes;
}

std::unique_ptr<ArchiveFiles> OpenFolder(const fs::path& folder) {
  return std::make_unique<FolderFiles>(folder);
}

Result<Fd> OpenNameless(const fs::path& folder) {
  TRY(MakeDirectories(folder));
  return OpenFile(folder, O_RDWR | O_TMPFILE, 0600);
}

Result<std::unique_ptr<ArchiveFiles>> OpenTar(const fs::path& file, const fs::path& spool) {
  const bool standard_input = file == "-";
  Fd fd;
  if (standard_input) {
    fd = TRY(Fd(::dup(STDIN_FILENO)).Duplicate());
  } else {
    fd = TRY(OpenFile(file, O_RDONLY));
  }
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return ErrnoError(errno, "look at " + file.string());
  bool plain = S_ISREG(st.st_mode) && !standard_input;
  if (S_ISDIR(st.st_mode)) return Error(Code::kInvalid, file.string() + " is a folder; an archive is a file");
  if (plain) {
    char head[16] = {};
    const ssize_t n = ::pread(fd.get(), head, sizeof head, 0);
    if (n < 0) return ErrnoError(errno, "read " + file.string());
    plain = CompressionOf(std::string_view(head, static_cast<size_t>(n))) == Compression::kNone;
  }
  if (!plain) {
    auto spooled = Spool(std::move(fd), spool);
    if (!spooled) return std::move(spooled).error().While("unpacking " + file.string());
    fd = std::move(*spooled);
  }
  auto files = std::make_unique<TarFiles>(standard_input ? "standard input" : file.string(), std::move(fd));
  if (auto scanned = files->Scan(); !scanned)
    return std::move(scanned).error().While("reading " + file.string());
  return std::unique_ptr<ArchiveFiles>(std::move(files));
}

}  // namespace ingot::registry

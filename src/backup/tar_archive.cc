#include "backup/tar_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <cerrno>
#include <vector>

namespace ingot::backup {

namespace {

constexpr size_t kArchivePiece = size_t{256} << 10;

struct FreeWritten {
  void operator()(archive* a) const { archive_write_free(a); }
};
struct FreeRead {
  void operator()(archive* a) const { archive_read_free(a); }
};
struct FreeEntry {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

mode_t TypeOf(TarEntry::Kind kind) {
  switch (kind) {
    case TarEntry::Kind::kDirectory:
      return AE_IFDIR;
    case TarEntry::Kind::kSymlink:
      return AE_IFLNK;
    default:
      return AE_IFREG;
  }
}

std::string TextOf(const char* text) {
  return text == nullptr ? "" : text;
}

}  // namespace

struct TarArchiveWriter::Impl {
  explicit Impl(ByteSink to) : sink(std::move(to)) {}

  static la_ssize_t Write(archive* a, void* self, const void* bytes, size_t size) {
    auto& impl = *static_cast<Impl*>(self);
    auto written = impl.sink(std::string_view(static_cast<const char*>(bytes), size));
    if (written) return static_cast<la_ssize_t>(size);
    impl.failed = std::move(written).error();
    archive_set_error(a, EIO, "the sink failed");
    return -1;
  }
  Error Why() const {
    if (failed) return *failed;
    return Error(Code::kInternal, "cannot write the archive: " + TextOf(archive_error_string(handle.get())));
  }

  ByteSink sink;
  std::optional<Error> failed;
  uint64_t left = 0;  // of the entry's bytes
  // Last: what it writes as it dies goes to the members above.
  std::unique_ptr<archive, FreeWritten> handle;
};

TarArchiveWriter::TarArchiveWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TarArchiveWriter::~TarArchiveWriter() {
  // Nothing of an archive that was given up is to be written any more.
  if (impl_->handle) archive_write_fail(impl_->handle.get());
}

Result<std::unique_ptr<TarArchiveWriter>> TarArchiveWriter::Open(ByteSink sink) {
  auto impl = std::make_unique<Impl>(std::move(sink));
  impl->handle.reset(archive_write_new());
  archive* a = impl->handle.get();
  if (a == nullptr) return Error(Code::kNoSpace, "no memory for an archive");
  if (archive_write_set_format_pax(a) != ARCHIVE_OK || archive_write_add_filter_zstd(a) != ARCHIVE_OK ||
      // Names are bytes, also those that are no UTF-8; it is written down, so the reader takes them so, too.
      archive_write_set_options(a, "hdrcharset=BINARY") != ARCHIVE_OK ||
      archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
      archive_write_open(a, impl.get(), nullptr, &Impl::Write, nullptr) != ARCHIVE_OK)
    return impl->Why();
  return std::unique_ptr<TarArchiveWriter>(new TarArchiveWriter(std::move(impl)));
}

Result<void> TarArchiveWriter::Add(const TarEntry& entry) {
  if (impl_->left > 0)
    return Error(Code::kInternal, "an entry of an archive is shorter than it was said to be");
  const std::unique_ptr<archive_entry, FreeEntry> header(archive_entry_new());
  if (!header) return Error(Code::kNoSpace, "no memory for an archive");
  archive_entry* h = header.get();
  archive_entry_set_pathname(h, entry.path.c_str());
  archive_entry_set_filetype(h, TypeOf(entry.kind));
  archive_entry_set_perm(h, entry.mode);
  archive_entry_set_uid(h, entry.uid);
  archive_entry_set_gid(h, entry.gid);
  archive_entry_set_mtime(h, entry.mtime_seconds, static_cast<long>(entry.mtime_nanoseconds));
  archive_entry_set_size(h, 0);
  if (entry.kind == TarEntry::Kind::kFile)
    archive_entry_set_size(h, static_cast<la_int64_t>(entry.size_bytes));
  if (entry.kind == TarEntry::Kind::kSymlink) archive_entry_set_symlink(h, entry.target.c_str());
  if (entry.kind == TarEntry::Kind::kHardLink) archive_entry_set_hardlink(h, entry.target.c_str());
  for (const auto& [name, value] : entry.xattrs)
    archive_entry_xattr_add_entry(h, name.c_str(), value.data(), value.size());
  if (archive_write_header(impl_->handle.get(), h) != ARCHIVE_OK) return impl_->Why();
  impl_->left = entry.kind == TarEntry::Kind::kFile ? entry.size_bytes : 0;
  return {};
}

Result<void> TarArchiveWriter::Data(std::string_view bytes) {
  if (bytes.size() > impl_->left)
    return Error(Code::kInternal, "an entry of an archive is longer than it was said to be");
  impl_->left -= bytes.size();
  while (!bytes.empty()) {
    const la_ssize_t n = archive_write_data(impl_->handle.get(), bytes.data(), bytes.size());
    if (n <= 0) return impl_->Why();
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Result<void> TarArchiveWriter::Finish() {
  if (impl_->left > 0)
    return Error(Code::kInternal, "an entry of an archive is shorter than it was said to be");
  if (archive_write_close(impl_->handle.get()) != ARCHIVE_OK) return impl_->Why();
  return {};
}

struct TarArchiveReader::Impl {
  explicit Impl(ByteSource from) : source(std::move(from)), buffer(kArchivePiece) {}

  static la_ssize_t Fill(archive* a, void* self, const void** bytes) {
    auto& impl = *static_cast<Impl*>(self);
    auto read = impl.source(impl.buffer.data(), impl.buffer.size());
    *bytes = impl.buffer.data();
    if (read) return static_cast<la_ssize_t>(*read);
    impl.failed = std::move(read).error();
    archive_set_error(a, EIO, "the source failed");
    return -1;
  }
  Error Why() const {
    if (failed) return *failed;
    return Error(Code::kInvalid,
                 "the archive is damaged or cut off: " + TextOf(archive_error_string(handle.get())));
  }

  ByteSource source;
  std::vector<char> buffer;
  std::optional<Error> failed;
  uint64_t left = 0;
  std::unique_ptr<archive, FreeRead> handle;
};

TarArchiveReader::TarArchiveReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TarArchiveReader::~TarArchiveReader() = default;

Result<std::unique_ptr<TarArchiveReader>> TarArchiveReader::Open(ByteSource source) {
  auto impl = std::make_unique<Impl>(std::move(source));
  impl->handle.reset(archive_read_new());
  archive* a = impl->handle.get();
  if (a == nullptr) return Error(Code::kNoSpace, "no memory for an archive");
  if (archive_read_support_format_tar(a) != ARCHIVE_OK || archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
      archive_read_open(a, impl.get(), nullptr, &Impl::Fill, nullptr) != ARCHIVE_OK)
    return impl->Why();
  return std::unique_ptr<TarArchiveReader>(new TarArchiveReader(std::move(impl)));
}

Result<std::optional<TarEntry>> TarArchiveReader::Next() {
  archive_entry* h = nullptr;
  const int code = archive_read_next_header(impl_->handle.get(), &h);
  if (code == ARCHIVE_EOF) return std::optional<TarEntry>();
  // A warning is about something that would be left out; then it is not the entry that was written.
  if (code != ARCHIVE_OK) return impl_->Why();
  TarEntry entry;
  entry.path = TextOf(archive_entry_pathname(h));
  const char* hard = archive_entry_hardlink(h);
  const auto type = archive_entry_filetype(h);
  if (hard != nullptr) {
    entry.kind = TarEntry::Kind::kHardLink;
    entry.target = hard;
  } else if (type == AE_IFDIR) {
    entry.kind = TarEntry::Kind::kDirectory;
    // As tar writes every folder.
    if (entry.path.size() > 1 && entry.path.ends_with('/')) entry.path.pop_back();
  } else if (type == AE_IFLNK) {
    entry.kind = TarEntry::Kind::kSymlink;
    entry.target = TextOf(archive_entry_symlink(h));
  } else if (type != AE_IFREG) {
    return Error(Code::kInvalid, "\"" + entry.path + "\" in the archive is neither file, folder nor link");
  }
  const la_int64_t size = archive_entry_size_is_set(h) ? archive_entry_size(h) : 0;
  if (entry.path.empty() || size < 0 || archive_entry_sparse_count(h) > 0 ||
      (entry.kind != TarEntry::Kind::kFile && size != 0))
    return Error(Code::kInvalid, "\"" + entry.path + "\" in the archive has a header that no backup has");
  entry.size_bytes = static_cast<uint64_t>(size);
  entry.mode = archive_entry_perm(h);
  entry.uid = static_cast<uint32_t>(archive_entry_uid(h));
  entry.gid = static_cast<uint32_t>(archive_entry_gid(h));
  entry.mtime_seconds = archive_entry_mtime(h);
  entry.mtime_nanoseconds = static_cast<uint32_t>(archive_entry_mtime_nsec(h));
  archive_entry_xattr_reset(h);
  const char* name = nullptr;
  const void* value = nullptr;
  size_t value_bytes = 0;
  while (archive_entry_xattr_next(h, &name, &value, &value_bytes) == ARCHIVE_OK)
    entry.xattrs[TextOf(name)] = std::string(static_cast<const char*>(value), value_bytes);
  impl_->left = entry.size_bytes;
  return std::optional<TarEntry>(std::move(entry));
}

Result<size_t> TarArchiveReader::Read(char* buffer, size_t size) {
  const la_ssize_t n = archive_read_data(impl_->handle.get(), buffer, size);
  if (n < 0) return impl_->Why();
  const auto read = static_cast<uint64_t>(n);
  if (read > impl_->left || (n == 0 && impl_->left > 0))
    return Error(Code::kInvalid, "an entry of the archive has another length than it says");
  impl_->left -= read;
  return static_cast<size_t>(read);
}

}  // namespace ingot::backup

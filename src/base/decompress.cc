#include "base/decompress.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/gzip_stream.h"

namespace ingot {
namespace {

constexpr size_t kInput = 256 * 1024;
constexpr size_t kMagic = 10;

// std::function must be copyable, so the state is shared; there is only ever one user.
class Stream {
 public:
  explicit Stream(ByteSource source) : source_(std::move(source)) {}

  Result<size_t> Read(char* buffer, size_t size) {
    if (!started_) TRY(Start());
    if (gzip_) return gzip_->Read(buffer, size);
    if (archive_ == nullptr) return ReadPlain(buffer, size);
    while (block_.empty() && !ended_) TRY(NextBlock());
    const size_t n = std::min(size, block_.size());
    std::memcpy(buffer, block_.data(), n);
    block_.remove_prefix(n);
    return n;
  }

 private:
  struct Free {
    void operator()(archive* a) const { archive_read_free(a); }
  };

  Result<void> Start() {
    started_ = true;
    while (head_.size() < kMagic) {
      char bytes[kMagic];
      const size_t n = TRY(source_(bytes, sizeof bytes - head_.size()));
      if (n == 0) break;
      head_.append(bytes, n);
    }
    const Compression compression = CompressionOf(head_);
    if (compression == Compression::kNone) return {};
    if (compression == Compression::kGzip) {
      gzip_.emplace([this](char* buffer, size_t size) { return ReadPlain(buffer, size); });
      return {};
    }
    input_.resize(kInput);
    archive_.reset(archive_read_new());
    archive* a = archive_.get();
    if (a == nullptr) return Error(Code::kNoSpace, "Out of memory for decompression.");
    switch (compression) {
      case Compression::kZstd:
        archive_read_support_filter_zstd(a);
        break;
      case Compression::kXz:
        archive_read_support_filter_xz(a);
        break;
      case Compression::kBzip2:
        archive_read_support_filter_bzip2(a);
        break;
      case Compression::kGzip:
      case Compression::kNone:
        break;
    }
    archive_read_support_format_raw(a);
    archive_read_support_format_empty(a);
    if (archive_read_open(a, this, nullptr, &Stream::Fill, nullptr) != ARCHIVE_OK) return Failure();
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(a, &entry);
    if (status == ARCHIVE_EOF) {
      ended_ = true;
    } else if (status != ARCHIVE_OK) {
      return Failure();
    }
    return {};
  }

  Result<void> NextBlock() {
    const void* data = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int status = archive_read_data_block(archive_.get(), &data, &size, &offset);
    if (status == ARCHIVE_EOF) {
      if (failure_) return Failure();
      ended_ = true;
      return {};
    }
    if (status != ARCHIVE_OK) return Failure();
    block_ = std::string_view(static_cast<const char*>(data), size);
    return {};
  }

  Result<size_t> ReadPlain(char* buffer, size_t size) {
    if (head_.empty()) return source_(buffer, size);
    const size_t n = std::min(size, head_.size());
    std::memcpy(buffer, head_.data(), n);
    head_.erase(0, n);
    return n;
  }

  Error Failure() {
    if (failure_) return *failure_;
    const char* why = archive_error_string(archive_.get());
    return Error(Code::kInvalid, "The compressed stream is damaged: " +
                                     std::string(why == nullptr ? "unknown error" : why) + ".");
  }

  static la_ssize_t Fill(archive* a, void* self, const void** data) {
    auto* stream = static_cast<Stream*>(self);
    *data = stream->input_.data();
    if (!stream->head_.empty()) {
      const size_t n = stream->head_.copy(stream->input_.data(), stream->head_.size());
      stream->head_.clear();
      return static_cast<la_ssize_t>(n);
    }
    auto n = stream->source_(stream->input_.data(), stream->input_.size());
    if (n) return static_cast<la_ssize_t>(*n);
    stream->failure_ = std::move(n).error();
    archive_set_error(a, -1, "the source failed");
    return -1;
  }

  ByteSource source_;
  std::vector<char> input_;
  std::string head_;  // of the source: read, and not yet given on
  std::optional<GzipStream> gzip_;
  std::unique_ptr<archive, Free> archive_;  // neither: the stream is not compressed
  std::string_view block_;                  // decompressed, and not yet given on
  std::optional<Error> failure_;            // the source's
  bool started_ = false;
  bool ended_ = false;
};

}  // namespace

Compression CompressionOf(std::string_view head) {
  using namespace std::string_view_literals;
  if (head.starts_with("\x1f\x8b"sv)) return Compression::kGzip;
  if (head.starts_with("\x28\xb5\x2f\xfd"sv)) return Compression::kZstd;
  // A zstd skippable frame (0x184D2A50 to 5F) may come first.
  if (head.size() >= 4 && (head[0] & 0xf0) == 0x50 && head.substr(1, 3) == "\x2a\x4d\x18"sv)
    return Compression::kZstd;
  if (head.starts_with("\xfd"
                       "7zXZ\0"sv))
    return Compression::kXz;
  // Three letters are too few: a tar begins with a file's name. A block or the end follows.
  if (head.size() >= 10 && head.starts_with("BZh"sv) &&
      (head.substr(4, 6) == "1AY&SY"sv || head.substr(4, 6) == "\x17rE8P\x90"sv)) {
    return Compression::kBzip2;
  }
  return Compression::kNone;
}

ByteSource Decompress(ByteSource source) {
  auto stream = std::make_shared<Stream>(std::move(source));
  return [stream](char* buffer, size_t size) { return stream->Read(buffer, size); };
}

}  // namespace ingot

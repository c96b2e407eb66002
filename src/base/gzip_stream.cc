#include "base/gzip_stream.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/isal.h"

namespace ingot {
namespace {

constexpr size_t kGzipInput = 256 * 1024;
constexpr size_t kGzipStep = size_t{1} << 30;  // the engines count in 32 bits
constexpr std::string_view kGzipMagic = "\x1f\x8b\x08";
constexpr unsigned char kGzipReserved = 0xe0;  // of the flags, which follow

Error DamagedGzip(std::string_view why) {
  return Error(Code::kInvalid, "The compressed stream is damaged: " + std::string(why) + ".");
}

class ZlibInflater : public GzipStream::Inflater {
 public:
  ZlibInflater() { ready_ = ::inflateInit2(&z_, 16 + MAX_WBITS) == Z_OK; }
  ~ZlibInflater() override {
    if (ready_) ::inflateEnd(&z_);
  }
  ZlibInflater(const ZlibInflater&) = delete;
  ZlibInflater& operator=(const ZlibInflater&) = delete;

  Result<Step> Inflate(std::string_view& in, char* out, size_t size) override {
    if (!ready_) return Error(Code::kNoSpace, "Out of memory for decompression.");
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    z_.avail_in = static_cast<uInt>(in.size());
    z_.next_out = reinterpret_cast<Bytef*>(out);
    z_.avail_out = static_cast<uInt>(size);
    const int status = ::inflate(&z_, Z_NO_FLUSH);
    in.remove_prefix(in.size() - z_.avail_in);
    if (status == Z_MEM_ERROR) return Error(Code::kNoSpace, "Out of memory for decompression.");
    if (status != Z_OK && status != Z_BUF_ERROR && status != Z_STREAM_END)
      return DamagedGzip(z_.msg == nullptr ? "it is no gzip stream" : z_.msg);
    return Step{size - z_.avail_out, status == Z_STREAM_END};
  }
  void Reset() override {
    if (ready_) ::inflateReset(&z_);
  }

 private:
  z_stream z_{};
  bool ready_ = false;
};

class IsalInflater : public GzipStream::Inflater {
 public:
  explicit IsalInflater(const IsalLibrary& isal) : isal_(isal), state_(new inflate_state) {
    isal_.init(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }

  Result<Step> Inflate(std::string_view& in, char* out, size_t size) override {
    state_->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(in.data()));
    state_->avail_in = static_cast<uint32_t>(in.size());
    state_->next_out = reinterpret_cast<uint8_t*>(out);
    state_->avail_out = static_cast<uint32_t>(size);
    const int status = isal_.inflate(state_.get());
    in.remove_prefix(in.size() - state_->avail_in);
    if (status < 0) return DamagedGzip(WhatIsWrong(status));
    const bool ended = state_->block_state == ISAL_BLOCK_FINISH;
    if (ended && state_->read_in_length >= 8) {
      // Read ahead, by whole bytes, and not of this member.
      const auto back = static_cast<size_t>(state_->read_in_length / 8);
      in = std::string_view(in.data() - back, in.size() + back);
    }
    return Step{size - state_->avail_out, ended};
  }
  void Reset() override {
    isal_.reset(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }

 private:
  static std::string_view WhatIsWrong(int status) {
    switch (status) {
      case ISAL_INVALID_BLOCK:
        return "invalid block";
      case ISAL_INVALID_SYMBOL:
        return "invalid code";
      case ISAL_INVALID_LOOKBACK:
        return "invalid distance too far back";
      case ISAL_INCORRECT_CHECKSUM:
        return "incorrect checksum or size";
      default:
        return "it is no gzip stream";
    }
  }

  const IsalLibrary& isal_;
  std::unique_ptr<inflate_state> state_;  // 85 KiB
};

std::unique_ptr<GzipStream::Inflater> MakeInflater(GzipStream::Engine engine) {
  const IsalLibrary* isal = engine == GzipStream::Engine::kFastest ? Isal() : nullptr;
  if (isal == nullptr) return std::make_unique<ZlibInflater>();
  return std::make_unique<IsalInflater>(*isal);
}

}  // namespace

GzipStream::GzipStream(ByteSource source, Engine engine)
    : source_(std::move(source)), inflater_(MakeInflater(engine)), input_(kBack + kGzipInput) {
  char* const begin = input_.data() + kBack;
  in_ = std::string_view(begin, begin);
}
GzipStream::GzipStream(GzipStream&&) noexcept = default;
GzipStream::~GzipStream() = default;

// More behind what is left, and the bytes before that kept.
Result<void> GzipStream::Fill() {
  char* const begin = input_.data() + kBack;
  const size_t left = in_.size();
  const size_t before = std::min(kBack, static_cast<size_t>(in_.data() - input_.data()));
  std::memmove(begin - before, in_.data() - before, before + left);
  in_ = std::string_view(begin, left);
  const size_t n = TRY(source_(begin + left, input_.size() - kBack - left));
  source_ended_ = n == 0;
  in_ = std::string_view(begin, left + n);
  return {};
}

// False: the last one has been read.
Result<bool> GzipStream::BeginMember() {
  while (in_.size() <= kGzipMagic.size() && !source_ended_) TRY(Fill());
  if (!in_.starts_with(kGzipMagic)) {
    if (first_) return DamagedGzip("it is no gzip stream");
    return false;
  }
  // ISA-L does not look.
  if (in_.size() > kGzipMagic.size() &&
      (static_cast<unsigned char>(in_[kGzipMagic.size()]) & kGzipReserved) != 0)
    return DamagedGzip("unknown header flags set");
  if (!std::exchange(first_, false)) inflater_->Reset();
  return true;
}

Result<size_t> GzipStream::Read(char* buffer, size_t size) {
  while (!ended_) {
    if (!in_member_) {
      in_member_ = TRY(BeginMember());
      ended_ = !in_member_;
      continue;
    }
    if (in_.empty() && !source_ended_) TRY(Fill());
    const size_t before = in_.size();
    const Inflater::Step step = TRY(inflater_->Inflate(in_, buffer, std::min(size, kGzipStep)));
    in_member_ = !step.ended;
    if (step.made > 0) return step.made;
    if (step.ended || in_.size() != before) continue;
    if (source_ended_) return DamagedGzip("it is cut off");
    if (!in_.empty()) return DamagedGzip("it is no gzip stream");
  }
  return size_t{0};
}

}  // namespace ingot

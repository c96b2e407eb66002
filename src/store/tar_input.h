// The uncompressed bytes of a tar in order, from a pipe, and their outline.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/byte_pipe.h"
#include "store/tar_outline.h"

namespace ingot::store {

class TarInput {
 public:
  explicit TarInput(BytePipe& pipe) : pipe_(pipe) {}

  // Some next bytes, at most `size`; none at the end.
  Result<std::string_view> Some(uint64_t size) {
    const std::string_view some = TRY(Next(size));
    outline_.Between(some);
    return some;
  }
  // The same of a file's contents, whose object is told afterwards.
  Result<std::string_view> SomeContents(uint64_t size) {
    const std::string_view some = TRY(Next(size));
    outline_.Skip(some.size());
    return some;
  }
  // Exactly `size` bytes, or fewer at the end of the stream.
  Result<std::string> Take(uint64_t size) {
    std::string out;
    while (out.size() < size) {
      const std::string_view some = TRY(Some(size - out.size()));
      if (some.empty()) break;
      out += some;
    }
    return out;
  }
  Result<void> Skip(uint64_t size) {
    while (size > 0) {
      const std::string_view some = TRY(Some(size));
      if (some.empty())
        return Error(Code::kInvalid, "The archive is cut off: the end of an entry is missing.");
      size -= some.size();
    }
    return {};
  }
  TarOutliner& outline() { return outline_; }

 private:
  Result<std::string_view> Next(uint64_t size) {
    if (used_ == piece_.size()) {
      used_ = 0;
      if (!TRY(pipe_.Pop(piece_))) piece_.clear();
    }
    const auto n = static_cast<size_t>(std::min<uint64_t>(size, piece_.size() - used_));
    used_ += n;
    return std::string_view(piece_).substr(used_ - n, n);
  }

  BytePipe& pipe_;
  std::string piece_;
  size_t used_ = 0;
  TarOutliner outline_;
};

}  // namespace ingot::store

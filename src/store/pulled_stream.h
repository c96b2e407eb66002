// PulledStream: what somebody writes to a sink, to be read as from a file; the writer runs on a thread of its
// own, a few pieces ahead.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "base/byte_stream.h"
#include "base/result.h"
#include "store/byte_pipe.h"

namespace ingot::store {

// One reader. What `write` uses must outlive it.
class PulledStream {
 public:
  explicit PulledStream(std::function<Result<void>(const ByteSink&)> write)
      : thread_([this, write = std::move(write)] {
          pipe_.Close(write([this](std::string_view bytes) { return pipe_.Push(std::string(bytes)); }));
        }) {}
  ~PulledStream() {
    pipe_.Cancel();
    thread_.join();
  }
  PulledStream(const PulledStream&) = delete;
  PulledStream& operator=(const PulledStream&) = delete;

  // As ByteSource; the writer's error at the end.
  Result<size_t> Read(char* buffer, size_t size) {
    while (used_ == piece_.size()) {
      used_ = 0;
      piece_.clear();
      if (!TRY(pipe_.Pop(piece_))) return size_t{0};
    }
    const size_t n = piece_.copy(buffer, size, used_);
    used_ += n;
    return n;
  }
  // Whether the writer came to a good end; kInvalid when there is more to read.
  Result<void> End() {
    char more = 0;
    if (TRY(Read(&more, 1)) == 0) return {};
    return Error(Code::kInvalid, "a stream is longer than it was said to be");
  }

 private:
  BytePipe pipe_;
  std::string piece_;
  size_t used_ = 0;
  std::thread thread_;
};

}  // namespace ingot::store

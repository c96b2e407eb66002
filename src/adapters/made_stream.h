// MadeStream: a body that a thread makes and an event loop sends.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "adapters/worker_pool.h"
#include "base/sync.h"
#include "registry/message.h"

namespace ingot::adapters {

// Shared by the thread and the loop, either of which may be done with it first.
class MadeStream {
 public:
  // `wake` is called, on the thread, when there is something to take after there was nothing.
  static std::shared_ptr<MadeStream> Start(WorkerPool& makers, registry::MadeBody body,
                                           std::function<void()> wake);
  enum class Taken { kPiece, kNothingYet, kEnd, kFailed };
  // Never waits.
  Taken Take(std::string& piece);
  // Nobody takes any more.
  void Cancel();

 private:
  struct State {
    std::deque<std::string> pieces;
    bool ended = false;
    bool failed = false;
    bool cancelled = false;
  };
  Result<void> Push(std::string_view bytes);

  Sync<State> state_;
  std::condition_variable taken_;
  std::function<void()> wake_;
};

}  // namespace ingot::adapters
